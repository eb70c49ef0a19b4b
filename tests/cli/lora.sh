# level: any
# Adapters: sft and train with --use_peft teach them, to bits that do not depend on how the work is
# cut or on being killed; --adapter puts them on the model; export merges them.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --out "$T/model" ||
    exit 1
for i in $(seq 1 20); do
    echo "{\"prompt\": \"What is $i plus $i? \", \"completion\": \"It is $((i + i)).\"}"
done >"$T/data.jsonl"
rows() { wc -l 2>/dev/null <"$1/metrics.jsonl" || echo 0; }
timeless() { sed 's|"time/.*||' "$1/metrics.jsonl"; }
metric() { sed -n "$3s|.*\"$2\":\([^,}]*\).*|\1|p" "$1/metrics.jsonl"; } # DIR NAME STEP
arguments=(sft --set model="$T/model" --set data="$T/data.jsonl" --use_peft --set lora_target_modules=all-linear
    --set learning_rate=1e-2 --set max_steps=12 --set per_device_train_batch_size=4
    --set gradient_accumulation_steps=2 --set seed=7)
sft() { "$GWEN" "${arguments[@]}" -q "$@" || exit 1; }
same() { # DIR DIR STEP: adapter, optimizer and metrics
    for f in adapter_model.safetensors adapter_config.json \
        "checkpoint-$3/adapter_model.safetensors" "checkpoint-$3/optimizer.safetensors"; do
        cmp "$1/$f" "$2/$f" || exit 1
    done
    [ "$(timeless "$1")" = "$(timeless "$2")" ] || { echo "$2: other metrics"; exit 1; }
}

# The loss falls; nothing of the model itself is saved.
sft --out "$T/a"
awk -v first="$(metric "$T/a" loss 1)" -v last="$(metric "$T/a" loss 12)" \
    'BEGIN { exit !(last < first / 1.2) }' || { timeless "$T/a"; exit 1; }
[ ! -e "$T/a/model.safetensors" ] && [ ! -e "$T/a/config.json" ] &&
    [ -e "$T/a/tokenizer.json" ] || { ls "$T/a"; exit 1; }

# However the work is cut.
sft --out "$T/b" --train-micro-batch 1 --threads 1 --recompute layer
same "$T/a" "$T/b" 12
sft --out "$T/c" --train-micro-batch 8 --threads 2 --recompute attn
same "$T/a" "$T/c" 12

# Killed.
for step in 2 5 9; do
    "$GWEN" "${arguments[@]}" -q --out "$T/k" --save_steps 2 --save_total_limit 2 --resume &
    pid=$!
    until [ "$(rows "$T/k")" -ge $step ]; do
        kill -0 $pid 2>/dev/null || { echo "ended before it could be killed"; exit 1; }
        sleep 0.005
    done
    kill -9 $pid
    wait $pid 2>/dev/null
done
sft --out "$T/k" --resume
same "$T/a" "$T/k" 12

# What scoring says of the adapter, of the merged model in float32, and of the bare model.
for i in 1 2 3; do
    echo "{\"prompt\": \"What is $i plus $i? \", \"completion\": \"It is $((i + i)).\"}"
done >"$T/rows.jsonl"
score() { "$GWEN" score --dtype fp32 --model "$@" <"$T/rows.jsonl" || exit 1; }
score "$T/model" --adapter "$T/a" >"$T/with"
score "$T/model" >"$T/without"
"$GWEN" export -q --merge --model "$T/model" --adapter "$T/a/checkpoint-12" --out "$T/merged/" \
    --dtype fp32 || exit 1
score "$T/merged" >"$T/of_merged"
[ ! -e "$T/merged.export.tmp" ] || exit 1
distance() { # the largest difference of two files of scores
    paste -d '\n' "$1" "$2" | sed 's/.*\[//; s/\].*//' | awk -F, '
        NR % 2 { n = split($0, a); next }
        { for (i = 1; i <= n; i++) { d = a[i] - $i; if (d < 0) d = -d; if (d > most) most = d } }
        END { printf "%.9f", most }'
}
awk -v merged="$(distance "$T/with" "$T/of_merged")" -v bare="$(distance "$T/with" "$T/without")" \
    'BEGIN { exit !(merged < 1e-4 && bare > 0.1) }' ||
    { echo "merged $(distance "$T/with" "$T/of_merged"), bare $(distance "$T/with" "$T/without")"; exit 1; }
