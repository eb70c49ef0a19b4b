# level: any
# The folder of a run: what must not be written over, two runs at once, and checkpoints that are
# damaged.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --dtype fp32 --out "$T/model" ||
    exit 1
for i in 1 2 3 4; do
    echo "{\"prompt\": \"What is $i plus $i? \", \"completion\": \"It is $((i + i)).\"}"
done >"$T/data.jsonl"
sft=(sft -q --model "$T/model" --data "$T/data.jsonl" --per_device_train_batch_size 2 --save_steps 1)
refused() {
    "$GWEN" "$@" >"$T/out1" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    echo "$status $(sed -E "s|$T/||g; s|already \([a-z_.]*\)|already (FILE)|" "$T/err")"
}

# A model or an adapter that is there, with and without --resume.
before=$(sha256sum <"$T/model/model.safetensors")
refused "${sft[@]}" --max_steps 1 --out "$T/model"
refused "${sft[@]}" --max_steps 1 --out "$T/model" --resume
[ "$(sha256sum <"$T/model/model.safetensors")" = "$before" ] && [ ! -e "$T/model/metrics.jsonl" ] || exit 1
"$GWEN" "${sft[@]}" --use_peft --max_steps 1 --out "$T/adapter" || exit 1
mkdir "$T/other" && mv "$T/adapter"/adapter_* "$T/other" || exit 1
refused "${sft[@]}" --adapter "$T/other" --max_steps 1 --out "$T/other"

# One run at a time; a killed one is in nobody's way.
"$GWEN" "${sft[@]}" --max_steps 1000000 --save_steps 1000000 --out "$T/a" &
pid=$!
until [ -s "$T/a/metrics.jsonl" ]; do
    kill -0 $pid 2>/dev/null || { echo "ended before another could begin"; exit 1; }
    sleep 0.005
done
refused "${sft[@]}" --max_steps 3 --out "$T/a" --resume
kill -9 $pid
wait $pid 2>/dev/null
"$GWEN" "${sft[@]}" --max_steps 3 --out "$T/a" --resume || exit 1

# Damaged: the one before is gone on from, which is said; without one the run does not begin anew.
cp "$T/a/model.safetensors" "$T/whole"
echo '{' >"$T/a/checkpoint-3/state.json"
"$GWEN" "${sft[@]}" --max_steps 3 --out "$T/a" --resume 2>&1 | sed "s|$T/||g"
cmp "$T/whole" "$T/a/model.safetensors" && [ "$(grep -c . "$T/a/metrics.jsonl")" -eq 3 ] || exit 1
for step in 1 2 3; do : >"$T/a/checkpoint-$step/state.json"; done
refused "${sft[@]}" --max_steps 3 --out "$T/a" --resume
[ "$(grep -c . "$T/a/metrics.jsonl")" -eq 3 ] || exit 1
