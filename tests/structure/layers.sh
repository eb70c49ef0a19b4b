# layers.sh - who may include whom.  A room (a folder of src, or simd) includes its own headers and
# those that its line of the floor plan names; nothing else, so no arrow runs up or aside.
set -eu

# Room: beginnings of what it may include.  A folder that has no line of its own here belongs to
# the one it lies in.  What the plan promises is what it leaves out: text and base know nothing of
# models; engine and train do not know each other; only what is named asks the judge; reports are
# drawn from records alone; nothing but the command line sees it.
plan='
simd:
base:
ops:               base/ gwen_simd.h ref/math.h
text/tokenizer:    base/
text/jinja:        base/
text:              base/ text/
checkpoint:        base/ gwen_simd.h text/tokenizer/
model:             base/ gwen_simd.h ref/math.h ops/ checkpoint/
engine:            base/ gwen_simd.h ref/math.h ops/ checkpoint/ model/
train:             base/ gwen_simd.h ref/math.h ops/ checkpoint/ model/
service:           base/ ops/ text/ checkpoint/ model/ engine/ train/
service/rollout:   base/ ops/ text/ checkpoint/ model/ engine/ service/plan.h
service/record:    base/ text/ checkpoint/ model/ engine/ service/rollout/
service/reward:    base/ service/rollout/ service/record/
service/judge:     base/ gwen_simd.h ref/math.h ops/ text/ checkpoint/ model/ engine/
                   service/plan.h service/rollout/ service/record/ service/reward/
service/report:    base/ service/record/
service/eval:      base/ text/ checkpoint/ model/ engine/ service/plan.h service/rollout/
                   service/record/ service/reward/
service/train:     base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/plan.h
                   service/rollout/ service/record/
service/train/sft: base/ text/ checkpoint/ model/ train/ service/plan.h service/rollout/
                   service/record/ service/train/
service/train/grpo: base/ text/ checkpoint/ model/ engine/ train/ service/plan.h service/rollout/
                   service/record/ service/reward/ service/eval/ service/train/
service/bench:     base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/plan.h
                   service/rollout/ service/judge/sizes.h
service/tune:      base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/plan.h
                   service/rollout/ service/train/plan.h service/judge/sizes.h
cli:               base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/
cli/commands:      base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/ cli/
'

# astray ROOT: prints every include under ROOT/src and ROOT/simd that the plan does not have.
astray() {
    (cd "$1" && find src simd -name '*.[ch]' -exec grep -HnE '^[ \t]*#[ \t]*include' {} +) |
        plan=$plan awk '
    BEGIN {
        n = split(ENVIRON["plan"], word, /[ \t\n]+/)
        for (i = 1; i <= n; i++)
            if (word[i] ~ /:$/) { room = word[i]; sub(/:$/, "", room); known[room] = 1 }
            else if (word[i] != "") may[room] = may[room] " " word[i]
    }
    function room_of(path, parts, n) {
        sub(/^src\//, "", path)
        do sub(/\/[^\/]*$/, "", path); while (!(path in known) && path ~ /\//)
        return path in known ? path : ""
    }
    function allowed(room, header, word, n, i) {
        if (room == "simd") return header !~ /^(base|ops|text|checkpoint|model|engine|train|service|cli|gwen)\//
        if (header !~ /\//) return header != "gwen_simd.h" || index(may[room] " ", " gwen_simd.h ")
        if (room_of("src/" header) == room) return 1
        if (header ~ /^gwen\//) return 1
        n = split(may[room], word, " ")
        for (i = 1; i <= n; i++) if (index(header, word[i]) == 1) return 1
        return 0
    }
    {
        split($0, at, ":")
        quoted = index($0, "\"")
        header = $0
        sub(/^[^<"]*[<"]/, "", header)
        sub(/[>"].*$/, "", header)
        room = room_of(at[1])
        bad = ""
        if (header ~ /(^|\/)\.\.\//) bad = "a path with .."
        else if (room == "") bad = "no such room in the plan"
        else if (header ~ /(^|\/)impl\.h$/ && room != "simd") {
            folder = at[1]
            sub(/^src\//, "", folder)
            sub(/[^\/]*$/, "", folder)
            if (header != folder "impl.h") bad = "private to its folder"
        } else if ((quoted || header ~ /^gwen_simd/) && !allowed(room, header))
            bad = "not for " room
        if (bad != "") print at[1] ":" at[2] ": " header ": " bad
    }'
}

# The test sees what it is there to see: one fault planted for each promise.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
faults=0
plant() { # plant FILE HEADER
    mkdir -p "$tmp/$(dirname "$1")"
    echo "#include \"$2\"" >>"$tmp/$1"
    faults=$((faults + 1))
}
plant src/base/a.c ops/linear.h
plant src/base/b.c gwen_simd.h
plant simd/x86/e.c base/base.h
plant src/ops/c.h model/kv.h
plant src/model/d.c ../service/x.h
plant src/model/f.c x86/avx2.h
plant src/text/chat.c checkpoint/dtype.h
plant src/text/tokenizer/bpe.c text/jinja/jinja.h
plant src/checkpoint/config/a.c model/model.h
plant src/engine/a.c train/trainer.h
plant src/train/a.c engine/engine.h
plant src/service/plan.c service/rollout/rollout.h
plant src/service/reward/a.c service/judge/judge.h
plant src/service/train/grpo/a.c service/judge/reward.h
plant src/service/report/a.c model/model.h
plant src/service/record/a.c service/reward/reward.h
plant src/service/tune/a.c service/train/run.h
plant src/service/tune/b.c service/judge/judge.h
plant src/service/bench/a.c service/judge/judge.h
plant src/service/train/a.c service/train/grpo/impl.h
plant src/cli/a.c cli/commands/bench.h
plant src/service/eval/a.c cli/cli.h
plant src/nowhere/a.c base/base.h
echo '  # include "service/x.h"' >"$tmp/src/ops/spaced.c"
faults=$((faults + 1))
mkdir -p "$tmp/src/cli/commands"
printf '%s\n' '#include "base/str.h"' '#include "gwen_simd.h"' '#include <gwen/gwen.h>' \
    '#include "service/tune/x.h"' '#include "cli/cli.h"' '#include <stdio.h>' \
    '#include <sys/stat.h>' >"$tmp/src/cli/commands/good.c"
found=$(astray "$tmp")
if [ "$(echo "$found" | wc -l)" -ne $faults ] || echo "$found" | grep -q good; then
    echo "the test itself is wrong; of $faults faults it found:"
    echo "$found"
    exit 1
fi

found=$(astray .)
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
