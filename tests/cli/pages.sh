# level: any
# Manual pages and completion are made from the tables: each option that -h lists of a command, or of
# a kind of it, is in its page and is completed.
pages=$T/pages
"${BASH:-bash}" scripts/pages.sh "$pages" "$GWEN" || exit 1
failed=0
complain() {
    echo "$*"
    failed=1
}
options_of() { "$GWEN" help "$@" | sed -nE 's/^  (-.,|   ) (--[A-Za-z0-9_-]+).*/\2/p'; }
commands=$("$GWEN" -h | sed -n '/^Commands/,/^$/ s/^  \([a-z]*\) .*/\1/p')
[ "$(echo "$commands" | wc -l)" -ge 17 ] || complain "commands: $commands"
for command in $commands; do
    page=$pages/man1/gwen-cpu-$command.1
    kinds=$("$GWEN" help "$command" | sed -n '/^Kinds/,/^$/ s/^  \([a-z]*\) .*/\1/p')
    # shellcheck disable=SC2086  # one word each
    for kind in '' $kinds; do
        options=$(options_of $command $kind)
        [ "$(echo "$options" | wc -l)" -ge 10 ] || complain "options of $command $kind: $options"
        for option in $options; do
            grep -qF -- "\\fB${option//-/\\-}\\fR" "$page" || complain "$page has no $option"
        done
    done
    grep -q "^\.BR gwen\\\\-cpu\\\\-$command (1)" "$pages/man1/gwen-cpu.1" || complain "no $command"
done
if command -v groff >/dev/null; then
    for page in "$pages"/man1/*.1; do
        groff -ww -man -Tutf8 "$page" 2>&1 >/dev/null | grep . && complain "groff warns of $page"
    done
fi

# complete WORD... : what Tab offers for the last word.
# shellcheck disable=SC1091
. "$pages/completions/gwen-cpu" || exit 1
complete_line() {
    COMP_WORDS=(gwen-cpu "$@")
    COMP_CWORD=$#
    _gwen_cpu
    printf '%s\n' "${COMPREPLY[@]}"
}
for command in $commands; do
    complete_line "" | grep -qx "$command" || complain "completion has no $command"
    for option in $(options_of "$command"); do
        [ "$command" = bench ] || complete_line "$command" --model X "$option" | grep -qx -- "$option" ||
            complain "completion has no $command $option"
    done
done
for kind in decode prefill rollout train judge gemm membw; do
    for option in $(options_of bench $kind); do
        complete_line bench $kind "$option" | grep -qx -- "$option" ||
            complain "completion has no bench $kind $option"
    done
done
cd "$T" && mkdir -p at/mod_dir && touch at/mod_file at/rows.jsonl || exit 1
show() { echo "$* -> $(complete_line "$@" | tr '\n' ' ')"; }
show t
show trai
show bench d
show bench decode --sep
show bench train --recompute ""
show info --dtype b
show info --dtype = f
show info --threads a
show rollout --model at/m
show rollout --prompts at/r
show rollout --prompts = at/r
show rollout --seed ""
show report at/m
show help tra
show help bench g
show help --ma
exit $failed
