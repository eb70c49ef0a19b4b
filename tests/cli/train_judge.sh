# train --judge: the model before training grades what it becomes; the judged reward rises, nothing
# depends on how the work is cut, known verdicts are not asked again, and the watch speaks up.
# level: any
for name in Lily Tom Mia Ben Sue Max Anna Jack; do
    echo "{\"prompt\": \"Once upon a time, $name\"}"
done >"$T/prompts.jsonl"
cat >"$T/rubric.json" <<'END'
{"template": "{prompt}{response} Was it {criterion}? 1 to 5: ",
 "criteria": [{"name": "kind", "weight": 1}, {"name": "short", "weight": 0.5}]}
END
model=tests/fixtures/golden/stories260K-hf
train() {
    "$GWEN" train --model $model --prompts "$T/prompts.jsonl" --judge "$T/rubric.json" --stop . \
        --judge-mode logits --max_completion_length 24 --num_generations 8 --seed 3 \
        --per_device_train_batch_size 16 --gradient_accumulation_steps 2 --learning_rate 1e-3 \
        --verify-logprobs "$@"
}
metric() { sed -n "$3s|.*\"$2\":\([^,}]*\).*|\1|p" "$1/metrics.jsonl"; } # DIR NAME STEP
timeless() { sed 's|"time/.*||' "$1/metrics.jsonl"; }

train --out "$T/a" --max_steps 40 --judge-cache "$T/verdicts.db" >/dev/null 2>"$T/err" ||
    { cat "$T/err"; exit 1; }
awk -v a="$(metric "$T/a" reward 1)" -v b="$(metric "$T/a" reward 40)" 'BEGIN { exit !(b > a + 0.1) }' ||
    { echo "reward $(metric "$T/a" reward 1), then $(metric "$T/a" reward 40)"; exit 1; }
# The policy repeats what pleases: that is told.
grep -q 'warning: step [0-9]*: judge/stock_phrase_share is .*: most completions say' "$T/err" ||
    { cat "$T/err"; exit 1; }
for name in kind/mean kind/hist_1 kind/hist_5 short/mean short/hist_3 neutral_share length_correlation \
    stock_phrase_share; do
    [ -n "$(metric "$T/a" "judge/$name" 40)" ] || { echo "no judge/$name"; exit 1; }
done
grep -q '"rewards":{"judge/kind":[0-9.e-]*,"judge/short":[0-9.e-]*}' "$T/a/rollouts/step-40.jsonl" || exit 1

# The same again: without the cache, with it full, in other pieces, with the reference as the judge
# (a beta that changes the loss by nothing that can be seen in the first step's rewards).
train -q --out "$T/b" --max_steps 3 --judge-chunk-size 5 --threads 1 >/dev/null || exit 1
train -q --out "$T/c" --max_steps 3 --judge-cache "$T/verdicts.db" >/dev/null || exit 1
[ "$(timeless "$T/b")" = "$(timeless "$T/c")" ] && cmp "$T/b/model.safetensors" "$T/c/model.safetensors" || exit 1
[ "$(timeless "$T/b" | sed 1q | sed 's/.*judge/judge/')" = "$(timeless "$T/a" | sed 1q | sed 's/.*judge/judge/')" ] || exit 1
train -q --out "$T/d" --max_steps 1 --beta 0.1 >/dev/null || exit 1
train -q --out "$T/e" --max_steps 1 --use_peft >/dev/null || exit 1
for dir in d e; do
    [ "$(metric "$T/$dir" judge/kind/mean 1)" = "$(metric "$T/a" judge/kind/mean 1)" ] || exit 1
done

# Another model with another tokenizer, beside another reward, by its weight.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$T/tiny" || exit 1
train -q --out "$T/f" --max_steps 1 --reward length:8 --judge-model "$T/tiny" --judge-weight 2 >/dev/null || exit 1
awk -v r="$(metric "$T/f" reward 1)" -v l="$(metric "$T/f" rewards/length/mean 1)" \
    -v k="$(metric "$T/f" rewards/judge/kind/mean 1)" -v s="$(metric "$T/f" rewards/judge/short/mean 1)" \
    'BEGIN { d = r - (l + 2 * k + s); exit !(d < 1e-5 && d > -1e-5) }' || exit 1

# The judge is shown what was asked, without the markup of the policy's template; beside an adapter
# it is the model alone.  `judge` knows the same verdicts.
echo '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}]}' \
    >"$T/asked.jsonl"
"$GWEN" train -q --model "$T/tiny" --prompts "$T/asked.jsonl" --judge "$T/rubric.json" --out "$T/g" \
    --judge-cache "$T/g.db" --max_completion_length 8 --num_generations 4 --use_peft \
    --per_device_train_batch_size 4 --max_steps 2 --learning_rate 1e-2 >/dev/null || exit 1
