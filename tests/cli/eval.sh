# level: any
# eval: the greedy answers and the drawn ones, scored; the same file however it came about; texts
# and choices by likelihood; comparison.
model=tests/fixtures/golden/stories260K-hf
stories=tests/fixtures/golden/stories
number() { sed -n "s|.*\"$1\":\([^,}]*\)[,}].*|\1|p"; } # NAME, of an object on standard input
is() { [ "$1" = "$2" ] || { echo "$3: $1, not $2"; exit 1; }; }

# The golden perplexity of a text: windows of 250 tokens, each alone.
nll=$("$GWEN" eval -q --dtype fp32 --model $model --task ppl --data $stories/eval.txt --window 250 \
    --limit 80 | number nll) || exit 1
awk -v a="$nll" -v b="$(number mean_nll <$stories/golden.json)" \
    'BEGIN { exit !(b > 1 && a - b < 1e-5 && b - a < 1e-5) }' || { echo "nll $nll"; exit 1; }
# Windows that see what stands before them find it likelier; a text is the same as a row of it.
more=$("$GWEN" eval -q --dtype fp32 --model $model --task ppl --data $stories/eval.txt --window 250 \
    --limit 80 --overlap 200 | number nll) || exit 1
awk -v a="$more" -v b="$nll" 'BEGIN { exit !(a < b - 0.05) }' || { echo "nll $more"; exit 1; }
printf 'Once upon a time\nthere was' >"$T/text"
printf '{"text": "Once upon a time\\nthere was"}' >"$T/text.jsonl"
for data in text text.jsonl; do
    "$GWEN" eval -q --model $model --task ppl --data "$T/$data" --out "$T/$data.out" >"$T/$data.sum" || exit 1
done
cmp "$T/text.out" "$T/text.jsonl.out" || exit 1
is "$(number bytes <"$T/text.out") $(number words <"$T/text.out")" "26 6" "bytes and words"
awk -v nll="$(number nll <"$T/text.out")" -v b="$(number bits_per_byte <"$T/text.sum")" \
    'BEGIN { d = nll / 26 / log(2) - b; exit !(d < 1e-6 && d > -1e-6) }' || exit 1

# Choices: score says the same of them.
cat >"$T/mc.jsonl" <<'EOF'
{"question": "Once upon a time, there was a little", "choices": ["girl named Lily.", "pea", "x"], "answer": 0, "id": "a"}
{"prompt": "Tom and Lily went to the ", "choices": ["zzz", "park. They", "xylophone"], "answer": "B"}
{"prompt": "", "choices": ["Qxz", "Once upon a time"], "answer": "a"}
EOF
"$GWEN" eval -q --model $model --task mc --data "$T/mc.jsonl" --out "$T/mc.out" >"$T/mc.sum" || exit 1
sed 's/"data.*//; s/"logprobs":[^]]*\]//' "$T/mc.out"
awk -v a="$(number accuracy <"$T/mc.sum")" 'BEGIN { exit !(a > 0.6666 && a < 0.6667) }' || exit 1
"$GWEN" tokenize -q --model $model --bos <<'EOF' >"$T/ids"
{"text": "Tom and Lily went to the"}
{"text": "Tom and Lily went to the park. They"}
EOF
ids() { sed -n "$1s/.*\[\(.*\)\].*/\1/p" "$T/ids"; }
head=$(ids 1) whole=$(ids 2)
echo "{\"prompt_ids\": [$head], \"completion_ids\": [${whole#"$head",}]}" |
    "$GWEN" score -q --model $model >"$T/score" || exit 1
is "$(sed -n '2s/.*"logprobs":\[[^,]*,\([^,]*\),.*/\1/p' "$T/mc.out")" "$(number sum <"$T/score")" \
    "a choice's log-probability"

# Samples.  The greedy answer to each name is made the right one of the first half.
names="Lily Tom Mia Ben Sue Max Anna Jack"
i=0
for name in $names; do
    echo "{\"prompt\": \"Once upon a time, there was a $name. One\", \"id\": \"$name\"}"
done >"$T/prompts.jsonl"
"$GWEN" rollout -q --model $model --prompts "$T/prompts.jsonl" --groups 1 --temp 0 --max-tokens 2 \
    --out "$T/greedy.jsonl" || exit 1
while IFS= read -r prompt <&3 && IFS= read -r row <&4; do
    answer=$(echo "$row" | sed 's/.*"text":\("[^"]*"\),.*/\1/')
    [ $((i % 2)) -eq 0 ] || answer='"no"'
    i=$((i + 1))
    echo "${prompt%\}}, \"answer\": $answer}"
done 3<"$T/prompts.jsonl" 4<"$T/greedy.jsonl" >"$T/qa.jsonl"
arguments=(eval --set model=$model --set task=qa --set data="$T/qa.jsonl" --set samples=6 --set max-tokens=2 --set seed=3)
"$GWEN" "${arguments[@]}" -q --out "$T/a.jsonl" -B 5 --threads 1 >"$T/a" || exit 1
"$GWEN" "${arguments[@]}" -q --out "$T/b.jsonl" -B 56 >"$T/b" || exit 1
cmp "$T/a.jsonl" "$T/b.jsonl" || exit 1
is "$(sed 's/,"time.*//' "$T/a")" "$(sed 's/,"time.*//' "$T/b")" summary
"$GWEN" "${arguments[@]}" -q >"$T/b" || exit 1 # no rows
is "$(sed 's/,"time.*//' "$T/a")" "$(sed 's/,"time.*//' "$T/b")" "summary without rows"
is "$(wc -l <"$T/a.jsonl")" 56 rows
is "$(number accuracy <"$T/a") $(number eval_full/accuracy/pass_at_1 <"$T/a")" "0.5 0.5" accuracy
strip() { sed 's/.*"prompt_ids"/"prompt_ids"/; s/,"finish_reason".*//' "$@"; }
grep '"greedy":true' "$T/a.jsonl" | strip >"$T/first"
strip "$T/greedy.jsonl" | cmp - "$T/first" || { echo "other greedy answers"; exit 1; }
right=$(grep '"greedy":false' "$T/a.jsonl" | grep -c '"reward":1,')
awk -v m="$(number mean_at_k <"$T/a")" -v r="$right" 'BEGIN { d = m - r / 48; exit !(r > 4 && r < 40 && d < 1e-8 && d > -1e-8) }' ||
    { echo "mean_at_k $(number mean_at_k <"$T/a"), $right right"; exit 1; }
