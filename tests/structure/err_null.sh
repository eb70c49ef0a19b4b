# err_null.sh - whoever passes NULL for an error gets the same: below cli only base/base.c and base.h
# look into a `struct gwen_err *` that came from a caller, or ask whether there is one.  Everything
# else hands it on, or reads an error of its own (gw_err_copy, gw_err_message).
# level: any
set -eu

# looks FILE...: file:line of code that looks at a caller's err; comments and strings apart.
looks() {
    "${CC:-gcc}" -fpreprocessed -dD -E -x c "$@" 2>/dev/null | awk '
        /^# [0-9]+ "/ { line = $2 - 1; file = $3; gsub(/"/, "", file); next }
        {
            line++
            code = $0
            gsub(/"([^"\\]|\\.)*"/, "\"\"", code)
            code = " " code " "
            bad = ""
            if (code ~ /[^A-Za-z0-9_]err *->/) bad = "a member of it"
            # an assignment to or from *err; a declaration has the type before it
            plain = code
            gsub(/struct gwen_err \**err/, "", plain)
            if (plain ~ /\*(\(|[a-z_]+->|[a-z_]+\.)*err\)* *=[^=]/ || plain ~ /= *\*(\(|[a-z_]+->)*err[^A-Za-z0-9_]/)
                bad = "the whole of it"
            if (plain ~ /[^A-Za-z0-9_>.]err *[!=]= *(NULL|0)[^A-Za-z0-9_]/ || plain ~ /(NULL|[^0-9A-Za-z_.]0) *[!=]= *err[^A-Za-z0-9_]/ ||
                plain ~ /! *err[^A-Za-z0-9_]/ || plain ~ /[^A-Za-z0-9_>.]err *(\?|&&|\|\|)/ ||
                plain ~ /(&&|\|\|) *err *[^A-Za-z0-9_ .(\[-]/ || plain ~ /(if|while) *\( *err *\)/)
                bad = "whether there is one"
            # under another name the rest would not be seen
            if (code ~ /[(,] *struct gwen_err \*+[a-z_]+ *[,)]/) {
                name = code
                sub(/.*struct gwen_err \*+/, "", name)
                sub(/[^a-z_].*/, "", name)
                if (name != "err") bad = "it is called " name
            }
            # const: what a function is told about, not where it writes
            if (bad != "" && code !~ /const struct gwen_err \*[a-z]+[,)]/) print file ":" line ": " bad ": " $0
        }'
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/bad.c" <<'EOC'
enum gwen_status a(struct gwen_err *err) { /* err->status, *err = x, err != NULL */
    struct gwen_err own, bad;
    if (f(err) != GWEN_OK) return err->status;                       /* 1 */
    if (err != NULL) g("err->status, *err = b, if (err == NULL)");   /* 2 */
    *err = bad;                                                      /* 3 */
    own = *err;                                                      /* 4 */
    return ok ? GWEN_OK : err ? 1 : 2;                               /* 5 */
}
void b(struct job *j, struct gwen_err *failure) {                    /* 6 */
    if (!err || NULL == err) return;                                 /* 7 */
    *j->err = own;                                                   /* 8 */
    if (k && err) return;                                            /* 9 */
    if (err) return;                                                 /* 10 */
    p->err = err; q.err = NULL; if (p->own_err->status) return; gw_err_copy(err, &bad);
    struct gwen_err *err = &bad; f(x, &err, err); g(bad.status, a * err_count);
}
EOC
found=$(looks "$tmp/bad.c")
lines=$(echo "$found" | sed 's/.*bad\.c:\([0-9]*\):.*/\1/' | tr '\n' ' ')
if [ "$lines" != '3 4 5 6 7 9 10 11 12 13 ' ]; then
    echo "the test itself is wrong; it found lines $lines: $found"
    exit 1
fi

# shellcheck disable=SC2046  # no blanks in our file names
found=$(looks $(find src simd -name '*.[ch]' -not -path 'src/cli/*' -not -path 'src/base/base.[ch]'))
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
