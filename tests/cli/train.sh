# train: the reward rises, sampler and trainer agree to the last bit, nothing depends on how the
# work is cut, and a run that is killed goes on as if nothing had happened.
for name in Lily Tom Mia Ben Sue Max Anna Jack; do
    echo "{\"prompt\": \"Once upon a time, $name\", \"answer\": \"$name\"}"
done >"$T/prompts.jsonl"
model=tests/fixtures/golden/stories260K-hf
arguments=(train --set model=$model --set prompts="$T/prompts.jsonl" --reward length:8 --stop .
    --set max_completion_length=24 --set num_generations=4 --set per_device_train_batch_size=8
    --set gradient_accumulation_steps=2 --set learning_rate=5e-4 --set seed=3 --verify-logprobs)
train() { "$GWEN" "${arguments[@]}" -q "$@" || exit 1; }
rows() { wc -l 2>/dev/null <"$1/metrics.jsonl" || echo 0; }
timeless() { sed 's|"time/.*||' "$1/metrics.jsonl"; }
metric() { sed -n "$3s|.*\"$2\":\([^,}]*\).*|\1|p" "$1/metrics.jsonl"; } # DIR NAME STEP

# The reward rises.
"$GWEN" "${arguments[@]}" --out "$T/a" --max_steps 30 --beta 0.02 >"$T/lines" 2>"$T/err" ||
    { cat "$T/err"; exit 1; }
number='-*[0-9][0-9.]*'
line="step 1/30 | loss $number | reward $number | ${number}s | rollout $number tok/s | train $number tok/s"
head -n 1 "$T/lines" | grep -q "^$line\$" && [ "$(wc -l <"$T/lines")" -eq 4 ] || { cat "$T/lines"; exit 1; }
awk -v a="$(metric "$T/a" reward 1)" -v b="$(metric "$T/a" reward 30)" 'BEGIN { exit !(b > a + 0.2) }' ||
    { echo "reward $(metric "$T/a" reward 1), then $(metric "$T/a" reward 30)"; exit 1; }
# The policy has not moved yet, then it has.
[ "$(metric "$T/a" kl 1)" = 0 ] && [ "$(metric "$T/a" kl 2)" != 0 ] || exit 1
[ "$(metric "$T/a" differing_logprobs 30)" = 0 ] || exit 1
[ "$(wc -l <"$T/a/rollouts/step-30.jsonl")" -eq 16 ] &&
    grep -q '"prompt":"Once upon a time, [A-Z][a-z]*","rewards":{"length":\([0-9.e-]*\)},"reward":\1,"advantage":[0-9.e-]*}$' \
        "$T/a/rollouts/step-30.jsonl" || exit 1
"$GWEN" generate -q --model "$T/a" --prompt "Once upon" --max-tokens 4 >/dev/null || exit 1

# However the work is cut; rollouts too.
same() { # DIR DIR STEP
    for f in model.safetensors "checkpoint-$3/optimizer.safetensors" "rollouts/step-$3.jsonl"; do
        cmp "$1/$f" "$2/$f" || exit 1
    done
    [ "$(timeless "$1")" = "$(timeless "$2")" ] || { echo "$2: other metrics"; exit 1; }
}
train --out "$T/b" --max_steps 6 --threads 1 -B 3 --train-micro-batch 1 --recompute layer
train --out "$T/c" --max_steps 6 --threads 2 -B 16 --train-micro-batch 8 --recompute attn --recompute-stride 3
same "$T/b" "$T/c" 6

# Killed, twice.
for step in 2 4; do
    "$GWEN" "${arguments[@]}" -q --out "$T/k" --max_steps 6 --save_steps 1 --save_total_limit 2 --resume &
    pid=$!
    until [ "$(rows "$T/k")" -ge $step ]; do
        kill -0 $pid 2>/dev/null || { echo "ended before it could be killed"; exit 1; }
        sleep 0.005
    done
    kill -9 $pid
    wait $pid 2>/dev/null
done
train --out "$T/k" --max_steps 6 --resume
same "$T/b" "$T/k" 6

