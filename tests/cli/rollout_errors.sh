# level: any
# What rollout refuses: one line that names the place; 2 for wrong usage, 1 for the rest.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --out "$T/model" &&
    "$GWEN" init -q --preset tiny --out "$T/bare" || exit 1
run() {
    printf '$ rollout %s\n' "$*"
    (cd "$T" && "$GWEN" rollout "$@") 2>&1 | grep -v '^memory: '
    echo "-> ${PIPESTATUS[0]}"
}
# rows TEXT: a file of these rows
rows() {
    printf '%b' "$1" >"$T/p"
    printf '%s\n' "$1"
    run --model model --prompts p --max-tokens 4 --groups 1 -q
}
run
run --model model
run --model model --prompts p --resume
run --model model --prompts p --resume --overwrite --out x
run --model model --prompts p --out /dev/null --resume
run --model model --prompts p --system S
run --model model --prompts p --lengths uniform:9-4
run --model model --prompts p --lengths normal:1-4
run --model model --prompts p --date 2026-02-30 --chat
run --model model --prompts p --groups 0
run --model model --prompts p --temp -1
run --model model --prompts p --temp 1e-6
run --model model --prompts p --top-p 0
run --model model --prompts missing
run --model model --prompts .
rows ''
rows '{"prompt":"a"}\n{"prompt":"b"\n'
rows '{"prompt":"a"}\n{"text":"b"}\n'
rows '{"prompt":"a","ids":[1]}\n'
rows '{"ids":[512]}\n'
rows '{"ids":[1],"id":"x"}\n{"ids":[2],"id":"x"}\n'
rows '{"ids":[1],"max_tokens":0}\n'
rows '{"ids":[1],"max_tokens":2048}\n'
rows '{"messages":5}\n'
awk 'BEGIN { printf "{\"ids\":[1]}\n{\"ids\":[1"; for (i = 0; i < 2100; i++) printf ",1"; print "]}" }' >"$T/long"
run --model model --prompts long
echo '{"prompt":"a"}' >"$T/p"
run --model bare --prompts p
run --model model --prompts p --stop '' --groups 1 --max-tokens 1
run --model model --prompts p --out missing/folder/x
run --model model --prompts p --out model
run --model model --prompts p --memory 2M | sed 's/[0-9.]* [MK]iB/N/g'
mkdir "$T/x.part"
run --model model --prompts p --out x --resume
# ids need no tokenizer, and there is no text then
echo '{"ids":[5,6]}' >"$T/p"
(cd "$T" && "$GWEN" rollout -q --model bare --prompts p --groups 1 --max-tokens 3 --dtype fp32) |
    sed 's/"ids":.*"text"/"text"/'
run --model bare --prompts p --stop x
