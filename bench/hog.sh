#!/bin/bash
# hog.sh - decoding beside one endless single-thread process: alone, beside one that the kernel may
# move, and beside one that is pinned to the first processor of the mask, in turn.
#
#     bench/hog.sh MODEL_DIR [ROUNDS [options of bench decode]]       GWEN: the program to measure
#
# Prints tokens/s of each, mean and lowest to highest, and their share of the quiet figure.
set -eu
model=${1:?usage: bench/hog.sh MODEL_DIR [ROUNDS [options of bench decode]]}
rounds=${2:-2}
shift $(($# < 2 ? $# : 2))
gwen=${GWEN:-build/gwen-cpu}
first=$(taskset -pc $$ | sed 's/.*: *//; s/[,-].*//')
out=$(mktemp)
hog=
trap 'rm -f "$out"; [ -z "$hog" ] || kill "$hog"' EXIT

# measure CONDITION [COMMAND...]: COMMAND makes the neighbour
measure() {
    local condition=$1
    shift
    if [ $# -gt 0 ]; then
        "$@" & hog=$!
    fi
    "$gwen" bench decode --model "$model" --batch 1,32 --json "${options[@]}" |
        sed -E "s/.*\"batch\":([0-9]+).*\"tok_s\":([0-9.]+).*/$condition \1 \2/" >>"$out"
    if [ -n "$hog" ]; then
        kill "$hog"
        wait "$hog" 2>/dev/null || true
        hog=
    fi
}

options=("$@")
spin='BEGIN { while (1) n++ }'
for ((i = 0; i < rounds; i++)); do
    measure alone
    measure floating awk "$spin"
    measure pinned taskset -c "$first" awk "$spin"
done
awk '{
    k = $1 " " $2
    if (!(k in n)) order[++m] = k
    sum[k] += $3; n[k]++
    if (n[k] == 1 || $3 < low[k]) low[k] = $3
    if (n[k] == 1 || $3 > high[k]) high[k] = $3
} END {
    printf "%-9s %6s %9s %18s %s\n", "neighbour", "batch", "tok/s", "(lowest, highest)", "share"
    for (i = 1; i <= m; i++) {
        split(order[i], part, " "); quiet = "alone " part[2]; k = order[i]
        printf "%-9s %6s %9.1f %18s %4.0f %%\n", part[1], part[2], sum[k] / n[k],
            sprintf("(%.1f, %.1f)", low[k], high[k]), 100 * sum[k] / n[k] / (sum[quiet] / n[quiet])
    }
}' "$out"
