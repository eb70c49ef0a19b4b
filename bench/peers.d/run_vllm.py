"""vLLM's build for processors: offline engine with continuous batching and its prefix cache."""
import os, time

import peer

args_ = peer.parser(__doc__)
args_.add_argument("--model", required=True)
args_.add_argument("--kv-gib", type=int, default=2, help="space for keys and values")
args = args_.parse_args()


def load():
    cpus = sorted(os.sched_getaffinity(0))[: args.threads]
    os.environ.update(VLLM_CPU_KVCACHE_SPACE=str(args.kv_gib), HF_HUB_OFFLINE="1",
                      VLLM_CPU_OMP_THREADS_BIND=",".join(map(str, cpus)),
                      VLLM_ENABLE_V1_MULTIPROCESSING="0")
    from vllm import LLM, SamplingParams

    engine = LLM(args.model, dtype="bfloat16", max_model_len=2048, enable_prefix_caching=True,
                 seed=0, max_num_seqs=64)

    def run(prompts, lengths):
        """Seconds until every prompt has as many new tokens as its length says."""
        inputs = [{"prompt_token_ids": ids} for ids in prompts]
        sampling = [SamplingParams(max_tokens=n, temperature=0.8, ignore_eos=True) for n in lengths]
        began = time.perf_counter()
        outputs = engine.generate(inputs, sampling, use_tqdm=False)
        seconds = time.perf_counter() - began
        return seconds, sum(len(o.outputs[0].token_ids) for o in outputs)

    return peer.measures(run)


if __name__ == "__main__":
    peer.serve(load)