awk -v p="$(number pass_at_k <"$T/a")" -v m="$(number mean_at_k <"$T/a")" 'BEGIN { exit !(p >= m && p <= 0.5) }' || exit 1

# Compared with itself, with another seed, and from directories.
mkdir "$T/A" "$T/B" || exit 1
"$GWEN" "${arguments[@]}" -q --out "$T/A" >"$T/x" && cmp "$T/A/eval.jsonl" "$T/a.jsonl" || exit 1
"$GWEN" "${arguments[@]}" -q --out "$T/B" --seed 4 -k 3 >"$T/x" || exit 1
"$GWEN" eval --compare "$T/A" "$T/a.jsonl" >"$T/x" || exit 1
is "$(number p_value <"$T/x")" 1 "p of the same"
# Other questions with the same answers cannot be compared.
sed 's/there was a/there is a/; s/, "id": "[A-Za-z]*"//' "$T/qa.jsonl" >"$T/qa2.jsonl"
sed 's/, "id": "[A-Za-z]*"//' "$T/qa.jsonl" >"$T/qa1.jsonl"
for i in 1 2; do
    "$GWEN" eval -q --model $model --task qa --data "$T/qa$i.jsonl" -k 1 --max-tokens 2 --out "$T/qa$i.out" >"$T/x" || exit 1
done
"$GWEN" eval --compare "$T/qa1.out" "$T/qa2.out" 2>"$T/err" && { echo "other questions compared"; exit 1; }
sed "s|$T/||g" "$T/err"
sed 's/a little/one little/' "$T/mc.jsonl" >"$T/mc2.jsonl"
"$GWEN" eval -q --model $model --task mc --data "$T/mc2.jsonl" --out "$T/mc3.out" >"$T/x" || exit 1
"$GWEN" eval --compare "$T/mc.out" "$T/mc3.out" 2>"$T/err" && { echo "other questions compared"; exit 1; }
sed "s|$T/||g" "$T/err"
"$GWEN" eval --compare "$T/A" "$T/B" | sed "s|$T/||g; s/,\"mean_at_k\".*//" || exit 1

# Killed twice and resumed; complete, it is not sampled again.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --out "$T/tiny" || exit 1
for i in $(seq 1 24); do echo "{\"question\": \"What is $i + $i?\", \"answer\": \"#### $((i + i))\"}"; done >"$T/gsm8k.jsonl"
sweep=(eval --set model="$T/tiny" --set task=gsm8k --set data="$T/gsm8k.jsonl" -k 4 --set max-tokens=64)
"$GWEN" "${sweep[@]}" -q --out "$T/whole" >"$T/whole.sum" || exit 1
lines() { cat "$1" 2>/dev/null | wc -l; }
for wanted in 15 60; do
    "$GWEN" "${sweep[@]}" -q --out "$T/k" --resume -B 8 2>"$T/err" >"$T/x" &
    pid=$!
    until [ "$(lines "$T/k.part")" -ge $wanted ]; do
        kill -0 $pid 2>/dev/null || { echo "ended before it could be killed"; cat "$T/err"; exit 1; }
        sleep 0.01
    done
    kill -9 $pid
    wait $pid 2>/dev/null
    [ ! -e "$T/k" ] || exit 1
done
"$GWEN" "${sweep[@]}" -q --out "$T/k" --resume >"$T/k.sum" || exit 1
cmp "$T/whole" "$T/k" && [ ! -e "$T/k.part" ] || exit 1
is "$(sed 's/,"time.*//' "$T/k.sum")" "$(sed 's/,"time.*//' "$T/whole.sum")" "resumed summary"
"$GWEN" "${sweep[@]}" --out "$T/k" --resume 2>"$T/err" >"$T/k.sum" && grep -q "/k: is complete$" "$T/err" || exit 1
is "$(sed 's/,"time.*//' "$T/k.sum")" "$(sed 's/,"time.*//' "$T/whole.sum")" "summary of what is complete"
"$GWEN" "${sweep[@]}" --out "$T/k" --resume --seed 1 2>"$T/err" >"$T/x" && exit 1
grep -q "/k is there already" "$T/err" && cmp -s "$T/k" "$T/whole" || exit 1
"$GWEN" "${sweep[@]}" --out "$T/k" --overwrite --seed 1 2>"$T/err" >"$T/x" || exit 1
! grep -q "is complete" "$T/err" && ! cmp -s "$T/k" "$T/whole" || exit 1

# Texts and choices can be resumed too.
"$GWEN" eval -q --model $model --task mc --data "$T/mc.jsonl" --out "$T/mc2.out" --resume >"$T/x" || exit 1
cmp "$T/mc.out" "$T/mc2.out" || exit 1
