#!/usr/bin/env bash
# steady.sh - whether a long run stays as fast and as small as it began.
#
#     bench/steady.sh [MODEL_DIR [STEPS]]
#
# Trains by GRPO (MODEL_DIR: a small random model unless given) and prints the seconds of a step,
# medians of five, around step 3 and at the end, and what the process held then.
set -eu
gwen=${GWEN:-build/gwen-cpu} model=${1:-} steps=${2:-50}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if [ -z "$model" ]; then
    model=$dir/model
    "$gwen" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$model"
fi
for i in $(seq 16); do
    echo "{\"id\":\"$i\",\"prompt\":\"$i apples and $((i * 7)) pears are how many pieces of fruit?\"}"
done >"$dir/prompts.jsonl"
"$gwen" train -q --model "$model" --prompts "$dir/prompts.jsonl" --reward length:40 --out "$dir/run" \
    --num_generations 8 --per_device_train_batch_size 64 --max_completion_length 128 \
    --rollout-batch-size 32 --max_steps "$steps" --save_steps 1000000 --seed 5 &
pid=$!
held() { awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status"; }
done_steps() { if [ -f "$dir/run/metrics.jsonl" ]; then wc -l <"$dir/run/metrics.jsonl"; else echo 0; fi; }
early='' late=''
while kill -0 "$pid" 2>/dev/null; do
    n=$(done_steps)
    if [ "$n" -ge 3 ] && [ -z "$early" ]; then early=$(held); fi
    if [ "$n" -ge 3 ] && [ "$n" -lt "$steps" ]; then late=$(held); fi
    sleep 0.05
done
wait "$pid"
seconds() { # FROM TO: the median of these steps
    sed -n 's/.*"time\/train\/step_s":\([0-9.e-]*\).*/\1/p' "$dir/run/metrics.jsonl" |
        sed -n "$1,$2p" | sort -g | sed -n 3p
}
first=$(seconds 2 6) last=$(seconds $((steps - 4)) "$steps")
awk -v a="$first" -v b="$last" -v x="$early" -v y="$late" 'BEGIN {
    printf "step 3: %.3f s, %.1f MiB held\nlast:   %.3f s (%+.1f %%), %.1f MiB held (%+.1f %%)\n",
        a, x / 1024, b, 100 * (b / a - 1), y / 1024, 100 * (y / x - 1)
}'
