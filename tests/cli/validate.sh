# level: any
# validate says whether train or sft could begin, by their own checks, and leaves nothing behind.
model=tests/fixtures/golden/stories260K-hf
for name in Lily Tom Mia Ben; do
    echo "{\"prompt\": \"Once upon a time, $name\", \"answer\": \"$name\"}"
done >"$T/prompts.jsonl"
echo '{"prompt": "Once", "completion": " upon"}' >"$T/rows.jsonl"
cat >"$T/reward.sh" <<'EOR'
while IFS= read -r line; do
    echo "$line" >>"$1"
    id=${line#*'"id":'}
    echo "{\"id\":${id%%,*},\"reward\":1}"
done
EOR
config() { # NAME MEMBERS: a configuration that works, with more members
    echo "{\"model\": \"$model\", \"out\": \"$T/out\", \"max_steps\": 3, $2}" >"$T/$1.json"
}
grpo="\"prompts\": \"$T/prompts.jsonl\", \"reward\": \"length:8\", \"num_generations\": 4,
    \"max_completion_length\": 16"
config train "$grpo, \"reward-cmd\": \"bash $T/reward.sh $T/heard\""
config sft "\"data\": \"$T/rows.jsonl\""
for kind in train sft; do
    "$GWEN" validate "$T/$kind.json" >"$T/out1" 2>"$T/err" || { cat "$T/err"; exit 1; }
    [ "$(wc -l <"$T/out1")" -eq 2 ] && grep -q '^memory: weights .* together .* of ' "$T/out1" || { cat "$T/out1"; exit 1; }
    tail -n 1 "$T/out1" | sed "s|$T/||"
    [ ! -e "$T/out" ] || { ls -R "$T/out"; exit 1; }
    "$GWEN" validate --config "$T/$kind.json" -q --json | sed 's/[0-9][0-9]*/N/g'
    # What is valid begins, and then not twice in one folder.
    "$GWEN" $kind -q --config "$T/$kind.json" || exit 1
    "$GWEN" validate "$T/$kind.json" 2>&1 | sed "s|$T/||g"
    "$GWEN" validate "$T/$kind.json" --resume >"$T/out1" 2>&1 || { cat "$T/out1"; exit 1; }
    rm -r "$T/out"
done
# The program was given the first prompt and an empty completion.
head -n 1 "$T/heard" | sed 's/"ids":\[[0-9]*\]/"ids":[EOS]/'

refused() {
    "$GWEN" validate "$@" >"$T/out1" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    sed -i '/^gwen-cpu: warning: reward command/d' "$T/err" # it is started again once
    [ "$(grep -c . "$T/err")" -eq 1 ] && [ ! -s "$T/out1" ] && [ ! -e "$T/out" ] || { cat "$T/out1" "$T/err"; exit 1; }
    echo "$status $(sed -E "s|$T/||g; s| needs [0-9].*| needs more|" "$T/err")"
}
bad() { config bad "$1"; refused "$T/bad.json"; }
refused "$T/none.json"
refused --max_step 3
bad "$grpo, \"num_generation\": 4"
bad "$grpo, \"learning_rate\": \"fast\""
bad "$grpo, \"learning_rate\": [1, 2]"
bad "$grpo, \"steps_per_generation\": 3, \"gradient_accumulation_steps\": 2"
bad "\"data\": \"$T/rows.jsonl\", \"learnin_rate\": 1"
bad "\"prompts\": \"$T/prompts.jsonl\""
bad "$grpo, \"reward-cmd\": \"echo lost >&2; exit 3\""
bad "$grpo, \"reward-cmd\": \"cat >/dev/null; sleep 9\", \"reward-timeout\": 0.05"
bad "$grpo, \"memory\": \"2M\""
refused "$T/train.json" --max_completion_length 600
bad "$grpo, \"per_device_train_batch_size\": 64"
refused "$T/train.json" --out "$T/rows.jsonl/x"
bad "\"data\": \"$T/none.jsonl\""
