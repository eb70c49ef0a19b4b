# level: any
# Random weights: a seed's are always the same, and what is asked for is what is written.
"$GWEN" init --preset tiny --out "$T/a" 2>&1 | sed "s|$T/||"
"$GWEN" init -q --preset tiny --seed 0 --threads 2 --out "$T/b" &&
    "$GWEN" init -q --preset tiny --seed 1 --out "$T/c" || exit 1
cmp "$T/a/model.safetensors" "$T/b/model.safetensors" || exit 1
if cmp -s "$T/a/model.safetensors" "$T/c/model.safetensors"; then exit 1; fi
(cd "$T/a" && ls)
sum() { cksum <"$1/model.safetensors"; }
sum "$T/a"

# A configuration written is one that can be read.
"$GWEN" init -q --config "$T/a/config.json" --out "$T/d" || exit 1
cmp "$T/a/model.safetensors" "$T/d/model.safetensors" && cmp "$T/a/config.json" "$T/d/config.json" || exit 1

"$GWEN" init -q --preset tiny --dtype fp16 --out "$T/e" && sum "$T/e"
GWEN_DTYPE=float32 "$GWEN" init -q --preset tiny --out "$T/f" && sum "$T/f"

# With a tokenizer the tiny preset is as large as that.
tokenizer=${GWEN_SHARED:-../shared}/data/golden/stories260K-hf
if [ -d "$tokenizer" ]; then
    "$GWEN" init -q --preset tiny --tokenizer "$tokenizer" --out "$T/g" || exit 1
    cmp "$tokenizer/tokenizer.json" "$T/g/tokenizer.json" || exit 1
    echo '{"text":"Once"}' | "$GWEN" tokenize --model "$T/g" >"$T/out" && [ -s "$T/out" ] || exit 1
fi

run() {
    (cd "$T" && "$GWEN" init "$@") 2>&1
    echo "-> $?"
}
run --preset huge --out x
run --config missing.json --out x
echo '{"model_type": "gpt2"}' >"$T/gpt2.json"
run --config gpt2.json --out x
run --preset tiny --out a/config.json/x
run --preset tiny --tokenizer a --out x
