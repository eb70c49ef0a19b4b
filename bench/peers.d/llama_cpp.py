"""llama.cpp and ik_llama.cpp: llama-batched-bench, a process for each measurement."""
import os, re, subprocess

import peer

args_ = peer.parser(__doc__)
args_.add_argument("--bench", required=True, help="llama-batched-bench")
args_.add_argument("--bench-avx2", help="the same, built for AVX2 alone")
args_.add_argument("--bf16", required=True, help="the model as GGUF")
args_.add_argument("--fp16", required=True, help="the same in float16")
args_.add_argument("--repack", action="store_true", help="ik_llama.cpp's repacking at load")
args = args_.parse_args()


def run(request, batch, prompt_tokens, new_tokens):
    """Prefill and decode rates of one line of its table."""
    model = args.bf16 if request["dtype"] == "bf16" else args.fp16
    program = args.bench if request["isa"] == "best" else args.bench_avx2
    if program is None:
        raise peer.Skip("no build for AVX2 alone")
    if not os.path.exists(model):
        raise peer.Skip(f"{model} is not there")
    context = prompt_tokens + batch * new_tokens + 256
    done = subprocess.run(
        [program, "-m", model, "-c", str(context), "-b", "2048", "-ub", "512", "-npp",
         str(prompt_tokens), "-ntg", str(new_tokens), "-npl", str(batch), "-pps", "-t",
         str(args.threads)] + (["-rtr"] if args.repack else []), capture_output=True, text=True)
    for line in (done.stdout + done.stderr).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) >= 8 and re.fullmatch(r"\d+", cells[0]):
            return float(cells[5]), float(cells[7])
    raise RuntimeError(f"no table, exit status {done.returncode}")


def decode(request):
    rates = run(request, request["batch"], request["prompt_tokens"], request["new_tokens"])
    return {"value": rates[1]}


def prefill(request):
    return {"value": run(request, 1, request["prompt_tokens"], 1)[0]}


def rollout(request):
    raise peer.Skip("llama-batched-bench knows only rows of one length")


peer.serve(lambda: {"decode": decode, "prefill": prefill, "rollout": rollout})
