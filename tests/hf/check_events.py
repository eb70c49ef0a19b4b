"""check_events.py - TensorBoard's own reader finds in a run's event file what metrics.jsonl has."""
# needs: tensorboard
import json
import math
import os
import struct
import subprocess

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

GWEN, T = os.environ["GWEN"], os.environ["T"]


def main():
    prompts = f"{T}/prompts.jsonl"
    with open(prompts, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"prompt": f"{i}+1=", "answer": str(i + 1)}) + "\n" for i in range(8))
    subprocess.run(
        [GWEN, "train", "-q", "--model", "examples/arithmetic/model", "--prompts", prompts, "--reward", "exact",
         "--max_steps", "5", "--max_completion_length", "6", "--out", f"{T}/run"], check=True)
    with open(f"{T}/run/metrics.jsonl", encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    events = EventAccumulator(f"{T}/run", size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"] + events.Tags()["tensors"]
    names = set().union(*rows) - {"step"}
    assert set(tags) == names, set(tags) ^ names
    compared = 0
    for name in names:
        if name in events.Tags()["scalars"]:
            there = {e.step: e.value for e in events.Scalars(name)}
        else:
            there = {e.step: e.tensor_proto.float_val[0] for e in events.Tensors(name)}
        for row in rows:
            ours, theirs = row.get(name), there.get(row["step"])
            if ours is None:
                assert theirs is None or not math.isfinite(theirs), (name, row["step"], theirs)
                continue
            single = struct.unpack("f", struct.pack("f", ours))[0]
            assert theirs == single, (name, row["step"], ours, theirs)
            compared += 1
    print(f"{compared} values of {len(names)} metrics are the same")


main()
