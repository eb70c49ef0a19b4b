#!/bin/bash
# run-test.sh LEVEL KIND NAME COMMAND... - runs one test, prints one line about it (and the end of
# its output if it failed), and leaves "passed failed skipped" in $RESULTS/LEVEL/NAME.count.
#
# KIND says how to count: cmocka, golden and checkasm report several cases; exit is one case that
# passed (0), was skipped (77) or failed.  Always succeeds itself, so that every test is run.
set -u
level=$1 kind=$2 name=$3
shift 3
base=$RESULTS/$level/$name
mkdir -p "$(dirname "$base")"
log=$base.log

start=$SECONDS
timeout -k 10 "${TEST_TIMEOUT:-1200}" "$@" >"$log" 2>&1 </dev/null
status=$?
seconds=$((SECONDS - start))

# number REGEX: the number that follows it in its last occurrence in the log, else 0
number() {
    grep -aoE "$1 *[0-9]+" "$log" | tail -n 1 | grep -oE '[0-9]+$' || echo 0
}
passed=0 failed=0 skipped=0
if [ $status -eq 77 ]; then
    skipped=1
else
    case $kind in
    cmocka)
        passed=$(number '^\[  PASSED  \]')
        failed=$(number '^\[  FAILED  \]')
        skipped=$(number '^\[  SKIPPED \]')
        ;;
    golden)
        passed=$(number '^golden: passed')
        failed=$(number '^golden: passed [0-9]+ failed')
        skipped=$(number '^golden: passed [0-9]+ failed [0-9]+ skipped')
        ;;
    checkasm) # a line per level: "checkasm: LEVEL N kernels, M differ"
        read -r passed failed < <(awk '/^checkasm: .* kernels, / { n += $3; m += $5 }
            END { print n - m, m + 0 }' "$log")
        ;;
    esac
    # A crash, a leak report or a program that counts nothing.
    if [ $((passed + failed + skipped)) -eq 0 ] || { [ $status -ne 0 ] && [ "$failed" -eq 0 ]; }; then
        if [ $status -eq 0 ]; then passed=1; else failed=$((failed + 1)); fi
    fi
fi

verdict=ok
[ "$passed" -eq 0 ] && verdict=skip
[ "$failed" -ne 0 ] && verdict=FAIL
label=$name
[ "$level" != native ] && label="$name [$level]"
detail="$passed passed"
[ "$failed" -ne 0 ] && detail="$detail, $failed failed"
[ "$skipped" -ne 0 ] && detail="$detail, $skipped skipped"
if [ "$verdict" = skip ]; then
    # cmocka's own lines begin with a bracket; the reason is the test's.
    reason=$(grep -avE '^\[|SKIPPED TEST|^ *$' "$log" | tail -n 1 | cut -c 1-100)
    detail="skipped: $(echo "$reason" | sed -E 's/^([^ ]+: )?skip(ped)?: //I')"
fi
printf '%-4s  %-44s %s%s\n' "$verdict" "$label" "$detail" \
    "$([ $seconds -ge 5 ] && echo " ($seconds s)")"
if [ "$failed" -ne 0 ]; then
    [ $status -eq 124 ] && echo "      | timed out"
    tail -n 60 "$log" | sed 's/^/      | /'
fi
echo "$passed $failed $skipped" >"$base.count"
exit 0
