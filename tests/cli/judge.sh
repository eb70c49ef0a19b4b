# judge: verdicts are those of generate and score one by one, whatever is computed together; known
# ones are not asked again, also after a kill; what is wrong is told in one line.
# level: any
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$T/init" || exit 1
cat >"$T/rubric.json" <<'END'
{"system": "You grade answers with one digit.",
 "template": "Question: {prompt}\nAnswer: {response}\nCriterion: {criterion}\nGrade, 1 to 5:",
 "criteria": [{"name": "kind", "description": "Is it kind?", "weight": 1, "scale": [1, 5]},
              {"name": "short", "weight": 0.5}]}
END
for i in 1 2 3 4 5 6 7; do
    word=good
    [ $((i % 2)) -eq 0 ] && word=bad
    echo "{\"id\":\"r$i\",\"prompt\":\"What of $((i / 3))?\",\"response\":\"It is $word\"}"
done >"$T/rows"
# A judge that has learned to give a 4, whatever it reads.
for i in 1 2 3 4; do
    printf '{"messages":[{"role":"system","content":"You grade answers with one digit."},'
    printf '{"role":"user","content":"Question: What of %d?\\nCriterion: short\\nGrade, 1 to 5:"},' $i
    printf '{"role":"assistant","content":"4"}]}\n'
done >"$T/lessons"
"$GWEN" sft -q --model "$T/init" --data "$T/lessons" --out "$T/judge" --learning_rate 3e-3 --seed 1 \
    --max_steps 25 --per_device_train_batch_size 4 >/dev/null 2>&1 || exit 1
judge() { "$GWEN" judge --model "$T/judge" --set rubric="$T/rubric.json" "$@"; }

judge <"$T/rows" 2>"$T/err" | tee "$T/generate" || exit 1
sed 's|, [0-9.]* crit_eval/s||' "$T/err"
judge --judge-mode logits --in "$T/rows" -q --verdicts "$T/looks.logits" >"$T/logits" || exit 1
# Nearly the same grades, but not whole ones.
grep -q '"kind":[0-9]*\.[0-9]' "$T/logits" || { cat "$T/logits"; exit 1; }
judge --compare -q <"$T/rows" | tail -n 1 | sed -E 's/(difference|correlation)":[^,}]*/\1":X/g'
judge --verdicts "$T/looks.generate" -q <"$T/rows" | cmp - "$T/generate" || exit 1

# However they are computed.
for mode in generate logits; do
    for options in '--judge-chunk-size 1' '--judge-chunk-size 3 --threads 1' '--no-prefix-tree' \
        '--judge-chunk-size 2 --no-prefix-tree'; do
        # shellcheck disable=SC2086
        judge -q --judge-mode $mode $options <"$T/rows" | cmp - "$T/$mode" || exit 1
    done
    RUBRIC_JUDGE_BATCH_SIZE=2 judge -q --judge-mode $mode <"$T/rows" | cmp - "$T/$mode" || exit 1
done

# One by one: the tokens of generate, the log-probabilities of score.
sort "$T/looks.generate" >"$T/looks"
sed 's/.*"prompt_ids":\(\[[^]]*\]\).*/{"ids":\1}/' "$T/looks" >"$T/prompts"
"$GWEN" generate -q --model "$T/judge" --prompts "$T/prompts" --temp 0 --max-tokens 8 --json \
    --rollout-batch-size 1 | sed 's/.*,"ids":\(\[[^]]*\]\).*/\1/' >"$T/ids" || exit 1
sed 's/.*,"ids":\(\[[^]]*\]\).*/\1/' "$T/looks" | cmp - "$T/ids" || exit 1
for digit in 1 2 3 4 5; do echo "{\"text\":\"$digit\"}"; done >"$T/digits"
"$GWEN" tokenize --model "$T/judge" <"$T/digits" | sed 's/.*\[\(.*\)\].*/\1/' >"$T/digit_ids"
sort "$T/looks.logits" | while IFS= read -r look; do
    prompt=$(echo "$look" | sed 's/.*"prompt_ids":\(\[[^]]*\]\).*/\1/')
    while read -r id; do echo "{\"prompt_ids\":$prompt,\"completion_ids\":[$id]}"; done <"$T/digit_ids" |
        "$GWEN" score --model "$T/judge" | sed 's/.*"sum":\(.*\)}/\1/' | tr '\n' ' '
    echo "$look" | sed 's/.*"logits":\[\(.*\)\],"grade":\([^,]*\).*/\1 \2/; s/,/ /g'
done | awk '
    # Five log-probabilities, five logits, the grade.
    {
        for (g = 1; g <= 5; g++) { p = exp($g); sum += p; mean += g * p }
        d = mean / sum - $11
        if (d < 0) d = -d
        if (!(d < 1e-5)) { print NR ": " mean / sum ", not " $11; exit 1 }
        for (g = 2; g <= 5; g++) { d = ($g - $1) - ($(g + 5) - $6); if (d < -1e-5 || d > 1e-5) exit 1 }
        sum = mean = 0
        rows++
    }
    END { if (rows != 14) exit 1 }' || exit 1