cat "$T/g/rollouts"/*.jsonl |
    sed 's/.*"text":\("\([^"\\]\|\\.\)*"\).*/{"prompt": "Who are you?", "response": \1}/' >"$T/answers.jsonl"
"$GWEN" judge --model "$T/tiny" --rubric "$T/rubric.json" --cache "$T/g.db" <"$T/answers.jsonl" >/dev/null 2>"$T/err"
grep -q '16 verdicts: 0 evaluations, 16 from the cache' "$T/err" || { cat "$T/err"; exit 1; }

# Evaluated on the way and in the end: the judge gets the threads that sampled.
head -n 3 "$T/prompts.jsonl" >"$T/eval.jsonl"
for threads in 1 2; do
    train -q --out "$T/h$threads" --max_steps 2 --eval-prompts "$T/eval.jsonl" --eval_steps 1 \
        --eval-full-sweep --reward length:6 --threads $threads >/dev/null || exit 1
    [ "$(grep -c '"eval/reward/func/judge/kind":' "$T/h$threads/metrics.jsonl")" -eq 2 ] || exit 1
done
evaluations() { grep -o '"eval/[a-z/_]*":[^,}]*' "$1/metrics.jsonl"; }
[ "$(evaluations "$T/h1")" = "$(evaluations "$T/h2")" ] && cmp "$T/h1/eval.jsonl" "$T/h2/eval.jsonl" || exit 1

# Evaluation, by the judge alone and by the model that is trained, without its adapter; its prompts
# are longer.
for name in Lily Tom; do
    echo "{\"prompt\": \"Once upon a time there was a little one whom all called $name\"}"
done >"$T/eval.jsonl"
for options in --use_peft=false --use_peft "--use_peft --reward length:8"; do
    rm -rf "$T/i"
    # shellcheck disable=SC2086
    train -q --out "$T/i" --max_steps 2 --eval-prompts "$T/eval.jsonl" --eval_steps 1 --eval-full-sweep \
        $options >/dev/null || exit 1
    case $(metric "$T/i" eval/reward/func/judge/kind 2) in null | '') exit 1 ;; esac
    [ "$(wc -l <"$T/i/eval.jsonl")" -eq 18 ] || exit 1
done

# What becomes longer, in the judge's tokens, than was planned gets no reward; the run goes on.
lily='Once upon a time, there was a little girl named Lily. She loved to play outside in the sunshine.'
echo "{\"prompt\": \"$lily $lily\"}" >"$T/long"
sed 's/"weight": 1}, .*/"weight": 1}]}/' "$T/rubric.json" >"$T/one.json"
"$GWEN" train --model $model --prompts "$T/long" --judge "$T/one.json" --judge-model "$T/tiny" --reward length:8 \
    --judge-chunk-size 1 --judge-max-tokens 1 --max_completion_length 64 --num_generations 8 \
    --per_device_train_batch_size 8 --max_steps 1 --seed 3 --out "$T/longer" >/dev/null 2>"$T/err" ||
    { cat "$T/err"; exit 1; }
grep -q 'judge: [1-8] of 8 responses get no reward: a response that makes' "$T/err" || { cat "$T/err"; exit 1; }

refused() {
    "$GWEN" train -q --model $model --prompts "$T/prompts.jsonl" --out "$T/new" \
        --max_completion_length 24 "$@" >/dev/null 2>"$T/err" &&
        { echo "not refused: $*"; exit 1; }
    echo "$? $(sed "s|$T/||g" "$T/err")"
}
refused --judge-model "$T/tiny"
refused --judge "$T/none.json"
refused --judge "$T/rubric.json" --judge-model "$T/nowhere"
refused --judge "$T/rubric.json" --judge-max-tokens 4000
refused --judge "$T/rubric.json" --judge-cache "$T/rubric.json"
"$GWEN" validate -q --model $model --prompts "$T/prompts.jsonl" --judge "$T/rubric.json" \
    --max_completion_length 24 --judge-cache "$T/unused.db" >/dev/null || exit 1
[ ! -e "$T/unused.db" ] || exit 1
# What stands beside the judge is tried; the first reward is not there yet.
"$GWEN" validate -q --model $model --prompts "$T/prompts.jsonl" --judge "$T/rubric.json" --eval_steps 1 \
    --max_completion_length 24 --eval-prompts "$T/eval.jsonl" >/dev/null || exit 1
"$GWEN" validate -q --model $model --prompts "$T/prompts.jsonl" --judge "$T/rubric.json" \
    --max_completion_length 24 --reward-cmd 'echo lost >&2; exit 3' >/dev/null 2>"$T/err" && exit 1
sed "s|$T/||g; /^gwen-cpu: warning: reward command/d" "$T/err"
