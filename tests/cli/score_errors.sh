# level: any
# A bad row is named; the rows before it have been answered.
"$GWEN" init -q --preset tiny --out "$T/model" || exit 1
good='{"ids":[1,2]}'
run() {
    printf '%s\n' "$good" "$1" "$good" | "$GWEN" score --model "$T/model" >"$T/out" 2>"$T/err"
    status=$?
    cat "$T/err"
    [ $status -eq 1 ] && [ "$(wc -l <"$T/out")" -eq 1 ] && [ "$(wc -l <"$T/err")" -eq 1 ] ||
        echo "status $status, $(wc -l <"$T/out") answers"
}
run ''
run 'ids'
run '[1,2]'
run '{}'
run '{"ids":[]}'
run '{"ids":[1,512]}'
run '{"ids":[1,-1]}'
run '{"ids":[1,2.5]}'
run '{"ids":"1 2"}'
run '{"ids":null}'
run '{"prompt_ids":null,"ids":null}'
run '{"ids":[1],"prompt":"x"}'
run '{"prompt_ids":[1]}'
run '{"prompt_ids":[],"completion_ids":[1]}'
run '{"completion_ids":[1]}'
echo '{"prompt":"a","completion":"b"}' | "$GWEN" score --model "$T/model" 2>&1 | grep -c tokenizer
run "{\"ids\":[1$(printf ',%d' $(seq 0 510) $(seq 0 510) $(seq 0 510) $(seq 0 511) $(seq 0 511))]}"

echo "$good" | "$GWEN" score --model "$T/model" --memory 1M 2>&1 |
    grep -cE 'needs .*, 1 MiB available: .* \(weights .*\)$'
for path in /nonexistent/x "$T"; do
    echo "$good" | "$GWEN" score --model "$T/model" --logits "$path" >/dev/null 2>&1
    echo "-> $?"
done
