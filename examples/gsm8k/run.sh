#!/bin/sh
# run.sh MODEL_DIR OUT_DIR [option of train ...] - GRPO on word problems with two rewards, for the
# right number and for saying it as "#### 24"; then a report.
#
#   GWEN       the program (build/gwen-cpu)
#   PROBLEMS   rows of GSM8K (problems.jsonl here: eight, to try it)
set -eu
[ $# -ge 2 ] || { echo "usage: $0 MODEL_DIR OUT_DIR [option of train ...]" >&2; exit 2; }
here=$(dirname "$0")
gwen=${GWEN:-$here/../../build/gwen-cpu}
model=$1 out=$2
shift 2
# --set: the options given to this script win over these
"$gwen" train --model "$model" --prompts "${PROBLEMS:-$here/problems.jsonl}" --out "$out" \
    --reward gsm8k --reward 'regex:#### -?[0-9]' --set reward_weights=1,0.2 \
    --set num_generations=8 --set per_device_train_batch_size=8 \
    --set gradient_accumulation_steps=4 \
    --set max_completion_length=128 --set max_steps=50 \
    --set learning_rate=1e-5 --set beta=0.01 "$@"
"$gwen" report "$out"
