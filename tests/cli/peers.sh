# level: any
# bench/peers asks engines in alternation, computes ratios round by round, and goes on without the
# ones that fail.  The engines here are small scripts with figures of their own.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
unset GWEN_PEERS
engine() { # name, then what it does with a request in $line
    printf '#!/bin/bash\necho "{\\"ready\\": true}"\nwhile read -r line; do\n' >"$T/$1"
    printf 'echo "%s $line" >>"%s/asked"\n%s\ndone\n' "$1" "$T" "$2" >>"$T/$1"
    chmod +x "$T/$1"
}
add() { echo "--engine $1=$T/$1"; }
peers() { bench/peers --threads 1 --gwen /nonexistent "$@" 2>"$T/err"; }
# Which engine was asked for which row in which round.
asked() {
    sed -E 's/^([^ ]+) .*"row": "([^"]*)".*"round": ([0-9]+).*/\1 \2 \3/' "$T/asked"
    rm "$T/asked"
}
number='round=${line##*\"round\": }; round=${round%%,*}'
engine gwen-cpu "$number; echo \"{\\\"value\\\": \$((200 + 40 * round)), \\\"fraction\\\": 0.5}\""
engine slow 'echo "{\"value\": 50}"'
engine fast 'echo "{\"value\": 100}"'

echo "--- alternation and ratios"
# shellcheck disable=SC2046  # names without blanks
peers $(add gwen-cpu) $(add slow) $(add fast) --rows decode8,start --rounds 2 --json "$T/json"
echo "-> $?"
asked
python3 - "$T/json" <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
for row in report["rows"]:
    print(row["row"], row["best_peer"], row["ratio"]["values"], row["engines"]["slow"]["values"])
END

echo "--- requests"
# shellcheck disable=SC2046
peers $(add fast) --rows decode32@1024-fp16-avx2,prefill512,rollout2x3,judge --rounds 1 \
    --lengths list:5,6 --prompt-tokens 64 --new-tokens 9
cut -d ' ' -f 2- "$T/asked"
rm "$T/asked"

echo "--- the same lengths for all, from the seed of none"
# shellcheck disable=SC2046
peers $(add fast) $(add slow) --rows rollout --rounds 1 --lengths uniform:3-9 >/dev/null
sed 's/.*"lengths": //' "$T/asked" | sort -u | wc -l
rm "$T/asked"

echo "--- beside a hog"
engine noisy 'case $line in *hog*) echo "{\"value\": 30}" ;; *) echo "{\"value\": 60}" ;; esac'
for hog in floating pinned; do
    # shellcheck disable=SC2046
    peers $(add gwen-cpu) $(add noisy) --rows decode1 --rounds 2 --hog $hog
    asked
done

echo "--- failures"
engine dies 'exit 3'
engine silent ':'
engine babbles 'echo "hello"'
engine refuses 'echo "{\"skip\": \"no such type\"}"'
engine zero 'echo "{\"value\": 0}"'
printf '#!/bin/sh\nexit 5\n' >"$T/never"
chmod +x "$T/never"
# shellcheck disable=SC2046
peers $(add gwen-cpu) $(add dies) $(add babbles) $(add refuses) $(add zero) $(add never) \
    --engine 'absent=/nonexistent/program' $(add fast) --rows decode1,decode8 --rounds 2
echo "-> $?"
asked | grep -c dies # once for each row
# shellcheck disable=SC2046
peers $(add dies) --rows decode1
echo "-> $?"
# shellcheck disable=SC2046
peers $(add silent) --rows decode1 --rounds 2 --timeout 2
echo "-> $?"
# shellcheck disable=SC2046
peers $(add silent) $(add fast) --rows decode1,decode2 --rounds 1 --budget 2 >"$T/out"
grep -c 'fast: none: the time of --budget 2 s is over' "$T/out"
# Nothing that it started is left.
pgrep -f "$T/silent" && exit 1

echo "--- wrong usage"
wrong() {
    peers "$@"
    echo "-> $? $(tail -n 1 "$T/err")"
}
wrong --rows nothing
wrong --rows decode
wrong --rows decode1x2
wrong --rows rollout8
# shellcheck disable=SC2046
wrong $(add fast) --rows decode1,decode1
wrong --rows rollout --lengths uniform:0-3
wrong --rows rollout --lengths list:
wrong --rows decode1 --hog everywhere
wrong --rows decode1 --engine name
wrong --rows decode1 --engines nobody
wrong --rows decode1
bench/peers --help | grep -c '^usage: bench/peers'
