# chat from a script: a line in, an answer out; /reset forgets, /exit ends.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$T/model" ||
    exit 1
chat() { "$GWEN" chat --model "$T/model" --max-tokens 6 "$@"; }
ids() { sed 's/.*"prompt_ids":\(\[[^]]*\]\).*/\1/'; }
render() { "$GWEN" tokenize --model "$T/model" --chat | sed 's/.*"ids":\(\[[^]]*\]\).*/\1/'; }
text() { sed 's/.*"text":\("\(\\.\|[^"\\]\)*"\).*/\1/'; }

printf '%s\n' Hello '' 'How are you?' /reset Hello /exit 'not reached' |
    chat --json --system 'Be brief.' --temp 0.9 >"$T/rows" 2>"$T/err" || exit 1
[ ! -s "$T/err" ] && [ "$(wc -l <"$T/rows")" -eq 3 ] || exit 1
system='{"role": "system", "content": "Be brief."}'
first="{\"messages\": [$system, {\"role\": \"user\", \"content\": \"Hello\"}], \"add_generation_prompt\": true}"
answer=$(head -n 1 "$T/rows" | text)
second="{\"messages\": [$system, {\"role\": \"user\", \"content\": \"Hello\"}, {\"role\": \"assistant\", \"content\": $answer}, {\"role\": \"user\", \"content\": \"How are you?\"}], \"add_generation_prompt\": true}"
printf '%s\n' "$first" "$second" "$first" | render >"$T/ids"
ids <"$T/rows" | cmp - "$T/ids" || exit 1

# As text, the same answers; greedy as the model's own default, they repeat after a reset.
printf '%s\n' Hello /reset Hello | chat >"$T/text" || exit 1
printf '%s\n' Hello | chat >"$T/one" || exit 1
cat "$T/one" "$T/one" | cmp - "$T/text" || exit 1
printf 'Hello' | chat | cmp - "$T/one" || exit 1
printf '' | chat || exit 1
printf 'Hello\r\n/exit\r\n' | chat | cmp - "$T/one" || exit 1

# What goes wrong.
long=$(printf 'word %.0s' $(seq 60))
printf '%s\n' "$long" | chat --context 64 2>&1
echo "-> $?"
printf '\377\n' | chat 2>&1
echo "-> $?"
"$GWEN" init -q --preset tiny --out "$T/bare" && echo Hello | "$GWEN" chat --model "$T/bare" 2>&1 | sed "s|$T/||"
sed -i 's/"chat_template"/"no_template"/' "$T/model/tokenizer_config.json"
echo Hello | chat 2>&1
echo "-> $?"
