# docs.sh - the manual page and README.md know every command of the command line, and the pages
# that README.md points to are there.
set -eu
status=0
complain() {
    echo "$1"
    status=1
}
commands=$(sed -n 's/^GW_COMMAND(\([a-z]*\),.*/\1/p' src/cli/commands.def)
[ -n "$commands" ]
for command in $commands; do
    grep -qx "\.B $command" man/gwen-cpu.1 || complain "man/gwen-cpu.1 does not have $command"
    grep -q "^| \`$command\` |" README.md || complain "README.md does not have $command"
done
# And no others.
for command in $(sed -n 's/^| `\([a-z]*\)` |.*/\1/p' README.md); do
    echo "$commands" | grep -qx "$command" || complain "README.md has $command, which is no command"
done
for page in README.md ARCHITECTURE.md CONTRIBUTING.md; do
    for target in $(grep -oE '\]\([^):]+\)' $page | tr -d ']()'); do
        [ -e "$target" ] || complain "$page points to $target, which is not there"
    done
done
exit $status
