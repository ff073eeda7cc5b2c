"""One training on all cores: a process with a thread for each core, compared with processes of one thread each.

    python -m benchmarks.processes [--rounds 5] [--steps 60] [--processes 2]
    python -m benchmarks.processes --shard [--rounds 3] [--steps 6] [--width 512] [--depth 6]

The default recipe trains in turn on generated text, and works offline; the tables show the medians of the rounds. The ratio
is that of the two neighbours in a round, because the speed of a shared machine changes. Seconds are those of all steps, without
the start of the processes, whose cost the last column shows: the whole stage, minus its steps.

With --shard: a larger network, trained with AdamW by 1, 2 and 4 processes of one thread, sharded and not. It shows the bytes of
weights, gradients and optimizer state in the first process, by how much its resident memory grew from before the network was
built (FSDP's code apart) to the highest point within later steps, and the seconds of a step.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.bench import SILENT, TOP, Lab, machine, table
from benchmarks.throughput import GENERATED
from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import MODEL
from pipeline.params.load import load
from pipeline.processes import ALONE, MEETING, VARIABLES, Crew, place_in

SETTLED = 2  # steps after which memory and time are measured
MB = 1e6


def ways(processes: int) -> dict[str, dict[str, Any]]:
    """The knobs to compare, by what they mean."""

    def way(number: int, slots: int, threads: int) -> dict[str, Any]:
        return {"runtime.processes": number, "train.slots": slots, "runtime.threads": threads}

    return {
        f"1 process of {processes} threads": way(1, 1, processes),
        f"{processes} processes of 1 thread": way(processes, processes, 1),
        f"1 process of 1 thread, {processes} slots": way(1, processes, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--processes", type=int, default=2, help="a power of two: how many, and how many cores are used")
    parser.add_argument("--shard", action="store_true", help="memory and time of sharded processes")
    parser.add_argument("--width", type=int, default=512, help="of the network with --shard")
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # a process of --shard: the folder of its lab
    asked = parser.parse_args()
    if asked.one:
        train_and_measure(asked.one)
    elif asked.shard:
        compare_sharded(asked.rounds or 3, asked.steps or 6, asked.width, asked.depth)
    else:
        compare_processes(asked.rounds or 5, asked.steps or 60, asked.processes)


def compare_processes(rounds: int, steps: int, processes: int) -> None:
    speeds: dict[str, list[float]] = {}
    starts: dict[str, list[float]] = {}
    weights: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        common = SILENT | GENERATED | {"train.steps": steps, "runtime.device": "cpu"}
        data = with_data(Path(folder), common)
        for _ in range(rounds):
            for name, knobs in ways(processes).items():
                lab = Lab(Path(folder, "lab"), common | knobs, data)
                took, seconds = lab.run("train"), lab.training_seconds()
                tokens = lab.params.train.batch_size * lab.params.model.context_length
                speeds.setdefault(name, []).append(steps * tokens / seconds)
                starts.setdefault(name, []).append(took.wall - seconds)
                weights[name] = sha256_of(lab.folder / MODEL.with_suffix(".safetensors"))[:12]
    first = next(iter(speeds.values()))
    rows: list[tuple[object, ...]] = []
    for name, found in speeds.items():
        ratios = sorted(one / base for one, base in zip(found, first, strict=True))
        spread = f"{min(found):,.0f} … {max(found):,.0f}"
        middle = f"{statistics.median(found):,.0f}"
        row = (name, middle, spread, statistics.median(ratios), f"{ratios[0]:.2f} … {ratios[-1]:.2f}", weights[name])
        rows.append((*row, statistics.median(starts[name])))
    header = ("", "tokens/s, median", "range", "ratio to the first, median", "range", "sha256 of the weights", "other seconds")
    print(f"{machine()}; {rounds} rounds of {steps} steps\n\n{table(header, rows)}")


def with_data(folder: Path, knobs: dict[str, Any]) -> Lab:
    data = Lab(folder / "data", knobs)
    data.run("prepare")
    data.run("tokenize")
    return data


# ------------------------------------------------------------------------------------------------------------ sharded


def compare_sharded(rounds: int, steps: int, width: int, depth: int) -> None:
    common = SILENT | GENERATED | {"runtime.device": "cpu", "runtime.threads": 1, "train.optimizer": "adamw"}
    common |= {"train.precision": "float32", "train.slots": 4, "train.batch_size": 4, "train.steps": steps + SETTLED}
    common |= {"model.width": width, "model.depth": depth, "model.heads": width // 64, "model.context_length": 64}
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = with_data(Path(folder), common)
        for turn in range(rounds):
            for processes, shard in ((1, False), (2, False), (2, True), (4, False), (4, True)):
                knobs = {"runtime.processes": processes, "runtime.shard": shard}
                lab = Lab(Path(folder, "lab"), common | knobs, data)
                name = f"{processes} process{'es' * (processes > 1)}{', sharded' * shard}"
                found.setdefault(name, []).append(measured(lab.folder, processes, f"{name} {turn}"))
    alone, rows = found["1 process"], []
    for name, results in found.items():
        held, grown, seconds = (statistics.median(one[key] for one in results) for key in ("held", "grown", "seconds"))
        ratio = statistics.median(one["seconds"] / base["seconds"] for one, base in zip(results, alone, strict=True))
        whole, peak = (statistics.median(one[key] for one in alone) for key in ("held", "grown"))
        row: tuple[object, ...] = (name, f"{held / MB:,.0f}", held / whole, f"{grown / MB:,.0f}", grown / peak)
        rows.append((*row, f"{1000 * seconds:,.0f}", ratio))
    header = ("", "held, MB", "ratio", "grown by, MB", "ratio", "ms per step, median", "ratio")
    weights, code = alone[0]["weights"] / 1e6, found["2 processes, sharded"][0]["code"] / MB
    print(f"{machine()}; {weights:.1f} million weights; {rounds} rounds of {steps} steps; FSDP's code takes {code:.0f} MB more")
    print(f"\n{table(header, rows)}")


def measured(lab: Path, processes: int, name: str) -> dict[str, float]:
    """What the first of several processes says."""
    started = []
    for rank in range(processes):
        place = dict(zip(VARIABLES, map(str, (rank, processes, rank, processes)), strict=True)) if processes > 1 else {}
        environment = {**os.environ, **place, MEETING: str(lab / name), "DVC_ROOT": str(lab), "PYTHONPATH": str(TOP)}
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 20))  # so that freed tensors go back to the system at once
        command = [sys.executable, "-m", "benchmarks.processes", "--one", str(lab)]
        started.append(subprocess.Popen(command, cwd=lab, env=environment, stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"{name}: a process failed")
    answer: dict[str, float] = json.loads(said[0])
    return answer


def train_and_measure(lab: Path) -> None:
    """Train as one of several processes, and print what it cost."""
    from pipeline.artifacts.paths import TOKENS
    from pipeline.engine.checkpoint import Progress, share_state
    from pipeline.engine.recorder import Follower
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.engine.setup import build_training, fit_together

    class Measuring(Follower):
        def __init__(self) -> None:
            super().__init__()
            self.times: list[float] = []
            self.held = 0

        def report(self, progress: Progress) -> None:
            if progress.step == SETTLED:
                Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            if progress.step >= SETTLED:
                self.times.append(time.perf_counter())
            gradients = [weight.grad for weight in progress.model.parameters() if weight.grad is not None]
            self.held = sum(tensor.nbytes for tensor in [*progress.tensors().values(), *gradients])

    params = load()
    place = place_in(os.environ)
    runtime = Runtime(params.runtime, params.train.precision, params.train.slots, Crew(place) if place else ALONE)
    resident = psutil.Process().memory_info
    start = resident().rss
    if params.runtime.shard:
        importlib.import_module("torch.distributed.fsdp")
    before = resident().rss
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, TOKENS, runtime)
    weights = sum(weight.numel() for weight in progress.model.parameters())
    share_state(progress, runtime.company)
    measuring = Measuring()
    fit_together(progress, task, params.model, params.train, params.seed, runtime, measuring)
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
    seconds = statistics.median(later - one for one, later in zip(measuring.times, measuring.times[1:], strict=False))
    print(
        json.dumps(
            {"weights": weights, "held": measuring.held, "grown": peak - before, "code": before - start, "seconds": seconds}
        )
    )


if __name__ == "__main__":
    main()
