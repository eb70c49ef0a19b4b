#!/bin/bash
# run.sh [TEST.sh ...] - runs command-line tests (all of this folder by default) from the
# repository's root.  A test finds in its environment:
#
#   GWEN   the program (build/gwen-cpu by default)      T   an empty folder of its own
#
# It passes when it exits with 0 and its standard output is TEST.out, where that file exists; it
# is skipped when it exits with 77 (its last line says why).  Exit status: 1 when one failed, 77
# when all were skipped.
set -u
cd "$(dirname "$0")/../.." || exit 1
export GWEN=${GWEN:-$PWD/build/gwen-cpu}
export LC_ALL=C.UTF-8
unset GWEN_DTYPE
[ $# -gt 0 ] || set -- tests/cli/[!_]*.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/gwen-cli-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
ran=0 failed=0
for test in "$@"; do
    name=$(basename "$test" .sh)
    [ "$name" = run ] && continue
    export T=$work/$name
    mkdir "$T"
    export XDG_CACHE_HOME=$T/.cache # no profile of this machine
    bash -u "$test" >"$work/out" 2>"$work/err" </dev/null
    status=$?
    if [ $status -eq 77 ]; then
        echo "$name: skipped: $(cat "$work/out" "$work/err" | tail -n 1)"
        continue
    fi
    ran=$((ran + 1))
    if [ $status -ne 0 ]; then
        echo "$name: exit status $status"
        tail -n 40 "$work/out"
        tail -n 40 "$work/err"
        failed=$((failed + 1))
    elif [ -e "${test%.sh}.out" ] && ! diff -u "${test%.sh}.out" "$work/out"; then
        echo "$name: output is not ${test%.sh}.out"
        tail -n 40 "$work/err"
        failed=$((failed + 1))
    else
        echo "$name: ok"
    fi
done
[ $failed -eq 0 ] || exit 1
[ $ran -gt 0 ] || exit 77
