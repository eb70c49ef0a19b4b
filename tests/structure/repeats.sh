# repeats.sh - what is written once is mended once: no seven lines of src stand in two places.  Lines
# are compared without blanks and comments; those of mere punctuation and includes do not count.
set -eu

# FILE FILE LINES: a repeat that may stand, and how many lines it may have.
allowed='
src/model/model.c src/train/trainer.c 7
'

# repeats MIN FILE...: a line for each pair of places with MIN equal lines or more, as long as they go.
repeats() {
    min=$1
    shift
    awk -v min="$min" '
    function code_of(s, out, at) { # without comments; in_comment goes on to the next line
        out = ""
        while (s != "") {
            if (in_comment) {
                at = index(s, "*/")
                if (!at) return out
                s = substr(s, at + 2)
                in_comment = 0
            }
            at = match(s, /\/\*|\/\/|"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/)
            if (!at) return out s
            if (substr(s, at, 2) == "//") return out substr(s, 1, at - 1)
            if (substr(s, at, 2) == "/*") {
                out = out substr(s, 1, at - 1)
                s = substr(s, at + 2)
                in_comment = 1
            } else {
                out = out substr(s, 1, at - 1 + RLENGTH)
                s = substr(s, at + RLENGTH)
            }
        }
        return out
    }
    FNR == 1 { in_comment = 0; file_no++ }
    {
        code = code_of($0)
        gsub(/[ \t]/, "", code)
        if (code !~ /[A-Za-z0-9_"]/ || code ~ /^#include/) next
        text[++n] = code
        file[n] = file_no
        place[n] = FNR
        name[file_no] = FILENAME
    }
    END {
        file[n + 1] = 0
        for (i = 1; i + min - 1 <= n; i++) {
            if (file[i + min - 1] != file[i]) continue
            key = ""
            for (j = i; j < i + min; j++) key = key "\n" text[j]
            n_before = split(places[key], before, " ")
            places[key] = places[key] " " i
            for (b = 1; b <= n_before; b++) {
                k = before[b]
                # the middle of a run has been told with its beginning; a run ends before the other begins
                if (text[k - 1] == text[i - 1] && file[k - 1] == file[k] && file[i - 1] == file[i] &&
                    k - 1 + min <= i - 1) continue
                for (len = 0; k + len < i && text[k + len] == text[i + len] &&
                     file[k + len] == file[k] && file[i + len] == file[i]; len++) ;
                if (len >= min)
                    printf "%s:%d-%d %s:%d-%d %d lines\n", name[file[k]], place[k],
                        place[k + len - 1], name[file[i]], place[i], place[i + len - 1], len
            }
        }
    }' "$@"
}
# not_allowed: those of its input that the list does not have.
not_allowed() {
    allowed=$1 awk '
    BEGIN {
        n = split(ENVIRON["allowed"], line, "\n")
        for (i = 1; i <= n; i++)
            if (split(line[i], word, " ") == 3) most[word[1], word[2]] = word[3]
    }
    {
        split($1, a, ":")
        split($2, b, ":")
        if (!((a[1], b[1]) in most) || $3 > most[a[1], b[1]]) print
    }'
}

# The test sees what it is there to see, and no more: seven lines in two files, the second time
# between comments, with other blanks and braces; eight in one file; not six, nor seven that only
# overlap themselves, nor includes, nor what goes over the end of a file.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
lines() { for i in $(seq "$1" "$2"); do echo "    x$i = f($i, \"/* $i */\");"; done; }
{
    echo '/* a.c */'
    lines 1 7
    lines 100 105
    lines 200 203
} >"$tmp/a.c"
{
    lines 204 206
    for i in 1 2 3 4 5 6 7; do
        printf '/* a comment\n * x = 1; */ x%s   = f(%s,"/* %s */"); // and %s\n}\n' $i $i $i $i
    done
    for i in 1 2 3 4 5 6 7 8 9; do echo "#include \"$i.h\""; done
} >"$tmp/b.c"
{
    lines 200 206
    lines 300 307
    for i in 1 2 3 4 5 6 7 8 9 10; do echo '0,'; done
    lines 300 307
    lines 100 105
    for i in 1 2 3 4 5 6 7 8 9; do echo "#include \"$i.h\""; done
} >"$tmp/c.c"
found=$(repeats 7 "$tmp/a.c" "$tmp/b.c" "$tmp/c.c")
want="$tmp/a.c:2-8 $tmp/b.c:5-23 7 lines
$tmp/c.c:8-15 $tmp/c.c:26-33 8 lines"
left=$(echo "$found" | not_allowed "$tmp/a.c $tmp/b.c 7
$tmp/c.c $tmp/c.c 7")
if [ "$found" != "$want" ] || [ "$left" != "$(echo "$want" | tail -n 1)" ]; then
    echo "the test itself is wrong; it found:"
    echo "$found"
    exit 1
fi

# shellcheck disable=SC2046  # no blanks in our file names
found=$(repeats 7 $(find src \( -name '*.[ch]' -o -name '*.def' \) -not -name '*_tables.h' | sort) |
    not_allowed "$allowed")
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
