"""TRL on PyTorch: steps of its GRPOTrainer in bfloat16, with AdamW."""
import gc, os, tempfile, time

import peer

args_ = peer.parser(__doc__)
args_.add_argument("--model", required=True)
args = args_.parse_args()


def load():
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(args.threads)

    def grpo_step(request):
        peer.only_bf16(request)
        rows, new = request["prompts"] * request["group"], request["new_tokens"]
        with tempfile.TemporaryDirectory() as folder:
            config = GRPOConfig(
                output_dir=folder, per_device_train_batch_size=rows,
                num_generations=request["group"], max_completion_length=new,
                max_steps=peer.GRPO_STEPS, report_to=[], save_strategy="no", use_cpu=True,
                bf16=True, beta=0.0, temperature=0.8, gradient_checkpointing=False,
                disable_tqdm=True, model_init_kwargs={"dtype": "bfloat16"},
                generation_kwargs={"min_new_tokens": new})
            trainer = GRPOTrainer(
                model=args.model, args=config,
                train_dataset=Dataset.from_list([{"prompt": peer.GRPO_PROMPT}] * rows),
                reward_funcs=lambda completions, **_: [float(len(set(c))) for c in completions])
            began = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - began
        del trainer
        gc.collect()  # the other engines need the memory
        return {"value": seconds / peer.GRPO_STEPS}

    return {"grpo-step": grpo_step}


peer.serve(load)
