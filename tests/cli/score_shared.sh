# Rows of the shared golden models give the reference's log-probabilities, in float32 nearly all
# digits of them, and in the 16-bit types what these can do.
models=${GWEN_SHARED:-../shared}/data/golden/models
[ -d "$models" ] || { echo "no golden models at $models"; exit 77; }
for dir in "$models"/*/; do
    file=$dir/golden.safetensors
    length=$(od -An -t u8 -N 8 "$file" | tr -d ' ')
    head -c $((8 + length)) "$file" | tail -c "$length" >"$T/header"
    tensor() { # name, od's type: the numbers of a tensor, one to a line
        range=$(grep -oE "\"$1\":\{[^}]*\}" "$T/header" |
            sed -E 's/.*"data_offsets": *\[ *([0-9]+) *, *([0-9]+) *\].*/\1 \2/')
        # shellcheck disable=SC2086
        set -- $range "$2"
        od -An -v -w4 -t "$3" -j $((8 + length + $1)) -N $(($2 - $1)) "$file" | tr -d ' '
    }
    tensor lengths d4 >"$T/lengths"
    tensor prompt_ids d4 >"$T/ids"
    tensor logprobs f4 >"$T/logprobs"
    # One row of ids for each sequence, and the log-probabilities that belong to it.
    awk -v rows="$T/rows" -v wanted="$T/wanted" '
        FILENAME ~ /lengths$/ { len[n++] = $1; next }
        FILENAME ~ /ids$/ { id[ids++] = $1; next }
        { lp[lps++] = $1 }
        END {
            width = ids / n
            for (i = 0; i < n; i++) {
                row = want = ""
                for (t = 0; t < len[i]; t++) {
                    row = row (t ? "," : "") id[i * width + t]
                    if (t) want = want (t > 1 ? "," : "") lp[i * width + t]
                }
                print "{\"ids\":[" row "]}" >rows
                print want >wanted
            }
        }' "$T/lengths" "$T/ids" "$T/logprobs"
    for pair in fp32:1e-4 fp16:0.1 bf16:1; do
        dtype=${pair%:*}
        "$GWEN" score --model "$dir" --dtype "$dtype" <"$T/rows" |
            sed 's/.*\[\(.*\)\].*/\1/' >"$T/got" || exit 1
        paste -d'|' "$T/got" "$T/wanted" | awk -F'|' -v most="${pair#*:}" '
            {
                n = split($1, got, ","); m = split($2, want, ",")
                if (n != m) { print "row " NR ": " n " values instead of " m; exit 1 }
                for (i = 1; i <= n; i++) {
                    d = got[i] - want[i]
                    if (d < 0) d = -d
                    if (!(d <= most)) { print "row " NR " token " i ": " got[i] ", " want[i]; exit 1 }
                    values++
                }
            }
            END { if (!values) exit 1 }' || { echo "$dir $dtype"; exit 1; }
    done
done
