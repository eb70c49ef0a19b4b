# Reinforcement learning towards values, end to end: a judge that sft taught to grade sums by two
# criteria; the embedded model is trained by its grades. By the criterion "high" (how high the last
# digit is) the judged reward rises; a rubric that pays for short answers is told of.
# level: any
model=examples/arithmetic/model
# Sums with answers of 0 to 3 digits, right or not, and their grades.
examples/arithmetic/generate.sh practice 2000 5 | awk -F'"' '
    function draw(below) {
        state = state * 16807 % 2147483647
        return int(state / 2147483647 * below)
    }
    BEGIN { state = 77 }
    {
        n = draw(4)
        answer = ""
        for (i = 0; i < n; i++) answer = answer draw(10)
        high = n > 0 ? 1 + int(substr(answer, n) / 2) : 1
        printf "{\"prompt\": \"%s%s high?\", \"completion\": \"%d\"}\n", $4, answer, high
        printf "{\"prompt\": \"%s%s short?\", \"completion\": \"%d\"}\n", $4, answer, 5 - n
    }' >"$T/lessons.jsonl"
"$GWEN" sft -q --model $model --data "$T/lessons.jsonl" --out "$T/judge" --max_length 24 --seed 1 \
    --max_steps 100 --per_device_train_batch_size 32 --learning_rate 2e-3 --warmup_steps 5 --threads 1 >/dev/null || exit 1
for name in high short; do
    echo "{\"template\": \"{prompt}{response} {criterion}?\", \"criteria\": [{\"name\": \"$name\"}]}" \
        >"$T/$name.json"
done

# It has learnt to: of answers that differ in one thing each gets a better grade than the one before.
ascends() { # CRITERION RESPONSE...
    for response in "${@:2}"; do echo "{\"prompt\": \"31+64=\", \"response\": \"$response\"}"; done |
        "$GWEN" judge -q --model "$T/judge" --rubric "$T/$1.json" --judge-mode logits |
        sed "s/.*\"$1\":\([0-9.]*\).*/\1/" >"$T/grades"
    [ "$(wc -l <"$T/grades")" -eq $(($# - 1)) ] && sort -g -u -c "$T/grades" && return
    echo "$*: $(tr '\n' ' ' <"$T/grades")"
    exit 1
}
ascends high 91 95 99
ascends short 195 95 9

examples/arithmetic/generate.sh practice 400 1 >"$T/practice.jsonl"
learn() { # CRITERION STEPS
    "$GWEN" train --model $model --prompts "$T/practice.jsonl" --judge "$T/$1.json" \
        --judge-model "$T/judge" --judge-mode logits --out "$T/$1" --max_steps "$2" --seed 1 \
        --num_generations 8 --per_device_train_batch_size 256 --max_completion_length 6 \
        --learning_rate 2e-3 --warmup_steps 5 --threads 1 >/dev/null 2>"$T/$1.err" || { cat "$T/$1.err"; exit 1; }
}
mean() { # DIR METRIC FIRST_STEP LAST_STEP
    sed -n "$3,$4s|.*\"$2\":\([^,}]*\).*|\1|p" "$1/metrics.jsonl" |
        awk '{ s += $1; n++ } END { if (n > 0) printf "%.9g", s / n }'
}
rises() { # DIR LAST_STEP BY
    awk -v a="$(mean "$1" reward 1 5)" -v b="$(mean "$1" reward $(($2 - 4)) "$2")" -v by="$3" \
        'BEGIN { if (b > a + by) exit 0; print "reward", a, "then", b; exit 1 }'
}
short_pays='warning: step [0-9]*: judge/length_correlation is -0.[6-9].*: the judge pays for short answers'

learn high 30
rises "$T/high" 30 0.4 || exit 1
grep -q 'step 10: judge/length_correlation' "$T/high.err" && { cat "$T/high.err"; exit 1; }

learn short 15
rises "$T/short" 15 0.05 || exit 1
grep -q "$short_pays" "$T/short.err" || { cat "$T/short.err"; exit 1; }
