# --logits: a safetensors file of float32, the same however the rows are taken together.
"$GWEN" init -q --preset tiny --seed 7 --out "$T/model" || exit 1
score() { "$GWEN" score --model "$T/model" --dtype fp32 "$@"; }
cat >"$T/rows" <<'END'
{"ids":[1,5,7,9]}
{"ids":[3]}
{"prompt_ids":[1,5],"completion_ids":[7,9]}
{"prompt_ids":[4],"completion_ids":[]}
END
score --logits "$T/a.safetensors" <"$T/rows" >"$T/out" || exit 1
score <"$T/rows" | cmp - "$T/out" || exit 1
score --logits "$T/b.safetensors" --score-batch 1 --threads 1 <"$T/rows" | cmp - "$T/out" || exit 1
cmp "$T/a.safetensors" "$T/b.safetensors" || exit 1
length=$(od -An -t u8 -N 8 "$T/a.safetensors" | tr -d ' ')
head -c $((8 + length)) "$T/a.safetensors" | tail -c "$length" | sed 's/ *$//'
echo

# Rows 0 and 2 hold the same tokens: positions 1 and 2 of the one are the other's.
block=$((512 * 4)) data=$((8 + length))
part() { tail -c +$((data + $1 * block + 1)) "$T/a.safetensors" | head -c $(($2 * block)); }
part 1 2 | cksum
part 5 2 | cksum
[ "$(part 0 7 | wc -c)" -eq $((7 * block)) ] || exit 1

# A row that fails leaves no file, and no other one.
printf '{"ids":[1]}\nx\n' | score --logits "$T/c.safetensors" >/dev/null 2>&1 && exit 1
(cd "$T" && ls)
score --logits "$T/d.safetensors" </dev/null && head -c 10 "$T/d.safetensors" | od -An -c
