#!/bin/sh
# run.sh MODEL_DIR OUT_DIR [option of train ...] - GRPO towards written values: the model as it was
# before training grades every answer by each criterion of rubric.json; then a report.
#
#   GWEN      the program (build/gwen-cpu)
#   PROMPTS   other prompts than prompts.jsonl here
set -eu
[ $# -ge 2 ] || { echo "usage: $0 MODEL_DIR OUT_DIR [option of train ...]" >&2; exit 2; }
here=$(dirname "$0")
gwen=${GWEN:-$here/../../build/gwen-cpu}
model=$1 out=$2
shift 2
# --set: the options given to this script win over these
"$gwen" train --model "$model" --prompts "${PROMPTS:-$here/prompts.jsonl}" --out "$out" \
    --judge "$here/rubric.json" --set judge-mode=logits \
    --set num_generations=8 --set per_device_train_batch_size=8 \
    --set gradient_accumulation_steps=4 \
    --set max_completion_length=128 --set max_steps=50 \
    --set learning_rate=1e-5 --set beta=0.02 "$@"
"$gwen" report "$out"
