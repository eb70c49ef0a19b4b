# tags.sh - one tag, one type.  What begins with gw_ or gwen_, and whatever a header defines, is one
# thing everywhere; tags without a prefix that a .c file keeps to itself may be like another file's.
set -eu

# twice ROOT: tags of struct, union and enum defined more than once under ROOT, with their places.
twice() {
    (cd "$1" && find src simd include -name '*.[ch]' -o -name '*.def' | sort | xargs awk '
    match($0, /(^|[^A-Za-z0-9_])(struct|union|enum) +[A-Za-z0-9_]+ *\{/) {
        tag = substr($0, RSTART, RLENGTH)
        sub(/^.*(struct|union|enum) +/, "", tag)
        sub(/ *\{?$/, "", tag)
        n[tag]++
        at[tag] = at[tag] " " FILENAME ":" FNR
        if (tag ~ /^gwe?n?_/ || FILENAME !~ /\.c$/) shared[tag] = 1
    }
    END {
        for (tag in n) if (n[tag] > 1 && tag in shared) print tag ":" at[tag]
    }' | sort)
}

# The test sees what it is there to see.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/src/a" "$tmp/src/b" "$tmp/simd" "$tmp/include/gwen"
cat >"$tmp/src/a/one.c" <<'E2'
struct gw_twice {
    int a;
};
static struct gw_once once(struct gw_once x) {
    return (struct gw_once){x.a};
}
struct own {
    struct own *next;
};
E2
cat >"$tmp/src/b/two.c" <<'E2'
struct own {
    int a;
};
typedef union gw_twice { /* another kind of type, the same name */
    int b;
} twice;
struct in_header {
    int a;
};
E2
echo 'enum in_header { IN_A, IN_B };' >"$tmp/src/b/two.h"
printf 'struct gw_once {\n    struct gw_inner { int x; } inner;\n};\n' >"$tmp/src/b/three.h"
echo 'enum gwen_kind { GWEN_A };' >"$tmp/simd/k.h"
echo 'struct gwen_kind { int a; };' >"$tmp/include/gwen/k.h"
echo 'struct gw_inner { int x; };' >"$tmp/src/a/four.h"
want='gw_inner: src/a/four.h:1 src/b/three.h:2
gw_twice: src/a/one.c:1 src/b/two.c:4
gwen_kind: include/gwen/k.h:1 simd/k.h:1
in_header: src/b/two.c:7 src/b/two.h:1'
found=$(twice "$tmp")
if [ "$found" != "$want" ]; then
    echo "the test itself is wrong; it found:"
    echo "$found"
    exit 1
fi

found=$(twice .)
if [ -n "$found" ]; then
    echo "defined more than once:"
    echo "$found"
    exit 1
fi
