"""Makes the project's own small golden folder: make_golden.py BIG_GOLDEN tests/fixtures/golden

The models (a few thousand random parameters each) and their reference numbers are computed here by
transformers in float32.  The trained stories260K model, tokenizer and chat vectors are thinned out
of BIG_GOLDEN, a folder of the same layout.  Needs torch and transformers.
"""
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

LENGTHS = [19, 1, 2, 7, 16, 33]
LONG, TAIL, NEW = 200, 40, 24
COMMON = dict(num_hidden_layers=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
              pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=96)
MODELS = {
    # heads x head_dim is not hidden; tied; q/k norm
    "qwen3": (Qwen3ForCausalLM, torch.float32, Qwen3Config(
        vocab_size=97, hidden_size=32, intermediate_size=44, num_attention_heads=4,
        num_key_value_heads=2, head_dim=14, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1e6), rms_norm_eps=1e-6, **COMMON)),
    # q, k, v biases; no head_dim; bfloat16 on disk
    "qwen2": (Qwen2ForCausalLM, torch.bfloat16, Qwen2Config(
        vocab_size=80, hidden_size=30, intermediate_size=52, num_attention_heads=3,
        num_key_value_heads=1, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1e6), rms_norm_eps=1e-6, **COMMON)),
    # llama3 rope scaling, untied, two shards
    "llama3": (LlamaForCausalLM, torch.float32, LlamaConfig(
        vocab_size=83, hidden_size=32, intermediate_size=44, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, tie_word_embeddings=False, rope_parameters=LLAMA3,
        rms_norm_eps=1e-5, **COMMON)),
    # linear rope scaling, biases everywhere; float16 on disk
    "llama-bias": (LlamaForCausalLM, torch.float16, LlamaConfig(
        vocab_size=64, hidden_size=24, intermediate_size=36, num_attention_heads=3,
        num_key_value_heads=3, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
        rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.5), rms_norm_eps=1e-5,
        **COMMON)),
    "mistral": (MistralForCausalLM, torch.float32, MistralConfig(
        vocab_size=72, hidden_size=32, intermediate_size=40, num_attention_heads=4,
        num_key_value_heads=1, head_dim=10, tie_word_embeddings=False, sliding_window=None,
        rope_parameters=dict(rope_type="default", rope_theta=1e4), rms_norm_eps=1e-5, **COMMON)),
}
README = """# The project's own golden data

Made by tests/golden/make_golden.py with torch {torch} and transformers {transformers}; laid out
like the larger folder that `make check-golden GOLDEN=DIR` takes.  `stories260K-hf` is Andrej
Karpathy's stories260K (MIT), converted; the chat templates are those of the Qwen (Apache-2.0) and
Llama 3.2 models.

| golden | recommended |
|---|---|
| models: logits (6 prompts) | 2e-4 |
| models: logits (200 tokens) | 5e-4 |
| models: log-probs | 1e-4 |
| models: hidden | 2e-4 |
| models: greedy | exact |
| stories: mean NLL / window NLL | 1e-5 / 1e-4 |
| stories: greedy | exact |
| tokenizers, chat | exact |
"""


