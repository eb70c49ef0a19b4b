# sft --show: rows as the model sees them, with what is learnt marked, and nothing written.
# level: any
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --out "$T/model" ||
    exit 1
cat >"$T/data.jsonl" <<'END'
{"prompt": "2+2=", "completion": "4\n\tb"}
{"ids": [5, 6, 7], "mask": [0, 0, 0]}
{"prompt": "\u001b[2J\u009b1m\r\u202e", "completion": "\u001b]0;x\u0007\u200b"}
{"text": "never shown"}
END
cd "$T" || exit 1
"$GWEN" sft -q --model model --data data.jsonl --show 2 || exit 1
[ "$(echo ./*)" = "./data.jsonl ./model" ] || { ls; exit 1; }
# Turns that nothing closes teach no stop, which is said.
echo '{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "one"}]}' >chat
cp -r model open && echo '{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}' \
    >open/chat_template.jinja || exit 1
"$GWEN" sft --model open --data chat --show 1 2>err || exit 1
grep -c 'no turn of the assistant ends with an end of sequence' err
# Only what --show itself writes reaches a terminal.
script -qec "'$GWEN' sft -q --model model --data data.jsonl --show 2" /dev/null </dev/null |
    tr -d '\r' >shown || exit 1
grep -q "$(printf '\033\\[32m\\[\\[4')" shown || { cat -v shown; exit 1; }
LC_ALL=C sed "s/$(printf '\033')\\[32m\\|$(printf '\033')\\[0m//g" shown |
    LC_ALL=C grep -n "$(printf '[\001-\010\013-\037\177\302\342]')" && exit 1
exit 0
