# Evaluation within training: what it finds, that training goes as it would without, and that a run
# that is killed ends with the same rows.
model=tests/fixtures/golden/stories260K-hf
for name in Lily Tom Mia Ben Sue Max; do
    echo "{\"prompt\": \"Once upon a time, $name\", \"answer\": \"$name\"}"
done >"$T/prompts.jsonl"
for name in Anna Jack Spot; do
    echo "{\"prompt\": \"One day, $name\", \"answer\": \"went\"}"
done >"$T/eval.jsonl"
arguments=(train --set model=$model --set prompts="$T/prompts.jsonl" --reward exact --reward length:6
    --set max_completion_length=8 --set num_generations=4 --set per_device_train_batch_size=8 --set max_steps=6
    --set learning_rate=1e-3 --set seed=3 --set dtype=fp32)
train() { "$GWEN" "${arguments[@]}" -q "$@" || exit 1; }
evaluated=(--set eval-prompts="$T/eval.jsonl" --set eval-every=2 --eval-full-sweep)
rows() { cat "$1/metrics.jsonl" 2>/dev/null | wc -l; }
metrics() { sed 's/,"time[^,}]*//g' "$1/metrics.jsonl"; }
metric() { sed -n "$3s|.*\"$2\":\([^,}]*\).*|\1|p" "$1/metrics.jsonl"; } # DIR NAME ROW
steps() { grep -o "\"step\":[0-9]*,.*\"$2\":" "$1/metrics.jsonl" | sed 's/"step":\([0-9]*\).*/\1/' | tr '\n' ' '; }

train --out "$T/without"
"$GWEN" "${arguments[@]}" --out "$T/a" "${evaluated[@]}" >"$T/lines" 2>"$T/err" || { cat "$T/err"; exit 1; }
for f in model.safetensors rollouts/step-6.jsonl checkpoint-6/optimizer.safetensors; do
    cmp "$T/a/$f" "$T/without/$f" || exit 1
done
diff <(metrics "$T/without") <(metrics "$T/a" | head -n 6 | sed 's/,"eval[^,}]*//g') || exit 1
grep -q '^eval 2/6 | reward [0-9.]* | length [0-9.]* | [0-9.]*s$' "$T/lines" || { cat "$T/lines"; exit 1; }

# At those steps, and a row for the sweep.
[ "$(steps "$T/a" eval/reward/func/exact)" = "2 4 6 " ] && [ "$(steps "$T/a" time/eval_s)" = "2 4 6 " ] || exit 1
[ "$(steps "$T/a" eval/reward/func/length)" = "2 4 6 " ] && [ "$(steps "$T/a" eval/completions/mean_length)" = "2 4 6 " ] || exit 1
[ "$(rows "$T/a")" -eq 7 ] || exit 1
for name in accuracy accuracy/pass_at_1 mean_at_k pass_at_k; do
    [ "$(steps "$T/a" eval_full/$name)" = "6 " ] || { echo "no eval_full/$name"; exit 1; }
done
for name in generate_s score_s; do
    [ "$(steps "$T/a" time/eval_full/$name)" = "6 " ] || { echo "no time/eval_full/$name"; exit 1; }
done
# The sum of the rewards' means.
awk -v a="$(metric "$T/a" eval/reward/func/exact 4)" -v b="$(metric "$T/a" eval/reward/func/length 4)" \
    -v r="$(metric "$T/a" eval/reward 4)" 'BEGIN { d = a + b - r; exit !(r > 0 && d < 1e-5 && d > -1e-5) }' || exit 1
# The sweep is what eval says of the model that was trained.
"$GWEN" eval -q --model "$T/a" --task qa --data "$T/eval.jsonl" -k 4 --max-tokens 8 --seed 3 \
    --dtype fp32 --out "$T/eval" >"$T/sum" || exit 1
cmp "$T/a/eval.jsonl" "$T/eval" || exit 1

