"""How many runs of a grid a machine trains in an hour, compared with another commit's.

    python -m benchmarks.grids --against REVISION [--against-python PYTHON] [--grid lr-sweep] [--rounds 3] [-S KNOB=VALUE]

Each round plays the grid in a fresh clone of the other commit, then in one of this commit (what is not committed is not in
it), with an empty RALLY_CACHE but for downloads: the whole command, with its data, table and picture. Ratios are of
neighbours in time. The curves of training and validation are compared digit by digit.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import Any

from benchmarks.bench import Took, machine, table
from benchmarks.clones import THIS_PYTHON, fresh_clone, overrides
from pipeline.artifacts.reading import read_json


def played(revision: str, python: Path, grid: str, knobs: list[str]) -> tuple[Took, list[Any]]:
    """What the grid cost in a fresh clone, and the curves of its runs, in an order of their own."""
    with fresh_clone(revision, python) as clone:
        cost = clone.timed(lambda: clone.run(str(python), "-m", "pipeline.lab.cli", "play", grid, *overrides(*knobs))).whole
        found = [read_json(path) for path in clone.folder.glob(".rally/sweeps/runs/*.json")]
        kept = [one.get("content", one) for one in found]  # commits of 2026-11 wrote the record itself
    return cost, sorted((one["curve"] + one["validations"] for one in kept), key=str)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", required=True)
    parser.add_argument("--against-python", type=Path, default=THIS_PYTHON, metavar="PYTHON")
    parser.add_argument("--grid", default="lr-sweep")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-S", dest="knobs", action="append", default=[], metavar="KNOB=VALUE")
    asked = parser.parse_args()
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}\n")
    rows = list[list[float]]()
    for number in range(asked.rounds):
        sides = [(asked.against, asked.against_python.absolute()), ("HEAD", THIS_PYTHON)]
        (before, theirs), (now, ours) = (played(revision, python, asked.grid, asked.knobs) for revision, python in sides)
        speeds = [len(records) / took.wall * 3600 for records, took in ((theirs, before), (ours, now))]
        rows.append([before.wall, now.wall, before.cpu, now.cpu, *speeds, speeds[1] / speeds[0]])
        equal = sum(one == other for one, other in zip(theirs, ours, strict=True))
        print(
            f"round {number + 1}: {now.wall:.1f} s, before {before.wall:.1f} s; {equal} of {len(ours)} runs equal",
            flush=True,
        )
    names = [f"{what}{side}" for what in ("wall, s", "CPU, s", "runs an hour") for side in (f" ({asked.against})", "")]
    rows.append([statistics.median(column) for column in zip(*rows, strict=True)])
    labels = [*map(str, range(1, asked.rounds + 1)), "median"]
    print()
    print(
        table(
            ("round", *names, "ratio"), [(label, *(f"{x:.4g}" for x in row)) for label, row in zip(labels, rows, strict=True)]
        )
    )


if __name__ == "__main__":
    main()
