# level: any
# The command line wins over --set, --set over --config, --config over the environment.
unset GWEN_ISA
value() { # key, then arguments: the value of a key of info --json
    key=$1
    shift
    "$GWEN" info --json "$@" | tr ',{}' '\n\n\n' | sed -n "s/^\"$key\"://p"
}
failed=0
expect() { # wanted key arguments...
    wanted=$1
    shift
    got=$(value "$@")
    if [ "$got" != "$wanted" ]; then
        echo "info $*: \"$got\" instead of \"$wanted\""
        failed=1
    fi
}
cat >"$T/c.json" <<'END'
{"threads": 3, "memory": "2G", "dtype": "fp16", "rollout_batch_size": 5, "max-tokens": null}
END
expect 3 threads --config "$T/c.json"
expect 4 threads --config "$T/c.json" --set threads=4
expect 5 threads --config "$T/c.json" --set threads=4 --threads 5
expect 5 threads --threads 5 --set threads=4 --config="$T/c.json"
expect 6 threads -t6
expect 6 threads -qt 6
"$GWEN" info --threads 6 --threads 7 2>&1
expect 2147483648 budget_bytes --config "$T/c.json"
expect 1610612736 budget_bytes --memory 1.5GiB
expect 1048576 budget_bytes --memory 1024k
expect 12345 budget_bytes --memory 12345
expect '"float16"' dtype --config "$T/c.json"
expect '"float32"' dtype --config "$T/c.json" --dtype float32
export GWEN_DTYPE=float32
expect '"float32"' dtype
expect '"bfloat16"' dtype --dtype bf16
expect '"float16"' dtype --config "$T/c.json"
export GWEN_DTYPE=int8
expect '' dtype 2>/dev/null
"$GWEN" info 2>&1 | head -n 1
unset GWEN_DTYPE

GWEN_ISA=ref expect '"ref"' isa
GWEN_ISA=sse2 "$GWEN" info >/dev/null 2>"$T/err"
echo "-> $?"
grep -q 'GWEN_ISA=sse2: expected one of ref, ' "$T/err" || failed=1

run() {
    printf '%s\n' "$2" >"$T/$1.json"
    (cd "$T" && "$GWEN" info --config "$1.json") 2>&1
    echo "-> $?"
}
run unknown '{"frobnicate": 1}'
run range '{"threads": 5000}'
run kind '{"threads": {"a": 1}}'
run list '{"threads": [1, 2]}'
run flag '{"json": "yes"}'
run nested '{"config": "c.json"}'
run array '[1]'
run syntax '{"threads": 1,}'
run twice '{"threads": 1, "threads": 2}'
(cd "$T" && "$GWEN" info --config missing.json) 2>&1
echo "-> $?"
exit $failed
