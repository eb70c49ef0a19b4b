# Log-probabilities in float32 and float16 have the same bits on every machine, so they can
# stand in a file; all other ways to ask for the same numbers must give them too.
"$GWEN" init -q --preset tiny --seed 7 --out "$T/model" || exit 1
score() { "$GWEN" score --model "$T/model" "$@"; }
cat >"$T/rows" <<'END'
{"ids":[1,5,7,9,11,13,500,2],"id":"whole"}
{"ids":[3]}
{"prompt_ids":[1,5,7],"completion_ids":[9,11,13,500,2],"id":4}
{"prompt_ids":[1,5,7],"ids":[9,12],"id":{"a":[1.5,null]},"meta":{}}
{"prompt_ids":[4],"completion_ids":[]}
{"prompt_ids":[1,5,7],"completion_ids":[511]}
END
score --dtype fp32 <"$T/rows" | tee "$T/fp32"
score --dtype fp16 <"$T/rows"
score --dtype fp32 --temp 0.5 <"$T/rows" | head -n 1

# Nothing of this changes a result.
for options in '--score-batch 1' '--score-batch 2' '--threads 1' '--threads 3' '--memory 1G'; do
    # shellcheck disable=SC2086
    score --dtype fp32 $options <"$T/rows" | cmp - "$T/fp32" || echo "$options"
done
tac "$T/rows" | score --dtype fp32 | tac | cmp - "$T/fp32"

# Many rows, long ones among them, shared prompts: native dtype too.  Plain C gets fewer.
rows=60 long=700
if [ "${GWEN_ISA:-}" = ref ]; then rows=9 long=130; fi
awk -v rows=$rows -v long=$long 'BEGIN {
    for (i = 0; i < rows; i++) {
        n = i % 7 == 0 ? long : 5 + i
        printf "{\"prompt_ids\":["
        for (t = 0; t < n; t++) printf "%s%d", t ? "," : "", (t * 31 + int(i / 4) * 7 + 1) % 512
        printf "],\"completion_ids\":[%d,%d,%d]}\n", i, 2 * i, 3 * i
    }
}' >"$T/many"
for dtype in auto fp32; do
    score --dtype $dtype <"$T/many" >"$T/all"
    [ "$(wc -l <"$T/all")" -eq $rows ] || exit 1
    for options in '--score-batch 1' '--score-batch 13 --threads 1'; do
        # shellcheck disable=SC2086
        score --dtype $dtype $options <"$T/many" | cmp - "$T/all" || echo "$dtype $options"
    done
done
score </dev/null
