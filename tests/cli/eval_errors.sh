# level: any
# eval: bad input is one line, and wrong usage exit status 2.
model=tests/fixtures/golden/stories260K-hf
refused() {
    "$GWEN" "$@" >"$T/out" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    [ "$(grep -c . "$T/err")" -eq 1 ] && [ ! -s "$T/out" ] || { cat "$T/out" "$T/err"; exit 1; }
    echo "$status $(sed "s|$T/||g" "$T/err")"
}
mkdir "$T/dir" || exit 1
data() { printf '%s\n' "$@" >"$T/data"; }
refused eval
refused eval --model $model
refused eval --model $model --task mmlu
refused eval --model $model --task qa
refused eval --model $model --task qa --data x y
refused eval --model $model --task qa --data x --resume
refused eval --model $model --task qa --data x --out y --resume --overwrite
refused eval --compare x
refused eval --compare x y
refused eval --compare "$T/dir" "$T/dir"
refused eval --checkpoints "$T/dir" --task qa --data x
refused eval -q --model $model --task qa --data "$T/none"
for task in gsm8k countdown qa; do
    data '{"prompt": "a", "answer": 1, "target": 3, "nums": [1, 2]}' '{"prompt": "b", "answer": null}'
    refused eval -q --model $model --task $task --data "$T/data"
done
data '{"question": "a", "answer": "no number"}'
refused eval -q --model $model --task gsm8k --data "$T/data"
data '{"question": "a", "answer": 1}'
refused eval -q --model $model --task gsm8k --data "$T/data" --max-tokens 512
refused eval -q --model $model --task gsm8k --data "$T/data" --out "$T/none/x"
task() { refused eval -q --model $model --task "$1" --data "$T/data"; }
data '{"prompt": "a", "choices": ["b"], "answer": 0}'
task mc
data '{"prompt": "a", "choices": ["b", "c"], "answer": 2}'
task mc
data '{"prompt": "a", "choices": ["b", "c"], "answer": "3"}'
task mc
data '{"prompt": "a", "choices": ["b", ""], "answer": 0}'
task mc
data '{"prompt": "a", "choices": "bc", "answer": 0}'
task mc
data '{"choices": ["b", "c"], "answer": 0}'
task mc
data "{\"prompt\": \"$(printf 'word %.0s' $(seq 600))\", \"choices\": [\"b\", \"c\"], \"answer\": 0}"
task mc
data '' && truncate -s 0 "$T/data"
task ppl
data $'caf\xe9'
task ppl
data '{"txet": 1}' && mv "$T/data" "$T/data.jsonl"
refused eval -q --model $model --task ppl --data "$T/data.jsonl"
refused eval -q --model $model --task ppl --data "$T/data.jsonl" --window 512
refused eval -q --model $model --task ppl --data "$T/data.jsonl" --window 400 --overlap 200
data '{"prompt_id": 0}'
refused eval --compare "$T/data" "$T/data"
