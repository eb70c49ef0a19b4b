# level: any
# A tokenizer whose steps multiply each other, rows nested without end, threads with hardly a stack:
# one line, or the work done.
model=tests/fixtures/tiny-tokenizer
multiply() { # MEMBER FOLDER: nine replacements of a letter by ten of it
    cp -r $model "$T/$2"
    local one='{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"}' all
    all=$one,$one,$one,$one,$one,$one,$one,$one,$one
    awk -v member="\"$1\"" -v list="\"type\":\"Sequence\",\"$1s\":[$all]" '
        { text = text $0 "\n" }
        END {
            at = match(text, member ": *(null|{)")
            if (at == 0) exit 1
            head = substr(text, 1, RSTART - 1)
            tail = substr(text, RSTART + RLENGTH)
            if (substr(text, RSTART + RLENGTH - 1, 1) == "{") {
                for (depth = 1; depth > 0; tail = substr(tail, 2)) {
                    c = substr(tail, 1, 1)
                    depth += (c == "{") - (c == "}")
                }
            }
            printf "%s%s: {%s}%s", head, member, list, tail
        }' $model/tokenizer.json >"$T/$2/tokenizer.json" || exit 1
}
multiply normalizer n
multiply decoder d
echo '{"text":"aaaaaaaaaa"}' | "$GWEN" tokenize --model "$T/n" 2>&1 && exit 1
ids=$(echo '{"text":"aaaaaaaaaa"}' | "$GWEN" tokenize --model $model)
echo "$ids" | "$GWEN" tokenize --model "$T/d" --decode 2>&1 && exit 1

printf '[%.0s' {1..5000} >"$T/deep"
(ulimit -s 128 && "$GWEN" tokenize --model $model <"$T/deep") 2>&1 && exit 1
printf '{"prompt":"Once"}\n' >"$T/prompts"
tiny=tests/fixtures/golden/stories260K-hf
"$GWEN" rollout -q --model $tiny --prompts "$T/prompts" --groups 2 --max-tokens 4 --out "$T/a" || exit 1
OMP_STACKSIZE=16k "$GWEN" rollout -q --model $tiny --prompts "$T/prompts" --groups 2 --max-tokens 4 \
    --out "$T/b" || exit 1
cmp "$T/a" "$T/b"
