"""What the programs of this folder have in common: one line of JSON in, one out (../PEERS.md)."""
import argparse, json, os, random, sys


GRPO_STEPS = 2
GRPO_PROMPT = ("Natalia sold clips to 48 of her friends in April, and then she sold half as many clips "
               "in May. How many clips did Natalia sell altogether? ") * 3


class Skip(Exception):
    """This engine cannot do what was asked; the text says why."""


def parser(about):
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return made


def prompts(request, n, vocabulary=150000):
    """n prompts of random ids, others for each seed: no cache of a former round helps."""
    draw = random.Random(f"{request['row']} {request['seed']}")
    return [[draw.randrange(vocabulary) for _ in range(request["prompt_tokens"])] for _ in range(n)]


def repeated(request):
    """A rollout's prompts, each as often as it has samples, beside the rows' lengths."""
    own = prompts(request, request["prompts"])
    return [ids for ids in own for _ in range(request["group"])], request["lengths"]


def judged(request, vocabulary=150000):
    """Prompts of a judge: those of each response, one for each criterion; what differs comes last."""
    draw = random.Random(f"{request['row']} {request['seed']}")
    ids = lambda n: [draw.randrange(vocabulary) for _ in range(n)]
    shared = ids(request["shared_tokens"])
    criteria = [ids(request["criterion_tokens"]) for _ in range(request["criteria"])]
    responses = [shared + ids(request["own_tokens"]) for _ in range(request["responses"])]
    return [[response + criterion for criterion in criteria] for response in responses]


def only_bf16(request):
    if request["dtype"] != "bf16" or request["isa"] != "best":
        raise Skip("measured with bfloat16 alone")


def serve(load):
    """load() gives functions by kind of row; each takes a request and gives what to answer.
    Whatever libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer):
        out.write(json.dumps(answer) + "\n")
        out.flush()

    try:
        kinds = load()
    except Exception as error:  # whatever it is, the driver prints it and goes on
        say({"error": f"cannot start: {type(error).__name__}: {error}"})
        return
    say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["kind"] not in kinds:
                raise Skip(f"no way to measure {request['kind']}")
            say(kinds[request["kind"]](request))
        except Skip as reason:
            say({"skip": str(reason)})
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})


def measures(run):
    """What an engine that takes many requests at once measures.  run(prompts, lengths) completes
    prompts[i] with lengths[i] tokens and returns the seconds and the number of new tokens."""

    def decode(request):
        """What 2 more than new_tokens tokens take beyond 2: the prompt is in the prefix cache."""
        only_bf16(request)
        batch, new = request["batch"], request["new_tokens"]
        rows = prompts(request, 1) * batch
        run(rows[:1], [1])
        short, _ = run(rows, [2] * batch)
        long, _ = run(rows, [2 + new] * batch)
        return {"value": batch * new / (long - short)}

    def prefill(request):
        only_bf16(request)
        run(prompts({**request, "seed": -1 - request["seed"]}, 1), [1])
        seconds, _ = run(prompts(request, 1), [1])
        return {"value": request["prompt_tokens"] / seconds}

    def rollout(request):
        """The prompts go first, alone: submitted with their samples each is prefilled again for
        every one of these."""
        only_bf16(request)
        own = prompts(request, request["prompts"])
        first, _ = run(own, [1] * len(own))
        seconds, n = run(*repeated(request))
        return {"value": n / (first + seconds), "tokens": n}

    def judge(request):
        """One token for each prompt.  What is shared goes first, so that the prefix cache has it
        when it is wanted again: one prompt, then one of each response, then the rest."""
        only_bf16(request)
        own = judged(request)
        turns = [[own[0][0]], [rows[0] for rows in own[1:]], [ids for rows in own for ids in rows[1:]]]
        seconds = sum(run(rows, [1] * len(rows))[0] for rows in turns)
        return {"value": request["responses"] * request["criteria"] / seconds}

    return {"judge": judge, "decode": decode, "prefill": prefill, "rollout": rollout}
