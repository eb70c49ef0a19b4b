# level: any
# Memory is planned, refused with advice, kept to, and given back when it becomes short: the rows
# of a rollout stay the same.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$T/model" ||
    exit 1
for i in 1 2 3 4 5 6 7 8; do echo "{\"prompt\": \"Number $i of several prompts\"}"; done >"$T/prompts"
# Sanitizers map far more than they use, and hold what they free.
sanitized=${SANITIZE:-}
options='--groups 8 --temp 0.9 --stop qu --stop th'
rollout() { # OUT OPTION...
    out=$1
    shift
    # shellcheck disable=SC2086  # options are words
    "$GWEN" rollout --model "$T/model" --prompts "$T/prompts" $options --out "$out" "$@"
}
fail() {
    echo "$1"
    cat "$T/log"
    exit 1
}

# Another machine: a group of 1 GiB in it, and files for what happens there.
root=$T/root
group=$root/sys/fs/cgroup/job
mkdir -p "$root/proc/self" "$group"
memory() { printf 'MemTotal: 8388608 kB\nMemAvailable: %d kB\n' $(($1 * 1024)) >"$root/proc/meminfo"; }
events() { printf 'low 0\nhigh 0\nmax %d\noom 0\n' "$1" >"$T/events" && mv "$T/events" "$group/memory.events"; }
memory 6000
events 0
echo '30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw' >"$root/proc/self/mountinfo"
echo 0::/job >"$root/proc/self/cgroup"
echo 1073741824 >"$group/memory.max"
echo 104857600 >"$group/memory.current"

# --- the plan ---------------------------------------------------------------------------------
refused() { # what is wanted of the message, for a batch that is far too large
    rollout "$T/out" -B 1024 --max-tokens 800 2>"$T/log" && fail 'not refused'
    grep -qE "^gwen-cpu: needs [0-9.]+ [GM]iB, [0-9.]+ [GM]iB available: $1" "$T/log" || fail 'no advice'
    [ ! -e "$T/out.part" ] || fail 'begun all the same'
}
for i in 1 2 3 4 5 6; do cat "$T/prompts" "$T/prompts" >"$T/more" && mv "$T/more" "$T/prompts"; done
advice='lower --rollout-batch-size to [0-9]+ or --max-tokens to [0-9]+ '
export GWEN_SYSROOT=$root
refused "$advice"
memory 300
refused "$advice"
memory 6000
unset GWEN_SYSROOT
refused() {
    rollout "$T/out" -B 1024 --max-tokens 800 --memory 200M 2>"$T/log" && fail 'not refused'
    grep -qE "needs [0-9.]+ GiB, 200 MiB available: $advice" "$T/log" || fail 'no advice'
}
refused
if [ -z "$sanitized" ]; then
    (ulimit -v 300000 && rollout "$T/out" -B 1024 --max-tokens 800) 2>"$T/log" && fail 'not refused'
    grep -qE "needs [0-9.]+ GiB, [0-9]+ MiB available: $advice" "$T/log" || fail 'no advice for ulimit'
fi
head -n 8 "$T/prompts" >"$T/few" && mv "$T/few" "$T/prompts"

# What was held at most is what was planned, within a tenth.
within_a_tenth() {
    sed -n 's/^memory: held at most \([0-9]*\) KiB, planned \([0-9]*\) KiB$/\1 \2/p' "$T/log" |
        awk '{ ok = $1 < 1.1 * $2 && $1 > 0.9 * $2 } END { exit !ok }' || fail "$1: not within a tenth"
}
rollout "$T/calm" -B 32 --max-tokens 100 -v 2>"$T/log" || fail 'no rollout'
[ -n "$sanitized" ] || within_a_tenth rollout
"$GWEN" score -v --model "$T/model" <"$T/calm" 2>"$T/log" >"$T/scores" || fail 'no scores'
[ -n "$sanitized" ] || within_a_tenth score

# --- limits -------------------------------------------------------------------------------------
same() { # what: the run in "$T/out" gave the same rows
    cmp "$T/calm" "$T/out" || fail "$1: other rows"
    rm "$T/out"
}
if [ -z "$sanitized" ]; then
    for kib in 110000 140000 300000; do
        (ulimit -v $kib && rollout "$T/out" -v --max-tokens 100) 2>"$T/log" || fail "ulimit -v $kib"
        same "ulimit -v $kib"
    done
fi
# The machine has less than the plan wants as soon as the arena is to grow.
memory 6000
GWEN_SYSROOT=$root rollout "$T/out" -v --max-tokens 100 2>"$T/log" || fail 'made-up machine'
same 'made-up machine'

# --- pressure -------------------------------------------------------------------------------------
# The group meets its limit again and again.
press() {
    n=0
    while :; do
        n=$((n + 1))
        events $n
        sleep 0.05
    done
}
for tokens in 100 300 900; do # a fast machine needs more work for the pressure to meet it; whether
    # samples had to begin anew depends on its speed (unit/test_engine sees to that)
    rollout "$T/calm" -q --max-tokens $tokens --overwrite || exit 1
    press &
    presser=$!
    GWEN_SYSROOT=$root rollout "$T/out" -v -B 32 --max-tokens $tokens 2>"$T/log"
    status=$?
    kill $presser
    wait $presser 2>"$T/none"
    [ $status -eq 0 ] || fail 'pressure: failed'
    same pressure
    grep -q '^memory was short: [1-9]' "$T/log" && break
    [ $tokens -lt 900 ] || fail 'pressure: nothing was given back'
done
grep -q '^memory is short: the control group met its limit' "$T/log" || fail 'pressure: no word'

# --- a control group of our own -------------------------------------------------------------------
[ -z "$sanitized" ] || exit 0
own=
make_group() { # sets own and its files, if one can be made
    for folder in /sys/fs/cgroup/memory /sys/fs/cgroup; do
        own=$folder/gwen-test-$$
        [ -d "$folder" ] && mkdir "$own" 2>"$T/none" || continue
        for file in memory.limit_in_bytes memory.max; do
            if [ -w "$own/$file" ] && echo 128M >"$own/$file" 2>"$T/none"; then return 0; fi
        done
        rmdir "$own"
    done
    return 1
}
if make_group; then
    trap 'rmdir "$own"' EXIT
    (
        echo 0 >"$own/cgroup.procs" || exit 1
        rollout "$T/out" -v --max-tokens $tokens 2>"$T/log"
    ) || fail 'control group: failed'
    grep -q '^memory budget: [0-9]* MiB' "$T/log" || fail 'control group: not seen'
    same 'control group'
else
    echo 'no control group can be made: that part was left out' >&2
fi
