# level: any
# Text to ids and back, and messages, with a small byte-level tokenizer alone in its folder.
model=tests/fixtures/tiny-tokenizer
tokenize() { "$GWEN" tokenize --model $model "$@"; }
cat >"$T/texts" <<'END'
{"text":"Once upon the world"}
{"text":""}
{"text":"a\u0000b\ud83d\ude00 é"}
{"text":"<|im_start|>user<eos>", "other": 1}
END
tokenize <"$T/texts" | tee "$T/ids"
tokenize --bos <"$T/texts"
tokenize --no-special <"$T/texts"
# Back again: the same texts, however they were escaped.
tokenize --decode <"$T/ids" | tee "$T/back"
tokenize <"$T/back" | cmp - "$T/ids"
tokenize --decode --skip-special <"$T/ids" | tail -n 1
# Bytes that are not UTF-8, ids without a token.
echo '{"ids":[200,79,99999,2147483647]}' | tokenize --decode
printf '%s' '{"text":"no newline"}' | tokenize

cat >"$T/chats" <<'END'
{"messages":[{"role":"user","content":" Hi "}]}
{"messages":[{"role":"user","content":"<eos>"},{"role":"assistant","content":"b"}],"add_generation_prompt":true}
{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"Once"}],"continue_final_message":true}
{"messages":[{"role":"user","content":""}],"show_date":true}
{"messages":[{"role":"user","content":""}],"show_date":true,"date_string":"some day"}
END
tokenize --chat --date 2024-02-29 <"$T/chats"
echo '{{ messages[0].content | upper }}' >"$T/upper.jinja"
head -n 1 "$T/chats" | tokenize --chat --chat-template "$T/upper.jinja"
# Without --date it is today's.
before=$(date '+%d %b %Y')
tail -n 2 "$T/chats" | head -n 1 | tokenize --chat >"$T/today"
grep -qE "\[($before|$(date '+%d %b %Y'))\]" "$T/today" || cat "$T/today"

bad() { # row, options
    row=$1
    shift
    printf '%s\n' "$row" | tokenize "$@" 2>&1 | sed "s|$T/||"
    echo "-> ${PIPESTATUS[1]}"
}
bad '{"text":1}'
bad '{"ids":[1]}'
bad '{"text":"\ud800"}'
bad '{"ids":[-1]}' --decode
bad '{"ids":[2147483648]}' --decode
bad '{"messages":"x"}' --chat
bad '{"text":"x"}' --chat
bad '{"messages":[]}' --chat --chat-template "$T/missing.jinja"
echo '{% for x in messages %}' >"$T/bad.jinja"
bad '{"messages":[]}' --chat --chat-template "$T/bad.jinja"
echo '{{ raise_exception("not like this") }}' >"$T/raise.jinja"
bad '{"messages":[{"role":"user","content":""}]}' --chat --chat-template "$T/raise.jinja"
bad '{"messages":[]}' --chat
bad '{"text":"x"}' --date 2023-02-29
bad '{"text":"x"}' --date tomorrow
bad '{"text":"x"}' --chat --decode
mkdir "$T/empty"
echo '{"text":"x"}' | "$GWEN" tokenize --model "$T/empty" >/dev/null 2>&1
echo "-> $?"
