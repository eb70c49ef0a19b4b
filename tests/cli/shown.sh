# level: any
# Text of others reaches a terminal as text: nothing in it is obeyed, and a message is one line.
model=tests/fixtures/tiny-tokenizer
"$GWEN" init -q --preset tiny --tokenizer $model --seed 3 --out "$T/model" || exit 1
hidden=$(printf '[\001-\010\013\014\016-\037\177\302\342]')

# What configs, templates and names say, in messages.
mkdir "$T/adapter"
for k in peft_type init_lora_weights bias target_modules; do
    printf '{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": "all-linear", "lora_dropout": 0.0, "bias": "none"}' |
        sed "s/\"$k\": \"[^\"]*\"/\"$k\": X/; /\"$k\": X/! s/}\$/, \"$k\": X}/" |
        sed 's/X}/X }/; s/: X/: "\\u001b]0;t\\u0007\\nsecond\\u009b1m\\u202e"/' >"$T/adapter/adapter_config.json"
    "$GWEN" score -q -m "$T/model" --adapter "$T/adapter" </dev/null >"$T/out" 2>"$T/err" && exit 1
    [ "$(wc -l <"$T/err")" -eq 1 ] || { cat -v "$T/err"; exit 1; }
    # a pattern of modules that matches none is not quoted
    [ $k = target_modules ] || grep -q second "$T/err" || { cat -v "$T/err"; exit 1; }
    LC_ALL=C grep -n "$hidden" "$T/err" && exit 1
done
printf '%s' '{"template": "{prompt}{response}{criterion}", "criteria": [{"a\n\u001b]0;t\u0007": "b", "name": "x", "weight": 1}]}' >"$T/rubric.json"
"$GWEN" judge -q -m "$T/model" --rubric "$T/rubric.json" </dev/null 2>"$T/err" && exit 1
[ "$(wc -l <"$T/err")" -eq 1 ] || { cat -v "$T/err"; exit 1; }
LC_ALL=C grep -n "$hidden" "$T/err" && exit 1
name=$(printf 'no\033[31m\nsuch')
for command in "$name" "score -m $name"; do
    case $command in score*) set -- score -m "$name" ;; *) set -- "$name" ;; esac
    "$GWEN" "$@" </dev/null 2>"$T/err" && exit 1
    [ "$(wc -l <"$T/err")" -eq 1 ] || { cat -v "$T/err"; exit 1; }
    LC_ALL=C grep -n "$hidden" "$T/err" && exit 1
done

# What a model says, its token for 8 being a hostile one: to a file as it is, to a terminal shown.
hostile='\\u001b]0;t\\u0007\\u009b5m\\u202e'
cp -r examples/arithmetic/model "$T/bad" || exit 1
id=$(grep -o '"8": *[0-9]*' "$T/bad/tokenizer.json" | sed 's/.*: *//')
sed -i "s/\"8\": *$id/\"$hostile\": $id/
s/\"added_tokens\": *\[/&{\"id\": $id, \"content\": \"$hostile\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": false},/" "$T/bad/tokenizer.json"
say="generate -q -m $T/bad --prompt 57+21= --max-tokens 2"
"$GWEN" $say >"$T/out" 2>"$T/err" || { cat "$T/err"; exit 1; }
grep -q "$(printf '\033]0;t\007\302\2335m')" "$T/out" || { cat -v "$T/out"; exit 1; }
command -v script >/dev/null || { echo "no script(1)"; exit 0; }
script -qec "'$GWEN' $say" /dev/null </dev/null |
    tr -d '\r' >"$T/shown"
grep -qF '\u001b]0;t\u0007\u009b5m\u202e' "$T/shown" || { cat -v "$T/shown"; exit 1; }
LC_ALL=C grep -n "$hidden" "$T/shown" && exit 1
exit 0
