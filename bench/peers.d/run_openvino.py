"""OpenVINO GenAI: its pipeline with continuous batching and its prefix cache."""
import time

import peer

args_ = peer.parser(__doc__)
args_.add_argument("--model", required=True, help="the model as OpenVINO IR")
args_.add_argument("--kv-gib", type=int, default=2, help="space for keys and values")
args = args_.parse_args()


def load():
    import numpy
    import openvino
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_seqs = args.kv_gib, 64
    scheduler.max_num_batched_tokens, scheduler.dynamic_split_fuse = 4096, False
    scheduler.enable_prefix_caching = True
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        args.model, scheduler, "CPU",
        {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": args.threads})

    def run(prompts, lengths):
        """Seconds until every prompt has as many new tokens as its length says."""
        configs = []
        for n in lengths:
            config = openvino_genai.GenerationConfig()
            config.max_new_tokens, config.do_sample, config.temperature = n, True, 0.8
            config.ignore_eos = True
            configs.append(config)
        inputs = [openvino.Tensor(numpy.array([ids], dtype=numpy.int64)) for ids in prompts]
        began = time.perf_counter()
        outputs = pipeline.generate(inputs, configs)
        seconds = time.perf_counter() - began
        return seconds, sum(len(output.m_generation_ids[0]) for output in outputs)

    return peer.measures(run)


peer.serve(load)
