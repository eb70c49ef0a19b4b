# level: any
# Wrong usage is exit status 2 and one line on standard error; help goes to standard output.
run() {
    printf '$ %s\n' "$*"
    "$GWEN" "$@" 2>&1
    echo "-> $?"
}
unset GWEN_ISA
run
run frobnicate
run info --frobnicate
run info -Z
run info --threads
run info -t
run info --threads 0
run info --threads two
run info --threads -1
run info --memory 12X
run info --memory 0
run info --seed 18446744073709551616
run info --dtype int8
run info --json=maybe
run info extra
run info -- -q
run info --set threads
run info --set frobnicate=1
run info --set threads=0
run info --set set=a=b
run score
run score --model X --temp 0
run score --model X --temp nan
run trian
run help trian
run help bench decod
run help info info
run help --completion zsh
run help --completion bash info
run bench
run bench --model X decode
run init
run init --preset tiny
run init --preset tiny --config x --out y
"$GWEN" --version | sed 's/ [0-9.]*$/ VERSION/'

"$GWEN" info --frobnicate >"$T/out" 2>"$T/err"
[ ! -s "$T/out" ] && [ "$(wc -l <"$T/err")" -eq 1 ] || exit 1

# Every command that the program lists has help, which names all common options and itself.
"$GWEN" -h >"$T/help" 2>"$T/err" && [ ! -s "$T/err" ] || exit 1
commands=$(sed -n '/^Commands/,/^$/ s/^  \([a-z]*\) .*/\1/p' "$T/help")
[ "$(echo "$commands" | wc -l)" -ge 4 ] || exit 1
for command in $commands; do
    for flag in -h --help '-q -h'; do
        # shellcheck disable=SC2086
        "$GWEN" "$command" $flag >"$T/help" 2>"$T/err" || exit 1
        grep -q "^usage: gwen-cpu $command" "$T/help" && [ ! -s "$T/err" ] || exit 1
        for option in model dtype threads memory seed config set json quiet verbose help; do
            grep -qE -- "--$option( |\$)" "$T/help" || { echo "$command: no --$option"; exit 1; }
        done
        if grep -nE '^.{80,}' "$T/help"; then exit 1; fi
    done
done

# help COMMAND is COMMAND -h; so for the kinds of a command that has some.
for command in $commands bench\ {decode,prefill,rollout,train,judge,gemm,membw}; do
    # shellcheck disable=SC2086
    diff <("$GWEN" help $command 2>&1) <("$GWEN" $command -h 2>&1) >/dev/null ||
        { echo "help $command is not $command -h"; exit 1; }
done
diff <("$GWEN" help) <("$GWEN" -h) || exit 1
"$GWEN" help --model X info | grep -q 'X' && exit 1 # what help was given is no default of info
exit 0
