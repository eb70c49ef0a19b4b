# train, where a rollout feeds several updates: their ratios move away from 1, and a run that goes on
# in the middle of a rollout ends with the same bits.  Groups that teach nothing; what people see.
for name in Lily Tom Mia Ben Sue Max Anna Jack; do
    echo "{\"prompt\": \"Once upon a time, $name\", \"answer\": \"$name\"}"
done >"$T/prompts.jsonl"
model=tests/fixtures/golden/stories260K-hf
train() {
    "$GWEN" train --model $model --set prompts="$T/prompts.jsonl" --stop . --set max_completion_length=24 \
        --set num_generations=4 --set per_device_train_batch_size=8 --set gradient_accumulation_steps=2 \
        --set learning_rate=5e-4 --set seed=3 --verify-logprobs --set max_steps=8 "$@"
}
timeless() { sed 's|"time/.*||' "$1/metrics.jsonl"; }
metric() { sed -n "$3s|.*\"$2\":\([^,}]*\).*|\1|p" "$1/metrics.jsonl"; } # DIR NAME STEP

reuse=(-q --reward length:8 --set beta=0.02 --set num_iterations=2 --set steps_per_generation=4 --set save_steps=1
    --dynamic_sampling --filter_zero_std)
train --out "$T/a" "${reuse[@]}" || exit 1
[ "$(cd "$T/a/rollouts" && echo *)" = "step-1.jsonl step-5.jsonl" ] || { ls "$T/a/rollouts"; exit 1; }
[ "$(metric "$T/a" clip_ratio/region_mean 1)" = 0 ] && [ "$(metric "$T/a" kl 1)" = 0 ] || exit 1
[ "$(metric "$T/a" clip_ratio/region_mean 4)" != 0 ] || { echo "ratios stay 1"; exit 1; }
[ "$(metric "$T/a" num_tokens 4)" = "$(metric "$T/a" num_tokens 1)" ] || exit 1

# Going on before, within and after a rollout; cut in other ways.
for step in 2 3 4 5; do
    rm -rf "$T/b"
    cp -r "$T/a" "$T/b"
    for later in $(seq $((step + 1)) 8); do rm -r "$T/b/checkpoint-$later"; done
    train --out "$T/b" "${reuse[@]}" --resume --threads 1 --train-micro-batch 1 -B 3 || exit 1
    for f in model.safetensors checkpoint-8/optimizer.safetensors rollouts/step-5.jsonl \
        checkpoint-6/rollout.safetensors; do
        cmp "$T/a/$f" "$T/b/$f" || exit 1
    done
    [ "$(timeless "$T/a")" = "$(timeless "$T/b")" ] || { echo "from step $step: other metrics"; exit 1; }
done
grep -q '"profile":{"tuned":false,"threads":1,' "$T/b/checkpoint-8/state.json" || exit 1

# A rollout that is damaged: a number that is none, in each of what it has.  Its checksum tells, and
# the run goes on from the checkpoint before; one of a version without checksums is refused.
damage() { # FILE ARRAY BYTES: over its first number
    local size begin
    size=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    begin=$(tail -c +9 "$1" | head -c "$size" |
        sed -E "s/.*\"$2\":\{[^}]*\"data_offsets\":\[([0-9]+),.*/\1/")
    # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek=$((8 + size + begin)) conv=notrunc status=none
}
cut() { # DIR: a run that is to go on within a rollout
    rm -rf "$T/b"
    cp -r "$T/a" "$T/b"
    rm -r "$T/b"/checkpoint-[3-8]
}
for what in 'old \0\0\300\177' 'ref \0\0\200\377' 'rewards \0\0\200\177' 'scores \0\0\200\177'; do
    cut
    damage "$T/b/checkpoint-2/rollout.safetensors" "${what% *}" "${what#* }" || exit 1
    train --out "$T/b" "${reuse[@]}" --resume 2>"$T/err" || exit 1
    grep -q 'checkpoint-2 cannot be used: .*rollout.safetensors: is damaged' "$T/err" || exit 1
    cmp "$T/a/model.safetensors" "$T/b/model.safetensors" || exit 1
    cut
    damage "$T/b/checkpoint-2/rollout.safetensors" "${what% *}" "${what#* }" || exit 1
    sed -i 's/"gwen_checkpoint":3/"gwen_checkpoint":2/' "$T/b/checkpoint-2/state.json"
    train --out "$T/b" "${reuse[@]}" --resume 2>"$T/err" && { echo "taken: $what"; exit 1; }
    grep -v "is of an older version" "$T/err" | sed "s|$T/||g"