# What is known is not asked again: nothing at all, or after a kill only what was missing.
evaluations() { sed -n 's/.*verdicts: \([0-9]*\) evaluations, \([0-9]*\) from the cache.*/\1 \2/p' "$T/err"; }
judge --cache "$T/a.db" <"$T/rows" 2>"$T/err" | cmp - "$T/generate" || exit 1
evaluations
judge --cache "$T/a.db" --judge-chunk-size 2 <"$T/rows" 2>"$T/err" | cmp - "$T/generate" || exit 1
evaluations
for i in $(seq 1 60); do sed "s/What of/$i What of/" "$T/rows"; done >"$T/many"
mkfifo "$T/fifo" || exit 1
judge --cache "$T/b.db" --judge-chunk-size 4 -q <"$T/fifo" >"$T/many.out" 2>"$T/err" &
pid=$!
exec 3>"$T/fifo" # which stays open: it cannot come to its end
head -n 200 "$T/many" >&3
until [ "$(wc -l <"$T/many.out")" -ge 100 ]; do
    kill -0 $pid 2>/dev/null || { echo "ended before it could be killed"; cat "$T/err"; exit 1; }
    sleep 0.005
done
kill -9 $pid || exit 1
wait $pid 2>/dev/null
exec 3>&-
killed=$(wc -l <"$T/many.out")
judge -q --judge-chunk-size 300 <"$T/many" >"$T/whole.out" || exit 1
# What was written when it was killed are answers, in their order: those of chunks that were done.
head -n "$killed" "$T/whole.out" | cmp - <(head -n "$killed" "$T/many.out") || exit 1
judge --cache "$T/b.db" <"$T/many" 2>"$T/err" | cmp - "$T/whole.out" || exit 1
# shellcheck disable=SC2046
set -- $(evaluations)
[ $(($1 + $2)) -eq 840 ] && [ "$2" -ge $((2 * killed)) ] && [ "$1" -gt 0 ] || { cat "$T/err"; exit 1; }
judge --cache "$T/b.db" <"$T/many" 2>"$T/err" | cmp - "$T/whole.out" || exit 1
[ "$(evaluations)" = '0 840' ] || exit 1

# Any other model, a plain one without a chat template too.
for model in "$T/init" tests/fixtures/golden/stories260K-hf; do
    "$GWEN" judge -q --judge-model $model --rubric "$T/rubric.json" <"$T/rows" | head -n 2
done

# --- what is wrong --------------------------------------------------------------------------------
refused() { # a line of input, then options
    input=$1
    shift
    echo "$input" | judge "$@" >"$T/out" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    [ "$(grep -c . "$T/err")" -eq 1 ] || { cat "$T/err"; exit 1; }
    echo "$status $(sed -E "s|$T/||g" "$T/err")"
}
row='{"prompt":"a","response":"b"}'
rubric() { echo "$1" >"$T/bad.json"; refused "$row" --rubric "$T/bad.json"; }
rubric '{"template": "{prompt}'
rubric '{"template": "{prompt} {response}", "criteria": [{"name": "a"}]}'
rubric '{"template": "{prompt} {response} {criterion}"}'
rubric '{"template": "{prompt} {response} {criterion}", "criteria": [{"name": "a", "scale": [1, 10]}]}'
rubric '{"template": "{prompt} {response} {criterion}", "criteria": [{"name": "a", "weight": "x"}]}'
refused "$row" --rubric "$T/none.json"
refused '{"prompt":"a"}'
refused '{"prompt":"a","response":5}'
refused 'a'
refused "$row" --judge-chunk-size 0
refused "$row" --judge-chunk-size 99999999999
refused "$row" --max-tokens 4096
refused "$row" --judge-model "$T/init"
refused "$row" --judge-mode guess
refused "$row" --cache "$T/rubric.json"
refused "$row" --cache "$T/c.db" --verdicts "$T/looks.c"
refused "{\"prompt\":\"a\",\"response\":\"$(head -c 40000 /dev/zero | tr '\0' b)\"}"
echo "$row" | "$GWEN" judge --rubric "$T/rubric.json" 2>&1
echo "$row" | "$GWEN" judge --model "$T/judge" 2>&1
echo "$row" | RUBRIC_JUDGE_BATCH_SIZE=many "$GWEN" judge --model "$T/judge" --rubric "$T/rubric.json" 2>&1
# The rows before a bad one are answered; no rows are no mistake.
{ head -n 2 "$T/rows"; echo '{}'; } | judge -q 2>&1
{ head -n 2 "$T/rows"; echo "{\"prompt\":\"a\",\"response\":\"$(head -c 40000 /dev/zero | tr '\0' b)\"}"; } |
    judge -q 2>&1
judge -q </dev/null || exit 1
# Too little memory.
echo "$row" | judge --memory 1M 2>&1 | sed -E 's/[0-9.]+ [KMG]iB/SIZE/g; s/makes [0-9]+/makes N/'
exit 0
