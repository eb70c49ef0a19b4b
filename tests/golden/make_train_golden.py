"""Adds train/, lora/ and grpo/ to the project's own small golden folder:

    make_train_golden.py tests/fixtures/golden

after make_golden.py has made its models.  Gradients and optimizer steps are PyTorch's, adapters PEFT's;
the GRPO losses are written out here from their definitions, with gradients by autograd.  Needs torch,
transformers and peft.
"""
import json
import math
import pathlib
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, get_constant_schedule_with_warmup,
                          get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup)

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
STEPS = [5e-4, 1e-3, 2.5e-4]
OPTIMIZER = {"wd": 0.01, "betas": [0.9, 0.95], "eps": 1e-8, "clip": 1.0}
LENGTHS, MASKED = [19, 2, 9, 33], {(0, 5), (0, 6), (3, 1)}
ROWS = {
    "train: loss": "1e-5",
    "train: gradients, relative to the tensor's largest": "5e-5",
    "train: gradient norm, relative": "1e-5",
    "train: loss at steps 2..4 and after": "2e-5",
    "train: final parameters, RMS over a tensor, tiny-qwen3": "4e-6",
    "train: final parameters, largest element": "1e-3",
    "lora: logits and merged logits": "2e-4",
    "lora: gradients, relative to the tensor's largest": "5e-5",
    "lora: step losses": "3e-5",
    "lora: final adapter, RMS over a tensor": "2e-6",
    "grpo: policy and reference log-probs, entropy": "1e-4",
    "grpo: advantages": "1e-6",
    "grpo: loss, from own log-probs": "2e-5",
    "grpo: metrics": "2e-5",
    "grpo: dloss_dlogp": "1e-6",
    "grpo: gradients, relative to the tensor's largest": "1e-4",
}


def load(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32,
                                                attn_implementation="eager").eval()


def batch(vocab, seed):
    g = torch.Generator().manual_seed(seed)
    ids = torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.int32)
    mask = torch.zeros_like(ids)
    for i, n in enumerate(LENGTHS):
        ids[i, :n] = torch.randint(3, vocab, (n,), generator=g)
        for t in range(1, n):
            mask[i, t] = (i, t) not in MASKED
    return ids, mask


def logps(model, ids, temperature=1.0):
    z = model(ids.long()[None]).logits[0, :-1] / temperature
    return torch.log_softmax(z, -1)


def sft_loss(model, ids, mask):
    total = 0
    for i, n in enumerate(LENGTHS):
        row = ids[i, :n]
        lp = logps(model, row).gather(1, row[1:].long()[:, None])[:, 0]
        total = total - (lp * mask[i, 1:n]).sum()
    return total / mask.sum()


def run_steps(model, params, ids, mask):
    """Optimizer steps; params: the trained ones by name."""
    decayed = [p for p in params.values() if p.dim() == 2]
    others = [p for p in params.values() if p.dim() != 2]
    adamw = torch.optim.AdamW([{"params": decayed, "weight_decay": OPTIMIZER["wd"]},
                               {"params": others, "weight_decay": 0.0}],
                              lr=0, betas=OPTIMIZER["betas"], eps=OPTIMIZER["eps"])
    steps = []
    for i, lr in enumerate(STEPS):
        for group in adamw.param_groups:
            group["lr"] = lr
        adamw.zero_grad()
        loss = sft_loss(model, ids, mask)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params.values(), OPTIMIZER["clip"])
        adamw.step()
        steps.append({"step": i + 1, "lr": lr, "loss_before": loss.item(),
                      "grad_norm_before_clip": norm.item()})
    with torch.no_grad():
        return steps, sft_loss(model, ids, mask).item()


def gradients(model, params, ids, mask):
    model.zero_grad()
    loss = sft_loss(model, ids, mask)
    loss.backward()
    grads = {k: p.grad.clone() for k, p in params.items()}
    return loss.item(), grads, math.sqrt(sum(g.double().square().sum() for g in grads.values()))


def write(path, manifest, tensors):
    path.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()},
              path / "golden.safetensors")
    (path / "golden.json").write_text(json.dumps(manifest, indent=1) + "\n")


