#!/bin/bash
# pages.sh OUT GWEN... - writes the manual pages and the completion script, all of which the program
# itself prints from its tables of options, into OUT; GWEN is the program, with one before it that
# runs it where need be.  The prose of man/ is appended: that of COMMAND.roff, and command.roff to
# each command's page.
set -euo pipefail
out=$1
shift
unset RUBRIC_JUDGE_BATCH_SIZE # it is a default that help tells
rm -rf "$out"
mkdir -p "$out/man1" "$out/completions"
"$@" help --man | cat - man/gwen-cpu.roff >"$out/man1/gwen-cpu.1"
for command in $(sed -n 's/^GW_COMMAND(\([a-z]*\),.*/\1/p' src/cli/commands.def); do
    prose=man/$command.roff
    [ -e "$prose" ] || prose=/dev/null
    "$@" help --man "$command" | cat - "$prose" man/command.roff >"$out/man1/gwen-cpu-$command.1"
done
"$@" help --completion bash >"$out/completions/gwen-cpu"
