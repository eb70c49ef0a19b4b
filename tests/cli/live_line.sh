# level: any
# Training on a terminal: one live line with phase, step and times; and --log-file.
model=examples/arithmetic/model
printf '{"prompt":"57+21=","completion":"78"}\n{"prompt":"12+30=","completion":"42"}\n' >"$T/rows"
printf '{"prompt":"57+21=","answer":"78"}\n{"prompt":"12+30=","answer":"42"}\n' >"$T/prompts"
"$GWEN" sft -q -m $model --data "$T/rows" --out "$T/q" --max_steps 2 --log-file "$T/log" || exit 1
grep -qE '^[0-9]{4}-[0-9-]{5}T[0-9:]{8}[+-][0-9]{4} step 2/2 \| loss' "$T/log" || { cat "$T/log"; exit 1; }
lines=$(wc -l <"$T/log")
"$GWEN" sft -m "$T/none" --data "$T/rows" --out "$T/x" --log-file "$T/log" 2>/dev/null && exit 1
[ "$(wc -l <"$T/log")" -eq $((lines + 1)) ] && tail -n 1 "$T/log" | grep -q 'gwen-cpu: ' || exit 1
"$GWEN" info -m $model --log-file "$T" 2>/dev/null && exit 1
command -v script >/dev/null || { echo "no script(1): nothing is tried on a terminal"; exit 0; }
on_terminal() { script -qec "stty cols 150; '$GWEN' $*" /dev/null </dev/null | tr '\r' '\n'; }
on_terminal sft -m $model --data "$T/rows" --out "$T/s" --max_steps 3 >"$T/shown"
for what in 'step 1/3  train .* 0/18 tokens  step 0:0. ' 'step 1/3  optimizer  step ' \
    'step 3/3  train .* left' 'step 3/3  save'; do
    grep -qa "$what" "$T/shown" || { echo "no $what"; cat -v "$T/shown"; exit 1; }
done
on_terminal train -m $model -p "$T/prompts" -r exact -o "$T/t" --max_steps 2 --num_generations 4 \
    --per_device_train_batch_size 8 --max_completion_length 4 >"$T/shown"
for what in 'step 1/2  rollout' 'step 1/2  reward  step' 'step 1/2  train .* 0/[0-9]* tokens' \
    'step 2/2  optimizer'; do
    grep -qa "$what" "$T/shown" || { echo "no $what"; cat -v "$T/shown"; exit 1; }
done
grep -a 'optimizer.*100 %' "$T/shown" && exit 1
exit 0
