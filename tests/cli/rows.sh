# level: any
# Rows in every form that they may come in give the same samples, and errors name file and line.
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --out "$T/model" || exit 1
cd "$T" || exit 1
rollout() { "$GWEN" rollout -q -m model -n 1 --max-tokens 4 -p "$@" 2>&1; }
printf '{"prompt":"2, \\"+\\" 2","answer":"4"}\n{"prompt":"b\\nc","answer":null}\n' >a.jsonl
printf '\n{"prompt":"2, \\"+\\" 2","answer":"4"}\n \n\n{"prompt":"b\\nc","answer":null}\n\n' >blank.jsonl
printf '[\n  {"prompt":"2, \\"+\\" 2","answer":"4"},\n  {\n"prompt":"b\\nc","answer":null}\n]\n' >a.json
printf 'prompt,answer\r\n"2, ""+"" 2",4\r\n\r\n"b\nc",\r\n' >a.csv
rollout a.jsonl >first && [ "$(wc -l <first)" -eq 2 ] || exit 1
for file in blank.jsonl a.json a.csv; do
    rollout $file | cmp - first || exit 1
    gzip -n $file && rollout $file.gz | cmp - first || exit 1
done
rollout - <a.json.gz | cmp - first || exit 1
rollout <(gzip -dc a.json.gz) | cmp - first || exit 1
printf '{"messages":[{"role":"user","content":"x"}],"prompt":"p"}\n' | rollout - # row 1 is wrong
printf 'prompt,answer\na,b\na\n' >b.csv && rollout b.csv
printf '[{"prompt":"a"},\n{"prompt":3}]' >b.json && rollout b.json
head -c 40 a.csv.gz >cut.csv.gz && rollout cut.csv.gz

# sft reads the same forms
printf 'prompt,completion\na,b\nc,d\n' >s.csv
printf '[{"prompt":"a","completion":"b"},{"prompt":"c","completion":"d"}]' | gzip >s.json.gz
for data in s.csv s.json.gz; do
    "$GWEN" sft -q -m model --data $data --max_steps 1 --per_device_train_batch_size 2 --out run-$data || exit 1
done
cmp run-s.csv/model.safetensors run-s.json.gz/model.safetensors
