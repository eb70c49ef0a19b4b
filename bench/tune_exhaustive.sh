#!/bin/bash
# tune_exhaustive.sh MODEL MEMORY SIZES [tune's options] - is what `gwen-cpu tune` chooses as fast as
# the best of SIZES (7 or 1,2,4: batch sizes), each run for real over the whole queue?
#
#   bench/tune_exhaustive.sh DIR 3G 10,12,14,15,16 --prompt-tokens 128 --max-tokens 1024 --groups 8
#
# Prints a line for each size and one that compares; exit status 1 when the choice is more than 5 %
# slower than the best.  A size that does not fit is left out.  With RUN=COMMAND each
# measurement is run by that command (such as one that keeps the machine quiet).
set -u
[ $# -ge 3 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 memory=$2 sizes=$3
shift 3
gwen=${GWEN:-$(dirname "$0")/../build/gwen-cpu}
field() { sed -n "s/.*\"$1\":\([0-9.e+]*\).*/\1/p" | tail -n 1; }

final=$(${RUN:-} "$gwen" tune --model "$model" --memory "$memory" --json "$@" | tail -n 1) || exit 1
chosen=$(printf '%s\n' "$final" | field rollout_batch_size)
expected=$(printf '%s\n' "$final" | field tok_s)
printf 'tune chose %s: %s tok/s expected\n' "$chosen" "$expected"
best=0 best_size=0 of_chosen=0
for size in $(printf '%s\n' "$sizes,$chosen" | tr , '\n' | sort -nu); do
    line=$(${RUN:-} "$gwen" tune --model "$model" --memory "$memory" --json --try "$size" "$@" \
        2>/dev/null) || { printf '%5s does not fit\n' "$size"; continue; }
    rate=$(printf '%s\n' "$line" | field tok_s)
    printf '%5s %10s tok/s\n' "$size" "$rate"
    [ "$size" = "$chosen" ] && of_chosen=$rate
    if awk "BEGIN { exit !($rate > $best) }"; then best=$rate best_size=$size; fi
done
awk "BEGIN {
    printf \"chosen %s: %.1f tok/s, best %s: %.1f tok/s, ratio %.3f\n\", $chosen, $of_chosen,
           $best_size, $best, $of_chosen / $best
    exit $of_chosen < 0.95 * $best }"
