# level: any
# eval --checkpoints: a table with a line for each checkpoint of a run, of whole models and of
# adapters.
model=tests/fixtures/golden/stories260K-hf
for name in Lily Tom Mia Ben; do
    echo "{\"prompt\": \"Once upon a time, $name\", \"answer\": \"$name\"}"
done >"$T/prompts.jsonl"
train() {
    "$GWEN" train -q --model $model --prompts "$T/prompts.jsonl" --reward length:8 \
        --max_completion_length 8 --num_generations 4 --per_device_train_batch_size 4 --max_steps 2 \
        --save_steps 1 --learning_rate 1e-3 "$@" || exit 1
}
evaluate() {
    "$GWEN" eval -q --task qa --data "$T/prompts.jsonl" -k 2 --max-tokens 4 "$@"
}
names() { cut -d' ' -f1 | tr '\n' ' '; }
train --out "$T/run"
evaluate --checkpoints "$T/run" --out "$T/evals" >"$T/table" || exit 1
[ "$(names <"$T/table")" = "model checkpoint-1 checkpoint-2 " ] && [ ! -e "$T/evals/base.jsonl" ] ||
    { cat "$T/table"; exit 1; }
head -n 1 "$T/table" | grep -q "accuracy .* mean_at_k .* pass_at_k .* tokens$" || exit 1
# A line is what that model alone would give.
evaluate --model "$T/run/checkpoint-2" --out "$T/two.jsonl" >"$T/two" || exit 1
cmp "$T/two.jsonl" "$T/evals/checkpoint-2.jsonl" || exit 1
"$GWEN" eval --compare "$T/evals/checkpoint-1.jsonl" "$T/two.jsonl" | grep -q '"p_value":' || exit 1
evaluate --checkpoints "$T/run" --out "$T/evals" --resume --json | sed 's/"time.*//' >"$T/objects" || exit 1
tail -n 1 "$T/objects" | cmp - <(sed 's/"time.*//' "$T/two") || exit 1

train --out "$T/adapters" --use_peft --lora_r 2
evaluate --checkpoints "$T/adapters" 2>"$T/err" && exit 1
sed "s|$T/||" "$T/err"
evaluate --checkpoints "$T/adapters" --model $model --out "$T/evals2" >"$T/table" || exit 1
[ "$(sed 1d "$T/table" | names)" = "base checkpoint-1 checkpoint-2 " ] || { cat "$T/table"; exit 1; }
evaluate --model $model --adapter "$T/adapters/checkpoint-1" --out "$T/one.jsonl" >"$T/one" || exit 1
cmp "$T/one.jsonl" "$T/evals2/checkpoint-1.jsonl" || exit 1
cmp -s "$T/one.jsonl" "$T/evals2/base.jsonl" && { echo "the adapter changes nothing"; exit 1; }
exit 0
