# In float32 and float16 every instruction set gives the same file, the reference included.
# level: any
unset GWEN_ISA
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 4 --out "$T/model" ||
    exit 1
for i in 1 2 3; do echo "{\"prompt\": \"Prompt number $i\"}"; done >"$T/prompts.jsonl"
for dtype in fp32 fp16; do
    for isa in ref avx2 avx512 neon neonfp16 ''; do
        GWEN_ISA=$isa "$GWEN" rollout -q --model "$T/model" --prompts "$T/prompts.jsonl" --groups 4 \
            --max-tokens 24 --dtype $dtype --out "$T/$dtype-$isa" 2>"$T/err" || {
            grep -q GWEN_ISA "$T/err" && continue # another processor's
            cat "$T/err"
            exit 1
        }
        cmp "$T/$dtype-ref" "$T/$dtype-$isa" || exit 1
    done
done
[ "$(ls "$T" | grep -c '^fp')" -ge 4 ]
