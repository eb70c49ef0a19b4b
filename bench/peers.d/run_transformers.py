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
    def rollout(request):
        """As generate() does: rows that have ended are carried along until the last one ends."""
        peer.only_bf16(request)
        prompts = peer.prompts(request, request["prompts"])
        began = time.perf_counter()
        cache, tokens = begin(prompts, request["group"])
        steps(cache, tokens, max(request["lengths"]) - 1)
        n = sum(request["lengths"])
        return {"value": n / (time.perf_counter() - began), "tokens": n}

    return {"decode": decode, "prefill": prefill, "rollout": rollout}


peer.serve(load)
