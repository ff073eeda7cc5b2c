"""One training on all cores: a process with a thread for each core, compared with processes of one thread each.

    python -m benchmarks.processes [--rounds 5] [--steps 60] [--processes 2]

The default recipe trains in turn on generated text, and works offline; the tables show the medians of the rounds. The ratio
is that of the two neighbours in a round, because the speed of a shared machine changes. Seconds are those of all steps, without
the start of the processes, whose cost the last column shows: the whole stage, minus its steps.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bench import SILENT, Lab, machine, table
from benchmarks.throughput import GENERATED
from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import MODEL


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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2, help="a power of two: how many, and how many cores are used")
    asked = parser.parse_args()
    speeds: dict[str, list[float]] = {}
    starts: dict[str, list[float]] = {}
    weights: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        common = SILENT | GENERATED | {"train.steps": asked.steps, "runtime.device": "cpu"}
        data = Lab(Path(folder, "data"), common)
        data.run("prepare")
        data.run("tokenize")
        for _ in range(asked.rounds):
            for name, knobs in ways(asked.processes).items():
                lab = Lab(Path(folder, "lab"), common | knobs, data)
                took, seconds = lab.run("train"), lab.training_seconds()
                tokens = lab.params.train.batch_size * lab.params.model.context_length
                speeds.setdefault(name, []).append(asked.steps * tokens / seconds)
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
    print(f"{machine()}; {asked.rounds} rounds of {asked.steps} steps\n\n{table(header, rows)}")


if __name__ == "__main__":
    main()
