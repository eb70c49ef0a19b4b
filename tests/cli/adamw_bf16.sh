# level: any
# optim=adamw-bf16: the weights are their own master copy, rounded at random; it learns, its bits do
# not depend on how the work is cut, and a run that is killed goes on as if nothing had happened.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --out "$T/model" ||
    exit 1
for i in $(seq 1 20); do
    echo "{\"prompt\": \"What is $i plus $i? \", \"completion\": \"It is $((i + i)).\"}"
done >"$T/data.jsonl"
arguments=(sft -q --set model="$T/model" --set data="$T/data.jsonl" --set learning_rate=1e-3 --set max_steps=20
    --set gradient_accumulation_steps=2 --set per_device_train_batch_size=4 --set warmup_steps=3 --set seed=7
    --set dtype=bf16 --set optim=adamw-bf16)
sft() { "$GWEN" "${arguments[@]}" "$@" || exit 1; }
timeless() { sed 's|"time/.*||' "$1/metrics.jsonl"; }
same() {
    for f in model.safetensors checkpoint-20/optimizer.safetensors; do cmp "$1/$f" "$2/$f" || exit 1; done
    [ "$(timeless "$1")" = "$(timeless "$2")" ] || { echo "$2: other metrics"; exit 1; }
}

sft --out "$T/a"
loss() { sed -n "$1s/.*\"loss\":\([0-9.]*\),.*/\1/p" "$T/a/metrics.jsonl"; }
awk -v first="$(loss 1)" -v last="$(loss 20)" 'BEGIN { exit !(last < first / 1.5) }' ||
    { echo "the loss went from $(loss 1) to $(loss 20)"; exit 1; }
# What is saved is a model in bfloat16 and two moments of the same type, nothing else.
size() { stat -c %s "$T/a/checkpoint-20/$1"; }
head -c 100000 "$T/a/checkpoint-20/optimizer.safetensors" | grep -aq '"master\.' && exit 1
[ "$(size optimizer.safetensors)" -lt $(($(size model.safetensors) * 21 / 10)) ] || exit 1
"$GWEN" generate -q --model "$T/a" --prompt "What is 4 plus 4? " --max-tokens 4 >/dev/null || exit 1

sft --out "$T/b" --train-micro-batch 1 --threads 1 --recompute layer
same "$T/a" "$T/b"
sft --out "$T/s" --seed 8 --threads 2
cmp -s "$T/a/model.safetensors" "$T/s/model.safetensors" && exit 1

for step in 4 11; do
    "$GWEN" "${arguments[@]}" --out "$T/k" --save_steps 3 --save_total_limit 2 --resume &
    pid=$!
    until [ "$(wc -l 2>/dev/null <"$T/k/metrics.jsonl" || echo 0)" -ge $step ]; do
        kill -0 $pid 2>/dev/null || { echo "ended before it could be killed"; exit 1; }
        sleep 0.005
    done
    kill -9 $pid
    wait $pid 2>/dev/null
done
sft --out "$T/k" --save_steps 3 --save_total_limit 2 --resume
same "$T/a" "$T/k"

# It has to be bfloat16.
"$GWEN" "${arguments[@]}" --out "$T/n" --dtype fp32 2>&1 && exit 1
exit 0
