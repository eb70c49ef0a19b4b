# banned.sh - functions that have no place: unbounded string functions anywhere; in the library
# whatever prints, exits, reads the environment or touches what belongs to the whole process.
set -eu

everywhere='gets|sprintf|vsprintf|strcpy|strcat|strtok|atoi|atol|atof|alloca|tmpnam|mktemp|tempnam'
library='getenv|secure_getenv|setenv|putenv|unsetenv|exit|_exit|quick_exit|abort|printf|vprintf'
library="$library|puts|putchar|perror|signal|sigaction|system|popen|rand|srand|setlocale|chdir"
library="$library|localtime|gmtime|ctime|asctime|strerror|random|srandom|drand48|assert"

# calls REGEX FILE...: file:line of calls, comments and strings apart
calls() {
    regex=$1
    shift
    "${CC:-gcc}" -fpreprocessed -dD -E -x c "$@" 2>/dev/null | awk -v re="$regex" '
        /^# [0-9]+ "/ { line = $2 - 1; file = $3; gsub(/"/, "", file); next }
        {
            line++
            gsub(/"([^"\\]|\\.)*"/, "\"\"")
            if (" " $0 ~ "[^A-Za-z0-9_>.](" re ")[ \t]*\\(") print file ":" line ": " $0
            else if (re ~ /printf\|vprintf/ && " " $0 " " ~ /[^A-Za-z0-9_](stdout|stderr)[^A-Za-z0-9_]/)
                print file ":" line ": " $0
        }'
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/bad.c" <<'EOF'
/* printf("in a comment") */
const char *s = "exit(1)";
void f(char *p) {
    sprintf(p, "x");
    my_exit(1), t.exit(2), snprintf(p, 1, "y");
    fprintf(stderr, "%s", getenv ("X"));
}
EOF
found=$(calls "$everywhere" "$tmp/bad.c" && calls "$library" "$tmp/bad.c")
if [ "$(echo "$found" | grep -c .)" -ne 2 ] || ! echo "$found" | grep -q 'bad.c:4:.*sprintf' ||
    ! echo "$found" | grep -q 'bad.c:6:.*getenv'; then
    echo "the test itself is wrong; it found: $found"
    exit 1
fi

files() { find src simd \( -name '*.[ch]' -o -name '*.def' \) "$@"; }
# shellcheck disable=SC2046  # no blanks in our file names
found=$(calls "$everywhere" $(files) && calls "$library" $(files -not -path 'src/cli/*'))
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
