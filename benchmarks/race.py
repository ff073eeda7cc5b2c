"""How fast does the default recipe come to the loss that nanoGPT's CPU recipe ends with?

    python -m benchmarks.race                       tiny Shakespeare, from the cache or the network
    python -m benchmarks.race --text FILE           a copy of it that lies on this machine
    python -m benchmarks.race --pairs 5 --steps 300 how many pairs, and how long the default recipe trains

Both train in turn, on the same tokens and machine, each in a process of its own, a pair a seed. Both are then read on
the whole validation split, in windows of 64 characters that do not overlap. The default recipe is params.yaml as it
stands, but for what makes the two comparable: characters, a context of 64, no validation on the way, and the number of
steps, set to where it is known to arrive.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks.bench import ANCHOR, SILENT, TINY_SHAKESPEARE, Lab, machine, put_into_the_cache, table
from pipeline.engine.runtime import Runtime
from pipeline.probes.base import open_model


def whole_split_loss(lab: Lab) -> float:
    """Nats a character on the whole validation split."""
    runtime = Runtime(lab.params.runtime)
    subject = open_model(lab.folder / "models", runtime, tokens=lab.folder / "data/tokens")
    total, count = 0.0, 0
    with torch.inference_mode():
        for first in range(0, subject.task.size("validation"), 64):
            rows = range(first, min(first + 64, subject.task.size("validation")))
            loss = subject.task.loss(subject.model, runtime.place(subject.task.batch("validation", torch.tensor(rows).numpy())))
            total, count = total + float(loss.total), count + int(loss.count)
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="a copy of tiny Shakespeare")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="steps of the default recipe")
    parser.add_argument("--threads", type=int, default=0, help="of both; 0 = as many as there are cores")
    asked = parser.parse_args()
    if asked.text:
        put_into_the_cache(asked.text)
    with tempfile.TemporaryDirectory() as folder:
        common = TINY_SHAKESPEARE | SILENT | {"runtime.threads": asked.threads, "model.length": 64}
        data = Lab(Path(folder, "data"), common)
        data.run("prepare")
        data.run("tokenize")
        rows: list[tuple[object, ...]] = []
        ratios: list[tuple[float, float]] = []
        for seed in range(1, asked.pairs + 1):
            measured = []
            for name, knobs in (("nanogpt-cpu", ANCHOR), ("default", {"train.steps": asked.steps})):
                lab = Lab(Path(folder, f"{name}-{seed}"), common | knobs | {"seed": seed}, data)
                took = lab.run("train")
                measured.append((whole_split_loss(lab), lab.training_seconds(), took.wall))
            (anchor_loss, anchor_training, anchor_wall), (loss, training, wall) = measured
            ratios.append((anchor_training / training, anchor_wall / wall))
            arrived = "yes" if loss <= anchor_loss else "NO"
            row = (seed, f"{anchor_loss:.4f}", f"{loss:.4f}", arrived, anchor_training, training, ratios[-1][0])
            rows.append((*row, anchor_wall, wall, ratios[-1][1]))
            print(rows[-1], flush=True)
    header = (
        "seed",
        "nanogpt-cpu, nats",
        "default, nats",
        "arrived",
        "its training, s",
        "ours, s",
        "ratio",
        "its process, s",
        "ours, s",
        "ratio",
    )
    print(
        f"\n{machine()}; {asked.threads or 'all'} threads; {asked.steps} steps of the default recipe\n\n{table(header, rows)}"
    )
    training, process = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"\nmedian: training {training:.1f} times as fast, whole process {process:.1f} times as fast")


if __name__ == "__main__":
    main()
