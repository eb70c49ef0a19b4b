"""What the programs of this folder have in common: one line of JSON in, one out (../PEERS.md)."""
import argparse, json, os, random, sys


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
