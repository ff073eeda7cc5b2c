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
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import TOP, Took, machine, table

# Imported by every Python at its start, as it stands on the PYTHONPATH.
NOTE = """
import atexit, json, os, sys, time
start, process = time.perf_counter(), os.getpid()
def note():
    words, spent = sys.orig_argv, os.times()
    stage = next((word[9:] for word in words if word.startswith("pipeline.")), "")
    if stage and os.getpid() == process:
        with open(os.environ["RALLY_NOTED"], "a") as file:
            print(json.dumps([stage, time.perf_counter() - start, sum(spent[:4])]), file=file)
atexit.register(note)
"""
STAGES = ("train", "evaluate", "probe", "diagnose", "plot")
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: a worker that left its parent becomes a child of this process


@dataclass(frozen=True)
class Experiment:
    """What one experiment cost: the whole command, and each stage of it."""

    whole: Took
    stages: dict[str, Took]

    @property
    def of_dvc(self) -> Took:
        """What the stages leave of the whole."""
        stages = self.stages.values()
        return Took(self.whole.wall - sum(took.wall for took in stages), self.whole.cpu - sum(took.cpu for took in stages))


class Side:
    """A clone of a commit, and the Python that runs it."""

    def __init__(self, name: str, folder: Path, revision: str, python: Path) -> None:
        self.name, self.folder, self.python, self._changes = name, folder, python, 2
        self._noted = folder.parent / f"{folder.name}.jsonl"
        hook = folder.parent / "hook"
        hook.mkdir(parents=True, exist_ok=True)
        (hook / "sitecustomize.py").write_text(NOTE)
        path = os.pathsep.join((str(python.parent), os.environ.get("PATH", os.defpath)))
        self._environment = {**os.environ, "PATH": path, "PYTHONPATH": str(hook), "RALLY_NOTED": str(self._noted)}
        for name_of_git in ("AUTHOR", "COMMITTER"):
            self._environment |= {f"GIT_{name_of_git}_NAME": "rally", f"GIT_{name_of_git}_EMAIL": "rally@localhost"}
        self._environment.pop("OMP_NUM_THREADS", None)  # a stage chooses its threads itself
        if not folder.exists():
            self._run("git", "clone", "-q", str(TOP), str(folder), cwd=TOP)
            self._run("git", "checkout", "-q", revision)
            self._dvc("exp", "run", "-q", "-S", "train.steps=2")
            self._run("git", "add", "-A")
            self._run("git", "commit", "-qm", "first")
        self._changes += sum(1 for _ in self._run("git", "for-each-ref", "refs/exps").splitlines())

    def _run(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(words, cwd=cwd or self.folder, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def _dvc(self, *words: str) -> None:
        self._run(str(self.python), "-m", "dvc", *words)

    def _timed(self, experiment: Callable[[int], None]) -> Experiment:
        """Run an experiment that no other was like, and wait for all processes that it leaves."""
        self._noted.write_text("")
        self._changes += 1
        before, start = os.times(), time.perf_counter()
        experiment(self._changes)
        wall = time.perf_counter() - start
        _wait_for_all()
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        lines = [json.loads(line) for line in self._noted.read_text().splitlines()]
        return Experiment(Took(wall, cpu), {stage: Took(wall, cpu) for stage, wall, cpu in lines})

    def trained(self) -> Experiment:
        """An experiment with another number of steps, two and a few."""
        return self._timed(lambda number: self._dvc("exp", "run", "-q", "-S", f"train.steps={number}"))

    def plotted(self) -> Experiment:
        """An experiment that draws the same run with other pixels."""
        return self._timed(lambda number: self._dvc("exp", "run", "-q", "-S", f"plot.dpi={100 + number}"))

    def queued(self) -> Experiment:
        """The first kind, from the queue; it has ended when its reference is there."""

        def run(number: int) -> None:
            known = self._run("git", "for-each-ref", "refs/exps/??/*/*")
            self._dvc("exp", "run", "-q", "--queue", "-S", f"train.lr={0.01 + number / 1e4:g}")
            self._dvc("queue", "start")
            while self._run("git", "for-each-ref", "refs/exps/??/*/*") == known:
                time.sleep(0.05)

        return self._timed(run)


def _wait_for_all() -> None:
    """Wait for every child, also those whose own parent has ended, so that the times of all are counted."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


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
    parser.add_argument("--against-python", type=Path, default=Path(sys.executable), metavar="PYTHON")
    parser.add_argument("--folder", type=Path, help="where the clones stand and stay; else in a temporary folder")
    parser.add_argument("--kinds", default="trained,plotted", help="of trained, plotted, queued (did not end)")
    asked = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).absolute()
        sides = [Side("this commit", folder / "this", "HEAD", Path(sys.executable))]
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
