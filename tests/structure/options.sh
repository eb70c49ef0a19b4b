# options.sh - the library speaks of knobs (base/knob.h), the command line spells them: below cli no
# string literal has a -- followed by the name of one of the program's options.
# level: any
set -eu

# The program's options: from the tables of the command line, and from training's.
options=$({
    grep -rhoE 'GW_OPT_[A-Z0-9]+\("[A-Za-z0-9_-]+"' src/cli | sed 's/.*"\(.*\)"/\1/'
    sed -n 's/^[A-Z0-9]*(\([a-z0-9_]*\), *\(BOTH\|GRPO\|SFT\),.*/\1/p' src/service/train/options.def
} | sort -u)
for option in memory max-tokens rollout-batch-size resume optim per_device_train_batch_size; do
    echo "$options" | grep -qx "$option" || { echo "the test itself is wrong: no $option"; exit 1; }
done

# named FILE...: file of string literals that name an option, and which; comments are not looked at.
# Adjacent literals are one: an option may be broken over two lines.
named() {
    "${CC:-gcc}" -fpreprocessed -dD -E -x c "$@" 2>/dev/null | options=$options awk '
        BEGIN {
            n = split(ENVIRON["options"], list, "\n")
            for (i = 1; i <= n; i++) is[norm(list[i])] = 1
        }
        function norm(s) { gsub(/_/, "-", s); return s }
        # What is open at the end of a line goes on in the next one.
        function look(text, literal, rest, word) {
            gsub(/"[ \t\n]+"/, "", text)
            while (match(text, /"([^"\\\n]|\\.)*"/)) {
                literal = rest = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
                while (match(rest, /--[A-Za-z][A-Za-z0-9_-]*/)) {
                    word = substr(rest, RSTART + 2, RLENGTH - 2)
                    rest = substr(rest, RSTART + RLENGTH)
                    if (norm(word) in is) print file ": --" word " in " literal
                }
            }
        }
        /^# [0-9]+ "/ { next_file = $3; gsub(/"/, "", next_file)
                        if (next_file != file) { look(text); text = ""; file = next_file } next }
        { text = text $0 "\n" }
        # All of a statement is there: nothing is left open.
        /[;{}][ \t]*$/ && !/"[ \t]*$/ { look(text); text = "" }
        END { look(text) }'
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/bad.c" <<'EOC'
/* "--memory" in a comment */
const char *a = "lower --max-tokens to 7";    /* 1 */
const char *b = "an escaped \" and --per-device_train_batch_size"; /* 2 */
const char *c = "use --"
                "resume"; // 3: "--optim"
const char *d = "--c0:#fff; hf download --revision v2; -memory; a--b; -- memory";
EOC
found=$(named "$tmp/bad.c")
if [ "$(echo "$found" | grep -c .)" -ne 3 ] || ! echo "$found" | grep -q -- '--max-tokens in' ||
    ! echo "$found" | grep -q -- '--per-device' || ! echo "$found" | grep -q -- '--resume'; then
    echo "the test itself is wrong; it found: $found"
    exit 1
fi

# A profile's key is hashed as it is (service/tune/profile.c): it is no message.
# shellcheck disable=SC2046  # no blanks in our file names
found=$(named $(find src simd include -name '*.[ch]' -not -path 'src/cli/*' | sort) |
    grep -v '^src/service/tune/profile.c: --threads in "; --threads %zu; ' || true)
if [ -n "$found" ]; then
    echo "$found"
    echo "name a knob there: base/knob.h"
    exit 1
fi

# And cli spells every knob, with options that there are.
status=0
for knob in $(sed -n 's/^GW_KNOB(\([A-Z_]*\),.*/\1/p' src/base/knobs.def); do
    grep -q "{GW_KNOB_$knob, {\"--" src/cli/knobs.c || { echo "src/cli/knobs.c has no $knob"; status=1; }
done
for option in $(sed -n 's/^ *{GW_KNOB_[A-Z_]*, {\(.*\)}},*$/\1/p' src/cli/knobs.c | tr -d '",'); do
    echo "$options" | grep -qx -- "${option#--}" || { echo "$option is no option"; status=1; }
done
exit $status
