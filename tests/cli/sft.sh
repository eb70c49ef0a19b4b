# sft learns, its bits do not depend on how the work is cut, and a run that is killed goes on as if
# nothing had happened.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --out "$T/model" ||
    exit 1
for i in $(seq 1 20); do
    echo "{\"prompt\": \"What is $i plus $i? \", \"completion\": \"It is $((i + i)).\"}"
done >"$T/data.jsonl"
rows() { wc -l 2>/dev/null <"$1/metrics.jsonl" || echo 0; }
arguments=(sft --set model="$T/model" --set data="$T/data.jsonl" --set learning_rate=1e-3 --set max_steps=20
    --set gradient_accumulation_steps=2 --set per_device_train_batch_size=4 --set warmup_steps=3 --set seed=7)
sft() { "$GWEN" "${arguments[@]}" -q "$@" || exit 1; }
# Metrics without times.
timeless() { sed 's|"time/.*||' "$1/metrics.jsonl"; }
same() { # DIR DIR: weights, optimizer and metrics
    for f in model.safetensors checkpoint-20/model.safetensors checkpoint-20/optimizer.safetensors; do
        cmp "$1/$f" "$2/$f" || exit 1
    done
    [ "$(timeless "$1")" = "$(timeless "$2")" ] || { echo "$2: other metrics"; exit 1; }
}

# The loss falls, and what is saved is a model.
"$GWEN" "${arguments[@]}" --out "$T/a" >"$T/lines" 2>"$T/err" || { cat "$T/err"; exit 1; }
loss() { sed -n "$1s/.*\"loss\":\([0-9.]*\),.*/\1/p" "$T/a/metrics.jsonl"; }
awk -v first="$(loss 1)" -v last="$(loss 20)" 'BEGIN { exit !(last < first / 1.5) }' ||
    { echo "the loss went from $(loss 1) to $(loss 20)"; exit 1; }
grep -q '^step 1/20 | loss [0-9.]* | [0-9.]*s | train [0-9.]* tok/s$' "$T/lines" &&
    [ "$(wc -l <"$T/lines")" -eq 3 ] && grep -q '^step 20/20 ' "$T/lines" || { cat "$T/lines"; exit 1; }
"$GWEN" generate -q --model "$T/a" --prompt "What is 4 plus 4? " --max-tokens 4 >/dev/null || exit 1

# However the work is cut.
sft --out "$T/b" --train-micro-batch 1 --threads 1 --recompute layer
same "$T/a" "$T/b"
sft --out "$T/c" --train-micro-batch 8 --threads 2 --recompute layer --recompute-stride 2
same "$T/a" "$T/c"

# Killed at several moments, the last time while a checkpoint is being written (perhaps).
run=("$GWEN" "${arguments[@]}" -q --set out="$T/k" --set save_steps=3 --set save_total_limit=2)
for step in 2 5 9 14; do
    "${run[@]}" --resume &
    pid=$!
    until [ "$(rows "$T/k")" -ge $step ]; do
        kill -0 $pid 2>/dev/null || { echo "ended before it could be killed"; exit 1; }
        sleep 0.005
    done
    kill -9 $pid
    wait $pid 2>/dev/null
done
"${run[@]}" && exit 1 # never by accident
"${run[@]}" --resume || exit 1
same "$T/a" "$T/k"
[ "$(cd "$T/k" && echo checkpoint-*)" = "checkpoint-18 checkpoint-20" ] || { ls "$T/k"; exit 1; }

# In float32, where the model is its own master copy; over two ends of an epoch; interrupted in an
# orderly way.
sft --out "$T/f" --dtype fp32 --max_steps 60
"$GWEN" "${arguments[@]}" -q --out "$T/g" --dtype fp32 --max_steps 60 &
pid=$!
until [ "$(rows "$T/g")" -ge 2 ]; do
    kill -0 $pid 2>/dev/null || { echo "ended before it could be interrupted"; exit 1; }
    sleep 0.005
done
kill -TERM $pid
wait $pid
[ $? -eq 143 ] || { echo "not interrupted"; exit 1; }
sft --out "$T/g" --dtype fp32 --max_steps 60 --resume
cmp "$T/f/model.safetensors" "$T/g/model.safetensors" || exit 1
[ "$(timeless "$T/f")" = "$(timeless "$T/g")" ] || exit 1
# A run that is over is only written out again.
sft --out "$T/g" --dtype fp32 --max_steps 60 --resume
cmp "$T/f/model.safetensors" "$T/g/model.safetensors" || exit 1

# What is refused, in one line each.
refused() {
    "$GWEN" "$@" >"$T/out" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    [ "$(grep -c . "$T/err")" -eq 1 ] || { cat "$T/err"; exit 1; }
    echo "$status $(sed "s|$T/||g" "$T/err")"
}
new=(sft -q --set model="$T/model" --set data="$T/data.jsonl" --set out="$T/new")
refused "${new[@]}" --learning_rat 1
refused "${new[@]}" --set learnin_rate=1
refused "${new[@]}" --learning_rate fast
refused "${new[@]}" --learning-rate -1
refused "${new[@]}" --optim sgd
refused "${new[@]}" --max_steps 0
echo '{"learning_rate": 1e-4, "epochs_num": 3, "num_generation": 8}' >"$T/config.json"
refused "${new[@]}" --config "$T/config.json"
echo '{"learning_rate": [1, 2]}' >"$T/config.json"
refused "${new[@]}" --config "$T/config.json"
refused sft -q --model "$T/model" --data "$T/data.jsonl"
refused sft -q --model "$T/model" --out "$T/new"
: >"$T/empty.jsonl"
refused "${new[@]}" --data "$T/empty.jsonl"
printf '{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n' >"$T/bad.jsonl"
refused "${new[@]}" --data "$T/bad.jsonl"
echo '{"ids": [1, 2, 3], "mask": [0, 1]}' >"$T/bad.jsonl"
refused "${new[@]}" --data "$T/bad.jsonl"
refused "${new[@]}" --data "$T/data.jsonl" --out "$T/data.jsonl"
refused "${new[@]}" --out "$T/a" --resume --learning_rate 2e-3
refused "${new[@]}" --memory 20M | sed 's/ needs .*//'
