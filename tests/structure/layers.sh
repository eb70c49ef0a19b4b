# layers.sh - who may include and call whom.  A room (a folder of src, or simd) includes its own headers
# and those that its line of the floor plan names, which stand above it; nothing else, so no arrow runs
# up or aside.  The calls of its objects keep to the same: a header may bring others along.
set -eu

# Room: beginnings of what it may include.  A folder that has no line of its own here belongs to
# the one it lies in; those of service must have one.  What the plan promises is what it leaves out: text and base know nothing of
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
service/reward:    base/ text/ service/rollout/ service/record/
service/judge:     base/ gwen_simd.h ref/math.h ops/ text/ checkpoint/ model/ engine/
                   service/plan.h service/rollout/ service/record/ service/reward/
service/report:    base/ service/record/
service/eval:      base/ text/ checkpoint/ model/ engine/ service/plan.h service/rollout/
                   service/record/ service/reward/
service/train:     base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/plan.h
                   service/rollout/ service/record/
service/train/sft: base/ text/ checkpoint/ model/ train/ service/plan.h service/rollout/
                   service/record/ service/train/
service/train/grpo: base/ ops/ text/ checkpoint/ model/ engine/ train/ service/plan.h service/rollout/
                   service/record/ service/reward/ service/eval/ service/train/
service/bench:     base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/plan.h
                   service/rollout/ service/judge/sizes.h
service/tune:      base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/plan.h
                   service/rollout/ service/train/plan.h service/judge/sizes.h
cli:               base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/
cli/commands:      base/ gwen_simd.h ops/ text/ checkpoint/ model/ engine/ train/ service/ cli/
cli/main.c:        base/ service/ cli/ cli/commands/
'

