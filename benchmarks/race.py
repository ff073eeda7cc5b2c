"""How fast is nanoGPT's CPU recipe overtaken, and how far does one come in its time?

    python -m benchmarks.race                                tiny Shakespeare, from the cache or the network
    python -m benchmarks.race --text FILE                    a copy of it that lies on this machine
    python -m benchmarks.race --data plays | code            Shakespeare's plays, Python's modules: nothing was tuned on them
    python -m benchmarks.race --pairs 5 --first-seed 11      how many rounds, and their seeds
    python -m benchmarks.race --sprint                       without the marathon, which takes as long as the anchor

A round is one seed: three trainings in turn, each in a process of its own, on the same tokens. `nanogpt-cpu` is the anchor of
studies/anchors.yaml in its plain form: float32, library attention. `sprint` (studies/races.yaml) has so many steps as are
known to overtake it. `marathon` gets as many steps as fit into the seconds that the anchor trained, by a measurement just
before. All are then read on the whole validation split, each in windows of its own context that do not overlap.
A process is the stage train from start to end (start-up, training, checkpoint, files), and reading the whole split.
"""

from __future__ import annotations

import argparse
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.bench import ANCHOR, SILENT, TINY_SHAKESPEARE, TOP, Lab, machine, put_into_the_cache, table
from pipeline.artifacts.paths import MODEL
from pipeline.engine.runtime.runtime import Runtime
from pipeline.inference.trained import open_model
from pipeline.lab.studies.recipes import read_all

DATA: dict[str, dict[str, Any]] = {
    "tinyshakespeare": TINY_SHAKESPEARE,
    "plays": {"prepare.dataset": "shakespeare", "tokenize.kind": "char"},
    "code": {
        "prepare.dataset": "file",
        "prepare.path": sysconfig.get_path("stdlib"),
        "prepare.pattern": "*.py",
        "tokenize.kind": "char",
    },
}
MEASURED = 60  # steps by which the pace of a recipe is known
SPARE = 0.97  # of the anchor's seconds are planned with: paces vary


class Run(NamedTuple):
    """What a training came to: nats a character on the whole validation split; seconds of its steps, of its process."""

    loss: float
    training: float
    process: float


def whole_split_loss(lab: Lab) -> float:
    """Nats a character on the whole validation split, read in the precision that it trained in."""
    runtime = Runtime(lab.params.runtime, lab.params.train.precision)
    subject = open_model(lab.folder / MODEL.parent, runtime, tokens=lab.folder / "data/tokens")
    total, count, size = 0.0, 0, subject.task.size("validation")
    with torch.inference_mode():
        for first in range(0, size, 64):
            rows = np.arange(first, min(first + 64, size))
            with runtime.autocast():
                loss = subject.task.loss(subject.model, runtime.batch_to_device(subject.task.batch("validation", rows)))
            total, count = total + float(loss.total), count + int(loss.count)
    return total / count


def trained(lab: Lab) -> Run:
    """Train in a process of its own, then read the whole split in this one."""
    took, start = lab.run("train"), time.perf_counter()
    loss = whole_split_loss(lab)
    return Run(loss, lab.training_seconds(), took.wall + time.perf_counter() - start)


def steps_within(seconds: float, folder: Path, knobs: Mapping[str, Any], data: Lab) -> int:
    """How many steps of a recipe fit, by the pace of a few of them."""
    lab = Lab(folder, {**knobs, "train.steps": MEASURED}, data)
    lab.run("train")
    return int(SPARE * seconds / (lab.training_seconds() / MEASURED))


class Round(NamedTuple):
    """One seed: three trainings, and the steps of the last, where there was one."""

    seed: int
    anchor: Run
    sprint: Run
    marathon: Run | None
    steps: int


def race(asked: argparse.Namespace, folder: Path) -> list[Round]:
    """Every round, told as it ends."""
    common = DATA[asked.data] | SILENT | {"runtime.threads": asked.threads}
    recipes = {name: dict(entry.set) | common for name, entry in read_all(TOP / "studies").items() if name in RECIPES}
    data = Lab(folder / "data", common)
    data.run("prepare")
    data.run("tokenize")
    rounds = []
    for seed in range(asked.first_seed, asked.first_seed + asked.pairs):
        anchor = trained(Lab(folder / f"anchor-{seed}", ANCHOR | common | {"seed": seed}, data))
        sprint = trained(Lab(folder / f"sprint-{seed}", recipes["sprint"] | {"seed": seed}, data))
        marathon, steps = None, 0
        if not asked.sprint:
            steps = steps_within(anchor.training, folder / "pace", recipes["marathon"] | {"seed": seed}, data)
            long = recipes["marathon"] | {"seed": seed, "train.steps": steps}
            marathon = trained(Lab(folder / f"marathon-{seed}", long, data))
        rounds.append(Round(seed, anchor, sprint, marathon, steps))
        print(rounds[-1], flush=True)
    return rounds


RECIPES = ("sprint", "marathon")


def sprints(rounds: list[Round]) -> str:
    """Who was overtaken how soon, as a table."""
    rows: list[tuple[object, ...]] = []
    for seed, anchor, sprint, _, _ in rounds:
        overtaken = "yes" if sprint.loss <= anchor.loss else "NO"
        training = (anchor.training, sprint.training, anchor.training / sprint.training)
        process = (anchor.process, sprint.process, anchor.process / sprint.process)
        rows.append((seed, f"{anchor.loss:.4f}", f"{sprint.loss:.4f}", overtaken, *training, *process))
    header = ("seed", "nanogpt-cpu, nats", "sprint, nats", "overtaken", "its training, s", "sprint's, s", "ratio")
    shown = table((*header, "its process, s", "sprint's, s", "ratio"), rows)
    faster, sooner = (statistics.median(float(str(row[column])) for row in rows) for column in (6, 9))
    return f"{shown}\n\nmedian: training {faster:.1f} times as fast, whole process {sooner:.1f} times as fast\n"


def marathons(rounds: list[Round]) -> str:
    """How far one came in the anchor's time, as a table."""
    rows: list[tuple[object, ...]] = []
    for seed, anchor, _, marathon, steps in rounds:
        assert marathon is not None
        within = "yes" if marathon.training <= anchor.training else "NO"
        losses = (f"{anchor.loss:.4f}", f"{marathon.loss:.4f}")
        rows.append((seed, anchor.training, marathon.training, within, f"{steps:,}", *losses))
    header = ("seed", "its training, s", "marathon's, s", "within", "steps", "its loss, nats", "marathon's loss, nats")
    middle = statistics.median(each.marathon.loss for each in rounds if each.marathon)
    return f"{table(header, rows)}\n\nmedian: {middle:.4f} nats a character in its time"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=DATA, default="tinyshakespeare")
    parser.add_argument("--text", type=Path, help="a copy of tiny Shakespeare")
    parser.add_argument("--sprint", action="store_true", help="without the marathon")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=11)
    parser.add_argument("--threads", type=int, default=0, help="of all; 0 = as many as there are cores")
    asked = parser.parse_args()
    if asked.text:
        put_into_the_cache(asked.text)
    with tempfile.TemporaryDirectory() as folder:
        rounds = race(asked, Path(folder))
    print(f"\n{machine()}; {asked.threads or 'all'} threads; {asked.data}\n\n{sprints(rounds)}")
    if not asked.sprint:
        print(marathons(rounds))


if __name__ == "__main__":
    main()
