# level: any
# bench prints a line (with --json an object) per measurement, and refuses what makes no sense.
# Rates depend on the machine; what is looked at is which lines come, and what they are about.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$T/model" ||
    exit 1
bench() { "$GWEN" bench "$1" --model "$T/model" --runs 1 --threads 1 "${@:2}"; }
# Numbers become N, and blanks before them one.
shape() { sed -E 's/ +(-?[0-9]+(\.[0-9]+)?)/ N/g; s/(N|[a-z0-9]+) +%/\1 %/g; s/(bfloat16) [a-z0-9]+/\1 ISA/'; }

echo "rollout as text"
bench rollout --batch 2 --groups 3 --max-tokens 5 --warmup 0 >"$T/out" || exit 1
cat >"$T/want" <<'END'
Config: B=2 G=3 pairs=6 max_tokens=5 temp=0.8 warmup=0 runs=1
END
head -n 1 "$T/out" | diff - "$T/want" || exit 1
sed -n 2p "$T/out" | grep -qE '^ours     \| mean [0-9]+\.[0-9] ms \| std 0\.0 ms \| total_out_toks [0-9]+ \| throughput [0-9]+\.[0-9]{2} tok/s$' ||
    { cat "$T/out"; exit 1; }
[ "$(wc -l <"$T/out")" -eq 2 ] || exit 1

# Values of one key, a line each.
value() { sed -nE "s/.*\"$1\":\"?([^,\"}]*).*/\1/p"; }
echo "rollout with given lengths: new tokens"
for lengths in list:1 list:2,4 list:1,2,3,4,5,6 list:9,1,1,1,1,1,7,7 uniform:3-3; do
    bench rollout --batch 2 --groups 3 --warmup 0 --lengths $lengths --dtype fp32 >"$T/out" || exit 1
    echo "$lengths $(sed -n 's/.*total_out_toks \([0-9]*\) .*/\1/p' "$T/out")"
done
bench rollout --batch 2 --groups 3 --warmup 0 --lengths list:2,4 --dtype fp32 --json >"$T/out" ||
    exit 1
for key in what dtype isa numeric_class threads batch groups prompt_tokens new_tokens slots mean_ms \
    std_ms tok_s tok_s_std limit_tok_s fraction occupancy; do
    [ -n "$(value $key <"$T/out")" ] || echo "no $key"
done

echo "judge"
judge() { bench judge --warmup 0 --responses 3 --shared-tokens 70 --own-tokens 9 --criterion-tokens 5 "$@"; }
judge | sed -E 's/ +[0-9]+\.[0-9]+/ N/g; s/ISA|(bfloat16) [a-z0-9]+/\1 ISA/; s/ +[0-9]+ %/ N %/'
judge --json --judge-mode generate --judge-chunk-size 2 >"$T/out" || exit 1
for key in dtype isa numeric_class threads crit_eval_s crit_eval_s_std limit_crit_eval_s tok_s tok_s_std \
    limit_tok_s fraction; do
    [ -n "$(value $key <"$T/out")" ] || echo "no $key"
done
for key in what batch criteria prompt_tokens new_tokens; do value $key <"$T/out"; done | tr '\n' ' '
echo
bench rollout --batch 2 --groups 3 --max-tokens 5 --warmup 0 --benchmark-judge >"$T/out" || exit 1
sed -n 3p "$T/out" | sed -E 's/[0-9]+\.[0-9]{2}$/N/'

echo "decode, prefill"
bench decode --batch 1,3 --prompt-tokens 16,100 --new-tokens 4 --profile >"$T/out" || exit 1
grep -vE 'of limit$' "$T/out" | shape | cut -d '|' -f 1-4 | sed 's/, dT.*/.../'
[ "$(grep -cE 'GFLOP/s.*GB/s.* of limit$' "$T/out")" -ge 12 ] || exit 1
bench prefill --prompt-tokens 7,130 --profile >"$T/out" || exit 1
grep -vE 'of limit$' "$T/out" | shape | cut -d '|' -f 1-4
[ "$(grep -cE 'GFLOP/s.*GB/s.* of limit$' "$T/out")" -ge 6 ] || exit 1
echo "longer prompts"
bench decode --batch 3 --prompt-tokens 16,100 --new-tokens 4 --separate-prompts --profile --json \
    >"$T/out" || exit 1
value op <"$T/out" | grep -xE 'attend|head|step' | tr '\n' ' '
echo
tail -n 1 "$T/out" | value base_prompt_tokens
tail -n 1 "$T/out" | value formula
# 84 more tokens for 3 rows: keys and values of 2 bytes; the tiny model has 2 kv heads of 64 and 4
# heads, on 4 layers.
tail -n 1 "$T/out" | value more_kv_bytes
tail -n 1 "$T/out" | value more_flops
awk -v loss="$(tail -n 1 "$T/out" | value predicted_loss)" \
    -v t="$(tail -n 1 "$T/out" | value base_step_ms)" \
    -v dt="$(tail -n 1 "$T/out" | value more_ms)" 'BEGIN {
        d = loss - dt / (t + dt)
        if (d < -1e-4 || d > 1e-4) print "the predicted loss " loss " is not dT / (T + dT)"
    }'
bench decode --batch 3 --prompt-tokens 16,100 --new-tokens 4 --json | tail -n 1 | value more_kv_bytes

run() {
    printf '$ bench %s\n' "$*"
    bench "$@" 2>&1
    echo "-> $?"
}
for lengths in 5 list: list:1,,2 list:0 list:1,x list:1, list:99999999 uniform:0-2 uniform:3-2 uniform:1-2x; do
    run rollout --lengths $lengths
done
run rollout --prompt-tokens 1,2
run decode --prompt-tokens 0
run nothing

echo "train"
bench train --batch 2 --seq 20 --profile >"$T/out" || exit 1
grep -vE 'of limit$' "$T/out" | shape | cut -d '|' -f 1-5
sed -nE 's/^  ([a-z_'"'"' dXWz]+[a-zXWz'"'"']) .* of limit$/\1/p' "$T/out" | sed 's/ *$//' | tr '\n' ','
echo
bench train --batch 2 --groups 3 --seq 20 --prompt-tokens 9 --train-micro-batch 2 --recompute layer \
    --json >"$T/out" || exit 1
for key in what batch groups prompt_tokens new_tokens recompute train_micro_batch; do
    printf '%s ' "$(value $key <"$T/out")"
done
echo
for key in dtype isa numeric_class threads memory_bytes step_ms tok_s tok_s_std tok_s_best \
    limit_tok_s fraction; do
    [ -n "$(value $key <"$T/out")" ] || echo "no $key"
done
bench train --batch 3 --seq 16 --matrix --json >"$T/out" || exit 1
paste -d ' ' <(value what <"$T/out") <(value recompute <"$T/out") <(value train_micro_batch <"$T/out")
head -n 1 "$T/out" | value time_change
bench train --batch 2 --seq 16 --matrix | shape | cut -d '|' -f 1-3
run train --batch 1,2
run train --seq 9 --prompt-tokens 9
run train --seq 100000
