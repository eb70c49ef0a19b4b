#!/bin/sh
# summary.sh RESULTS - adds up the .count files; the last line is "N passed, N failed, N skipped".
# Fails when a test failed or none passed.
find "$1" -name '*.count' -exec cat {} + | awk '
    { passed += $1; failed += $2; skipped += $3 }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0 || passed == 0
    }'
