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
# One that closes its output but lives on, and one that never reads more than a pipe holds.
printf '#!/bin/bash\necho "{\\"ready\\": true}"\nread -r line\nexec >&-\nexec sleep 100\n' >"$T/closes"
printf '#!/bin/bash\necho "{\\"ready\\": true}"\nexec sleep 100\n' >"$T/deaf"
chmod +x "$T/closes" "$T/deaf"
# shellcheck disable=SC2046
peers $(add closes) --rows decode1 --timeout 60
echo "-> $?"
# shellcheck disable=SC2046
peers $(add deaf) --rows rollout300x100 --timeout 2
echo "-> $?"
# Nothing that it started is left.
pgrep -f "$T/silent" && exit 1

echo "--- signals"
# Engine and hog, after an end that leaves time for cleaning up and after one that does not.
engine stuck 'case $line in *hog*) : ;; *) echo "{\"value\": 60}" ;; esac'
ended() { # within 10 s; one that is not reaped yet counts as ended
    for _ in $(seq 100); do
        grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" || return 0
        sleep 0.1
    done
    return 1
}
for signal in TERM HUP KILL; do
    # shellcheck disable=SC2046
    bench/peers --threads 1 --gwen /nonexistent $(add stuck) --rows decode1 --hog floating \
        --timeout 60 >"$T/out" 2>"$T/err" &
    for _ in $(seq 600); do
        grep -qs hog "$T/asked" && break
        sleep 0.1
    done
    rm "$T/asked"
    children=$(pgrep -P $!)
    echo "$children" | wc -l
    kill -$signal $!
    wait $! 2>/dev/null
    echo "$signal -> $?"
    for child in $children; do
        ended "$child" || { echo "$signal leaves $child behind"; kill -KILL "$child"; }
    done
done

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
