# A rollout's file has the same bytes at any batch size, number of threads and memory, on standard
# output too; every row is what its prompt asked for; score gives back its log-probabilities.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --seed 3 --out "$T/model" ||
    exit 1
rollout() { "$GWEN" rollout --model "$T/model" --prompts "$T/prompts.jsonl" "$@"; }
{
    echo '{"prompt": "The river runs", "id": "river", "level": 5, "answer": "to the sea"}'
    echo '{"question": "Why?", "max_tokens": 7}'
    echo '{"ids": [40, 41, 42], "id": 17}'
    echo '{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 40}'
    for i in 1 2 3 4 5 6; do echo "{\"prompt\": \"Number $i of several prompts\", \"n\": $i}"; done
} >"$T/prompts.jsonl"
options='--set groups=3 --set max-tokens=24 --set seed=9 --set temp=0.9 --stop e --stop ou --stop <|im_start|>'

# shellcheck disable=SC2086  # options are words
{
    rollout $options --out "$T/first" -v 2>"$T/log" || exit 1
    [ "$(wc -l <"$T/first")" -eq 30 ] && [ ! -e "$T/first.part" ] || exit 1
    grep -q '^memory: weights .* KV .* scratch .* of ' "$T/log" &&
        grep -q '^rollout batch size .*: auto: ' "$T/log" &&
        grep -q '^30 samples, .* tokens in .* s, .* tok/s, ' "$T/log" || { cat "$T/log"; exit 1; }
    rollout $options -B 4 --out /dev/null 2>&1 |
        grep -q '^30 samples, .* % of 4 slots busy while samples waited$' || exit 1
    for other in '-B 1 --threads 1' '-B 3' '-B 32 --threads 2' '--memory 40M' '-B 30 --threads 3'; do
        rollout $options $other -q --out "$T/other" --overwrite || exit 1
        cmp "$T/first" "$T/other" || { echo "$other"; exit 1; }
    done
    rollout $options -q | cmp - "$T/first" || exit 1
    rollout $options -q --out - -B 4 <"$T/prompts.jsonl" | cmp - "$T/first" || exit 1
    "$GWEN" rollout --model "$T/model" --prompts - $options -q <"$T/prompts.jsonl" |
        cmp - "$T/first" || exit 1
    rollout $options -q --out /dev/null && [ ! -e /dev/null.part ] || exit 1
    rollout $options -q --out "$T/seed" --seed 10 || exit 1
    if cmp -s "$T/first" "$T/seed"; then echo 'the seed does nothing'; exit 1; fi
}

# What stands in the rows.
row() { sed -n "$1p" "$T/first"; }
row 1 | grep -q '^{"prompt_id":0,"sample_id":0,"id":"river","prompt_ids":\[1,' &&
    row 3 | grep -q '"sample_id":2,.*"meta":{"level":5,"answer":"to the sea"}}$' &&
    row 4 | grep -q '^{"prompt_id":1,"sample_id":0,"prompt_ids".*"meta":{}}$' &&
    row 7 | grep -q '"id":17,"prompt_ids":\[40,41,42\],"ids":\[[0-9]' &&
    row 30 | grep -q '^{"prompt_id":9,"sample_id":2,.*"meta":{"n":6}}$' || exit 1
[ "$(grep -c '"finish_reason":"stop"' "$T/first")" -gt 0 ] &&
    [ "$(grep -c '"finish_reason":"length"' "$T/first")" -gt 0 ] &&
    [ "$(grep -c '"numeric_class":"[a-z0-9]*-[a-z]*"' "$T/first")" -eq 30 ] || exit 1
class=$("$GWEN" info --json --model "$T/model" | sed 's/.*"numeric_class": *"\([^"]*\)".*/\1/')
grep -qv "\"numeric_class\":\"$class\"" "$T/first" && exit 1
# No text holds a stop string, and no row has more tokens than it may have.
sed 's/.*"text":\("\(\\.\|[^"\\]\)*"\).*/\1/' "$T/first" >"$T/texts"
[ "$(wc -l <"$T/texts")" -eq 30 ] || exit 1
if grep -nE 'e|ou|im_start' "$T/texts" | grep -v '\\u'; then exit 1; fi
longest() { sed -n "$1" "$T/first" | sed 's/.*"ids":\[\([^]]*\)\],"logprobs".*/\1/' | tr -cd ',\n' |
    awk '{ if (length($0) + 1 > n) n = length($0) + 1 } END { print n + 0 }'; }
[ "$(longest 4,6p)" -le 7 ] && [ "$(longest 10,12p)" -le 40 ] && [ "$(longest 13,30p)" -le 24 ] || exit 1

# The same log-probabilities, to the last bit, with every type of weights.
logprobs() { sed 's/.*"logprobs":\(\[[^]]*\]\).*/\1/'; }
for dtype in bf16 fp16 fp32; do
    rollout -q --dtype $dtype --groups 2 --max-tokens 12 --temp 0.7 --overwrite --out "$T/rows" || exit 1
    logprobs <"$T/rows" >"$T/sampled"
    for threads in 1 2; do
        "$GWEN" score --model "$T/model" --dtype $dtype --threads $threads --temp 0.7 <"$T/rows" |
            logprobs | cmp - "$T/sampled" || { echo "$dtype $threads"; exit 1; }
    done
    # ... and of each row alone
    head -n 3 "$T/rows" | while read -r line; do
        echo "$line" | "$GWEN" score --model "$T/model" --dtype $dtype --temp 0.7 | logprobs
    done | cmp - <(head -n 3 "$T/sampled") || exit 1
done

# Greedy sampling: all samples of a group are the same; chat and system change the prompt.
rollout -q --temp 0 --groups 2 --max-tokens 9 | sed 's/"sample_id":[01]//' | uniq -c |
    awk '$1 != 2 { bad = 1 } END { exit bad || NR != 10 }' || exit 1
rollout -q --groups 1 --max-tokens 2 >"$T/plain" && rollout -q --groups 1 --max-tokens 2 --chat >"$T/chat" &&
    rollout -q --groups 1 --max-tokens 2 --chat --system 'Be brief.' >"$T/system" || exit 1
prompt() { sed 's/.*"prompt_ids":\[\([^]]*\)\].*/\1/' "$1"; }
[ "$(paste -d' ' <(prompt "$T/plain") <(prompt "$T/chat") | awk '$1 == $2' | wc -l)" -eq 2 ] &&
    [ "$(paste -d' ' <(prompt "$T/system") <(prompt "$T/chat") | awk '$1 == $2' | wc -l)" -eq 1 ] || exit 1

# Limits drawn from the seed.
rollout -q --groups 6 --max-tokens 50 --lengths uniform:5-9 --overwrite --out "$T/first" || exit 1
[ "$(longest '1,$p')" -eq 9 ] || exit 1
