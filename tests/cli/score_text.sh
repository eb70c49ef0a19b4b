# Rows of text are what their ids are: the prompt with what the tokenizer adds, then the completion,
# encoded as one text.  A token of both is the completion's: the third and fourth column say where.
tokenizer=tests/fixtures/tiny-tokenizer
"$GWEN" init -q --preset tiny --tokenizer $tokenizer --seed 3 --out "$T/model" || exit 1
tokenize() { "$GWEN" tokenize --model "$T/model" "$@" | sed 's/^{"ids":\(.*\)}$/\1/'; }
score() { "$GWEN" score --model "$T/model" --dtype fp32 "$@"; }
while IFS='~' read -r prompt completion head tail; do
    printf '{"prompt":"%s","completion":"%s"}\n' "$prompt" "$completion" >>"$T/texts"
    printf '{"prompt_ids":%s,"completion_ids":%s}\n' \
        "$(echo "{\"text\":\"$head\"}" | tokenize --bos)" \
        "$(echo "{\"text\":\"$tail\"}" | tokenize)" >>"$T/ids"
done <<'END'
Once upon~ the world~Once upon~ the world
~Once~~Once
Once upon t~he world~Once upon~ the world
Once upon ~the world~Once upon~ the world
<|im_start|>user~<|im_end|>~<|im_start|>user~<|im_end|>
Once upon~~Once upon~
END
head -n 1 "$T/ids"
score <"$T/texts" 2>"$T/err" | tee "$T/out"
grep -x 'in 2 rows a token straddles.*' "$T/err" || { cat "$T/err"; exit 1; }
score <"$T/ids" | cmp - "$T/out" || exit 1
# A prompt that leaves nothing to go on: this tokenizer adds a BOS, plain ids do not.
echo '{"prompt_ids":[],"completion_ids":[1]}' | score 2>&1
printf '{"prompt":"Once upon","completion":" the world"}\n{"prompt":"x"}\n' | score 2>&1
printf '{"prompt":5,"completion":" the world"}\n' | score 2>&1
exit 0
