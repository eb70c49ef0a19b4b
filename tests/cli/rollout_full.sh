# level: any
# A full disk (here: a limit on file sizes) is one line and exit status 1; what was finished stays,
# and the run goes on once there is room.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --out "$T/model" ||
    exit 1
for i in $(seq 1 12); do echo "{\"prompt\": \"Prompt number $i\"}"; done >"$T/prompts.jsonl"
rollout() {
    "$GWEN" rollout -q --model "$T/model" --prompts "$T/prompts.jsonl" --groups 4 --max-tokens 60 "$@"
}
rollout --out "$T/whole" || exit 1
for limit in 8 40; do # KiB
    (ulimit -f $limit && rollout --out "$T/out" --overwrite 2>"$T/err")
    [ $? -eq 1 ] && [ "$(wc -l <"$T/err")" -eq 1 ] && [ ! -e "$T/out" ] || { cat "$T/err"; exit 1; }
    grep -q '^gwen-cpu: cannot write .*/out.*: File too large$' "$T/err" || { cat "$T/err"; exit 1; }
    tail -c 1 "$T/out.part" | cmp -s - <(echo) || exit 1
    ls -A "$T" | grep -v '^\(err\|model\|out\.part\|prompts\.jsonl\|whole\)$' && exit 1
    cp "$T/out.part" "$T/kept"
    rollout --out "$T/out" --resume || exit 1
    cmp "$T/whole" "$T/out" || exit 1
    rm "$T/out" "$T/kept"
done
# Standard output, too.
rollout >/dev/full 2>"$T/err"
[ $? -eq 1 ] && cat "$T/err"
