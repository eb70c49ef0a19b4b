# Rows of text are what their ids are: the prompt with what the tokenizer adds, the completion
# without, encoded apart.
tokenizer=tests/fixtures/tiny-tokenizer
"$GWEN" init -q --preset tiny --tokenizer $tokenizer --seed 3 --out "$T/model" || exit 1
tokenize() { "$GWEN" tokenize --model "$T/model" "$@" | sed 's/^{"ids":\(.*\)}$/\1/'; }
score() { "$GWEN" score --model "$T/model" --dtype fp32 "$@"; }
while IFS='|' read -r prompt completion; do
    printf '{"prompt":"%s","completion":"%s"}\n' "$prompt" "$completion" >>"$T/texts"
    printf '{"prompt_ids":%s,"completion_ids":%s}\n' \
        "$(echo "{\"text\":\"$prompt\"}" | tokenize --bos)" \
        "$(echo "{\"text\":\"$completion\"}" | tokenize)" >>"$T/ids"
done <<'END'
Once upon| the world
|Once
Once upon t|he world
<|im_start|>user|<|im_end|>
Once upon|
END
head -n 1 "$T/ids"
score <"$T/texts" | tee "$T/out"
score <"$T/ids" | cmp - "$T/out" || exit 1
# A prompt that leaves nothing to go on: this tokenizer adds a BOS, plain ids do not.
echo '{"prompt_ids":[],"completion_ids":[1]}' | score 2>&1
printf '{"prompt":"Once upon","completion":" the world"}\n{"prompt":"x"}\n' | score 2>&1
printf '{"prompt":5,"completion":" the world"}\n' | score 2>&1
exit 0
