# level: any
# What is finished is not replaced unless --overwrite says so, and what is read never is, by
# whatever name.  An option of one value stands once on the line.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --out "$T/model" || exit 1
cd "$T" || exit 1
run() {
    printf '$ %s\n' "$*"
    "$GWEN" "$@" 2>&1 | grep -v '^memory: '
    echo "-> ${PIPESTATUS[0]}"
}
rollout() { run rollout -q -m model -n 1 --max-tokens 2 "$@"; }
echo '{"prompt":"a"}' >p
cp p kept && ln -s p link && ln p hard && cp p p.jsonl && cp p out.part
cksum p model/* >before

rollout -p p -o p
rollout -p p -o p --overwrite
rollout -p p -o link --overwrite
rollout -p hard -o ./p --overwrite
rollout -p p -o model/model.safetensors --overwrite
rollout -p out.part -o out --overwrite
cmp p out.part || exit 1
rm out.part

rollout -p p -o out
cp out first
rollout -p p -o out
rollout -p p -o out --resume
rollout -p p -o out --overwrite
cmp out first || exit 1
rollout -p p -o /dev/null

run init -q --preset tiny -o model
run init -q --config model/config.json -o model --overwrite
mkdir empty && run init -q --preset tiny -o empty
run init -q --preset tiny -o empty --overwrite
run init -q --preset tiny --tokenizer model -o model --overwrite

mkdir run && echo '{"step":1,"loss":1.5}' >run/metrics.jsonl && cp run/metrics.jsonl metrics
run report -q run -o run/metrics.jsonl --overwrite
cmp metrics run/metrics.jsonl || exit 1
run report -q run -o page.html
run report -q run -o page.html
run report -q run -o page.html --overwrite
run report -q run
run report -q run

run eval -q -m model --task ppl --data p -o p --overwrite
cksum p model/* | cmp - before || exit 1

rollout -p p -p kept
rollout -p p --prompts=kept
rollout -p p -q --seed 1 --seed 1 -o other
rollout -p p --chat --chat=false -o other
run train --data a --data b
run train --reward-cmd a --reward-cmd b