def train(root, name, final, seed):
    model = load(root / "models" / name)
    params = dict(model.named_parameters())
    ids, mask = batch(model.config.vocab_size, seed)
    loss, grads, norm = gradients(model, params, ids, mask)
    tensors = {"ids": ids, "lengths": torch.tensor(LENGTHS, dtype=torch.int32), "loss_mask": mask}
    tensors |= {f"grad.{k}": g for k, g in grads.items()}
    steps, after = run_steps(model, params, ids, mask)
    if final:
        tensors |= {f"final.{k}": p for k, p in params.items()}
    write(root / "train" / name, {"model": name, "loss": loss, "grad_norm": norm,
                                  "optimizer": OPTIMIZER, "steps": steps,
                                  "loss_after_last_step": after}, tensors)


def schedules(root):
    dummy = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    made = [("linear", 3, 9, get_linear_schedule_with_warmup(dummy, 3, 9)),
            ("cosine", 2, 9, get_cosine_schedule_with_warmup(dummy, 2, 9)),
            ("constant_with_warmup", 4, 8, get_constant_schedule_with_warmup(dummy, 4))]
    rows = [{"name": n, "warmup_steps": w, "total_steps": t,
             "lr_of_step": [s.lr_lambdas[0](i) for i in range(t)]} for n, w, t, s in made]
    (root / "train" / "lr_schedules.json").write_text(json.dumps({"schedules": rows}) + "\n")


