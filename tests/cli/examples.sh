# level: any
# The examples run, with the model that comes with the project.
for example in gsm8k values; do
    examples/$example/run.sh examples/arithmetic/model "$T/$example" -q --max_steps 2 \
        --max_completion_length 8 >"$T/out" 2>&1 || { cat "$T/out"; exit 1; }
    [ "$(wc -l <"$T/$example/metrics.jsonl")" -eq 2 ] &&
        grep -q '<svg class="chart"' "$T/$example/report.html" || exit 1
done
grep -q '"rewards/regex/mean"' "$T/gsm8k/metrics.jsonl" || exit 1
grep -q '"judge/kind/mean"' "$T/values/metrics.jsonl" && grep -q '>judge/kind</th>' "$T/values/report.html" || exit 1
