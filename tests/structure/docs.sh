# docs.sh - README.md knows every command of the command line (their manual pages are made from the
# program: tests/cli/pages.sh), and the pages and places that pages point to are there.
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
# The test sees what it is there to see.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/docs"
echo '[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#the-end) [d](docs/a.md#an-end)' >"$tmp/README.md"
printf '%s\n' '## The end' '[e](../README.md) [f](README.md) [g](#the-end) [h](#nowhere)' >"$tmp/docs/a.md"
[ "$(dead "$tmp" | wc -l)" -eq 4 ] || complain "the test itself is wrong: $(dead "$tmp")"

found=$(dead .)
[ -z "$found" ] || complain "$found"
for page in docs/*.md; do
    grep -qF "($page" README.md || complain "README.md does not point to $page"
done
exit $status
