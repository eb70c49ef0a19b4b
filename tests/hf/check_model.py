"""check_model.py - what sft and train save loads in transformers and safetensors, gives our logits
there, and its tokenizer our ids."""
# needs: torch transformers safetensors
import json
import os
import subprocess
import sys

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

GWEN, T = os.environ["GWEN"], os.environ["T"]
DEMO = "examples/arithmetic/model"
# float32 sums in another order: relative to the largest logit.
TOLERANCE = 2e-5
TEXTS = ["57+68=125", "9+9=18", "A text of\nother bytes: \u00e9\u4e2d\U0001f600 <eos> 0"]


def gwen(*arguments, text=""):
    done = subprocess.run([GWEN, *arguments], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def write_rows(name, rows):
    path = f"{T}/{name}"
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def check_tokens(path, tokenizer):
    lines = gwen("tokenize", "--model", path, text="".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    ours = [json.loads(line)["ids"] for line in lines.splitlines()]
    theirs = [tokenizer(t)["input_ids"] for t in TEXTS]
    assert ours == theirs, f"{path}: ids {ours}, transformers has {theirs}"
    return ours


def check_logits(path, rows, dtype):
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    assert model.dtype == torch.float32
    file = f"{T}/logits.safetensors"
    gwen("score", "-q", "--model", path, "--dtype", dtype, "--logits", file,
         text="".join(json.dumps({"ids": ids}) + "\n" for ids in rows))
    worst = 0.0
    with safe_open(file, "pt") as f:
        for i, ids in enumerate(rows):
            ours = f.get_tensor(f"logits.{i}")
            with torch.no_grad():
                theirs = model(torch.tensor([ids])).logits[0]
            assert ours.shape[1] == theirs.shape[1], f"{ours.shape} and {theirs.shape}"
            n = ours.shape[0]
            worst = max(worst, ((ours - theirs[:n]).abs().max() / theirs.abs().max()).item())
    assert worst < TOLERANCE, f"{path}: logits differ by {worst:.3g} of the largest"
    return worst


def check_files(path, dtype):
    """Every tensor of the two files reads, and is of the type it should be."""
    names = []
    with safe_open(f"{path}/model.safetensors", "pt") as f:
        for name in f.keys():
            tensor = f.get_tensor(name)
            wanted = dtype if tensor.ndim == 2 else torch.float32
            assert tensor.dtype == wanted, f"{name}: {tensor.dtype}"
            assert torch.isfinite(tensor).all(), name
            names.append(name)
    state = f"{path}/optimizer.safetensors"
    if os.path.exists(state):
        with safe_open(state, "pt") as f:
            for name in f.keys():
                assert torch.isfinite(f.get_tensor(name)).all(), name
            for name in names:
                assert f"exp_avg.{name}" in f.keys(), name
    return len(names)


def check(path, dtype):
    tokenizer = AutoTokenizer.from_pretrained(path)
    rows = check_tokens(path, tokenizer)
    n = check_files(path, dtype)
    worst = check_logits(path, rows, "fp32")
    print(f"{path}: {n} tensors, logits within {worst:.2g}")


def main():
    rows = [{"prompt": f"{i}+{2 * i}=", "completion": str(3 * i)} for i in range(16)]
    lessons = write_rows("lessons.jsonl", rows)
    prompts = write_rows("prompts.jsonl", [{"prompt": r["prompt"], "answer": r["completion"]} for r in rows])
    for dtype, kind in (("bf16", torch.bfloat16), ("fp32", torch.float32), ("fp16", torch.float16)):
        gwen("sft", "-q", "--model", DEMO, "--data", lessons, "--out", f"{T}/sft-{dtype}", "--dtype", dtype,
             "--max_steps", "3", "--learning_rate", "1e-3")
        check(f"{T}/sft-{dtype}", kind)
    check(f"{T}/sft-bf16/checkpoint-3", torch.bfloat16)
    gwen("train", "-q", "--model", DEMO, "--prompts", prompts, "--reward", "exact", "--out", f"{T}/grpo",
         "--max_steps", "2", "--max_completion_length", "6", "--learning_rate", "1e-3")
    check(f"{T}/grpo", torch.bfloat16)
    check(f"{T}/grpo/checkpoint-2", torch.bfloat16)


main()
