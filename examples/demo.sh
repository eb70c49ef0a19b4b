#!/bin/bash
# demo.sh - reinforcement learning in a minute: a Qwen3 of a million parameters that does sums right
# one time in three is trained by GRPO until it does them right.  Nothing is downloaded; how the
# model was made is in arithmetic/make_model.sh.
#
#   GWEN   the program (build/gwen-cpu)      SEED   of every draw (1)      STEPS   of training (100)
#   and options of `gwen-cpu train` as arguments: --use_peft=true --learning_rate 5e-3
set -euo pipefail
cd "$(dirname "$0")/.."
gwen=${GWEN:-build/gwen-cpu}
seed=${SEED:-1} steps=${STEPS:-100}
model=examples/arithmetic/model
work=$(mktemp -d "${TMPDIR:-/tmp}/gwen-demo-XXXXXX")
trap 'rm -rf "$work"' EXIT

# show COMMAND...: prints a command, then runs it
show() {
    echo
    echo "\$ ${*//$work/\$DIR}"
    "$@"
}

# exam NAME MODEL...: what the model answers, sixteen times each, to sums it has never seen
exam() {
    "$gwen" rollout -q "${@:2}" --prompts "$work/exam.jsonl" --groups 16 --max-tokens 6 --seed "$seed" \
        --out "$work/$1.jsonl"
}

# report FILE: the answers to the first five questions, and how many of all are right
report() {
    awk -F'"' -v exam="$work/exam.jsonl" '
        BEGIN {
            n_questions = 0
            while ((getline line < exam) > 0) {
                split(line, part, "\"")
                question[n_questions] = part[4]
                answer[n_questions++] = part[8]
            }
        }
        {
            match($0, /"prompt_id": *[0-9]+/)
            q = substr($0, RSTART, RLENGTH)
            sub(/.*[: ]/, "", q)
            match($0, /"text": *"[^"]*"/)
            text = substr($0, RSTART, RLENGTH)
            gsub(/^"text": *"|"$/, "", text)
            said[q] = said[q] sprintf(" %4s", text)
            right += text == answer[q]
        }
        END {
            for (q = 0; q < 5; q++) printf "  %6s %s\n", question[q], said[q]
            printf "  right: %d of %d\n", right, NR
        }' "$1"
}

examples/arithmetic/generate.sh practice 400 "$seed" >"$work/practice.jsonl"
examples/arithmetic/generate.sh exam 40 "$seed" >"$work/exam.jsonl"

echo "A Qwen3 of a million parameters does sums it has not seen before, sixteen times each:"
exam before --model $model
report "$work/before.jsonl"

echo
echo "GRPO on other sums; the reward is 1 for the right answer, else 0:"
head -n 2 "$work/practice.jsonl"
training=(--model "$model" --prompts "$work/practice.jsonl" --reward exact --seed "$seed"
    --num_generations 8 --per_device_train_batch_size 512
    --max_completion_length 6 --set learning_rate=1e-3 --warmup_steps 5 --adam_beta2 0.95
    --verify-logprobs "$@")
show "$gwen" train "${training[@]}" --max_steps "$steps" --out "$work/run"

echo
echo "The same sums again:"
if [ -e "$work/run/adapter_config.json" ]; then
    exam after --model $model --adapter "$work/run"
else
    exam after --model "$work/run"
fi
report "$work/after.jsonl"

echo
echo "Three steps again, on one thread and cut otherwise: the samples of the third one, drawn from"
echo "weights that have moved, are the same to the last bit of every log-probability."
"$gwen" train -q "${training[@]}" --max_steps 3 --threads 1 --rollout-batch-size 5 \
    --train-micro-batch 7 --out "$work/again"
cmp "$work/run/rollouts/step-3.jsonl" "$work/again/rollouts/step-3.jsonl"