def lora(root, base, name, seed, **options):
    torch.manual_seed(seed)
    model = get_peft_model(load(root / "models" / base), LoraConfig(
        lora_dropout=0.0, init_lora_weights=False, task_type="CAUSAL_LM", **options))
    path = root / "lora" / f"{base}-{name}"
    model.save_pretrained(path)
    (path / "README.md").unlink(missing_ok=True)
    config = json.loads((path / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"../../models/{base}"
    config["target_modules"] = sorted(config["target_modules"])
    (path / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    params = {k.replace(".default", ""): p for k, p in model.named_parameters() if p.requires_grad}
    golden = load_file(root / "models" / base / "golden.safetensors")
    rows = [golden["prompt_ids"][i, :n].long() for i, n in enumerate(golden["lengths"][:3])]

    def logits(m):
        with torch.no_grad():
            return torch.cat([m(row[None]).logits[0] for row in rows])
    ids = load_file(root / "train" / base / "golden.safetensors")
    loss, grads, norm = gradients(model, params, ids["ids"], ids["loss_mask"])
    tensors = {"logits": logits(model)} | {f"grad.{k}": g for k, g in grads.items()}
    merged = get_peft_model(load(root / "models" / base), LoraConfig(
        lora_dropout=0.0, task_type="CAUSAL_LM", **options))
    merged.load_state_dict(model.state_dict())
    tensors["merged_logits"] = logits(merged.merge_and_unload())
    steps, after = run_steps(model, params, ids["ids"], ids["loss_mask"])
    tensors |= {f"final.{k}": p for k, p in params.items()}
    write(path, {"model": base, "base": f"../../models/{base}", "loss": loss, "grad_norm": norm,
                 "loss_batch": "train/", "optimizer": OPTIMIZER, "steps": steps,
                 "loss_after_last_step": after}, tensors)


# --- GRPO --------------------------------------------------------------------------------------------

GROUPS, GROUP, WIDTH, EOS, OTHER = 2, 3, 9, 2, 0.7
COMPLETIONS = [9, 4, 1, 9, 6, 7]  # lengths; the first and the fourth are cut off


def make_cases():
    plain = dict(loss_type="grpo", importance_sampling_level="token", epsilon=0.2,
                 epsilon_high=0.28, delta=None, beta=0.0, use_bias_correction_kl=True,
                 scale_rewards="group", mask_truncated_completions=False, temperature=1.0,
                 old="perturbed", micro_batches=1)
    cases = []
    for loss in ("grpo", "bnpo", "dr_grpo", "dapo", "cispo"):
        for level in ("token", "sequence"):
            for more in ({}, {"beta": 0.04}, {"beta": 0.04, "use_bias_correction_kl": False},
                         {"mask_truncated_completions": True, "micro_batches": 2, "beta": 0.04},
                         {"delta": 1.1, "scale_rewards": "batch"},
                         {"old": "policy", "temperature": OTHER, "scale_rewards": "none"}):
                case = dict(plain, loss_type=loss, importance_sampling_level=level, **more)
                if loss == "cispo":
                    case["epsilon_high"] = 1.1
                cases.append(dict(case, id=len(cases)))
    return cases


def advantages(rewards, scale):
    r = rewards.view(GROUPS, GROUP)
    d = r - r.mean(1, keepdim=True)
    if scale == "group":
        d = d / (r.std(1, keepdim=True) + 1e-4)
    if scale == "batch":
        d = d / (r.std() + 1e-4)
    return d.flatten()


def shares(hit, k, level):
    if level == "sequence":
        return hit[:, 0].double().mean(), hit[:, 0].double()
    rows = (hit * k).sum(1) / k.sum(1).clamp(min=1)
    return (hit * k).sum() / k.sum(), rows[k.sum(1) > 0]


def micro_batch_loss(c, lp, old, ref, a, k, all_tokens):
    """Loss and metrics of the rows given."""
    log_w = lp - old
    if c["importance_sampling_level"] == "sequence":
        log_w = ((log_w * k).sum(1) / k.sum(1).clamp(min=1))[:, None]
    raw, a = log_w.exp(), a[:, None]
    low, high = 1 - c["epsilon"], 1 + c["epsilon_high"]
    w = raw if c["delta"] is None else raw.clamp(max=c["delta"])
    if c["loss_type"] == "cispo":
        loss = -raw.clamp(max=c["epsilon_high"]).detach() * a * lp
    else:
        loss = -torch.min(w * a, raw.clamp(low, high) * a)
    metrics = {}
    if c["beta"]:
        d = ref - lp
        kl = d.exp() - d - 1
        if c["use_bias_correction_kl"]:
            kl = kl * raw
        loss = loss + c["beta"] * kl
        metrics["kl"] = ((kl * k).sum() / k.sum()).item()
    tokens, m = k.sum(), c["micro_batches"]
    per_row = (loss * k).sum(1)
    total = {"grpo": lambda: (per_row / k.sum(1).clamp(min=1)).mean() / m,
             "bnpo": lambda: per_row.sum() / tokens / m,
             "dr_grpo": lambda: per_row.sum() / (len(k) * WIDTH) / m,
             "dapo": lambda: per_row.sum() / all_tokens,
             "cispo": lambda: per_row.sum() / all_tokens}[c["loss_type"]]()
    if c["loss_type"] == "cispo":
        hit = (raw > c["epsilon_high"]) & (a > 0)
        metrics["cispo_clip_ratio"] = shares(hit, k, c["importance_sampling_level"])[0].item()
    else:
        is_low, is_high = (w < low) & (a < 0), (w > high) & (a > 0)
        for name, hit in (("low", is_low), ("high", is_high), ("region", is_low | is_high)):
            mean, rows = shares(hit, k, c["importance_sampling_level"])
            metrics[f"clip_ratio/{name}_mean"] = mean.item()
            if name != "region":
                last = rows.min() if name == "low" else rows.max()
                metrics[f"clip_ratio/{name}_" + ("min" if name == "low" else "max")] = last.item()
    return total, metrics


def run_case(c, policies, rewards, k, truncated):
    p = policies[c["temperature"]]
    lp = p["policy_logps"].detach().requires_grad_()
    old = lp.detach() if c["old"] == "policy" else p["old_logps"]
    a = advantages(rewards, c["scale_rewards"])
    if c["mask_truncated_completions"]:
        k = k * (1 - truncated)[:, None]
    m, total, losses, metrics = c["micro_batches"], 0, [], []
    for part in torch.arange(len(k)).chunk(m):
        loss, got = micro_batch_loss(c, lp[part], old[part], p["ref_logps"][part], a[part], k[part],
                                     k.sum())
        got["entropy"] = ((p["policy_entropy"][part] * k[part]).sum() / k[part].sum()).item()
        total = total + loss
        losses.append(loss.item())
        metrics.append(got)
    total.backward()
    c["loss"] = total.item()
    c["metrics"] = metrics[0] if m == 1 else {key: [x[key] for x in metrics] for key in metrics[0]}
    return lp.grad


def completion_logps(model, prompts, completions, temperature):
    lp = torch.zeros(len(completions), WIDTH)
    entropy = torch.zeros_like(lp)
    for i, c in enumerate(completions):
        prompt = prompts[i // GROUP]
        all_lp = logps(model, torch.cat([prompt, c]), temperature)[len(prompt) - 1:]
        lp[i, :len(c)] = all_lp.gather(1, c[:, None])[:, 0]
        entropy[i, :len(c)] = -(all_lp.exp() * all_lp).sum(1)
    return lp, entropy


def grpo(root, base, seed):
    g = torch.Generator().manual_seed(seed)
    model, ref = load(root / "models" / base), load(root / "models" / base)
    vocab = model.config.vocab_size
    with torch.no_grad():
        for p in ref.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=g) * p.std().nan_to_num(1))
    prompts = [torch.randint(3, vocab, (n,), generator=g) for n in (5, 8)]
    completions = [torch.randint(3, vocab, (n,), generator=g) for n in COMPLETIONS]
    truncated = torch.tensor([1.0, 0, 0, 1.0, 0, 0])
    for c, cut in zip(completions, truncated):
        if not cut:
            c[-1] = EOS
    k = torch.zeros(len(completions), WIDTH)
    ids = torch.zeros(len(completions), WIDTH, dtype=torch.int32)
    for i, c in enumerate(completions):
        k[i, :len(c)] = 1
        ids[i, :len(c)] = c
    prompt_ids = torch.zeros(GROUPS, 8, dtype=torch.int32)
    for i, p in enumerate(prompts):
        prompt_ids[i, :len(p)] = p
    rewards = torch.tensor([1.0, 0.0, 0.5, 0.25, 0.25, 0.25])
    shift = 0.4 * torch.randn(k.shape, generator=g) * k
    policies, tensors = {}, {}
    for temperature, suffix in ((1.0, ""), (OTHER, "_temperature")):
        with torch.no_grad():
            lp, entropy = completion_logps(model, prompts, completions, temperature)
            ref_lp, _ = completion_logps(ref, prompts, completions, temperature)
        policies[temperature] = {"policy_logps": lp, "policy_entropy": entropy,
                                 "ref_logps": ref_lp, "old_logps": lp - shift}
        tensors |= {name + suffix: t for name, t in policies[temperature].items()}
    cases = make_cases()
    dloss = torch.stack([run_case(c, policies, rewards, k, truncated) for c in cases])
    tensors |= {"prompt_ids": prompt_ids,
                "prompt_lengths": torch.tensor([5, 8], dtype=torch.int32), "completion_ids": ids,
                "completion_lengths": torch.tensor(COMPLETIONS, dtype=torch.int32),
                "completion_truncated": truncated.int(), "rewards": rewards, "dloss_dlogp": dloss}
    stats = {}
    for scale in ("group", "batch", "none"):
        tensors[f"advantages_{scale}"] = advantages(rewards, scale)
        stats[scale] = {"reward": rewards.mean().item(), "reward_std": rewards.std().item(),
                        "frac_reward_zero_std": 0.0 if scale == "batch" else 0.5}
    case = next(c for c in cases if c["loss_type"] == "dapo" and c["beta"])
    model.zero_grad()
    lp, _ = completion_logps(model, prompts, completions, 1.0)
    (lp * dloss[case["id"]]).sum().backward()
    tensors |= {f"grad.dapo.{n}": p.grad for n, p in model.named_parameters()}
    write(root / "grpo", {"model": f"../models/{base}", "batch_metrics_by_scale_rewards": stats,
                          "gradient_cases": {"dapo": {"case": case["id"], "tensors": "grad.dapo.*"}}},
          tensors)
    (root / "grpo" / "cases.json").write_text(
        "[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


def tolerances(root):
    readme = root / "README.md"
    lines = [x for x in readme.read_text().splitlines() if x.split("|")[1:2] == [] or
             x.split("|")[1].strip() not in ROWS]
    readme.write_text("\n".join(lines + [f"| {k} | {v} |" for k, v in ROWS.items()]) + "\n")


def main():
    root = pathlib.Path(sys.argv[1])
    train(root, "qwen3", True, 1)
    train(root, "llama-bias", False, 2)
    schedules(root)
    lora(root, "qwen3", "all-r2", 3, r=2, lora_alpha=6, target_modules=[
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    lora(root, "llama-bias", "one-r1", 4, r=1, lora_alpha=2, use_rslora=True,
         target_modules=["up_proj"], layers_to_transform=[1])
    grpo(root, "qwen3", 5)
    tolerances(root)


if __name__ == "__main__":
    main()
