"""transformers on PyTorch: a loop over model(...) with its KV cache; the model stays loaded."""
import time

import peer

args_ = peer.parser(__doc__)
args_.add_argument("--model", required=True)
args = args_.parse_args()
TEMPERATURE = 0.8


def load():
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16).eval()

    def draw(logits):
        return torch.multinomial(torch.softmax(logits.float() / TEMPERATURE, -1), 1)

    def begin(prompts, repeats):
        """The cache after the prompts, each there `repeats` times, and the first tokens."""
        done = model(torch.tensor(prompts), use_cache=True, logits_to_keep=1)
        cache = done.past_key_values
        cache.batch_repeat_interleave(repeats)
        return cache, draw(done.logits[:, -1].repeat_interleave(repeats, 0))

    def steps(cache, tokens, n):
        for _ in range(n):
            done = model(tokens, past_key_values=cache, use_cache=True)
            cache, tokens = done.past_key_values, draw(done.logits[:, -1])

    @torch.inference_mode()
    def decode(request):
        peer.only_bf16(request)
        steps(*begin(peer.prompts(request, 1), request["batch"]), 2)
        cache, tokens = begin(peer.prompts(request, 1), request["batch"])
        began = time.perf_counter()
        steps(cache, tokens, request["new_tokens"])
        n = request["batch"] * request["new_tokens"]
        return {"value": n / (time.perf_counter() - began)}

    @torch.inference_mode()
    def prefill(request):
        peer.only_bf16(request)
        ids = torch.tensor(peer.prompts(request, 1))
        for _ in range(2):
            began = time.perf_counter()
            model(ids, use_cache=True, logits_to_keep=1)
        return {"value": ids.numel() / (time.perf_counter() - began)}

    @torch.inference_mode()
    def judge(request):
        """Every prompt whole, eight at a time."""
        peer.only_bf16(request)
        rows = [ids for response in peer.judged(request) for ids in response]
        began = time.perf_counter()
        for at in range(0, len(rows), 8):
            model(torch.tensor(rows[at:at + 8]), use_cache=False, logits_to_keep=1)
        return {"value": len(rows) / (time.perf_counter() - began)}

    @torch.inference_mode()
    def rollout(request):
        """As generate() does: rows that have ended are carried along until the last one ends."""
        peer.only_bf16(request)
        prompts = peer.prompts(request, request["prompts"])
        began = time.perf_counter()
        cache, tokens = begin(prompts, request["group"])
        steps(cache, tokens, max(request["lengths"]) - 1)
        n = sum(request["lengths"])
        return {"value": n / (time.perf_counter() - began), "tokens": n}

    def train_step(trained, request):
        """Seconds of one pass; a group's prompt goes through the model with each of its samples."""
        own = peer.prompts({**request, "prompt_tokens": request["prompt_tokens"]}, request["batch"])
        completions = peer.prompts({**request, "prompt_tokens": request["new_tokens"]},
                                   request["batch"] * request["group"])
        rows = [own[i // request["group"]] + ids for i, ids in enumerate(completions)]
        ids = torch.tensor(rows)
        labels = ids.clone()
        labels[:, : request["prompt_tokens"]] = -100
        began = time.perf_counter()
        trained(input_ids=ids, labels=labels, use_cache=False).loss.backward()
        seconds = time.perf_counter() - began
        trained.zero_grad()
        return seconds

    faster = []  # the type that trains faster here, bfloat16 or float32: found out once

    def train(request):
        """Memory for the backward pass is warm: the second of two passes counts."""
        peer.only_bf16(request)
        if not faster:
            wide = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
            times = {kind: min(train_step(m, request) for _ in range(2))
                     for kind, m in (("bf16", model), ("fp32", wide))}
            faster.append(min(times, key=times.get))
        trained = model
        if faster[0] == "fp32":
            trained = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
        seconds = min(train_step(trained, request) for _ in range(2))
        return {"value": request["batch"] * request["group"] * request["new_tokens"] / seconds}

    return {"decode": decode, "prefill": prefill, "rollout": rollout, "judge": judge, "train": train,
            "train-group": train}


peer.serve(load)
