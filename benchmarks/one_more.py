"""What one more experiment costs besides its training, in seconds, and where each second goes.

    python -m benchmarks.one_more [--rounds 3] [--against REVISION] [--against-python PYTHON] [--folder FOLDER]

In a clone of this commit (what is not committed is not in it), where the pipeline has run once with a training of two steps:
an experiment that changes the training, one that changes plot alone, on demand one from the queue. With --against, a clone of
another commit takes turns with it, and the ratio is that of two neighbours; the environment of that commit's pins can be
given by its python. Every process that DVC starts notes its own time, and DVC's share is what the stages leave. What a stage
computes once for its data (data sets, baselines) is there already.

Wall-clock times say little where other work runs; CPU seconds grow too, but their ratio holds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import Took, machine, table
from benchmarks.clones import THIS_PYTHON, Clone, Experiment, adopt_workers

STAGES = ("train", "evaluate", "probe", "diagnose", "plot")
QUEUE_SECONDS = 600  # longer than any experiment here; one that fails leaves no reference


class Side:
    """A clone in which the pipeline has run once, with a training of two steps.

    Args:
        name: its name in the table.
    """

    def __init__(self, name: str, folder: Path, revision: str, python: Path) -> None:
        self.name, self._clone, self._changes = name, Clone(folder, revision, python), 2
        if self._clone.is_new:
            self._clone.dvc("exp", "run", "-q", "-S", "train.steps=2")
            self._clone.run("git", "add", "-A")
            self._clone.run("git", "commit", "-qm", "first")
        self._changes += len(self._references())

    def _references(self) -> list[str]:
        return self._clone.run("git", "for-each-ref", "refs/exps/??/*/*").splitlines()

    def _timed(self, experiment: Callable[[int], object]) -> Experiment:
        """An experiment that no other was like."""
        self._changes += 1
        return self._clone.timed(lambda: experiment(self._changes))

    def trained(self) -> Experiment:
        """An experiment with another learning rate, of two steps."""
        return self._timed(lambda number: self._clone.dvc("exp", "run", "-q", "-S", _rate(number)))

    def plotted(self) -> Experiment:
        """An experiment that draws the same run with other pixels."""
        return self._timed(lambda number: self._clone.dvc("exp", "run", "-q", "-S", f"plot.dpi={100 + number}"))

    def queued(self) -> Experiment:
        """The first kind, from the queue; it has ended when its reference is there.

        Raises:
            RuntimeError: no reference came.
        """

        def run(number: int) -> None:
            known, end = self._references(), time.monotonic() + QUEUE_SECONDS
            self._clone.dvc("exp", "run", "-q", "--queue", "-S", _rate(number))
            self._clone.start_queue()
            while self._references() == known:
                if time.monotonic() > end:
                    raise RuntimeError(f"the experiment in the queue did not end: {self._clone.dvc('queue', 'status')}")
                time.sleep(0.05)

        return self._timed(run)


def _rate(number: int) -> str:
    return f"train.lr={0.01 + number / 1e4:g}"


def rows_of(found: list[list[Experiment]]) -> list[tuple[object, ...]]:
    """A row for the whole, each stage and DVC's own share.

    Args:
        found: a list for each side, with one experiment of each round.
    """
    parts: dict[str, Callable[[Experiment], Took]] = {"**whole**": lambda one: one.whole}
    for stage in STAGES:
        if all(stage in one.stages for side in found for one in side):
            parts[stage] = lambda one, stage=stage: one.stages[stage]  # type: ignore[misc]
    parts["DVC itself"] = lambda one: one.of_dvc
    rows: list[tuple[object, ...]] = []
    for name, part in parts.items():
        sides = [[part(one) for one in side] for side in found]
        middle = [statistics.median(getattr(took, clock) for took in side) for clock in ("wall", "cpu") for side in sides]
        ratios = [
            f"{statistics.median(getattr(new, clock) / getattr(old, clock) for old, new in zip(*sides, strict=True)):.2f}"
            for clock in ("wall", "cpu")
            if len(sides) == 2
        ]
        rows.append((name, *(f"{seconds:.2f}" for seconds in middle), *ratios))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", metavar="REVISION", help="another commit, which takes turns with this one")
    parser.add_argument("--against-python", type=Path, default=THIS_PYTHON, metavar="PYTHON")
    parser.add_argument("--folder", type=Path, help="where the clones stand and stay; else in a temporary folder")
    parser.add_argument("--kinds", default="trained,plotted", help="of trained, plotted, queued")
    asked = parser.parse_args()
    adopt_workers()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).absolute()
        sides = [Side("this commit", folder / "this", "HEAD", THIS_PYTHON)]
        if asked.against:
            sides.insert(0, Side(asked.against, folder / "other", asked.against, asked.against_python.absolute()))
        print(f"{machine()}; {asked.rounds} rounds; load {os.getloadavg()[0]:.1f}")
        for kind in asked.kinds.split(","):
            found: list[list[Experiment]] = [[] for _ in sides]
            for _ in range(asked.rounds):
                for side, one in zip(sides, found, strict=True):
                    one.append(getattr(side, kind)())
            header = tuple(f"{side.name}, {clock}, s" for clock in ("wall", "CPU") for side in sides)
            ratios = ("ratio, wall", "ratio, CPU") if asked.against else ()
            print(f"\n{kind}\n\n{table((kind, *header, *ratios), rows_of(found))}", flush=True)


if __name__ == "__main__":
    main()