done

# A step that several generations of TRL feed: as many samples.
train --out "$T/c" -q --reward length:8 --max_steps 1 --steps_per_generation 1 || exit 1
[ "$(wc -l <"$T/c/rollouts/step-1.jsonl")" -eq 16 ] || exit 1

# Steps that take single samples from the groups of long prompts.
for name in Lily Tom Mia Ben; do
    echo "{\"prompt\": \"$name $(printf 'walked and %.0s' {1..30})\"}"
done >"$T/long.jsonl"
for parts in 2 4; do
    rm -rf "$T/l"
    train --out "$T/l" -q --prompts "$T/long.jsonl" --reward length:8 --max_steps 4 --max_completion_length 4 \
        --gradient_accumulation_steps 1 --per_device_train_batch_size 4 --steps_per_generation $parts || exit 1
done

# Other advantages.
mean() { sed 's|.*"advantage":\([^}]*\)}|\1|' "$1/rollouts/step-1.jsonl" | awk '{ s += $1 } END { print (s < 1e-3 && s > -1e-3) }'; }
for estimator in rloo reinforce++; do
    rm -rf "$T/e"
    train --out "$T/e" -q --reward length:8 --max_steps 2 --set advantage_estimator=$estimator || exit 1
    [ "$(mean "$T/e")" = 1 ] || { echo "$estimator: advantages do not balance"; exit 1; }
    cmp -s "$T/c/rollouts/step-1.jsonl" "$T/e/rollouts/step-1.jsonl" && { echo "$estimator: the same"; exit 1; }
done

# Groups whose rewards are all equal give way to others; here some do.
train --out "$T/d" -q --reward length:8 --dynamic_sampling || exit 1
dropped=0 flat=0
for step in $(seq 1 8); do
    [ "$(metric "$T/d" dynamic_sampling/dropped_groups "$step")" = 0 ] || dropped=1
    [ "$(metric "$T/d" frac_reward_zero_std "$step")" = 0 ] && flat=1
done
[ $dropped = 1 ] && [ $flat = 1 ] || { cat "$T/d/metrics.jsonl"; exit 1; }
# Where all are equal it tries as often as is allowed; left out of the loss, they change nothing.
train --out "$T/f" -q --reward exact --max_steps 1 --dynamic_sampling --max_resample_rounds 2 \
    --filter_zero_std --beta 0.1 || exit 1
[ "$(metric "$T/f" dynamic_sampling/dropped_groups 1)" = 8 ] || { cat "$T/f/metrics.jsonl"; exit 1; }
[ "$(metric "$T/f" loss 1)" = 0 ] && [ "$(metric "$T/f" grad_norm 1)" = 0 ] || exit 1

# What people see: steps, completions, how the reward went; a program sees metrics.
train --out "$T/g" --reward length:8 --max_steps 3 --logging_steps 1 --log_completions \
    --num_completions_to_print 2 >"$T/lines" 2>"$T/err" || { cat "$T/err"; exit 1; }
[ "$(grep -c '^  reward [-0-9.e]* | advantage [-0-9.e]* | ".*" -> ".*"$' "$T/err")" -eq 6 ] || { cat "$T/err"; exit 1; }
tail -n 1 "$T/err" | grep -qE '^reward [0-9.]+ \.\.\. [0-9.]+  [^ ]{3}$' || { tail -n 1 "$T/err"; exit 1; }
train --out "$T/h" --json --reward length:8 --max_steps 2 --logging_steps 1 >"$T/lines" 2>"$T/err" || exit 1
train --out "$T/h" -q --reward length:8 --max_steps 2 --resume >"$T/none" || exit 1
[ ! -s "$T/none" ] && cmp "$T/lines" "$T/h/metrics.jsonl" || exit 1

# Other data.
head -n 7 "$T/prompts.jsonl" >"$T/other.jsonl"
echo '{"prompt": "Once upon a time, Jack", "answer": "Jill"}' >>"$T/other.jsonl"
train --out "$T/a" "${reuse[@]}" --prompts "$T/other.jsonl" --resume 2>"$T/err" && exit 1
sed "s|$T/||g" "$T/err"