# What both checks below know of the plan.  Of room_of the path is that of a file, from ROOT on.
rooms='
    BEGIN {
        n = split(ENVIRON["plan"], word, /[ \t\n]+/)
        for (i = 1; i <= n; i++)
            if (word[i] ~ /:$/) {
                room = word[i]
                sub(/:$/, "", room)
                known[room] = 1
            } else if (word[i] != "") {
                may[room] = may[room] " " word[i]
                if (room_of("src/" word[i] (word[i] ~ /\/$/ ? "x" : "")) == "" && word[i] !~ /^(gwen_simd|ref\/math)\.h$/)
                    print "the plan: " room ": " word[i] " is not above it"
            }
    }
    function room_of(path) {
        sub(/^src\//, "", path)
        while (!(path in known) && path ~ /\//) sub(/\/[^\/]*$/, "", path)
        return path in known ? path : ""
    }
    function allowed(room, header, word, n, i) {
        if (room_of("src/" header) == room) return 1
        n = split(may[room], word, " ")
        for (i = 1; i <= n; i++) {
            if (header == word[i]) return 1
            if (word[i] !~ /\/$/ || index(header, word[i]) != 1) continue
            # of the folder that the room lies in not what lies beside it
            if (index(room, word[i]) != 1 || room_of("src/" header) == room_of("src/" word[i])) return 1
        }
        return 0
    }'

# astray ROOT: prints every include under ROOT/src and ROOT/simd that the plan does not have.  What
# could be one in another spelling is a fault, too.
astray() {
    (cd "$1" && find src simd -type f -not -name '*.md' -exec grep -HnE \
        '^[^"]*(#|%:|\?\?=).*(include|import|embed)|(#|%:|\?\?=)[ \t]*(\\|$)' {} + || true) |
        plan=$plan root=$1 awk "$rooms"'
    function file_exists(path, line, there) {
        there = (getline line <(ENVIRON["root"] "/" path)) >= 0
        close(ENVIRON["root"] "/" path)
        return there
    }
    {
        split($0, at, ":")
        line = $0
        sub(/^[^:]*:[^:]*:/, "", line)
        room = room_of(at[1])
        folder = at[1]
        sub(/[^\/]*$/, "", folder)
        header = line
        bad = ""
        if (line ~ /^[ \t]*#[ \t]*define[ \t]/ && line !~ /_Pragma/) next # an operator
        if (line !~ /^[ \t]*#[ \t]*include[ \t]*("[^"]+"|<[^>]+>)[ \t]*(\/\*[^"<]*\*\/)?$/)
            bad = "not a plain #include"
        else {
            gsub(/^[^<"]*[<"]|[>"].*$/, "", header)
            own = header !~ /\// && file_exists(folder header)
            if (header ~ /(^|\/)\.\.?\// || header ~ /^\/|\/\//) bad = "a path with dots or from the root"
            else if (room == "" || (room == "service" && folder != "src/service/"))
                bad = "no such room in the plan"
            else if (header ~ /(^|\/)impl\.h$/) {
                if ("src/" header != folder "impl.h") bad = "private to its folder"
            } else if (room == "simd") {
                if (!own && !file_exists("simd/" header) && (line ~ /"/ || header ~ /^gwen/ ||
                    file_exists("src/" header) || room_of("src/" header) != "")) bad = "not for simd"
            } else if (header ~ /^gwen\// || own) bad = ""
            else if (line ~ /"/ || room_of("src/" header) != "" || file_exists("src/" header) ||
                     file_exists("simd/" header))
                if (!allowed(room, header)) bad = "not for " room
        }
        if (bad != "") print at[1] ":" at[2] ": " header ": " bad
    }'
}

# calls_astray ROOT OBJECTS: prints every symbol that the object of a file under ROOT/src takes from an
# object of a room that the plan does not give it.  The public functions are for all; simd is a table.
calls_astray() {
    objects=$(cd "$1" && find src -name '*.c' | sed 's/c$/o/' | sort)
    # shellcheck disable=SC2086  # no blanks in our file names
    (cd "$2" && nm -A -P -g $objects || echo "the objects cannot be read") | plan=$plan awk "$rooms"'
    !/\.o: / { print; next }
    {
        file = $1
        sub(/\.o:$/, "", file)
        if ($3 == "U") { user[++n_uses] = file; used[n_uses] = $2 }
        else owner[$2] = file
    }
    END {
        for (i = 1; i <= n_uses; i++) {
            to = owner[used[i]]
            header = to ".h"
            sub(/^src\//, "", header)
            room = room_of(user[i] ".c")
            if (to != "" && used[i] !~ /^gwen_/ && room_of(to ".c") != room && !allowed(room, header))
                print user[i] ".c: calls " used[i] " of " to ".c: not for " room
        }
    }'
}

# The test sees what it is there to see: one fault planted for each promise.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
plant() { # plant FILE HEADER
    mkdir -p "$tmp/$(dirname "$1")"
    echo "#include \"$2\"" >>"$tmp/$1"
    echo "$1" >>"$tmp/planted"
}
plant src/base/a.c ops/linear.h
plant src/base/b.c gwen_simd.h
plant simd/x86/e.c base/base.h
plant simd/x86/g.c src/base/base.h
plant src/ops/c.h model/kv.h
plant src/ops/list.def model/kv.h
plant src/ops/f.c avx2.h
plant src/model/d.c ../service/x.h
plant src/model/e.c ./service/x.h
plant src/model/f.c x86/avx2.h
plant src/model/g.c src/service/x.h
plant src/model/h.c dispatch.h
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
plant src/service/tune/c.c service/train/plan.h.h
plant src/service/train/a.c service/train/grpo/impl.h
plant src/service/train/grpo/b.c service/train/impl.h
plant src/service/train/grpo/c.c service/train/sft/sft.h
plant src/cli/a.c cli/commands/bench.h
plant src/service/eval/a.c cli/cli.h
plant src/nowhere/a.c base/base.h
plant src/service/nowhere/a.c base/base.h
spell() { # spell FILE LINE
    printf '%s\n' "$2" >"$tmp/src/ops/$1"
    echo "src/ops/$1" >>"$tmp/planted"
}
spell spaced.c '  # include "service/x.h"'
spell angle.c '#include <service/x.h>'
spell macro.c '#include SERVICE_X'
spell next.c '#include_next "service/x.h"'
spell import.c '#import "service/x.h"'
spell digraph.c '%:include "service/x.h"'
spell trigraph.c '??=include "service/x.h"'
spell comment.c '/* */ # /* */ include "service/x.h"'
spell after.c '#include /* "base/base.h" */ "service/x.h"'
spell spliced.c '#\
include "service/x.h"'
echo '#include <gwen/gwen.h>' >"$tmp/simd/x86/public.c"
echo simd/x86/public.c >>"$tmp/planted"
mkdir -p "$tmp/src/cli/commands" "$tmp/simd/x86"
touch "$tmp/simd/x86/avx2.h" "$tmp/simd/dispatch.h" "$tmp/src/cli/commands/own.h"
printf '%s\n' '#include "base/str.h"' '#include "gwen_simd.h"' '#include <gwen/gwen.h>' \
    '#include "service/tune/x.h"' '#include "cli/cli.h" /* why */' '#include <stdio.h>' \
    '#include <sys/stat.h>' '#include "own.h"' '#define S(x) #x' \
    'const char *s = "#include \"service/x.h\"";' >"$tmp/src/cli/commands/good.c"
printf '%s\n' '#include "x86/avx2.h"' '#include "dispatch.h"' '#include <stdint.h>' >"$tmp/simd/good.c"
echo '#include "cli/commands/bench.h"' >"$tmp/src/cli/main.c"
found=$(astray "$tmp")
if [ "$(echo "$found" | sed 's/:.*//' | sort)" != "$(sort "$tmp/planted")" ]; then
    echo "the test itself is wrong; this differs from what was planted:"
    echo "$found" | sed 's/:.*//' | sort | diff - "$(sort "$tmp/planted" >"$tmp/sorted" && echo "$tmp/sorted")" || true
    exit 1
fi
# The same for calls: one that an own declaration makes, beside some that the plan has.
mkdir -p "$tmp/objects/src/text" "$tmp/objects/src/model" "$tmp/objects/src/base" "$tmp/objects/simd"
object() {
    echo "$2" >"$tmp/objects/$1.c"
    "${CC:-gcc}" -c -o "$tmp/objects/$1.o" "$tmp/objects/$1.c"
}
object src/text/a 'int gw_kv(void), gw_str(void), gwen_run(void), puts(const char *);
    int gw_text(void) { return gw_kv() + gw_str() + gwen_run() + puts(""); }'
object src/model/kv 'int gw_str(void), gw_head(void); int gw_kv(void) { return gw_str() + gw_head(); }'
object src/model/head 'int gw_head(void) { return 1; }'
object src/base/str 'int gw_str(void) { return 1; }'
object simd/run 'int gwen_run(void) { return 1; }'
found=$(calls_astray "$tmp/objects" "$tmp/objects")
if [ "$found" != "src/text/a.c: calls gw_kv of src/model/kv.c: not for text" ]; then
    echo "the test itself is wrong; of calls it found:"
    echo "$found"
    exit 1
fi

found=$(astray .)
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi

# (Sanitizers add symbols of their own.)
built=${BUILD:-build}/obj
if [ -z "${SANITIZE:-}" ] && [ -d "$built/src" ]; then
    found=$(calls_astray . "$built")
    if [ -n "$found" ]; then
        echo "$found"
        exit 1
    fi
fi
