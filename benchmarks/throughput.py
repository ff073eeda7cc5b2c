"""Training throughput in tokens or examples per second, and as a share of the machine's peak FLOP/s.

    python -m benchmarks.throughput [--rounds 5] [--steps 60] [--threads 0]
    python -m benchmarks.throughput --cuda          nanoGPT's recipe for a GPU, and the sizes of 10 and 50 million parameters
    python -m benchmarks.throughput --kinds         the default recipe of each kind of task, on random texts and pixels

The first two train in turn on generated text and work offline; the table shows the median of the rounds. nanogpt-cpu in
float32 is the plain form, with PyTorch's attention; in bfloat16 it is the same network and the same maths with Rally's
kernels. FLOPs are those of the matrix products of a whole step, as `rally budget` counts them; the peak is that of the
fastest square product of this machine in that precision, measured in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.bench import ANCHOR, SILENT, TOP, Lab, machine, table
from pipeline.engine.runtime.runtime import PRECISIONS
from pipeline.lab.budget.fake_step import fake_step
from pipeline.lab.budget.timing import measure
from pipeline.lab.stand_ins.data_shape import data_of
from pipeline.lab.studies.entries import read_entries
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.machine import cores
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape

GENERATED = {"prepare.dataset": "markov", "tokenize.kind": "char"}


SIZES = (512, 1024, 2048, 4096)  # sides of the square products; the largest is for cards


def peak(precision: str, device: str, threads: int) -> float:
    """FLOP/s of the fastest square matrix product."""
    torch.set_num_threads(threads or cores())
    best = 0.0
    for side in SIZES if device == "cuda" else SIZES[:-1]:
        left, right = (torch.randn(side, side, device=device).to(PRECISIONS[precision]) for _ in range(2))
        for _ in range(7):  # the first are slower, and the machine is now and then busy
            start = time.perf_counter()
            float((left @ right)[0, 0])  # which waits for the device
            best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best


def recipes_of(cuda: bool) -> dict[str, dict[str, Any]]:
    """The recipes to measure, by name."""
    if cuda:
        studies = read_entries(TOP / "studies")
        return {name: dict(studies[name].set) for name in ("nanogpt-gpu", "size-10m", "size-50m")}
    return {
        "nanogpt-cpu": ANCHOR,
        "default": {},
        "default, with nanogpt-cpu's batch": {"train.batch_size": 12, "model.context_length": 64},
    }


# The default recipe as each kind of task has it, and the other networks for images. Nothing is downloaded: the shape of a data
# set is known without preparing it, and texts are assumed to fill the context.
KINDS: dict[str, dict[str, Any]] = {
    "language": {"task.kind": "language"},
    "classify": {"task.kind": "classify", "prepare.dataset": "sentiment"},
    "vision, cnn": {"task.kind": "vision", "prepare.dataset": "mnist_5k"},
    "vision, mlp": {"task.kind": "vision", "prepare.dataset": "mnist_5k", "model.network": "mlp"},
    "vision, transformer": {"task.kind": "vision", "prepare.dataset": "mnist_5k", "model.network": "transformer"},
}


def of_kinds(rounds: int, threads: int, device: str) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """(header, rows) of the table of KINDS, measured in turns."""
    asked = list(itertools.product(KINDS, ("float32", "bfloat16")))
    speeds: dict[tuple[str, str], list[float]] = {each: [] for each in asked}
    flops: dict[tuple[str, str], float] = {}
    for _ in range(rounds):
        for name, precision in asked:
            common = {"runtime.threads": threads, "runtime.device": device, "train.precision": precision}
            params = parse(Params, with_knobs(read_sections(TOP / "params.yaml"), SILENT | common | KINDS[name]))
            shape = data_of(params).shape
            speeds[name, precision].append(params.train.batch_size / measure(params, shape).step)
            if (name, precision) not in flops:
                step = fake_step(params, shape, precision=precision, on_card=device == "cuda")
                flops[name, precision] = sum(step.flops.values()) / params.train.batch_size
    rows: list[tuple[object, ...]] = []
    for (name, precision), found in speeds.items():
        middle = statistics.median(found)
        reached = f"{middle * flops[name, precision] / 1e9:,.0f}"
        rows.append((name, precision, f"{middle:,.0f}", f"{min(found):,.0f} … {max(found):,.0f}", reached))
    return ("recipe", "precision", "examples/s, median", "range", "GFLOP/s of matrix products"), rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=0, help="0 = as many as there are cores")
    parser.add_argument("--cuda", action="store_true", help="the recipes for a GPU, on it")
    parser.add_argument("--kinds", action="store_true", help="the default recipe of each kind of task")
    asked = parser.parse_args()
    device = "cuda" if asked.cuda else "cpu"
    if asked.kinds:
        header, rows = of_kinds(asked.rounds, asked.threads, device)
        print(f"{machine()}; {asked.threads or 'all'} threads; {asked.rounds} rounds of 20 steps\n\n{table(header, rows)}")
        return
    speeds: dict[tuple[str, str], list[float]] = {}
    flops: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        common = SILENT | {"runtime.threads": asked.threads, "runtime.device": device, "train.steps": asked.steps}
        data = Lab(Path(folder, "data"), common | GENERATED)
        data.run("prepare")
        data.run("tokenize")
        for _ in range(asked.rounds):
            for name, knobs in recipes_of(asked.cuda).items():
                for precision in ("float32", "bfloat16"):
                    lab = Lab(Path(folder, "lab"), {**knobs, **common, **GENERATED, "train.precision": precision}, data)
                    lab.run("train")
                    tokens = lab.params.train.batch_size * lab.params.model.context_length
                    speeds.setdefault((name, precision), []).append(asked.steps * tokens / lab.training_seconds())
                    if (name, precision) not in flops:
                        step = fake_step(lab.params, Shape(data.vocabulary()), precision=precision, on_card=asked.cuda)
                        flops[name, precision] = sum(step.flops.values()) / tokens
    peaks = {precision: peak(precision, device, asked.threads) for precision in ("float32", "bfloat16")}
    base = statistics.median(next(iter(speeds.values())))
    rows = []
    for (name, precision), found in speeds.items():
        middle = statistics.median(found)
        reached = middle * flops[name, precision]
        spread = f"{min(found):,.0f} … {max(found):,.0f}"
        share = f"{reached / peaks[precision]:.0%}"
        rows.append((name, precision, f"{middle:,.0f}", spread, middle / base, f"{reached / 1e9:,.0f}", share))
    header = (
        "recipe",
        "precision",
        "tokens/s, median",
        "range",
        "ratio to the first",
        "GFLOP/s of matrix products",
        "share of peak",
    )
    print(f"{machine()}; {asked.threads or 'all'} threads; {asked.rounds} rounds of {asked.steps} steps")
    print("peak of a square product: " + ", ".join(f"{name} {flops / 1e9:,.0f} GFLOP/s" for name, flops in peaks.items()))
    print(f"\n{table(header, rows)}")


if __name__ == "__main__":
    main()
