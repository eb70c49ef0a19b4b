# The validation loss is what score says of the trained model; accuracy is the share of tokens that
# it would have chosen; packing only says how many rows make a step.
model=tests/fixtures/golden/stories260K-hf
for name in Lily Tom Mia Ben Sue Max Anna Jack Kim; do
    echo "{\"prompt\": \"Once upon a time, $name\", \"completion\": \" was a cat.\"}"
    echo "{\"text\": \"$name and a dog\"}"
done >"$T/data.jsonl"
arguments=(sft --set model=$model --set data="$T/data.jsonl" --set learning_rate=1e-3 --set seed=7)
sft() { "$GWEN" "${arguments[@]}" "$@" || exit 1; }
metric() { sed -n "$3s|.*\"$2\":\([^,}]*\).*|\1|p" "$1/metrics.jsonl"; } # DIR NAME STEP
timeless() { sed 's|"time/.*||' "$1/metrics.jsonl"; }
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d < 1e-6 && d > -1e-6) }' ||
    { echo "$3: $1, not $2"; exit 1; }; }

# eval_loss: the mean of batches of two, by their rows, of what the tokens that count cost.
cat >"$T/eval.jsonl" <<'END'
{"ids": [1, 403, 407, 261, 378, 265]}
{"ids": [1, 410, 371, 432], "mask": [0, 0, 1, 0]}
{"ids": [1, 400, 401, 402, 403, 404, 405, 406]}
END
sft --eval-data "$T/eval.jsonl" --max_steps 5 --eval_steps 2 --per_device_eval_batch_size 2 \
    --out "$T/a" >"$T/lines" 2>"$T/err"
grep -c '^eval [245]/5 | loss [0-9.]* | accuracy [0-9.]* | [0-9.]*s$' "$T/lines"
[ -z "$(metric "$T/a" eval_loss 1)$(metric "$T/a" eval_loss 3)" ] || exit 1
[ -n "$(metric "$T/a" eval_loss 2)" ] && [ -n "$(metric "$T/a" eval_loss 4)" ] || exit 1
sed 's/, "mask".*/}/' "$T/eval.jsonl" | "$GWEN" score -q --model "$T/a" >"$T/score"
wanted=$(awk -F'[][]' '{ n = split($2, p, ","); for (i = 1; i <= n; i++) l[NR, i] = -p[i]; len[NR] = n }
    END { for (i = 1; i <= len[1]; i++) s += l[1, i]
        for (i = 1; i <= len[3]; i++) t += l[3, i]
        printf "%.9f", (2 * (s + l[2, 2]) / (len[1] + 1) + t / len[3]) / 3 }' "$T/score")
near "$(metric "$T/a" eval_loss 5)" "$wanted" eval_loss

# What the model itself says is right; with a learning rate of 0 it goes on saying it.
"$GWEN" generate -q --model $model --prompt "Once upon a time, Lily" --temp 0 --max-tokens 6 --json >"$T/said"
prompt=$(sed -E 's/.*"prompt_ids": *\[([^]]*)\].*/\1/' "$T/said")
ids=$(sed -E 's/.*"ids": *\[([^]]*)\].*/\1/' "$T/said")
mask=$(echo "$prompt" | sed 's/[0-9]\+/0/g'),$(echo "$ids" | sed 's/[0-9]\+/1/g')
echo "{\"ids\": [$prompt,$ids], \"mask\": [$mask]}" >"$T/right.jsonl"
echo "{\"ids\": [$prompt,${ids%,*},3], \"mask\": [$mask]}" >"$T/wrong.jsonl"
for answer in right wrong; do
    sft -q --learning_rate 0 --max_steps 1 --data "$T/$answer.jsonl" --eval-data "$T/$answer.jsonl" \
        --out "$T/$answer"
    echo "$answer: $(metric "$T/$answer" mean_token_accuracy 1) $(metric "$T/$answer" eval_mean_token_accuracy 1)"
done

# Evaluation changes nothing else, and neither does how the work is cut; an evaluated run resumes.
sft -q --max_steps 5 --out "$T/b"
cmp "$T/a/model.safetensors" "$T/b/model.safetensors" || exit 1
sft -q --eval-data "$T/eval.jsonl" --max_steps 5 --eval_steps 2 --per_device_eval_batch_size 2 \
    --out "$T/c" --train-micro-batch 1 --threads 1 --save_steps 2
[ "$(timeless "$T/a")" = "$(timeless "$T/c")" ] || exit 1
rm -r "$T/c/checkpoint-4" "$T/c/checkpoint-5"
sft -q --eval-data "$T/eval.jsonl" --max_steps 5 --eval_steps 2 --per_device_eval_batch_size 2 \
    --out "$T/c" --resume
[ "$(timeless "$T/a")" = "$(timeless "$T/c")" ] || exit 1

# Packing: an epoch has fewer steps, of the same tokens; cut otherwise the bits are the same.
packed=(--packing --max_length 48 --per_device_train_batch_size 2 --num_train_epochs 2)
sft -q --per_device_train_batch_size 2 --max_length 48 --num_train_epochs 2 --out "$T/rows"
sft -q "${packed[@]}" --out "$T/packed"
sft -q "${packed[@]}" --out "$T/cut" --train-micro-batch 1 --threads 1 --recompute layer
cmp "$T/packed/model.safetensors" "$T/cut/model.safetensors" || exit 1
[ "$(timeless "$T/packed")" = "$(timeless "$T/cut")" ] || exit 1
steps() { wc -l <"$1/metrics.jsonl"; }
[ "$(steps "$T/packed")" -lt $(($(steps "$T/rows") / 2)) ] || { steps "$T/packed"; exit 1; }
[ "$(metric "$T/packed" num_tokens '$')" = "$(metric "$T/rows" num_tokens '$')" ] || exit 1
# One bin that holds all rows is a step of all rows, in the order of the bin.
sft -q --packing --max_length 512 --max_steps 1 --out "$T/one"
sft -q --per_device_train_batch_size 18 --max_length 512 --max_steps 1 --out "$T/all"
near "$(metric "$T/one" loss 1)" "$(metric "$T/all" loss 1)" "loss of one bin"
near "$(metric "$T/one" grad_norm 1)" "$(metric "$T/all" grad_norm 1)" "gradient of one bin"

"$GWEN" sft -q --model $model --data "$T/data.jsonl" --eval_steps 2 --out "$T/no" 2>&1
: >"$T/empty.jsonl"
"$GWEN" sft -q --model $model --data "$T/data.jsonl" --eval-data "$T/empty.jsonl" --out "$T/no" 2>&1 |
    sed "s|$T/||g"
