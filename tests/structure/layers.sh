# layers.sh - includes point downwards only: cli > service > model > ops > simd > base.
set -eu

# upward ROOT: prints every include under ROOT/src and ROOT/simd that points upwards.  base and
# simd know nothing of each other; simd includes its own headers and libc's alone.
upward() {
    (cd "$1" && find src simd -name '*.[ch]' -exec grep -HnE '^[ \t]*#[ \t]*include' {} +) | awk '
    BEGIN {
        level["base"] = 1; level["simd"] = 2; level["ops"] = 3
        level["model"] = 4; level["service"] = 5; level["cli"] = 6
    }
    {
        split($0, at, ":")
        split(at[1], path, "/")
        from = path[1] == "simd" ? "simd" : path[2]
        header = $0
        sub(/^[^<"]*[<"]/, "", header)
        sub(/[>"].*$/, "", header)
        bad = ""
        if (header ~ /(^|\/)\.\.\//) bad = "a path with .."
        else if (from == "simd") {
            if (header ~ /^(base|ops|model|service|cli|gwen)\//) bad = "simd needs libc only"
        } else if (header == "gwen_simd.h" || header ~ /^(simd|ref|x86|arm)\//) {
            if (level[from] <= level["simd"]) bad = "simd is above " from
            else if (header != "gwen_simd.h" && header != "ref/math.h")
                bad = "only gwen_simd.h and ref/math.h are for other folders"
        } else if (index($0, "\"") && index(header, "/")) {
            split(header, part, "/")
            if (!(part[1] in level)) bad = "no such layer"
            else if (level[part[1]] > level[from]) bad = part[1] " is above " from
        }
        if (bad != "") print at[1] ":" at[2] ": " header ": " bad
    }'
}

# The test sees what it is there to see.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/src/base "$tmp"/src/ops "$tmp"/src/model "$tmp"/src/cli "$tmp"/simd/x86
echo '#include "ops/linear.h"' >"$tmp/src/base/a.c"
echo '#include "gwen_simd.h"' >"$tmp/src/base/b.c"
echo '  # include "model/kv.h"' >"$tmp/src/ops/c.h"
echo '#include "../service/x.h"' >"$tmp/src/model/d.c"
echo '#include "base/base.h"' >"$tmp/simd/x86/e.c"
echo '#include "x86/avx2.h"' >"$tmp/src/model/f.c"
printf '%s\n' '#include "base/str.h"' '#include "gwen_simd.h"' '#include <gwen/gwen.h>' \
    '#include "service/x.h"' '#include <stdio.h>' >"$tmp/src/cli/good.c"
found=$(upward "$tmp")
if [ "$(echo "$found" | wc -l)" -ne 6 ] || echo "$found" | grep -q good; then
    echo "the test itself is wrong; it found:"
    echo "$found"
    exit 1
fi

found=$(upward .)
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
