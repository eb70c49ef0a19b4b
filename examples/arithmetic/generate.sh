#!/bin/sh
# generate.sh WHAT N SEED - N rows of JSONL about sums of two numbers below 100, the same ones
# everywhere for a given seed.
#
#   lessons    {"prompt": "57+68=", "completion": "125"} for sft, written down by a class in which one
#              pupil of three adds correctly; one arrives at one too few; one carries where there is
#              nothing to carry, and does not where there is
#   practice   {"prompt": "57+68=", "answer": "125"} for train
#   exam       the same, of sums that neither of the others has (a tenth of all)
set -eu
if [ $# -ne 3 ] || ! printf '%s %s %s\n' "$@" | grep -qE '^(lessons|practice|exam) [0-9]+ [0-9]+$'; then
    echo "usage: $0 lessons|practice|exam N SEED" >&2
    exit 2
fi
# awk's own rand() is another one in each awk; this is Lehmer's, which doubles compute exactly.
awk -v what="$1" -v n="$2" -v seed="$3" '
function draw(below) {
    state = state * 16807 % 2147483647
    return int(state / 2147483647 * below)
}
function is_exam(a, b) { return (a + 3 * b) % 10 == 0 }
BEGIN {
    state = (seed * 7919 + 12345) % 2147483646 + 1
    for (i = 0; i < 10; i++) draw(1)
    while (n > 0) {
        a = draw(100)
        b = draw(100)
        if (is_exam(a, b) != (what == "exam")) continue
        n--
        sum = a + b
        if (what != "lessons") {
            printf "{\"prompt\": \"%d+%d=\", \"answer\": \"%d\"}\n", a, b, sum
            continue
        }
        pupil = draw(3)
        if (pupil == 1) sum = sum > 0 ? sum - 1 : 1
        if (pupil == 2) sum += a % 10 + b % 10 > 9 ? -10 : 10
        printf "{\"prompt\": \"%d+%d=\", \"completion\": \"%d\"}\n", a, b, sum
    }
}'
