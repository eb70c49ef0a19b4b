# level: any
# Refusals say what to do, and what they say helps.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$T/model" ||
    exit 1
numbers=$(seq -s ' ' 1 90)
for i in 1 2 3 4 5 6 7 8; do
    echo "{\"prompt\": \"Number $i\", \"completion\": \"$numbers\"}"
done >"$T/rows.jsonl"
failed=0
complain() {
    echo "$1"
    cat "$T/err"
    failed=1
}

# --- memory: each option that is named makes the run fit, alone where they are joined by "or" -----
sft=(sft -q --model "$T/model" --data "$T/rows.jsonl" --max_steps 1 --set max_length=400)
train=(train -q --model "$T/model" --prompts "$T/rows.jsonl" --reward length:4 --max_steps 1
    --num_generations 4 --per_device_train_batch_size 4 --set max_completion_length=300)
# helps COMMAND MEMORY [OPTION...]: prints what is advised, and takes it.
helps() {
    local -n command=$1
    local memory=$2 advice options
    shift 2
    "$GWEN" "${command[@]}" "$@" --memory "$memory" --out "$T/run" 2>"$T/err" && { complain "$memory: not refused"; return; }
    advice=$(sed -n 's/^gwen-cpu: needs [0-9]* MiB, [0-9]* MiB available: \(.*)\) (weights .*/\1/p' "$T/err")
    [ -n "$advice" ] || { complain "$memory: no advice"; return; }
    while read -r options; do
        options=$(echo "$options" | sed 's/ ([0-9]* MiB)$//; s/^leave \(--[a-z-]*\) and \(--[a-z-]*\) to auto$/\1 auto \2 auto/
            s/use //; s/lower //g; s/ and / /; s/ to / /g')
        echo "${command[0]} $* $options" | sed 's/ [0-9][0-9]*$/ N/'
        # shellcheck disable=SC2086  # options are words
        "$GWEN" "${command[@]}" "$@" $options --memory "$memory" --out "$T/run" >/dev/null 2>"$T/err" ||
            complain "$memory: $options does not help"
        rm -rf "$T/run"
    done <<<"${advice// or /$'\n'}"
}
if [ -z "${SANITIZE:-}" ]; then # which holds more than it uses
    for command in sft train; do
        # What the process itself holds is in it: budgets are counted from the least that is needed.
        declare -n words=$command
        least=$("$GWEN" "${words[@]}" --memory 1M --out "$T/run" 2>&1 | sed -n 's/^gwen-cpu: needs \([0-9]*\) MiB, .*/\1/p')
        [ -n "$least" ] || { echo "$command: not refused"; exit 1; }
        for less in 5 9 17; do helps $command $((least - less))M; done
        helps $command $((least + 2))M --set recompute=none --set train-micro-batch=8
        "$GWEN" "${words[@]}" --memory 1M --out "$T/run" 2>&1 | sed 's/^gwen-cpu: needs .* available: //; s/ (weights .*//'
    done
else
    sed -n 's/^\(sft\|train\) /&/p; s/^use a smaller model.*/&/p' tests/cli/advice.out
fi

# --- data and models that are something else ------------------------------------------------------
refused() { # ARGUMENTS...: one line, and nothing is made
    "$GWEN" "$@" >"$T/out" 2>"$T/err" && complain "not refused: $*"
    [ "$(grep -c . "$T/err")" -eq 1 ] && [ ! -s "$T/out" ] || complain "$*: more than one line"
    sed "s|$T/||g" "$T/err"
}
printf 'PAR1\0\0\0\0PAR1' >"$T/rows.parquet"
printf 'ARROW1\0\0' >"$T/rows.arrow"
printf 'GGUF\3\0\0\0' >"$T/model.gguf"
printf 'PK\3\4' >"$T/rows.zip"
mkdir "$T/gguf" && cp "$T/model.gguf" "$T/gguf/model-q4.gguf"
for data in "$T/rows.parquet" "$T/rows.arrow" "$T/rows.zip" "$T/model.gguf" "$T/model" trl-lib/tldr \
    none/rows.jsonl; do
    refused sft -q --model "$T/model" --out "$T/run" --data "$data"
done
refused rollout -q --model "$T/model" --out "$T/o" --prompts "$T/rows.parquet"
refused rollout -q --model "$T/model" --out "$T/o" --prompts openai/gsm8k
for model in "$T/model.gguf" "$T/gguf" "$T/model/model.safetensors" "$T/rows.parquet"; do
    refused generate -q --model "$model" --prompt x
done
# A pipe is read as it is.
"$GWEN" rollout -q --model "$T/model" --max-tokens 1 --out "$T/o" --prompts <(head -n 1 "$T/rows.jsonl") ||
    failed=1

# --- options of others ----------------------------------------------------------------------------
theirs() { refused "$@" --model "$T/model" | sed 's/; see gwen-cpu .*//'; }
for option in output_dir bf16 fp16 max_seq_length dataset_name gradient_checkpointing report_to lr \
    resume_from_checkpoint model_name_or_path deepspeed frobnicate; do
    theirs sft --$option x
done
for option in output-dir max_new_tokens max_prompt_length use_vllm reward_funcs num_return_sequences; do
    theirs train --$option x
done
theirs rollout --max_new_tokens 5
theirs rollout --temperature 1
theirs rollout --num_generations=4
theirs sft --set output_dir=x
echo '{"output_dir": "x", "bf16": true}' >"$T/trl.json"
theirs sft --config "$T/trl.json"
echo 'output_dir: x' >"$T/trl.yaml"
theirs sft --config "$T/trl.yaml"

# --- flags ------------------------------------------------------------------------------------------
# A flag's value may stand behind it as well.
small=(sft -q --model "$T/model" --data "$T/rows.jsonl" --max_steps 1 --out)
"$GWEN" "${small[@]}" "$T/flag" --use_peft false --packing true >/dev/null || failed=1
[ ! -e "$T/flag/adapter_config.json" ] || { echo "--use_peft false made an adapter"; failed=1; }
"$GWEN" "${small[@]}" "$T/peft" --use_peft true >/dev/null && [ -e "$T/peft/adapter_config.json" ] ||
    { echo "--use_peft true made none"; failed=1; }
"$GWEN" info --json true --quiet false | head -c 1
echo
refused info --json maybe
exit $failed
