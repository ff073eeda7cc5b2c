"""The default run from a fresh clone: bits per byte on the test split, and seconds, compared with another commit's.

    python -m benchmarks.default_run [--against REVISION] [--against-python PYTHON] [--seeds 11 12 13 14 15]
        [-S KNOB=VALUE] [--ours KNOB=VALUE] [--theirs KNOB=VALUE]

For each seed a fresh clone of this commit (what is not committed is not in it) and one of the other run the whole pipeline in
turn, in an environment that is there, with an empty RALLY_CACHE but for downloads. -S turns a knob on both sides, --ours and
--theirs on one: `--ours train.steps=900` compares at equal time where ours takes half. Ratios are of neighbours in time; the
last row has their medians. Where the two commits split the data differently, their bits are of different texts: it ends with 1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import machine, table
from benchmarks.clones import THIS_PYTHON, Experiment, adopt_workers, fresh_clone, overrides
from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import RAW, SPLITS, text_of
from pipeline.artifacts.reading import read_json


@dataclass(frozen=True)
class Side:
    """A commit, the Python that runs it, and the knobs that are turned on it alone."""

    name: str
    revision: str
    python: Path
    knobs: Sequence[str]


@dataclass(frozen=True)
class Run:
    """One run of the whole pipeline."""

    cost: Experiment
    bits: float
    margin: float
    splits: Mapping[str, str]  # the SHA-256 of each split's text


def run(side: Side, seed: int, knobs: Sequence[str]) -> Run:
    """The pipeline in a fresh clone, which is removed again."""
    with fresh_clone(side.revision, side.python) as clone:
        cost = clone.timed(lambda: clone.dvc("exp", "run", "-q", *overrides(f"seed={seed}", *knobs, *side.knobs)))
        found = read_json(clone.folder / "metrics/evaluate.json")
        splits = {split: sha256_of(text_of(clone.folder / RAW, split)) for split in SPLITS}
    return Run(cost, found["test_bits_per_byte"], found["margin"], splits)


def cells(pair: Sequence[Run]) -> list[float]:
    """The numbers of a row: bits, margins over the n-grams, seconds of the whole and of train, and their ratios."""
    wall = [[one.cost.whole.wall for one in pair], [one.cost.stages["train"].wall for one in pair]]
    cpu = [one.cost.whole.cpu for one in pair]
    seconds = [number for kind in (*wall, cpu) for number in (*kind, *([kind[-1] / kind[0]] if len(kind) == 2 else []))]
    return [*(one.bits for one in pair), *(one.margin for one in pair), *seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="another commit, which takes turns with this one")
    parser.add_argument("--against-python", type=Path, default=THIS_PYTHON, metavar="PYTHON")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("-S", dest="knobs", action="append", default=[], metavar="KNOB=VALUE", help="on both sides")
    parser.add_argument("--ours", action="append", default=[], metavar="KNOB=VALUE", help="on this commit's side")
    parser.add_argument("--theirs", action="append", default=[], metavar="KNOB=VALUE", help="on the other's")
    asked = parser.parse_args()
    adopt_workers()
    sides = [Side("this", "HEAD", THIS_PYTHON, asked.ours)]
    if asked.against:
        sides.insert(0, Side(asked.against, asked.against, asked.against_python.absolute(), asked.theirs))
    columns = ("test split, bits per byte", "margin", "whole, s", "train, s", "CPU, s")
    header = [
        f"{name} ({side})" if len(sides) == 2 else name
        for name in columns
        for side in (*(side.name for side in sides), *(("ratio",) if len(sides) == 2 and name.endswith(", s") else ()))
    ]
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}\n")
    rows = list[list[float]]()
    for seed in asked.seeds:
        pair = [run(side, seed, asked.knobs) for side in sides]
        if other := [split for split in SPLITS if pair[0].splits[split] != pair[-1].splits[split]]:
            sys.exit(f"{', '.join(other)}: not the same text on both sides; one text file is split alike by both")
        rows.append(cells(pair))
        print(seed, *(f"{number:.4g}" for number in rows[-1]), flush=True)
    print()
    shown = {str(seed): row for seed, row in zip(asked.seeds, rows, strict=True)}
    shown["median"] = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(table(("seed", *header), [(name, *(f"{number:.4g}" for number in row)) for name, row in shown.items()]))


if __name__ == "__main__":
    main()
