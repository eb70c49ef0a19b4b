# level: any
# The model of the demonstration is right about one time in three, and some steps of GRPO make it
# better, of full weights and of an adapter; the demonstration itself runs.
examples/arithmetic/generate.sh practice 500 1 >"$T/practice.jsonl"
metric() { sed -n "$3s|.*\"$2\":\([^,}]*\).*|\1|p" "$1/metrics.jsonl"; } # DIR NAME STEP
rises() { # DIR options of train
    "$GWEN" train -q --model examples/arithmetic/model --prompts "$T/practice.jsonl" --reward exact \
        --out "$1" --num_generations 8 --per_device_train_batch_size 256 --max_steps 12 \
        --max_completion_length 6 --lr_scheduler_type constant --verify-logprobs "${@:2}" || exit 1
    before=$(metric "$1" reward 1)
    after=$(for step in 10 11 12; do metric "$1" reward $step; done | awk '{ s += $1 } END { print s / 3 }')
    awk -v a="$before" -v b="$after" 'BEGIN { exit !(a > 0.25 && a < 0.45 && b > a + 0.08) }' ||
        { echo "$1: reward $before, then $after"; exit 1; }
}
rises "$T/full" --learning_rate 4e-4
rises "$T/adapter" --learning_rate 2e-3 --use_peft --lora_target_modules all-linear
STEPS=3 bash examples/demo.sh >"$T/out" 2>"$T/err" || { cat "$T/out" "$T/err"; exit 1; }
[ "$(grep -c '^  right: [0-9]* of 640$' "$T/out")" -eq 2 ] || { cat "$T/out"; exit 1; }
