# level: any
# Adapters and options that cannot be used are refused with one line each; nothing is written over.
model=tests/fixtures/golden/models/qwen3
good=tests/fixtures/golden/lora/qwen3-all-r2
refused() {
    "$GWEN" "$@" >"$T/out" 2>"$T/err" </dev/null && { echo "not refused: $*"; exit 1; }
    status=$?
    [ "$(grep -c . "$T/err")" -eq 1 ] || { cat "$T/err"; exit 1; }
    echo "$status $(sed "s|$T/||g" "$T/err")"
}
adapter() { # copies the good one to bad/
    rm -rf "$T/bad"
    cp -r $good "$T/bad"
}
config() { # SED: changes its configuration
    adapter
    sed -i "$1" "$T/bad/adapter_config.json"
    refused generate -q --model $model --prompts "$T/prompts.jsonl" --json --adapter "$T/bad"
}
echo '{"ids": [1, 2, 3]}' >"$T/prompts.jsonl"
echo '{"ids": [1, 2, 3], "mask": [0, 1, 1]}' >"$T/data.jsonl"

# Directories.
rm -rf "$T/bad"
refused generate -q --model $model --prompts "$T/prompts.jsonl" --json --adapter "$T/bad"
mkdir "$T/bad"
refused generate -q --model $model --prompts "$T/prompts.jsonl" --json --adapter "$T/bad"
adapter
rm "$T/bad/adapter_model.safetensors"
refused generate -q --model $model --prompts "$T/prompts.jsonl" --json --adapter "$T/bad"
adapter
truncate -s -100 "$T/bad/adapter_model.safetensors"
refused generate -q --model $model --prompts "$T/prompts.jsonl" --json --adapter "$T/bad"
refused generate -q --model tests/fixtures/golden/models/qwen2 --prompts "$T/prompts.jsonl" --json \
    --adapter $good
refused generate -q --model $good --prompts "$T/prompts.jsonl" --json
# Configurations.
config 's/"r": 2/"r": 3/'
config 's/"r": 2/"r": 0/'
config 's/"r": 2,//'
config 's/"LORA"/"IA3"/'
config 's/"use_dora": false/"use_dora": true/'
config 's/"rank_pattern": {}/"rank_pattern": {"q_proj": 4}/'
config 's/"bias": "none"/"bias": "all"/'
config 's/"down_proj"/"lm_head"/'
config 's/"init_lora_weights": false/"init_lora_weights": "pissa"/'
config 's/"layers_to_transform": null/"layers_to_transform": [0, 9]/'
config 's/"layers_to_transform": null/"layers_to_transform": []/'
config 's/"use_qalora": false/"use_something_new": 3/'
config 's/"modules_to_save": null/"modules_to_save": ["lm_head"]/'
config 's/"exclude_modules": null/"exclude_modules": "(.*"/'
config 's/"exclude_modules": null/"exclude_modules": "(((.*)*)*)*[xz]!?[XZ]"/'
config 's/"exclude_modules": null/"exclude_modules": ".*proj"/'
config 's/"layers_pattern": null/"layers_pattern": "blocks"/'
config 's/"alpha_pattern": {}/"alpha_pattern": {"q_proj": "4"}/'
config 's/"down_proj"/"mlp"/'
# Scales of their own do not matter but to training.
adapter
sed -i 's/"alpha_pattern": {}/"alpha_pattern": {"q_proj": 1}/' "$T/bad/adapter_config.json"
"$GWEN" generate -q --model $model --prompts "$T/prompts.jsonl" --json --max-tokens 1 \
    --adapter "$T/bad" >/dev/null || exit 1
refused sft -q --model $model --data "$T/data.jsonl" --out "$T/new" --adapter "$T/bad"
# Dropout does not matter but to training.
adapter
sed -i 's/"lora_dropout": 0.0/"lora_dropout": 0.1/' "$T/bad/adapter_config.json"
"$GWEN" generate -q --model $model --prompts "$T/prompts.jsonl" --json --max-tokens 1 \
    --adapter "$T/bad" >/dev/null || exit 1
new=(sft -q --set model=$model --set data="$T/data.jsonl" --set out="$T/new")
refused "${new[@]}" --adapter "$T/bad"
# Options.
refused "${new[@]}" --lora_r 4
refused "${new[@]}" --layers-to-transform 0
refused "${new[@]}" --adapter $good --lora_alpha 4
refused "${new[@]}" --use_peft --lora_dropout 0.1
refused "${new[@]}" --use_peft --lora_target_modules q_proj,k
refused "${new[@]}" --use_peft --layers_to_transform 0,2
refused "${new[@]}" --use_peft --lora_r 0
"$GWEN" "${new[@]}" --use_peft --max_steps 1 || exit 1
refused "${new[@]}" --use_peft --lora_r 4 --max_steps 2 --resume
refused "${new[@]}" --max_steps 2 --resume
refused bench decode --adapter $good
# Export.
refused export --model $model --adapter $good --out "$T/out"
refused export --merge --model $model --out "$T/out"
refused export --merge --model $model --adapter $good
refused export --merge --model $model --adapter $good --out "$T/new"
refused export --merge --model $model --adapter $good --out "$T/data.jsonl"
refused export --merge --model $model --adapter "$T/nowhere" --out "$T/merged"
refused export --merge --model $model --adapter $good --out "$T/data.jsonl/merged"
[ ! -e "$T/merged" ] && [ ! -e "$T/merged.export.tmp" ] || { ls "$T"; exit 1; }
mkdir "$T/merged"
"$GWEN" export -q --merge --model $model --adapter $good --out "$T/merged" || exit 1