# Every kind of loss, every advantage, in two steps.
for options in "--loss_type grpo" "--loss_type bnpo --scale_rewards batch" \
    "--loss_type dr_grpo --scale_rewards none" "--loss_type cispo --epsilon_high 5" \
    "--importance_sampling_level sequence --mask_truncated_completions" \
    "--temperature 0.7 --top_k 20 --delta 2 --shuffle_dataset=false"; do
    rm -rf "$T/l"
    # shellcheck disable=SC2086
    train --out "$T/l" --max_steps 2 $options
    case $(metric "$T/l" loss 2) in null | '') echo "$options: no loss"; exit 1 ;; esac
done

# Rewards of a program: the number of tokens; nothing to say about some.
cat >"$T/reward.sh" <<'EOF'
while IFS= read -r line; do
    id=${line#*'"id":'} id=${id%%,*}
    ids=${line#*'"ids":['} ids=${ids%%]*} ids=${ids//[^,]/}
    [ $((id % 5)) -eq 0 ] && reward=null || reward=${#ids}
    [ -n "$1" ] && [ "$id" -ge "$1" ] && { echo "I am lost" >&2; exit 3; }
    echo "{\"id\":$id,\"reward\":$reward}"
done
EOF
train --out "$T/r" --max_steps 2 --reward-cmd "bash $T/reward.sh ''" --reward_weights 1,0.01
case $(metric "$T/r" rewards/command/mean 2) in null | '') exit 1 ;; esac
grep -q '"reward":[0-9.]*,' "$T/r/rollouts/step-2.jsonl" || exit 1

# A group of which nothing is known counts nothing, and that is said.
cat >"$T/lost.sh" <<'EOF'
while IFS= read -r line; do
    id=${line#*'"id":'} id=${id%%,*}
    [ $((id / 4 % 2)) -eq 0 ] && reward=null || reward=$((id % 4))
    echo "{\"id\":$id,\"reward\":$reward}"
done
EOF
"$GWEN" train --model $model --prompts "$T/prompts.jsonl" --stop . --max_completion_length 24 -q \
    --num_generations 4 --per_device_train_batch_size 8 --out "$T/lost" --max_steps 1 \
    --reward-cmd "bash $T/lost.sh" 2>"$T/err" || { cat "$T/err"; exit 1; }
grep -q 'groups have no reward at all and count nothing' "$T/err" || { cat "$T/err"; exit 1; }
grep -q '"reward":null,"advantage":0}' "$T/lost/rollouts/step-1.jsonl" || exit 1

refused() {
    "$GWEN" "$@" >"$T/out" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    [ "$(grep -c . "$T/err")" -eq 1 ] || { cat "$T/err"; exit 1; }
    # What was sampled depends on the numeric class.
    echo "$status $(sed -E "s|$T/||g; s|\"completion\":.*\],|\"completion\":SAMPLED,|" "$T/err")"
}
new=("${arguments[@]}" -q --set out="$T/new" --set max_steps=2)
# A program that dies: its words and the row; what was trained before is kept.
refused "${new[@]}" --reward-cmd "bash $T/reward.sh 20"
[ -e "$T/new/checkpoint-1/state.json" ] || { ls "$T/new"; exit 1; }
rm -rf "$T/new"
refused "${new[@]}" --num_generations 5
refused "${new[@]}" --num_generation 4
refused "${new[@]}" --num_iterations 2 --steps_per_generation 1
refused "${new[@]}" --steps_per_generation 3
refused "${new[@]}" --advantage_estimator rloo --scale_rewards none
refused "${new[@]}" --loss_type cispo --delta 2
refused "${new[@]}" --max_resample_rounds 2
refused "${new[@]}" --num_completions_to_print 2
refused "${new[@]}" --loss_type ppo
refused "${new[@]}" --per_device_train_batch_size 32
refused "${new[@]}" --reward lenght:3
refused "${new[@]}" --reward countdown
refused "${new[@]}" --reward_weights 1,2
refused train -q --model $model --prompts "$T/prompts.jsonl" --out "$T/new"
refused "${new[@]}" --max_completion_length 512
refused "${new[@]}" --out "$T/b" --resume --beta 0.1
echo '{"question": 1}' >"$T/bad.jsonl"
refused "${new[@]}" --prompts "$T/bad.jsonl"