generate() { "$GWEN" generate -q --dtype fp32 --temp 0 --max-tokens 8 --prompt "What is 4" --model "$@" || exit 1; }
[ "$(generate "$T/model" --adapter "$T/a")" = "$(generate "$T/merged")" ] || exit 1
echo "What is 4" | "$GWEN" chat -q --model "$T/model" --adapter "$T/a" --max-tokens 2 >/dev/null
# Merged without --dtype, tensors keep their type.
"$GWEN" export -q --merge --model "$T/model" --adapter "$T/a" --out "$T/merged16" || exit 1
[ "$(wc -c <"$T/merged16/model.safetensors")" -eq "$(wc -c <"$T/model/model.safetensors")" ] || exit 1

# A rollout with it is not one without it, nor one that goes on from there.
echo '{"prompt": "What is 4 plus 4? "}' >"$T/prompts.jsonl"
rollout() { "$GWEN" rollout -q --model "$T/model" --prompts "$T/prompts.jsonl" -n 2 --max-tokens 8 "$@"; }
rollout --adapter "$T/a" --out "$T/rollout.jsonl" || exit 1
rollout --out "$T/bare.jsonl" || exit 1
cmp -s "$T/rollout.jsonl" "$T/bare.jsonl" && { echo "the adapter changes nothing"; exit 1; }

# An adapter is trained further, and r = 1 on one projection of one layer.
sft --out "$T/d" --max_steps 1
"$GWEN" sft -q --model "$T/model" --data "$T/data.jsonl" --adapter "$T/a" --learning_rate 1e-3 \
    --max_steps 3 --per_device_train_batch_size 8 --out "$T/e" || exit 1
awk -v a="$(metric "$T/a" loss 1)" -v e="$(metric "$T/e" loss 1)" 'BEGIN { exit !(e < a / 1.2) }' || exit 1
one=(sft -q --set model="$T/model" --set data="$T/data.jsonl" --use_peft --set lora_r=1 --use_rslora
    --set lora_target_modules=up_proj --set layers_to_transform=1 --set learning_rate=1e-2 --set seed=7)
"$GWEN" "${one[@]}" --max_steps 2 --out "$T/one" && "$GWEN" "${one[@]}" --max_steps 4 --out "$T/two" &&
    "$GWEN" "${one[@]}" --max_steps 4 --out "$T/one" --resume || exit 1
grep -q '"layers_to_transform": \[1\]' "$T/one/adapter_config.json" &&
    grep -q '"target_modules": \["up_proj"\]' "$T/one/adapter_config.json" || exit 1
[ "$(wc -c <"$T/one/adapter_model.safetensors")" -lt 4000 ] || exit 1
score "$T/model" --adapter "$T/one" >/dev/null

# GRPO: sampler and trainer agree to the last bit, the reference is the model without the adapter.
for name in Lily Tom Mia Ben; do echo "{\"prompt\": \"Once upon a time, $name\"}"; done >"$T/names.jsonl"
grpo=(train --set model=tests/fixtures/golden/stories260K-hf --set prompts="$T/names.jsonl" --reward length:8
    --stop . --set max_completion_length=24 --set num_generations=4 --set per_device_train_batch_size=8
    --set gradient_accumulation_steps=2 --set learning_rate=5e-3 --set seed=3 --verify-logprobs --use_peft
    --set lora_target_modules=q_proj,down_proj --set beta=0.02 --set max_steps=6)
train() { "$GWEN" "${grpo[@]}" -q "$@" || exit 1; }
train --out "$T/g" --threads 1 -B 3 --train-micro-batch 1 --recompute layer
[ "$(metric "$T/g" kl 1)" = 0 ] && [ "$(metric "$T/g" kl 2)" != 0 ] &&
    [ "$(metric "$T/g" differing_logprobs 6)" = 0 ] || { timeless "$T/g"; exit 1; }
"$GWEN" "${grpo[@]}" -q --out "$T/h" --threads 2 -B 16 --train-micro-batch 8 --save_steps 1 &
pid=$!
until [ "$(rows "$T/h")" -ge 3 ]; do
    kill -0 $pid 2>/dev/null || { echo "ended before it could be killed"; exit 1; }
    sleep 0.005
done
kill -9 $pid
wait $pid 2>/dev/null
train --out "$T/h" --resume
same "$T/g" "$T/h" 6
cmp "$T/g/rollouts/step-6.jsonl" "$T/h/rollouts/step-6.jsonl" || exit 1
# The reference of an adapter that is trained further is that adapter.
"$GWEN" train -q "${grpo[@]:1:14}" --adapter "$T/g" --beta 0.02 --max_steps 1 --out "$T/i" || exit 1
[ "$(metric "$T/i" kl 1)" = 0 ] || { timeless "$T/i"; exit 1; }
