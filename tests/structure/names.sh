# names.sh - a comment that sends its reader to a file names one that is there.
set -eu

# strays LIST FILE...: the names of files in comments of FILE... that no path of LIST ends with.
strays() {
    awk '
    function comments_of(s, out, at) { # in_comment goes on to the next line
        out = ""
        while (s != "") {
            if (in_comment) {
                at = index(s, "*/")
                if (!at) return out " " s
                out = out " " substr(s, 1, at - 1)
                s = substr(s, at + 2)
                in_comment = 0
            }
            at = match(s, /\/\*|\/\/|"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/)
            if (!at) return out
            if (substr(s, at, 2) == "//") return out " " substr(s, at)
            in_comment = substr(s, at, 2) == "/*"
            s = substr(s, at + RLENGTH)
        }
        return out
    }
    NR == FNR {
        path = $0
        there[path] = 1
        while (sub(/^[^\/]*\//, "", path)) there[path] = 1
        next
    }
    FNR == 1 { in_comment = 0 }
    {
        text = comments_of($0)
        while (match(text, /[A-Za-z0-9_][A-Za-z0-9_\/-]*\.(c|h|def|sh|mk|md)([^A-Za-z0-9_(.]|\.[^A-Za-z0-9]|\.?$)/)) {
            name = substr(text, RSTART, RLENGTH)
            before = substr(text, RSTART - 1, 1)
            text = substr(text, RSTART + RLENGTH)
            match(name, /\.(c|h|def|sh|mk|md)/)
            name = substr(name, 1, RSTART + RLENGTH - 1)
            # not: <stdio.h>, a pattern like test_*.c or fuzz_NAME.c, a member in code
            if (before !~ /[,<*.>]/ && name !~ /[A-Z][A-Z]+\.[ch]$|^(asm|linux|sys)\// && !(name in there)) print FILENAME ":" FNR ": " name
        }
    }' "$@"
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
printf '%s\n' src/room/a.c src/room/impl.h README.md >"$tmp/list"
cat >"$tmp/x.c" <<'XX'
/* x.c sees impl.h, room/a.c and README.md; not
 * gone.h or other/a.c. */
#include <stdio.h>
#include "missing.h"
int f(void) { return s.h + "/* text.c */"[0]; } // <stdio.h>, test_*.c, s->c; nor lost.def.
XX
echo x.c >>"$tmp/list"
found=$(strays "$tmp/list" "$tmp/x.c" | sed 's/.*: //' | tr '\n' ' ')
if [ "$found" != "gone.h other/a.c lost.def " ]; then
    echo "the test itself is wrong; it found: $found"
    exit 1
fi

folders=$(ls -d src simd include tests bench examples scripts mk docs 2>/dev/null || true)
# shellcheck disable=SC2086  # no blanks in our file names
{
    find $folders -type f && ls
} >"$tmp/list"
# shellcheck disable=SC2046
found=$(strays "$tmp/list" $(find src simd include tests bench examples \
    \( -name fixtures -o -name corpus \) -prune -o \( -name '*.[ch]' -o -name '*.def' \) -print))
if [ -n "$found" ]; then
    echo "files that comments name and that are not there:"
    echo "$found"
    exit 1
fi
