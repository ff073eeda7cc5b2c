"""Start-up time: each stage on minimal input, `rally --help`, and the error about a wrong knob.

    python -m benchmarks.startup [--rounds 3]

Each is a process of its own; wall-clock and CPU seconds are medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.bench import SILENT, TOP, Lab, machine, table, timed

TINY = {
    "prepare.dataset": "markov",
    "prepare.generated_chars": 2000,
    "train.steps": 1,
    "train.snapshots": [1.0],
    "model.context_length": 16,
    "model.depth": 1,
    "evaluate.sample_tokens": 1,
    "evaluate.ngram_order": 1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    stages = ("prepare", "tokenize", "train", "evaluate", "probe", "diagnose", "plot")
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lab, wrong = Lab(Path(folder, "lab"), SILENT | TINY), Lab(Path(folder, "wrong"), SILENT | TINY)
        text = (wrong.folder / "params.yaml").read_text()
        (wrong.folder / "params.yaml").write_text(text.replace("activation: relu2", "activation: rellu2"))
        python = [sys.executable, "-m"]
        for _ in range(asked.rounds):
            for stage in stages:
                took = lab.run(stage)
                found.setdefault(f"{stage}, minimal input", []).append((took.wall, took.cpu))
            for name, command, folder_of, status in (
                ("rally --help", [*python, "pipeline.lab.cli", "--help"], TOP, 0),
                ("train with a wrong knob", [*python, "pipeline.train"], wrong.folder, 2),
            ):
                took = timed(command, folder_of, expect=status)
                found.setdefault(name, []).append((took.wall, took.cpu))
    rows: list[tuple[object, ...]] = [
        (name, *(f"{statistics.median(column):.2f}" for column in zip(*times, strict=True))) for name, times in found.items()
    ]
    print(f"{machine()}\n\n{table(('command', 'wall clock, s', 'CPU, s'), rows)}")


if __name__ == "__main__":
    main()
