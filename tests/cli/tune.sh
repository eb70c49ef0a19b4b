# tune: what it prints and keeps, and that what it keeps changes speed alone.
export XDG_CACHE_HOME="$T/cache"
work="--prompt-tokens 12 --max-tokens 24 --groups 3 --queue 4"
"$GWEN" init --preset tiny --seed 2 --out "$T/model" >/dev/null 2>&1 || exit 1
for i in 1 2 3 4 5; do echo "{\"ids\": [$i, 9, 17, $i]}"; done >"$T/prompts.jsonl"
rollout() { # what to call it, then options
    name=$1
    shift
    "$GWEN" rollout --model "$T/model" --prompts "$T/prompts.jsonl" --groups 3 --max-tokens 40 \
        --out "$T/$name.jsonl" -v "$@" 2>"$T/$name.err" || { cat "$T/$name.err"; exit 1; }
}
rollout before
grep -q '^not tuned: ' "$T/before.err" || exit 1

# The last line is one object.
"$GWEN" tune --model "$T/model" $work --json --plot "$T/plot.svg" >"$T/out" 2>"$T/err" || exit 1
tail -n 1 "$T/out" >"$T/final"
for key in rollout_batch_size train_micro_batch judge_chunk threads tok_s memory_bytes; do
    grep -Eq "\"$key\":[0-9]" "$T/final" || { echo "no $key"; exit 1; }
done
grep -q '"reason"' "$T/final" && exit 1
[ "$(grep -c '"what":"train candidate".*"picked":true' "$T/out")" -eq 1 ] || exit 1
grep -q '"what":"candidate"' "$T/out" || exit 1
[ "$(grep -c '"chosen":true' "$T/out")" -eq 1 ] || exit 1
grep -q '^</svg>$' "$T/plot.svg" || exit 1
if command -v python3 >/dev/null; then
    python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$T/plot.svg" || exit 1
fi
profile=$(ls "$XDG_CACHE_HOME"/gwen-cpu/tune/*.json) || exit 1

# Taken up, left aside, and the same rows.
rollout tuned
grep -q "^tuned: .* from $profile\$" "$T/tuned.err" || exit 1
grep -q 'by the steps that tune measured' "$T/tuned.err" || exit 1
rollout untuned --no-tune
grep -q '^tuned: ' "$T/untuned.err" && exit 1

# Any profile at all: other tiles, blocks, threads, rows of prefill.
i=0
for linear in '[1, 2048, 2048]' '[2, 4096, 1048576]' '[3, 1048576, 4096]' '[4, 8192, 16384]'; do
    i=$((i + 1))
    sed -e "s/\"linear\": .*,\$/\"linear\": [$linear, $linear, $linear, $linear, $linear, $linear],/" \
        -e "s/\"threads\": [0-9]*/\"threads\": $i/" \
        -e "s/\"prefill_rows\": [0-9]*/\"prefill_rows\": $((i * 3))/" "$profile" >"$T/changed" &&
        cp "$T/changed" "$profile"
    rollout "changed$i"
    grep -q "^tuned: $i threads, $((i * 3)) rows of prefill" "$T/changed$i.err" || exit 1
done
for name in tuned untuned changed1 changed2 changed3 changed4; do
    cmp "$T/before.jsonl" "$T/$name.jsonl" || exit 1
done

# What cannot be used is left aside with one line.
spoil() { # what to call it; the file's text is standard input
    cat >"$profile"
    "$GWEN" rollout --model "$T/model" --prompts "$T/prompts.jsonl" --groups 3 --max-tokens 40 \
        --out "$T/$1.jsonl" -q 2>"$T/$1.err" || { cat "$T/$1.err"; exit 1; }
    cmp "$T/before.jsonl" "$T/$1.jsonl" || exit 1
    [ "$(wc -l <"$T/$1.err")" -eq 1 ] || { cat "$T/$1.err"; exit 1; }
    sed "s|$T|T|g; s|/[^/]*\.json|/PROFILE|" "$T/$1.err"
}
spoil empty </dev/null
sed '/"threads"/{s/:.*/:/;q}' "$T/changed" | spoil cut
sed 's/"threads": 4/"threads": 4000000000/' "$T/changed" | spoil absurd
sed 's/"prefill_rows": 12/"prefill_rows": "many"/' "$T/changed" | spoil kind
sed 's/"key": "/"key": "old /' "$T/changed" | spoil stale
head -c 100000 /dev/zero | spoil zeros

# In a container of 1 CPU and 3 GiB: one thread, and no more memory than that.
root=$T/root group=$T/root/sys/fs/cgroup/job
mkdir -p "$root/proc/self" "$group"
printf 'MemTotal: 8388608 kB\nMemAvailable: 6291456 kB\n' >"$root/proc/meminfo"
echo '30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw' >"$root/proc/self/mountinfo"
echo 0::/job >"$root/proc/self/cgroup"
echo 100000 100000 >"$group/cpu.max"
echo 3221225472 >"$group/memory.max"
echo 104857600 >"$group/memory.current"
(
    [ -n "${SANITIZE:-}" ] || ulimit -v 3145728
    GWEN_SYSROOT=$root "$GWEN" tune --model "$T/model" $work --json >"$T/out" 2>"$T/err"
) || { cat "$T/err"; exit 1; }
tail -n 1 "$T/out" | grep -q '"threads":1,' || { echo 'not 1 thread'; exit 1; }
budget=$(tail -n 1 "$T/out" | sed 's/.*"budget_bytes":\([0-9]*\).*/\1/')
[ "$budget" -gt 1073741824 ] && [ "$budget" -lt 3221225472 ] || { echo "budget $budget"; exit 1; }
[ "$(ls "$XDG_CACHE_HOME"/gwen-cpu/tune | wc -l)" -eq 2 ] || exit 1

# Nothing fits.
"$GWEN" tune --model "$T/model" $work --memory 1M --json >"$T/out" 2>"$T/err"
echo "-> $?"
grep -q '^{"rollout_batch_size":null,.*"reason":"rollout_batch_size, train_micro_batch, judge_chunk: needs ' "$T/out" || exit 1
# Usage.
for wrong in '--budget soon' '--lengths 3-4' '--queue 0' '--budget 5x'; do
    "$GWEN" tune --model "$T/model" $wrong 2>&1
    echo "-> $?"
done
# Real runs of given sizes.
"$GWEN" tune --model "$T/model" $work --try 1,3 | sed 's/|.*|/|/'
exit 0
