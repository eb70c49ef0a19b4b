# sources.sh - habits that a reader relies on: every file says what it is, none is endless, nothing
# is left half done.
set -eu
status=0
complain() {
    echo "$1"
    status=1
}
files=$(find src simd include tests $(ls -d bench examples 2>/dev/null) \( -name fixtures -o -name corpus \) -prune -o \
    \( -name '*.[ch]' -o -name '*.def' \) -print)
# shellcheck disable=SC2086  # no blanks in our file names
bad=$(awk '
    function finish() {
        if (lines > 1000 && file !~ /_tables\.h$/) print file ": " lines " lines; split it by meaning"
    }
    FNR == 1 {
        finish()
        file = FILENAME
        if ($0 !~ /^\/\* /) print file ": does not begin with a comment that says what it is"
    }
    { lines = FNR }
    END { finish() }' $files)
[ -z "$bad" ] || complain "$bad"
# shellcheck disable=SC2086
{
    if grep -nE '^[ \t]*#[ \t]*if[ \t]+0' $files; then complain "dead code"; fi
    if grep -nwE 'TODO|FIXME|XXX' $files; then complain "unfinished work"; fi
    if grep -nP '\t' $files; then complain "tabs"; fi
    if grep -nP '[ \t]+$' $files; then complain "blanks at the end of a line"; fi
    if LC_ALL=C.UTF-8 grep -nE '^.{101,}' $files; then complain "lines over 100 columns"; fi
}
if grep -nE -- '-march=native|-ffast-math|-Ofast' Makefile mk/*.mk simd/*.mk 2>/dev/null; then
    complain "flags that change results"
fi
exit $status
