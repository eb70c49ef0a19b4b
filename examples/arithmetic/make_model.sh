#!/bin/bash
# make_model.sh DIR - makes the weights of examples/arithmetic/model again: a Qwen3 of a million
# parameters that has seen a class do sums (generate.sh), of which one pupil in three is right.
#
#   GWEN   the program (build/gwen-cpu)
#
# DIR/run is then the model.  On a machine of the numeric class bf16-vdp it is the shipped one to
# the last bit; its configuration and its tokenizer (bytes, and two tokens of its own) were written
# by hand.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
gwen=$(realpath "${GWEN:-build/gwen-cpu}")
out=$(realpath -m "$1")
cd "$(dirname "$0")"
mkdir -p "$out"
./generate.sh lessons 200000 1 >"$out/lessons.jsonl"
"$gwen" init --config model/config.json --tokenizer model --dtype bf16 --seed 1 --out "$out/random"
"$gwen" sft --model "$out/random" --data "$out/lessons.jsonl" --out "$out/run" \
    --max_length 16 --max_steps 8000 --per_device_train_batch_size 64 --learning_rate 2e-3 \
    --warmup_steps 200 --lr_scheduler_type cosine --adam_beta2 0.98 --logging_steps 250 \
    --save_steps 1000 --save_total_limit 1 --seed 1