# Killed: while training, and while sweeping.
for until in 3 6; do
    "$GWEN" "${arguments[@]}" "${evaluated[@]}" -q --out "$T/k" --save_steps 2 --resume &
    pid=$!
    until [ "$(rows "$T/k")" -ge $until ]; do
        kill -0 $pid 2>/dev/null || { echo "ended before it could be killed"; exit 1; }
        sleep 0.005
    done
    kill -9 $pid
    wait $pid 2>/dev/null
done
rm -f "$T/k/eval.jsonl" # as if it had not come so far
sed -i 7d "$T/k/metrics.jsonl"
train --out "$T/k" "${evaluated[@]}" --save_steps 2 --resume
diff <(metrics "$T/a") <(metrics "$T/k") && cmp "$T/a/eval.jsonl" "$T/k/eval.jsonl" &&
    cmp "$T/a/model.safetensors" "$T/k/model.safetensors" || exit 1
# What is there is not done again.
train --out "$T/k" "${evaluated[@]}" --save_steps 2 --resume
[ "$(rows "$T/k")" -eq 7 ] || exit 1

# Rewards of a command come when a window of prompts is through, built-in ones with each sample.
for i in $(seq 300); do echo "{\"prompt\": \"Day $i was\"}"; done >"$T/many.jsonl"
cat >"$T/has_e" <<'END'
s/.*"id":\([0-9]*\).*"completion":"\([^"\\]\|\\.\)*e.*","ids":.*/{"id":\1,"reward":1}/
t
s/.*"id":\([0-9]*\).*/{"id":\1,"reward":0}/
END
for kind in reward-cmd reward; do
    value=regex:e
    [ $kind = reward ] || value="sed -u -f $T/has_e"
    "$GWEN" train -q --model $model --prompts "$T/prompts.jsonl" --$kind "$value" --out "$T/$kind" \
        --max_completion_length 3 --num_generations 4 --per_device_train_batch_size 8 --max_steps 1 \
        --seed 3 --eval-prompts "$T/many.jsonl" --eval-every 1 --eval-full-sweep || exit 1
    sed 's/,"settings.*//' "$T/$kind/eval.jsonl" >"$T/$kind.rows"
done
[ "$(wc -l <"$T/reward.rows")" -eq 1500 ] && cmp "$T/reward.rows" "$T/reward-cmd.rows" || exit 1
# The rows know which: not the name alone.
n=0
settings() { sed -n '1s/.*"settings"://p' "$1/eval.jsonl"; }
for value in reward=regex:Q reward=regex:Z reward-cmd="sed -u -f $T/has_e" reward-cmd="sed  -u -f $T/has_e"; do
    "$GWEN" train -q --model $model --prompts "$T/prompts.jsonl" "--$value" --out "$T/s$((++n))" \
        --max_completion_length 3 --num_generations 4 --per_device_train_batch_size 8 --max_steps 1 \
        --learning_rate 0 --eval-prompts "$T/prompts.jsonl" --eval-full-sweep || exit 1
    settings "$T/s$n"
done >"$T/settings"
[ "$(sort -u "$T/settings" | wc -l)" -eq 4 ] || { cat "$T/settings"; exit 1; }
[ "$(metric "$T/reward" eval/reward 1)" = "$(metric "$T/reward-cmd" eval/reward 1)" ] || exit 1

refused() {
    "$GWEN" "$@" >"$T/out" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    [ "$(grep -c . "$T/err")" -eq 1 ] || { cat "$T/err"; exit 1; }
    echo "$status $(sed "s|$T/||g" "$T/err")"
}
refused "${arguments[@]}" -q --out "$T/new" --eval-full-sweep
refused "${arguments[@]}" -q --out "$T/new" --eval-every 2
refused "${arguments[@]}" -q --out "$T/new" --eval-prompts "$T/eval.jsonl"
refused "${arguments[@]}" -q --out "$T/new" --eval-prompts "$T/none" --eval-every 2
echo '{"prompt": "a"}' >"$T/bad.jsonl"
refused "${arguments[@]}" -q --out "$T/new" --eval-prompts "$T/bad.jsonl" --eval-every 2
