# level: any
# What goes wrong in training ends it with one line each, and what was saved before stays.
model=tests/fixtures/golden/stories260K-hf
for name in Lily Tom Mia Ben; do
    echo "{\"prompt\": \"Once upon a time, $name\", \"answer\": \"$name\"}"
done >"$T/prompts.jsonl"
train=(train -q --set num_generations=4 --set max_completion_length=16 --set per_device_train_batch_size=8
    --set max_steps=3 --set save_steps=1 --set out="$T/out")
ok=(--set model=$model --set prompts="$T/prompts.jsonl")
refused() { # begins anew unless told to go on
    [[ $* == *--resume* ]] || rm -rf "$T/out" "$T/sft"
    "$GWEN" "${train[@]}" "$@" >"$T/out1" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    sed -i '/^gwen-cpu: warning: reward command/d' "$T/err"
    [ "$(grep -c . "$T/err")" -eq 1 ] || { cat "$T/err"; exit 1; }
    echo "$status $(sed -E "s|$T/||g; s|\"completion\":.*\],|\"completion\":SAMPLED,|" "$T/err")"
}
: >"$T/empty.jsonl"
refused --model $model --reward length:8 --prompts "$T/empty.jsonl"
refused --model $model --reward length:8 --prompts "$T/none.jsonl"
awk 'BEGIN { printf "{\"prompt\": \""; for (i = 0; i < 600; i++) printf "once upon "; print "\"}" }' >"$T/long.jsonl"
refused --model $model --reward length:8 --prompts "$T/long.jsonl"
refused "${ok[@]}" --reward length:8 --out "$T/prompts.jsonl"
refused "${ok[@]}" --reward length:8 --set learning_rate=null,
refused "${ok[@]}" --reward length:8 --set packing=true
echo '{"beta": true}' >"$T/config.json"
refused "${ok[@]}" --reward length:8 --config "$T/config.json"

# The program that rewards: dies at once, answers nonsense, says nothing, is not there.
refused "${ok[@]}" --reward-cmd 'echo "no idea" >&2; exit 7'
refused "${ok[@]}" --reward-cmd 'echo nonsense; cat >/dev/null'
refused "${ok[@]}" --reward-cmd 'cat >/dev/null; sleep 9' --reward-timeout 0.05
refused "${ok[@]}" --reward-cmd ./none 2>/dev/null | sed 's/; its stderr: .*none.*/; STDERR/'
[ -z "$(ls "$T/out" | grep checkpoint)" ] || { ls "$T/out"; exit 1; }

# Files that cannot grow: the checkpoint before stays, and the run can go on.
rm -rf "$T/out"
"$GWEN" "${train[@]}" "${ok[@]}" --reward length:8 --max_steps 1 || exit 1
(
    trap '' XFSZ
    ulimit -f 1000
    refused "${ok[@]}" --reward length:8 --resume
) || exit 1
[ "$(cd "$T/out" && echo checkpoint-*)" = checkpoint-1 ] || { ls "$T/out"; exit 1; }
"$GWEN" "${train[@]}" "${ok[@]}" --reward length:8 --resume || exit 1

# Weights that a step has spoilt are not saved in place of what there is: no checkpoint was due.
for kind in --use_peft=false --use_peft; do
    refused "${ok[@]}" --reward length:8 --dtype fp16 --learning_rate 1000 --warmup_steps 1 \
        --weight_decay 1000 --save_steps 9 --save_total_limit 1 $kind | sed 's/: element.*which/: WHICH/'
    [ "$(wc -l <"$T/out/metrics.jsonl")" -eq 1 ] || { cat "$T/out/metrics.jsonl"; exit 1; }
    [ -z "$(ls "$T/out" | grep checkpoint)" ] || { ls "$T/out"; exit 1; }
done

# Weights that break in training: each step has its row, and what broke is not saved.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --dtype fp32 --out "$T/tiny" || exit 1
echo '{"prompt": "Once", "completion": " upon"}' >"$T/rows.jsonl"
"$GWEN" sft -q --model "$T/tiny" --data "$T/rows.jsonl" --dtype fp32 --out "$T/broken" --learning_rate 1000 \
    --weight_decay 1000 --lr_scheduler_type constant --max_steps 50 --save_steps 1 --save_total_limit 1 2>"$T/err" && exit 1
last=$(sed -n 's/.*in 3 steps in a row, the last one is step \([0-9]*\):.*/\1/p' "$T/err")
[ -n "$last" ] && [ "$(grep -c . "$T/broken/metrics.jsonl")" -eq "$last" ] &&
    [ "$(cd "$T/broken" && echo checkpoint-*)" = checkpoint-$((last - 3)) ] ||
    { cat "$T/err"; ls "$T/broken"; exit 1; }

# A step that is left out has no numbers of its own: how far it came depends on how it was cut.
for micro in 1 8; do
    "$GWEN" "${train[@]}" "${ok[@]}" --reward length:8 --learning_rate 1000 --warmup_steps 1 --verify-logprobs \
        --weight_decay 1000 --max_steps 12 --save_steps 99 --out "$T/m$micro" --train-micro-batch $micro 2>/dev/null
    sed -n '/"loss":null/s|"time/.*||p' "$T/m$micro/metrics.jsonl" >"$T/left$micro"
done
grep -q '"entropy":null' "$T/left1" && cmp "$T/left1" "$T/left8" || exit 1

# Weights that are not numbers.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --dtype fp32 --out "$T/nan" || exit 1
at=$(($(stat -c %s "$T/nan/model.safetensors") - 4))
printf '\000\000\300\177' | dd of="$T/nan/model.safetensors" bs=1 seek=$at conv=notrunc status=none
rm -rf "$T/out"
refused --model "$T/nan" --prompts "$T/prompts.jsonl" --reward length:8
echo '{"prompt": "Once", "completion": " upon"}' >"$T/rows.jsonl"
train=(sft -q --set max_steps=5 --set out="$T/sft")
refused --model "$T/nan" --data "$T/rows.jsonl"
