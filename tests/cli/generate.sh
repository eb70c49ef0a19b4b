# generate: texts to read, or rows as rollout writes them.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$T/model" &&
    "$GWEN" init -q --preset tiny --seed 3 --out "$T/bare" || exit 1
generate() { "$GWEN" generate --model "$T/model" "$@"; }
rollout() { "$GWEN" rollout -q --model "$T/model" "$@"; }

# The same samples as a rollout's, whatever the batch.
{
    echo '{"prompt": "The river runs", "id": "river"}'
    echo '{"prompt": "Two and three", "max_tokens": 5, "level": 2}'
} >"$T/p"
options='--groups 3 --max-tokens 30 --temp 0.8 --top-k 50 --top-p 0.95 --min-p 0.01 --repetition-penalty 1.2'
# shellcheck disable=SC2086  # options are words
{
    rollout --prompts "$T/p" $options --stop e >"$T/rows" || exit 1
    generate --prompts "$T/p" $options --stop e --json -B 1 2>"$T/err" | cmp - "$T/rows" || exit 1
    generate --prompts "$T/p" $options --stop e --json --threads 1 | cmp - "$T/rows" || exit 1
}
[ ! -s "$T/err" ] || exit 1

# As text: the texts of the rows, with a line before each.  One sample alone is shown as it comes.
text() { "$GWEN" tokenize --model "$T/model" --decode --skip-special; }
generate --prompt 'The river runs' --temp 1 -n 3 --max-tokens 20 --seed 5 >"$T/texts" || exit 1
[ "$(grep -c '^== prompt 0, sample [012] ==$' "$T/texts")" -eq 3 ] || exit 1
for n in 1 2; do
    generate --prompt 'The river runs' --temp 1 --max-tokens 20 --seed 5 -n $n >"$T/$n" || exit 1
done
[ "$(head -n 1 "$T/2")" = '== prompt 0, sample 0 ==' ] || exit 1
head -c "$(wc -c <"$T/1")" <(tail -n +2 "$T/2") | cmp - "$T/1" || exit 1
head -c "$(wc -c <"$T/2")" "$T/texts" | cmp - "$T/2" || exit 1

# Without do_sample in generation_config.json a model is greedy; the options turn that off.
greedy=$(generate --prompt Hello --max-tokens 8 --json)
[ "$greedy" = "$(generate --prompt Hello --max-tokens 8 --json --temp 0 --seed 4)" ] &&
    [ "$greedy" != "$(generate --prompt Hello --max-tokens 8 --json --temp 1)" ] &&
    [ "$(generate --prompt Hello --max-tokens 8 --json --top-p 1)" = \
        "$(generate --prompt Hello --max-tokens 8 --json --temp 1)" ] || exit 1
cp -r "$T/model" "$T/sampling"
cat >"$T/sampling/generation_config.json" <<'END'
{"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.9, "max_new_tokens": 7, "eos_token_id": 4}
END
[ "$("$GWEN" generate --model "$T/sampling" --prompt Hello --json)" = \
    "$(generate --prompt Hello --json --temp 0.6 --top-k 20 --top-p 0.9 --max-tokens 7)" ] || exit 1
# ... which is nothing to rollout
echo '{"prompt": "Hello"}' >"$T/hello"
[ "$("$GWEN" rollout -q --model "$T/sampling" --prompts "$T/hello" --max-tokens 9 -n 1)" = \
    "$(rollout --prompts "$T/hello" --max-tokens 9 -n 1)" ] || exit 1

# Chat: the prompt is rendered.
ids() { sed 's/.*"prompt_ids":\(\[[^]]*\]\).*/\1/'; }
echo '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}], "add_generation_prompt": true}' |
    "$GWEN" tokenize --model "$T/model" --chat | sed 's/.*"ids":\(\[[^]]*\]\).*/\1/' >"$T/ids"
generate --chat --system 'Be brief.' --prompt Hello --max-tokens 2 --json | ids | cmp - "$T/ids" || exit 1

# Of a small context: a limit that was not asked for is lowered to the context, one that was is refused.
sed -i 's/"max_position_embeddings": 2048/"max_position_embeddings": 256/' "$T/model/config.json"
words=$(printf 'word %.0s' $(seq 70))
generate --prompt "$words" --json --max-tokens 1 | ids | tr -cd , | wc -c >"$T/n" || exit 1
left=$((256 - $(cat "$T/n") - 1))
[ "$left" -gt 0 ] && [ "$left" -lt 100 ] || { echo "left $left"; exit 1; }
generate --prompt "$words" --json --temp 0 | sed 's/.*"ids":\(\[[^]]*\]\),"logprobs.*/\1/' | tr -cd , |
    wc -c >"$T/n"
[ $(($(cat "$T/n") + 1)) -le "$left" ] || exit 1
run() {
    printf '$ generate %s\n' "$(echo "$*" | cut -c 1-60)"
    (cd "$T" && "$GWEN" generate "$@") 2>&1
    echo "-> $?"
}
run --model model --prompt "$words" --max-tokens 200 | sed 's/[0-9]\{3\} tokens/N tokens/'
run --model model
run --model model --prompt a --prompts b
run --model model --prompt a --system s
run --model model --prompt a --temp nan
run --model bare --prompt a
run --model bare --prompt a --json
run --model bare --chat --prompt a --json
