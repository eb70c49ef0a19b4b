# level: any
# A rollout may be killed at any moment: with --resume it goes on, and in the end its file has the
# bytes that it would have had anyway.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 5 --out "$T/model" ||
    exit 1
for i in $(seq 1 24); do echo "{\"prompt\": \"Prompt number $i\", \"i\": $i}"; done >"$T/prompts.jsonl"
arguments=(rollout --set model="$T/model" --prompts "$T/prompts.jsonl" --set groups=8 --set max-tokens=120
    --set seed=2 --lengths uniform:20-120)
rollout() { "$GWEN" "${arguments[@]}" -q "$@"; }
rollout --out "$T/whole" || exit 1
lines() { cat "$1" 2>/dev/null | wc -l; }

# start FILE WANTED OPTIONS...: begins a rollout and waits until WANTED lines are in FILE.part;
# its process is $pid
start() {
    file=$1 wanted=$2
    shift 2
    "$GWEN" "${arguments[@]}" -q --out "$file" "$@" 2>"$T/err" &
    pid=$!
    until [ "$(lines "$file.part")" -ge "$wanted" ]; do
        kill -0 $pid 2>/dev/null || { echo "ended before it could be stopped"; cat "$T/err"; exit 1; }
        sleep 0.01
    done
}

# Killed three times, at other batch sizes and thread counts.
start "$T/a" 20 -B 4
kill -9 $pid
wait $pid 2>/dev/null
[ ! -e "$T/a" ] && had=$(lines "$T/a.part") || exit 1
start "$T/a" $((had + 30)) -B 3 --resume --threads 1
kill -9 $pid
wait $pid 2>/dev/null
[ "$(lines "$T/a.part")" -gt "$had" ] || exit 1
printf '{"prompt_id":23,"sample_id":7,"prompt_ids":[1' >>"$T/a.part" # torn in the middle of a write
start "$T/a" $((had + 60)) -B 16 --resume
kill -9 $pid
wait $pid 2>/dev/null
rollout --out "$T/a" --resume -B 5 || exit 1
cmp "$T/whole" "$T/a" && [ ! -e "$T/a.part" ] || exit 1

# What is there is not sampled again.
start "$T/b" 30 -B 4
kill -9 $pid
wait $pid 2>/dev/null
had=$(($(lines "$T/b.part") - 1))
"$GWEN" "${arguments[@]}" --out "$T/b" --resume 2>"$T/err" || exit 1
grep -q ": $had of 192 samples are there" "$T/err" && grep -q "^$((192 - had)) samples, " "$T/err" ||
    { cat "$T/err"; exit 1; }
cmp "$T/whole" "$T/b" || exit 1

# Interrupted in an orderly way; 143 is SIGTERM, 130 would be SIGINT.
start "$T/c" 15 -B 4
kill -TERM $pid
wait $pid
[ $? -eq 143 ] && [ ! -e "$T/c" ] || exit 1
[ "$(cat "$T/err")" = 'gwen-cpu: interrupted; a further signal ends it at once' ] || { cat "$T/err"; exit 1; }

# A part file is never thrown away by accident, and never mixed with other options.
refused() {
    before=$(cksum <"$T/c.part")
    "$@" 2>"$T/err" && exit 1
    [ "$(wc -l <"$T/err")" -eq 1 ] && [ "$before" = "$(cksum <"$T/c.part")" ] || { cat "$T/err"; exit 1; }
    sed "s|$T/||" "$T/err"
}
refused rollout --out "$T/c"
refused rollout --out "$T/c" --resume --seed 3
refused rollout --out "$T/c" --resume --temp 0.5
refused rollout --out "$T/c" --resume --stop x
refused rollout --out "$T/c" --resume --groups 7
refused rollout --out "$T/c" --resume --dtype fp16 | sed 's/([^)]*)/(...)/'
refused rollout --out "$T/c" --resume --max-tokens 119 | sed 's/([^)]*)/(...)/'
sed -i 's/"i": 7/"i": 8/' "$T/prompts.jsonl"
refused rollout --out "$T/c" --resume | sed 's/([^)]*)/(...)/'
sed -i '7s/"i": 8/"i": 7/' "$T/prompts.jsonl"
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 6 --out "$T/model2"
refused rollout --model "$T/model2" --out "$T/c" --resume | sed 's/([^)]*)/(...)/'
rollout --out "$T/c" --resume -B 40 && cmp "$T/whole" "$T/c" || exit 1

start "$T/d" 3 -B 2 --seed 77
kill -9 $pid
wait $pid 2>/dev/null
rollout --out "$T/d" --overwrite && cmp "$T/whole" "$T/d" || exit 1
# With nothing to go on from, --resume begins.
rollout --out "$T/e" --resume && cmp "$T/whole" "$T/e"
