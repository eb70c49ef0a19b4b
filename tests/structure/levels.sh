# levels.sh - a unit test that computes with kernels asks which level it is run at, and is then run at
# every one; or it says that its level is none of its business.
set -eu

# deaf FILE...: those that load a model or take the table of kernels and ask for no level.
deaf() {
    # shellcheck disable=SC2046  # no blanks in our file names
    grep -lE 'gw_model_load *\(|gwen_kernels_init *\(|gwen_model_open *\(' "$@" |
        while read -r f; do grep -qE '(scratch_isa|test_level) *\(|getenv\("GWEN_ISA"\)' "$f" || echo "$f"; done
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo 'gw_model_load(dir, &(struct gw_model_opts){.isa_cap = gwen_isa_detect()});' >"$tmp/deaf.c"
echo 'gwen_kernels_init(&kern, test_level());' >"$tmp/asks.c"
echo 'gw_json_parse(text, len, name, &doc, &err);' >"$tmp/other.c"
if [ "$(deaf "$tmp/deaf.c" "$tmp/asks.c" "$tmp/other.c")" != "$tmp/deaf.c" ]; then
    echo "the test itself is wrong"
    exit 1
fi

status=0
tests=$(find tests/unit -name 'test_*.c')
# shellcheck disable=SC2086
found=$(deaf $tests)
if [ -n "$found" ]; then
    echo "these compute, but ask for no level (scratch_isa, test_level):"
    echo "$found"
    status=1
fi
listed=$(env -u MAKEFLAGS -u MAKELEVEL "${MAKE:-make}" -s --no-print-directory GW_DEPS_CHECKED=1 list-lower |
    tr ' ' '\n')
# shellcheck disable=SC2086
for f in $(grep -lE '(scratch_isa|test_level) *\(|getenv\("GWEN_ISA"\)' $tests); do
    name=${f#tests/}
    if grep -qE '^( \*|/\*) level: any' "$f"; then
        if echo "$listed" | grep -qxF "${name%.c}"; then
            echo "$f says \"level: any\", but is run at all"
            status=1
        fi
    elif ! echo "$listed" | grep -qxF "${name%.c}"; then
        echo "$f asks for its level, but is not run at all of them"
        status=1
    fi
done
exit $status
