# headers_c.sh - every header compiles alone as C11; the public ones without a warning under
# -pedantic and without any feature macro.  (Headers of one instruction set need its
# flags; *_tables.h are generated parts of one file; *by_rows.h are made of the functions of the file
# that includes it.)
set -eu
warn="-Wall -Wextra -Wshadow -Wstrict-prototypes -Werror"
# public HEADER, internal HEADER
public() {
    # shellcheck disable=SC2086
    echo "#include \"$1\"" |
        "${CC:-gcc}" -std=c11 -pedantic $warn -Iinclude -I. -x c -fsyntax-only -
}
internal() {
    # shellcheck disable=SC2086
    echo "#include \"$1\"" | "${CC:-gcc}" -std=c11 -D_GNU_SOURCE $warn -Iinclude -Isrc -Isimd \
        -I. -x c -fsyntax-only -
}

# The test sees what it is there to see: a type that came by accident.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo 'size_t gw_f(int a);' >"$tmp/bad.h"
echo '#include <stddef.h>' | cat - "$tmp/bad.h" >"$tmp/good.h"
for kind in public internal; do
    if $kind "$tmp/bad.h" 2>/dev/null || ! $kind "$tmp/good.h"; then
        echo "the test itself is wrong"
        exit 1
    fi
done

status=0
for h in include/gwen/*.h; do
    public "$h" || status=1
done
for h in $(find src simd -name '*.h' -not -path 'simd/x86/*' -not -path 'simd/arm/*' \
    -not -name '*_tables.h' -not -name '*by_rows.h'); do
    internal "$h" || status=1
done
exit $status
