# level: any
# The folder of a run: what must not be written over, two runs at once, and checkpoints that are
# damaged.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --dtype fp32 --out "$T/model" ||
    exit 1
for i in 1 2 3 4; do
    echo "{\"prompt\": \"What is $i plus $i? \", \"completion\": \"It is $((i + i)).\"}"
done >"$T/data.jsonl"
sft=(sft -q --set model="$T/model" --set data="$T/data.jsonl" --set per_device_train_batch_size=2 --set save_steps=1)
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

# What decides the results has to be the same when a run is gone on with; each difference by name.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 6 --dtype fp32 --out "$T/model2" ||
    exit 1
hashless() { sed -E 's/[0-9a-f]{16}/HASH/g; s/checkpoint-1: tokenizer: .*/checkpoint-1: tokenizer/'; }
refused "${sft[@]}" --max_steps 3 --out "$T/adapter" --resume --use_peft --model "$T/model2" | hashless
refused "${sft[@]}" --max_steps 3 --out "$T/adapter" --resume --use_peft --dtype fp32 | hashless
mv "$T/other"/adapter_* "$T/adapter" || exit 1
grpo=(train -q --set model="$T/model" --set prompts="$T/data.jsonl" --set num_generations=2 --set per_device_train_batch_size=4
    --set max_completion_length=4 --set max_steps=1 --resume)
echo '{"template": "{prompt}{response} Was it {criterion}? 1 to 5: ", "criteria": [{"name": "short"}]}' >"$T/rubric.json"
args=(--set beta=0.1 --set adapter="$T/adapter" --reward length:2 --stop x --set judge="$T/rubric.json" --set judge-mode=logits)
"$GWEN" "${grpo[@]}" --out "$T/g" "${args[@]}" || exit 1
again() { refused "${grpo[@]}" --max_steps 2 --out "$T/g" "$@" | hashless; }
again "${args[@]}" --model "$T/model2"
again "${args[@]/length:2/length:3}"
again "${args[@]}" --reward-cmd ./another
again "${args[@]}" --stop y
again "${args[@]}" --judge-weight 0.5
again "${args[@]:0:8}"
again --use_peft "${args[@]:0:2}" "${args[@]:4}"
"$GWEN" "${grpo[@]}" --max_steps 2 --out "$T/g" "${args[@]}"
