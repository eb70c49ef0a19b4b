"""gwen-cpu: a process for each measurement, with its own limit measured in the same run."""
import json, os, subprocess, tempfile, time

import peer

args_ = peer.parser(__doc__)
args_.add_argument("--gwen", required=True)
args_.add_argument("--model", required=True)
args = args_.parse_args()


def gwen(request, command, *words):
    """Runs a command and gives its standard output."""
    env = {**os.environ, "GWEN_ISA": request["isa"]} if request["isa"] != "best" else None
    done = subprocess.run(
        [args.gwen, command, *map(str, words), "--model", args.model, "--threads",
         str(args.threads), "--dtype", request["dtype"], "--seed", str(request["seed"]), "-q"],
        capture_output=True, env=env, text=True)
    if done.returncode == 2:
        raise peer.Skip(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"exit status {done.returncode}")
    return done.stdout


def bench(request, *words):
    out = json.loads(gwen(request, "bench", *words, "--json").splitlines()[-1])
    return {"value": out["tok_s"], "fraction": out["fraction"], "tokens": out["new_tokens"]}


def decode(request):
    return bench(request, "decode", "--batch", request["batch"], "--prompt-tokens",
                 request["prompt_tokens"], "--new-tokens", request["new_tokens"], "--runs", 1)


def prefill(request):
    return bench(request, "prefill", "--prompt-tokens", request["prompt_tokens"], "--runs", 1)


def rollout(request):
    lengths = ",".join(map(str, request["lengths"]))
    return bench(request, "rollout", "--batch", request["prompts"], "--groups", request["group"],
                 "--prompt-tokens", request["prompt_tokens"], "--lengths", "list:" + lengths,
                 "--max-tokens", max(request["lengths"]), "--warmup", 1, "--runs", 1)


def train(request):
    """Predicted tokens per second; samples of a group share the pass over their prompt."""
    return bench(request, "train", "--batch", request["batch"], "--groups", request["group"],
                 "--seq", request["prompt_tokens"] + request["new_tokens"], "--runs", 1,
                 *(["--prompt-tokens", request["prompt_tokens"]] if request["prompt_tokens"] else []))


def grpo_step(request):
    with tempfile.TemporaryDirectory() as folder:
        prompts, out = os.path.join(folder, "prompts.jsonl"), os.path.join(folder, "run")
        with open(prompts, "w", encoding="utf-8") as file:
            for i in range(request["prompts"]):
                file.write(json.dumps({"id": str(i), "prompt": peer.GRPO_PROMPT}) + "\n")
        rows = request["prompts"] * request["group"]
        gwen(request, "train", "--prompts", prompts, "--reward", "length:40", "--out", out,
             "--num_generations", request["group"], "--per_device_train_batch_size", rows,
             "--max_completion_length", request["new_tokens"], "--temperature", 0.8,
             "--rollout-batch-size", rows, "--max_steps", peer.GRPO_STEPS)
        with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as file:
            steps = [json.loads(line)["time/train/step_s"] for line in file]
    return {"value": sum(steps) / len(steps)}


def judge(request):
    words = [f"--{key}={request[key.replace('-', '_')]}" for key in
             ("responses", "criteria", "shared-tokens", "own-tokens", "criterion-tokens")]
    out = json.loads(gwen(request, "bench", "judge", *words, "--runs", 1, "--warmup", 0,
                          "--json").splitlines()[-1])
    return {"value": out["crit_eval_s"], "fraction": out["fraction"]}


def start(request):
    words = ("generate", "--prompt", "The capital of France is", "--max-tokens", 1)
    gwen(request, *words)  # from now on the files are in the cache
    began = time.perf_counter()
    gwen(request, *words)
    return {"value": time.perf_counter() - began}


peer.serve(lambda: {"decode": decode, "prefill": prefill, "rollout": rollout, "judge": judge,
                    "start": start,
                    "train": train, "train-group": train, "grpo-step": grpo_step})
