# docs.sh - README.md knows every command of the command line (their manual pages are made from the
# program: tests/cli/pages.sh); the pages and places that pages point to are there; so are the files
# that ARCHITECTURE.md sends its reader to, and it has an item for each folder.
set -eu
status=0
complain() {
    echo "$1"
    status=1
}
commands=$(sed -n 's/^GW_COMMAND(\([a-z]*\),.*/\1/p' src/cli/commands.def)
[ -n "$commands" ]
for command in $commands; do
    grep -q "^| \`$command\` |" README.md || complain "README.md does not have $command"
done
# And no others.
for command in $(sed -n 's/^| `\([a-z]*\)` |.*/\1/p' README.md); do
    echo "$commands" | grep -qx "$command" || complain "README.md has $command, which is no command"
done
# Prose is appended to the page of a command that there is.
for prose in man/*.roff; do
    name=$(basename "$prose" .roff)
    echo "gwen-cpu command $commands" | tr ' ' '\n' | grep -qx "$name" ||
        complain "$prose belongs to no command"
done

# places PAGE: what its headings are called in links.
places() {
    sed -nE 's/^#+ (.*)/\1/p' "$1" | tr 'A-Z' 'a-z' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}
# dead FOLDER: links in the pages of FOLDER and its docs/ to what is not there.
dead() {
    for page in "$1"/*.md "$1"/docs/*.md; do
        [ -e "$page" ] || continue
        for target in $(grep -oE '\]\([^):]+\)' "$page" | tr -d ']()'); do
            file=${target%%#*} place=${target#*#}
            [ -n "$file" ] && file=$(dirname "$page")/$file || file=$page
            if [ ! -e "$file" ]; then
                echo "$page points to $target, which is not there"
            elif [ "$place" != "$target" ] && ! places "$file" | grep -qxF -e "$place"; then
                echo "$page points to $target, but has no such heading"
            fi
        done
    done
}
# lost PAGE ROOT: files and folders in `backquotes` of PAGE that ROOT does not have.  A name may be
# written from ROOT, src or simd on; in an item that begins with a folder's name in bold, from there
# on, too.  Of other pages than ARCHITECTURE.md only whole paths count.  Last the folders of src and
# simd that have no item.
lost() {
    found=$(find "$2" -path "$2/src*" -o -path "$2/simd*" | sed "s#^$2/##")
    { echo "$found" | sed 's/^/in /' && cat "$1"; } | awk -v root="$2" -v page="$1" '
    BEGIN { map = page ~ /ARCHITECTURE/ }
    function there(path) {
        sub(/\/$/, "", path)
        if (path in has) return 1
        if (index(path, "*")) return system("cd " root " && ls " path " >/dev/null 2>&1") == 0
        return system("test -e " root "/" path) == 0
    }
    /^in / {
        has[substr($0, 4)] = 1
        next
    }
    /^#|^$/ { folder = "" }
    /^\* / { folder = "" }
    /^\* \*\*[a-z\/]+\/\*\* / {
        folder = $2
        gsub(/\*/, "", folder)
        said["src/" folder] = said[folder] = 1
        if (!there("src/" folder) && !there(folder)) print page ": " NR ": " folder
    }
    !/^    / {
        n = split($0, part, "`")
        for (i = 2; i <= n; i += 2) {
            name = part[i]
            if (name !~ /^[A-Za-z0-9_*\/.-]+(\/|\.(c|h|def|sh|md|roff))$/) continue
            if (name ~ /NAME|^impl\.h$/) continue
            if (!map && name !~ /^(src|simd|include|tests|bench|perf|scripts|mk)\//) continue
            if (!there(name) && !there("src/" name) && !there("simd/" name) &&
                !(folder != "" && (there("src/" folder name) || there(folder name))))
                print page ": " name
        }
    }
    END {
        if (map)
            for (path in has)
                if (path ~ /^(src|simd)\// && path ~ /\.[ch]$/) {
                    sub(/[^\/]*$/, "", path)
                    if (path !~ /^simd\/./ && !(path in said)) {
                        said[path] = 1
                        print page " has no item for " path
                    }
                }
    }'
}

# The test sees what it is there to see.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/docs"
echo '[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#the-end) [d](docs/a.md#an-end)' >"$tmp/README.md"
printf '%s\n' '## The end' '[e](../README.md) [f](README.md) [g](#the-end) [h](#nowhere)' >"$tmp/docs/a.md"
[ "$(dead "$tmp" | wc -l)" -eq 4 ] || complain "the test itself is wrong: $(dead "$tmp")"
mkdir -p "$tmp/src/room/inner"
touch "$tmp/src/room/a.c" "$tmp/src/room/inner/b.c"
printf '%s\n' '`src/room/a.c`, `room/inner/`, `a.c`, `src/room/b.c`, `err.knobs`' '' \
    '* **room/** `a.c`, `inner/b.c`, `c.c`,' '  `b.c`' '' '`room/*.c`, `room/*.h`' \
    >"$tmp/ARCHITECTURE.md"
want='a.c src/room/b.c c.c b.c room/*.h src/room/inner/ '
seen=$(lost "$tmp/ARCHITECTURE.md" "$tmp" | sed 's/.* //' | tr '\n' ' ')
[ "$seen" = "$want" ] || complain "the test itself is wrong; what it finds lost: $seen"

found=$(dead .)
[ -z "$found" ] || complain "$found"
for page in ARCHITECTURE.md CONTRIBUTING.md docs/*.md; do
    found=$(lost "$page" .)
    [ -z "$found" ] || complain "names that are not there: $found"
done
for page in docs/*.md; do
    grep -qF "($page" README.md || complain "README.md does not point to $page"
done
exit $status
