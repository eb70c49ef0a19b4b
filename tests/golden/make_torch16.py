"""Errors that PyTorch itself makes in 16 bits: make_torch16.py GOLDEN_DIR > tests/golden/torch16.json

For every model under GOLDEN_DIR/models: log-probabilities of the golden's sequences computed by
transformers in bfloat16 and in float16, against the stored float32 ones.  The engine's own 16-bit
errors are held against these (tests/golden/golden_16bit.c).  Needs torch and transformers.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def sequences(golden):
    """(ids, float32 log-probs of ids[1:]) of every golden sequence of two tokens or more."""
    for ids, n, logprobs in zip(golden["prompt_ids"], golden["lengths"], golden["logprobs"]):
        if n > 1:
            yield ids[:n].long(), logprobs[1:n]
    yield golden["long_ids"].long(), golden["long_logprobs"][1:]


def errors(model, golden):
    diffs = []
    for ids, want in sequences(golden):
        logits = model(ids[None]).logits[0, :-1]
        got = logits.float().log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        diffs.append((got - want).double())
    d = torch.cat(diffs)
    return {"n": d.numel(), "max": d.abs().max().item(), "rms": d.square().mean().sqrt().item()}


def main():
    torch.set_num_threads(1)
    root = pathlib.Path(sys.argv[1])
    out = {"torch": torch.__version__, "models": {}}
    for path in sorted((root / "models").iterdir()):
        golden = load_file(path / "golden.safetensors")
        row = out["models"][path.name] = {}
        for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
            model = AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, attn_implementation="eager").eval()
            with torch.inference_mode():
                row[name] = errors(model, golden)
    json.dump(out, sys.stdout, indent=1)
    print()


main()
