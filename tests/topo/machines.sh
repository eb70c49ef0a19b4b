# What the program makes of machines that are not here: topologies by hwloc's own variables, control
# groups and memory by a tree under GWEN_SYSROOT.
# level: any
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
failed=0

# info KEY: its number in info --json, with the variables set before
info() { "$GWEN" info --json | tr ',{}' '\n\n\n' | sed -n "s/^\"$1\"://p" | head -n 1; }
expect() { # NAME WANT GOT
    [ "$2" = "$3" ] && return
    echo "$1: expected \"$2\", got \"$3\""
    failed=1
}
# What the process holds already is counted as its own: a few MiB more than what is left.
expect_budget() { # NAME WHAT IS LEFT
    local got
    got=$(info budget_bytes)
    [ "$got" -ge "$2" ] && [ "$got" -lt $(($2 + (64 << 20))) ] && return
    echo "$1: expected a budget of $2 or little more, got \"$got\""
    failed=1
}

# --- topologies: cores, threads, nodes, where the threads go ------------------------------------
machine() { # NAME CORES NODES PLACES VARIABLE=VALUE
    local json
    json=$(env "$5" "$GWEN" info --json)
    expect "$1: cores" "$2" "$(grep -o '"cores":[0-9]*' <<<"$json" | cut -d: -f2)"
    expect "$1: threads" "$2" "$(grep -o '"threads":[0-9]*' <<<"$json" | cut -d: -f2)"
    expect "$1: nodes" "$3" "$(grep -o '"numa_nodes":[0-9]*' <<<"$json" | cut -d: -f2)"
    expect "$1: places" "binding: none (the topology is not this machine's); $4" \
        "$(env "$5" "$GWEN" info -v 2>&1 >/dev/null | grep '^binding')"
}
machine 'one core' 1 1 '1 on node 0' HWLOC_SYNTHETIC='core:1 pu:1'
machine 'two cores, four threads' 2 1 '2 on node 0' HWLOC_SYNTHETIC='core:2 pu:2'
machine 'two sockets' 16 2 '8 on node 0, 8 on node 1' HWLOC_SYNTHETIC='pack:2 numa:1 core:8 pu:2'
machine 'four nodes' 32 4 '8 on node 0, 8 on node 1, 8 on node 2, 8 on node 3' \
    HWLOC_SYNTHETIC='pack:2 numa:2 core:8 pu:1'
machine 'fast and slow cores' 6 1 '6 on node 0' HWLOC_XMLFILE=tests/fixtures/topology/hybrid.xml
machine 'part of two sockets' 5 2 '2 on node 0, 3 on node 1' \
    HWLOC_XMLFILE=tests/fixtures/topology/cpuset.xml

# --- control groups ------------------------------------------------------------------------------
put() { mkdir -p "$(dirname "$T/$1")" && printf '%s\n' "$2" >"$T/$1"; }
export HWLOC_SYNTHETIC='core:4 pu:1' GWEN_SYSROOT=$T
put proc/meminfo 'MemTotal: 67108864 kB
MemAvailable: 33554432 kB'
expect 'no groups: threads' 4 "$(info threads)"
expect_budget 'no groups: budget' $(((32 - 1) << 30))

put proc/self/mountinfo '30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw'
put proc/self/cgroup '0::/job/step'
put sys/fs/cgroup/job/cpu.max '100000 100000'
put sys/fs/cgroup/job/step/cpu.max '300000 100000'
put sys/fs/cgroup/job/step/memory.max max
put sys/fs/cgroup/job/memory.max $((3 << 30))
put sys/fs/cgroup/job/memory.current $((1 << 30))
expect 'version 2: threads' 1 "$(info threads)"
expect_budget 'version 2: budget' $(((2 << 30) - (128 << 20)))

rm -rf "$T/sys"
put proc/self/mountinfo '32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory'
put proc/self/cgroup '4:memory:/job/step
2:cpu:/job/step'
put sys/fs/cgroup/cpu/job/cpu.cfs_quota_us 250000
put sys/fs/cgroup/cpu/job/cpu.cfs_period_us 100000
put sys/fs/cgroup/cpu/job/step/cpu.cfs_quota_us -1
put sys/fs/cgroup/cpu/job/step/cpu.cfs_period_us 100000
put sys/fs/cgroup/memory/job/memory.limit_in_bytes $((4 << 30))
put sys/fs/cgroup/memory/job/step/memory.limit_in_bytes $((8 << 30))
expect 'version 1: threads' 2 "$(info threads)"
expect_budget 'version 1: budget' $(((4 << 30) - (256 << 20)))
expect 'version 1: reason' 'threads: 2 (CPU quota 2.50, 4 cores)' \
    "$("$GWEN" info -v 2>&1 >/dev/null | grep '^threads')"
unset HWLOC_SYNTHETIC GWEN_SYSROOT

# --- results are those of any machine ------------------------------------------------------------
"$GWEN" init -q --preset tiny --out "$T/model" || exit 1
echo '{"ids":[5,6,7,8,9,10]}' >"$T/prompts"
sample() { # FILE OPTIONS...
    "$GWEN" rollout -q --model "$T/model" --prompts "$T/prompts" --groups 6 --max-tokens 40 \
        --out "$@" || exit 1
}
sample "$T/one" --threads 1
HWLOC_SYNTHETIC='pack:2 numa:2 core:1 pu:1' sample "$T/four"
cmp "$T/one" "$T/four" || failed=1
for bind in node core none; do
    sample "$T/$bind" --threads 3 --bind $bind
    cmp "$T/one" "$T/$bind" || failed=1
done
"$GWEN" info --bind socket 2>/dev/null
expect 'a word that is none' 2 $?
exit $failed
