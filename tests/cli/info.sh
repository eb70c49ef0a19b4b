# What info says of the machine and of a model, for people and for programs.
"$GWEN" init -q --preset tiny --out "$T/model" || exit 1
number() { # key: its value in $T/json
    tr ',{}' '\n\n\n' <"$T/json" | sed -n "s/^\"$1\"://p" | head -n 1
}
"$GWEN" info --json --threads 2 --memory 1G >"$T/json" || exit 1
[ "$(wc -l <"$T/json")" -eq 1 ] || exit 1
for key in isa numeric_class threads budget_bytes plan weights kv scratch gradients optimizer total; do
    grep -q "\"$key\":" "$T/json" || { echo "no $key"; exit 1; }
done
[ "$(number threads)" = 2 ] && [ "$(number budget_bytes)" = 1073741824 ] || exit 1
[ -z "${GWEN_ISA:-}" ] || [ "$(number isa)" = "\"$GWEN_ISA\"" ] || exit 1
[ "$(number total)" = 0 ] || exit 1

"$GWEN" info --json --model "$T/model" >"$T/json" || exit 1
total=0
for part in weights kv scratch gradients optimizer; do total=$((total + $(number $part))); done
[ "$(number total)" = "$total" ] && [ "$(number weights)" -gt 2000000 ] || exit 1
[ "$(number fits)" = true ] && [ "$(number model_type)" = '"qwen3"' ] || exit 1
[ "$(number parameters)" = 1050240 ] || exit 1

# float32 and float16 results are the same everywhere, so their class has one name.
for dtype in fp32 fp16; do
    "$GWEN" info --json --dtype $dtype >"$T/json" && number numeric_class
done

# The advice, followed, makes the plan fit (with a little more: what the program itself holds, which
# counts too, is not the same each time).
"$GWEN" info --json --model "$T/model" --memory 16M >"$T/json" || exit 1
[ "$(number fits)" = false ] || exit 1
batch=$(grep -oE 'rollout-batch-size to [0-9]+' "$T/json" | grep -oE '[0-9]+$')
"$GWEN" info --json --model "$T/model" --memory 17M --rollout-batch-size "$batch" >"$T/json"
[ "$(number fits)" = true ] || exit 1

for word in processor cores threads 'instruction set' 'numeric class' 'huge pages' memory model weights KV total; do
    "$GWEN" info --model "$T/model" | grep -q "^ *$word" || { echo "no $word"; exit 1; }
done
"$GWEN" info -v 2>&1 >/dev/null | grep -cE '^(threads|kernels|memory budget): '
"$GWEN" info 2>&1 >/dev/null
