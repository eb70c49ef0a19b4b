#!/bin/bash
# demo.sh - what gwen-cpu does, in a minute and without a download: a tiny model with random
# weights samples a group of completions for each of a few prompts, and scores one of them again; a
# small trained one, which the tests ship, tells a story.
#
#   GWEN   the program (build/gwen-cpu)
set -euo pipefail
cd "$(dirname "$0")/.."
gwen=${GWEN:-build/gwen-cpu}
tokenizer=tests/fixtures/tiny-tokenizer
work=$(mktemp -d "${TMPDIR:-/tmp}/gwen-demo-XXXXXX")
trap 'rm -rf "$work"' EXIT

# show COMMAND...: prints a command, then runs it
show() {
    echo
    echo "\$ ${*//$work/\$DIR}"
    "$@"
}

echo "A tiny model with random weights (so the text is noise), as a Hugging Face directory:"
show "$gwen" init --preset tiny --tokenizer $tokenizer --seed 1 --out "$work/model"

echo
echo "Four samples for each of three prompts:"
cat examples/prompts.jsonl
show "$gwen" rollout -q --model "$work/model" --prompts examples/prompts.jsonl --groups 4 \
    --max-tokens 12 --seed 1 --out "$work/samples.jsonl"
echo
head -n 1 "$work/samples.jsonl"
sed -E '1d; s/^(\{"prompt_id":[0-9]+,"sample_id":[0-9]+,).*("text":.*)/\1 ... \2/' "$work/samples.jsonl"

echo
echo "The same samples one at a time, on one thread: the same bytes."
show "$gwen" rollout -q --model "$work/model" --prompts examples/prompts.jsonl --groups 4 \
    --max-tokens 12 --seed 1 --rollout-batch-size 1 --threads 1 --out "$work/again.jsonl"
cmp "$work/samples.jsonl" "$work/again.jsonl"

echo
echo "The first sample scored: its log-probabilities, as they were recorded while sampling."
head -n 1 "$work/samples.jsonl" |
    sed -E 's/.*("prompt_ids": *\[[^]]*\]).*"ids": *(\[[^]]*\]), *("logprobs": *\[[^]]*\]).*/{\1, "completion_ids": \2}\n\3/' \
        >"$work/first"
sed -n 2p "$work/first"
head -n 1 "$work/first" >"$work/request.jsonl"
show "$gwen" score -q --model "$work/model" <"$work/request.jsonl" | tee "$work/score"
grep -qF "$(sed -n 2p "$work/first")" "$work/score"

echo
echo "A small trained model (260,000 parameters), which has learnt to tell children's stories:"
show "$gwen" generate -q --model tests/fixtures/golden/stories260K-hf --seed 1 \
    --max-tokens 120 --temp 0.6 --prompt "Once upon a time, a dog"
