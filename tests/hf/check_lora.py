"""Adapters that gwen-cpu trains load in PEFT, those that PEFT saves load here, and what export merges
loads in transformers: all with the logits of the other side.

    GWEN=build/gwen-cpu python tests/hf/check_lora.py

Run from the repository's root.  Exit status: 0 all agree, 1 one does not, 77 skipped (torch,
transformers, peft or safetensors is not installed)."""
# needs: torch transformers peft safetensors

import json
import os
import subprocess
import sys
import tempfile

try:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

logging.disable_progress_bar()
GWEN = os.environ.get("GWEN", "build/gwen-cpu")
ROWS = [[5, 17, 200, 3, 90, 41, 7], [300, 2, 2, 150], list(range(1, 60))]
TOLERANCE = 2e-4  # both sides are float32; logits are of the order of 1
failures = 0


def gwen(*args, text=None):
    r = subprocess.run([GWEN, *args], input=text, capture_output=True, text=True, check=False)
    if r.returncode != 0:
        sys.exit(f"gwen-cpu {' '.join(args)}: {r.stderr.strip()}")
    return r.stdout


def our_logits(tmp, *args):
    path = os.path.join(tmp, "logits.safetensors")
    rows = "".join(json.dumps({"ids": ids}) + "\n" for ids in ROWS)
    gwen("score", "--dtype", "fp32", "--logits", path, *args, text=rows)
    tensors = load_file(path)
    return [tensors[f"logits.{i}"] for i in range(len(ROWS))]


def their_logits(model):
    model.eval()
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].float() for ids in ROWS]


def base(model_dir):
    return AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)


def compare(name, ours, theirs, differs_from=None):
    """The same logits; and, so that it says something, not those of `differs_from`."""
    global failures
    off = max((a - b).abs().max().item() for a, b in zip(ours, theirs))
    ok = off <= TOLERANCE
    moved = ""
    if differs_from is not None:
        distance = max((a - b).abs().max().item() for a, b in zip(ours, differs_from))
        ok = ok and distance > 10 * TOLERANCE
        moved = f", {distance:.2g} from the bare model"
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {name}: largest difference {off:.2g}{moved}")


def check_trained(tmp, model_dir, data, name, options):
    out = os.path.join(tmp, name)
    gwen("sft", "-q", "--model", model_dir, "--data", data, "--out", out, "--dtype", "fp32",
         "--use_peft", "--learning_rate", "2e-2", "--max_steps", "6", "--save_steps", "3",
         "--per_device_train_batch_size", "4", "--seed", "3", *options)
    bare = our_logits(tmp, "--model", model_dir)
    for part in ("", "checkpoint-3"):
        adapter = os.path.join(out, part)
        peft = PeftModel.from_pretrained(base(model_dir), adapter)
        compare(f"{name} {part or 'final'} in PEFT",
                our_logits(tmp, "--model", model_dir, "--adapter", adapter), their_logits(peft), bare)
        assert peft.peft_config["default"].base_model_name_or_path == model_dir
    merged = os.path.join(tmp, name + "-merged")
    gwen("export", "-q", "--merge", "--model", model_dir, "--adapter", out, "--out", merged,
         "--dtype", "fp32")
    theirs = their_logits(base(merged))
    compare(f"{name} merged, in transformers", our_logits(tmp, "--model", merged), theirs, bare)
    compare(f"{name} merged by PEFT", theirs,
            their_logits(PeftModel.from_pretrained(base(model_dir), out).merge_and_unload()))
    AutoTokenizer.from_pretrained(out)
    AutoTokenizer.from_pretrained(merged)


def check_theirs(tmp, model_dir, name, **config):
    torch.manual_seed(1)
    peft = get_peft_model(base(model_dir), LoraConfig(task_type="CAUSAL_LM", **config))
    for key, p in peft.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(p, std=0.05)
    out = os.path.join(tmp, "peft-" + name)
    peft.save_pretrained(out)
    compare(f"PEFT's {name} here", our_logits(tmp, "--model", model_dir, "--adapter", out),
            their_logits(peft), our_logits(tmp, "--model", model_dir))


def main():
    with tempfile.TemporaryDirectory() as tmp:
        model_dir, data = os.path.join(tmp, "model"), os.path.join(tmp, "data.jsonl")
        gwen("init", "-q", "--preset", "tiny", "--tokenizer", "tests/fixtures/tiny-tokenizer",
             "--seed", "5", "--out", model_dir)
        with open(data, "w", encoding="utf-8") as f:
            for i in range(20):
                f.write(json.dumps({"prompt": f"What is {i} plus {i}? ",
                                    "completion": f"It is {i + i}."}) + "\n")
        check_trained(tmp, model_dir, data, "default", [])
        check_trained(tmp, model_dir, data, "all-linear",
                      ["--lora_target_modules", "all-linear", "--lora_r", "4", "--lora_alpha", "12"])
        check_trained(tmp, model_dir, data, "one",
                      ["--lora_target_modules", "down_proj", "--lora_r", "1", "--use_rslora",
                       "--layers_to_transform", "1"])
        check_theirs(tmp, model_dir, "default", r=8)
        check_theirs(tmp, model_dir, "all-linear", r=3, lora_alpha=7, target_modules="all-linear",
                     use_rslora=True, lora_dropout=0.1)
        check_theirs(tmp, model_dir, "layers", r=2, target_modules=["o_proj", "gate_proj"],
                     layers_to_transform=[0, 2])
    print(f"{failures} failed" if failures else "all agree")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
