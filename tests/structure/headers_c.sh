# headers_c.sh - every header compiles alone as C11; the public ones without a warning under
# -pedantic and without any feature macro.  (Headers of one instruction set need its
# flags; *_tables.h are generated parts of one file; *by_rows.h are made of the functions of the file
# that includes it.)
set -eu
status=0
warn="-Wall -Wextra -Wshadow -Wstrict-prototypes -Werror"
for h in include/gwen/*.h; do
    # shellcheck disable=SC2086
    echo "#include \"$h\"" |
        "${CC:-gcc}" -std=c11 -pedantic $warn -Iinclude -I. -x c -fsyntax-only - || status=1
done
for h in $(find src simd -name '*.h' -not -path 'simd/x86/*' -not -path 'simd/arm/*' \
    -not -name '*_tables.h' -not -name '*by_rows.h'); do
    # shellcheck disable=SC2086
    echo "#include \"$h\"" | "${CC:-gcc}" -std=c11 -D_GNU_SOURCE $warn -Iinclude -Isrc -Isimd \
        -I. -x c -fsyntax-only - || status=1
done
exit $status
