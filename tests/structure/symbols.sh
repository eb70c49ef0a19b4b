# symbols.sh - the built libraries: exactly the functions that the public headers declare are
# visible; nothing that prints, exits or reads the environment is called; no variable is left that
# could change, so two users in one process do not meet.
set -eu
build=${BUILD:-build}
if [ -n "${SANITIZE:-}" ]; then
    echo "sanitizers add symbols of their own"
    exit 77
fi
[ -e "$build/libgwen.so" ] && [ -e "$build/libgwen.a" ]
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

cat include/gwen/*.h | tr '\n' ' ' | grep -oE 'GWEN_API[^;]*;' |
    grep -oE 'gwen_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >"$tmp/declared"
[ -s "$tmp/declared" ]
nm -D --defined-only "$build/libgwen.so" | awk '$2 != "A" { print $3 }' | sort -u >"$tmp/so"
nm -g --defined-only "$build/libgwen.a" | awk 'NF == 3 { print $3 }' | sort -u >"$tmp/a"
for lib in so a; do
    if ! diff "$tmp/declared" "$tmp/$lib" >"$tmp/diff"; then
        echo "libgwen.$lib does not export what the headers declare (< declared, > exported):"
        cat "$tmp/diff"
        status=1
    fi
done
if ! readelf -d "$build/libgwen.so" | grep -q 'SONAME.*\[libgwen\.so\.0\]'; then
    echo "libgwen.so has not the soname libgwen.so.0"
    status=1
fi

# Calls that the sources may hide behind a macro.  fprintf to a file is no crime.
banned='^(exit|_exit|_Exit|quick_exit|abort|(__)?v?printf(_chk)?|puts|putchar|perror|stdout|stderr'
banned="$banned|(secure_)?getenv|setenv|putenv|unsetenv|(__)?v?sprintf(_chk)?|(__)?str(cpy|cat)(_chk)?"
banned="$banned|gets|signal|sigaction|system|popen|s?rand(om)?|drand48|setlocale|localtime|gmtime"
banned="$banned|ctime|asctime|strerror"
banned="$banned|strtok|__assert_fail)\$"
used=$(nm -u "$build/libgwen.a" | awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' | sort -u |
    grep -E "$banned" || true)
if [ -n "$used" ]; then
    echo "the library calls: $used"
    status=1
fi

# Writable data of our own: symbols in .data and .bss (constant tables of pointers are in
# .data.rel.ro), those of the C runtime's start files aside.
readelf -SW "$build/libgwen.so" | sed -nE 's/^ *\[ *([0-9]+)\] (\.t?data|\.t?bss) .*/\1/p' >"$tmp/sections"
state=$(readelf -sW "$build/libgwen.so" | awk -v list="$(tr '\n' ' ' <"$tmp/sections")" '
    BEGIN { n = split(list, s, " "); for (i = 1; i <= n; i++) writable[s[i]] = 1 }
    ($4 == "OBJECT" || $4 == "TLS") && ($7 in writable) && $8 !~ /^(completed\.[0-9]+|__dso_handle|__TMC_END__)$/ { print $8 }' |
    sort -u)
if [ -n "$state" ]; then
    echo "the library has variables that can change: $state"
    status=1
fi
exit $status
