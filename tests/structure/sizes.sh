# sizes.sh - what can be taken in at once: functions of 80 lines and ten parameters, structs of 40
# members, files of 600 lines, folders of 45 files and 6,500 lines.  What is longer has parts, and
# parts have names.  It reads code as clang-format leaves it: what stands in column 0 is outside of
# every function.
set -eu

# Made from a table: its members are the options of options.def, each read by that name.
tables='
src/service/train/config.h: struct gw_train_config has more than 40 members
'
# too_big ROOT: what is over a limit under ROOT/src, each as "file: what: how much".  Templates (jinja)
# are a language of their own, with as many parts as it has; tables are not read from top to bottom.
too_big() {
    (cd "$1" && find src -name '*.[ch]' | sort | xargs awk '
    function report(what, amount) { print file ": " what ": " amount }
    function finish_file(folder) {
        if (file == "" || file ~ /_tables\.h$/) return
        if (lines > 600) report("more than 600 lines", lines)
        folder = file
        sub(/\/[^\/]*$/, "", folder)
        n_files[folder]++
        n_lines[folder] += lines
    }
    function last_of(text, n, word) {
        n = split(text, word, /[^A-Za-z0-9_]+/)
        while (n > 0 && word[n] == "") n--
        return word[n]
    }
    # Of "type name(parameters) ...": the name, and how many parameters there are.
    function count_parameters(head, open, depth, n, i, c) {
        open = index(head, "(")
        name = last_of(substr(head, 1, open - 1))
        n = 1
        for (i = open; i <= length(head); i++) {
            c = substr(head, i, 1)
            if (c == "(") depth++
            else if (c == ")") { if (--depth == 0) break }
            else if (c == "," && depth == 1) n++
        }
        if (n > 10 && !((file, name) in told)) {
            told[file, name]
            report(name " has more than 10 parameters", n)
        }
    }
    # Members that a declaration has: names between commas.
    function count_members(text) {
        gsub(/\([^()]*\)/, "", text)
        gsub(/\[[^]]*\]/, "", text)
        return gsub(/,/, "", text) + 1
    }
    FNR == 1 {
        finish_file()
        file = FILENAME
        head = member = ""
        inside = depth = comment = 0
    }
    {
        lines = FNR
        line = $0
        gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
        gsub(/\/\*([^*]|\*[^\/])*\*\//, "", line)
        if (comment) {
            if (line !~ /\*\//) next
            sub(/^.*\*\//, "", line)
            comment = 0
        }
        if (line ~ /\/\*/) {
            sub(/\/\*.*$/, "", line)
            comment = 1
        }
        sub(/[ \t]+$/, "", line)
        if (line ~ /^#/ || line ~ /\\$/ || macro) { # directives and what they go on with
            macro = line ~ /\\$/
            next
        }
    }
    inside { # a function
        if ($0 ~ /^}/) {
            if (name != "" && FNR - first + 1 > 80) report(name " has more than 80 lines", FNR - first + 1)
            inside = 0
        }
        next
    }
    depth > 0 || line ~ /^(typedef )?(struct|union)( [A-Za-z0-9_]+)? \{/ { # a struct, and what is in it
        if (line ~ /(struct|union)( [A-Za-z0-9_]+)? \{/) {
            depth++
            members[depth] = 0
            tag[depth] = line
            sub(/ *\{.*$/, "", tag[depth])
            sub(/^ *(typedef )?(static )?(const )?/, "", tag[depth])
            sub(/^[^{]*\{/, "", line)
        } else if (line ~ /\{/) { # an enum inside
            depth++
            members[depth] = 0
            tag[depth] = "enum"
            next
        }
        while (match(line, /[;}]/)) {
            c = substr(line, RSTART, 1)
            member = member substr(line, 1, RSTART - 1)
            line = substr(line, RSTART + 1)
            if (c == ";") {
                if (tag[depth] != "enum") members[depth] += count_members(member)
                member = ""
                continue
            }
            member = ""
            if (members[depth] > 40) report(tag[depth] " has more than 40 members", members[depth])
            depth--
            if (depth > 0 && line ~ /^;/ && tag[depth + 1] != "enum") {
                members[depth] += members[depth + 1] # without a name: its members are the outer one'"'"'s
                sub(/^;/, "", line)
            }
            if (depth == 0) next
        }
        member = member line
        next
    }
    {
        if (head == "" && line !~ /^[A-Za-z_]/) next
        if (head == "") first = FNR
        head = head " " line
        if (line !~ /[;{}]$/) next
        if (head ~ /^[^=]*\(.*\) *(\{.*|;)$/) {
            count_parameters(head)
            inside = line ~ /\{$/
        } else inside = line ~ /\{$/ # an initializer or an enum
        if (inside && head !~ /\)[^=]*\{$/) name = "" # a table may be long
        head = ""
    }
    END {
        finish_file()
        for (f in n_files) {
            if (f ~ /text\/jinja/) continue
            if (n_files[f] > 45) print f ": more than 45 files: " n_files[f]
            if (n_lines[f] > 6500) print f ": more than 6500 lines: " n_lines[f]
        }
    }' | sort)
}
# The test sees what it is there to see: each limit passed by one, and what just keeps it.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/src/many" "$tmp/src/long" "$tmp/src/text/jinja" "$tmp/src/one"
lines() { # lines N TEXT: TEXT, N times
    i=0
    while [ $i -lt "$1" ]; do
        echo "$2"
        i=$((i + 1))
    done
}
ten='int a, int b, int c, int d, int e, int f, int g, void (*h)(int, int), int i'
{
    printf 'static void fits(void) {\n%s\n}\n' "$(lines 78 '    x();')"
    printf 'static void exceeds(int a,\n    int b) {\n%s\n}\n' "$(lines 78 '    x();')"
    printf 'static const int table[] = {\n%s\n};\n' "$(lines 90 '    1,')"
} >"$tmp/src/one/lines.c"
{
    printf 'int ten(%s,\n        int j /* (0, 1) */);\n' "$ten"
    printf 'int eleven(%s,\n           int j, int k);\n' "$ten"
    printf 'static int long_head(%s, int j,\n                     int k) {\n    return 1;\n}\n' "$ten"
    printf 'static int once(%s, int j, int k) { return 1; }\n' "$ten"
} >"$tmp/src/one/parameters.h"
{
    printf 'struct forty {\n%s\n    enum { A, B } kind;\n' "$(lines 19 '    int *a[3], b; /* c; d; e */')"
    printf '    struct {\n%s\n    } inner;\n};\n' "$(lines 40 '        int a;')"
    printf 'struct more {\n%s\n' "$(lines 20 '    int a, (*b)(int, int);')"
    printf '    union {\n        int c;\n    };\n};\n'
    printf 'struct outer {\n    struct gw_inner {\n%s\n    } inner;\n};\n' "$(lines 41 '        int a;')"
} >"$tmp/src/one/members.h"
lines 600 'int x;' >"$tmp/src/one/short.c"
lines 601 'int x;' >"$tmp/src/one/long.c"
lines 601 'int x;' >"$tmp/src/one/long_tables.h"
for i in $(seq 46); do
    echo 'int x;' >"$tmp/src/many/$i.c"
    echo 'int x;' >"$tmp/src/text/jinja/$i.c"
done
for i in 1 2 3 4 5 6 7 8 9 10; do lines 600 'int x;' >"$tmp/src/long/$i.c"; done
lines 501 'int x;' >"$tmp/src/long/11.c"
want='src/long: more than 6500 lines: 6501
src/many: more than 45 files: 46
src/one/lines.c: exceeds has more than 80 lines: 81
src/one/long.c: more than 600 lines: 601
src/one/members.h: struct gw_inner has more than 40 members: 41
src/one/members.h: struct more has more than 40 members: 41
src/one/parameters.h: eleven has more than 10 parameters: 11
src/one/parameters.h: long_head has more than 10 parameters: 11
src/one/parameters.h: once has more than 10 parameters: 11'
found=$(too_big "$tmp")
if [ "$found" != "$want" ]; then
    echo "the test itself is wrong; it found:"
    echo "$found"
    exit 1
fi

found=$(too_big . | while read -r line; do
    case "$tables" in
        *"
${line%: *}
"*) ;;
        *) echo "$line" ;;
    esac
done)
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
