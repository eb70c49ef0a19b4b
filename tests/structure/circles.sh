# circles.sh - files that cannot be linked without each other.  What owns a state lies below, what
# drives it above; so a file's objects call downwards, and a circle among them says that one file is
# roof and cellar at once.  Those that are recursive by nature are named.
set -eu
build=${BUILD:-build}
if [ -n "${SANITIZE:-}" ]; then
    echo "sanitizers add symbols of their own"
    exit 77
fi

# A circle is allowed if one line of this list has all its members; * matches within a folder.
# Of templates what evaluates: values print themselves, calls run statements, statements hold calls.
evaluator='attr call eval exec filters filters_seq filters_text format format_str functions iter json
    loop macro methods methods_split methods_str number ops print runtime select sort strftime tests
    text value'
allowed="
$(printf 'text/jinja/%s ' $evaluator)
"

# circles SOURCES OBJECTS ALLOWED: the circles among the objects of these two folders that no line of
# ALLOWED has, each as a line of its members and one line a call inside it.  An object whose source is
# gone does not count.
circles() {
    objects=$(find "$1" -name '*.c' | sed "s,^$1/,,; s,c\$,o," | sort)
    # shellcheck disable=SC2086  # no blanks in our file names
    (cd "$2" && nm -A -P -g $objects || echo "the objects cannot be read") | allowed=$3 awk '
    function visit(v, list, n, i, w, members) { # of Tarjan, over strings of neighbours
        index_of[v] = low[v] = ++seen
        stack[++depth] = v
        on_stack[v] = 1
        n = split(calls[v], list, " ")
        for (i = 1; i <= n; i++) {
            w = list[i]
            if (!(w in index_of)) {
                visit(w)
                if (low[w] < low[v]) low[v] = low[w]
            } else if (on_stack[w] && index_of[w] < low[v]) low[v] = index_of[w]
        }
        if (low[v] != index_of[v]) return
        members = ""
        do {
            w = stack[depth--]
            on_stack[w] = 0
            circle[w] = v
            members = members " " w
        } while (w != v)
        if (members != " " v) report(v, members)
    }
    function has(line, member, word, n, i) {
        n = split(line, word, " ")
        for (i = 1; i <= n; i++) {
            gsub(/\*/, "[^/]*", word[i])
            if (member ~ ("^" word[i] "$")) return 1
        }
        return 0
    }
    function report(name, members, line, n_lines, list, n, i, j) {
        n = split(members, list, " ")
        n_lines = split(ENVIRON["allowed"], line, "\n")
        for (i = 1; i <= n_lines; i++) {
            for (j = 1; j <= n && has(line[i], list[j]); j++) ;
            if (j > n) return
        }
        shown[name] = members
    }
    !/\.o: / { print; next }
    {
        file = $1
        sub(/\.o:$/, "", file)
        files[++n_files] = file
        if ($3 == "U") { user[++n_uses] = file; used[n_uses] = $2 }
        else owner[$2] = file
    }
    END {
        for (i = 1; i <= n_uses; i++) {
            to = owner[used[i]]
            if (to == "" || to == user[i] || (user[i], to) in why) continue
            why[user[i], to] = used[i]
            calls[user[i]] = calls[user[i]] " " to
        }
        for (i = 1; i <= n_files; i++) if (!(files[i] in index_of)) visit(files[i])
        for (name in shown) {
            print "circle:" shown[name]
            n = split(shown[name], member, " ")
            for (i = 1; i <= n; i++) {
                n_to = split(calls[member[i]], to_list, " ")
                for (j = 1; j <= n_to; j++)
                    if (circle[to_list[j]] == name)
                        print "    " member[i] " calls " to_list[j] ": " why[member[i], to_list[j]]
            }
        }
    }'
}

# The test sees what it is there to see: two circles, one through a third file and a variable, among
# files that only call downwards.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/room"
plant() {
    echo "$2" >"$tmp/$1.c"
    "${CC:-gcc}" -c -o "$tmp/$1.o" "$tmp/$1.c"
}
plant room/a 'int b(void); int a(void) { return b(); }'
plant room/b 'int a(void); static int c(void) { return 2; } int b(void) { return a() + c(); }'
plant top 'int a(void); int x(void); int c(void); int top(void) { return a() + x() + c(); }'
plant x 'int y(void); int x(void) { return y(); }'
plant y 'int z(void); int c(void); int y(void) { return z() + c(); }'
plant z 'int x(void); int (*const table[])(void) = { x }; int z(void) { return 1; }'
plant low 'int puts(const char *); int c(void) { return puts("c"); }'
echo 'not an object' >"$tmp/gone.o"
found=$(circles "$tmp" "$tmp" 'room/a
x y' | sort)
want='circle: z y x
circle: room/b room/a'
if [ "$(echo "$found" | grep '^circle')" != "$(echo "$want" | sort)" ] ||
    ! echo "$found" | grep -q 'x calls y: y' || ! echo "$found" | grep -q 'z calls x: x' ||
    echo "$found" | grep -qw -e low -e top || [ -n "$(circles "$tmp" "$tmp" 'room/a room/b z
y x z
room/*')" ]; then
    echo "the test itself is wrong; it found:"
    echo "$found"
    exit 1
fi

if [ ! -d "$build/obj/src" ]; then
    echo "no objects in $build/obj/src"
    exit 77
fi
found=$(circles src "$build/obj/src" "$allowed")
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