def randomise(model, seed):
    """Weights that make logits of a few units and every parameter count."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=g)
            if "norm" in name:
                p.copy_(1 + 0.2 * x)
            elif name.endswith("bias"):
                p.copy_(0.3 * x)
            elif "embed" in name or "lm_head" in name:
                p.copy_(x * (3 / p.shape[1] ** 0.5 if "lm_head" in name else 0.6))
            else:
                p.copy_(x * 1.6 / p.shape[1] ** 0.5)


def v4_style(config):
    """The same configuration as transformers 4 wrote it."""
    rope = dict(config.pop("rope_parameters"))
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.0"
    return config


def greedy(model, ids):
    out, top, margin = [], [], []
    for _ in range(NEW):
        best = model(torch.tensor([ids])).logits[0, -1].topk(2)
        out.append(best.indices[0].item())
        top.append(best.values[0].item())
        margin.append((best.values[0] - best.values[1]).item())
        ids = ids + out[-1:]
    return out, top, margin


def logprobs_of(logits, ids):
    lp = logits[:-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
    return torch.cat([torch.zeros(1), lp])


def reference(model, raw, vocab, layers, seed):
    g = torch.Generator().manual_seed(seed + 100)
    width = max(LENGTHS)
    t = {"prompt_ids": torch.zeros(len(LENGTHS), width, dtype=torch.int32),
         "lengths": torch.tensor(LENGTHS, dtype=torch.int32),
         "logprobs": torch.zeros(len(LENGTHS), width)}
    logits, runs = [], []
    for i, n in enumerate(LENGTHS):
        ids = torch.randint(3, vocab, (n,), generator=g)
        out = model(ids[None], output_hidden_states=True)
        t["prompt_ids"][i, :n] = ids
        t["logprobs"][i, :n] = logprobs_of(out.logits[0], ids)
        logits.append(out.logits[0])
        if i == 0:
            # The last of hidden_states is normed; the stream before that comes from a hook.
            hidden = [h[0] for h in out.hidden_states]
            t["hidden"] = torch.stack(hidden[:-1] + [raw["h"][0], hidden[-1]])
            assert t["hidden"].shape[0] == layers + 2
        runs.append(greedy(model, ids.tolist()))
    t["logits"] = torch.cat(logits)
    t["greedy_ids"] = torch.tensor([r[0] for r in runs], dtype=torch.int32)
    t["greedy_max"] = torch.tensor([r[1] for r in runs])
    t["greedy_margin"] = torch.tensor([r[2] for r in runs])
    ids = torch.randint(3, vocab, (LONG,), generator=g)
    out = model(ids[None]).logits[0]
    t["long_ids"] = ids.int()
    t["long_logprobs"] = logprobs_of(out, ids)
    t["long_logits_tail"] = out[-TAIL:].contiguous()
    return t


def make_model(path, cls, dtype, config, seed):
    path.mkdir(parents=True)
    model = cls(config).to(torch.float32).eval()
    randomise(model, seed)
    model.to(dtype).save_pretrained(path, max_shard_size="25KB" if path.name == "llama3" else "1GB")
    model = cls.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    raw = {}
    model.model.norm.register_forward_pre_hook(lambda _, args: raw.update(h=args[0]))
    saved = json.loads((path / "config.json").read_text())
    (path / "config.v4.json").write_text(json.dumps(v4_style(saved), indent=1) + "\n")
    with torch.inference_mode():
        t = reference(model, raw, config.vocab_size, config.num_hidden_layers, seed)
    save_file({k: v.clone().contiguous() for k, v in t.items()}, path / "golden.safetensors")
    manifest = {"model": path.name, "computed_in": "float32 (weights upcast), eager attention",
                "min_greedy_margin": t["greedy_margin"].min().item(),
                "tensors": [{"name": k, "shape": list(v.shape)} for k, v in t.items()]}
    (path / "golden.json").write_text(json.dumps(manifest, indent=1) + "\n")


def thin(src, dst, every):
    rows = src.read_text().splitlines(keepends=True)[::every]
    dst.parent.mkdir(parents=True, exist_ok=True)
    dst.write_text("".join(rows))
    return len(rows)


def copy_vectors(big, out):
    shutil.copytree(big / "stories", out / "stories")
    shutil.copytree(big / "stories260K-hf", out / "stories260K-hf")
    own = out / "tokenizer" / "bpe-llama3"
    counts = {kind: thin(big / "tokenizer/bpe-llama3" / f"{kind}.jsonl", own / f"{kind}.jsonl", 5)
              for kind in ("encode", "decode")}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(big / "tokenizer/bpe-llama3" / name, own)
    manifest = {"topic": "tokenizers", "files": {"bpe-llama3": counts}}
    (out / "tokenizer/golden.json").write_text(json.dumps(manifest, indent=1) + "\n")
    n = thin(big / "chat/chat.jsonl", out / "chat/chat.jsonl", 6)
    manifest = json.loads((big / "chat/golden.json").read_text())
    manifest["files"] = {"chat.jsonl": {"rows": n}}
    (out / "chat/golden.json").write_text(json.dumps(manifest, indent=1) + "\n")
    for name in manifest["templates"]:
        shutil.copy(big / "chat" / f"{name}.jinja", out / "chat")


def main():
    torch.set_num_threads(1)
    big, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    shutil.rmtree(out, ignore_errors=True)
    import transformers
    for seed, (name, (cls, dtype, config)) in enumerate(MODELS.items()):
        make_model(out / "models" / name, cls, dtype, config, seed)
    copy_vectors(big, out)
    (out / "README.md").write_text(README.format(torch=torch.__version__.split("+")[0],
                                                 transformers=transformers.__version__))


main()
