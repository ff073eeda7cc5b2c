"""Races against nanoGPT's CPU recipe: the time to its loss, and the loss in its time.

    python -m benchmarks.race                                tiny Shakespeare, cached or downloaded
    python -m benchmarks.race --text FILE                    a local copy of it
    python -m benchmarks.race --data plays | code            Shakespeare's plays, Python's modules: not used for tuning
    python -m benchmarks.race --pairs 5 --first-seed 11      how many rounds, and their seeds
    python -m benchmarks.race --sprint                       without marathon, which takes as long as nanogpt-cpu

A round is one seed: three trainings in turn, each in a process of its own, on the same text. `nanogpt-cpu` is the anchor of
studies/anchors.yaml in its plain form: float32, PyTorch's attention. `sprint` (studies/races.yaml) has as many steps as are
known to beat it. `marathon`, whose tokens are byte pairs, gets as many steps as fit into the seconds that the anchor trained,
estimated just before. All are then evaluated on the whole validation split, each in non-overlapping windows of its own
context; losses are in nats per character, whatever the tokens.
The time of a process covers the stage train from start to end (start-up, training, checkpoint, files), and the evaluation.
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

from benchmarks.bench import SILENT, TOP, Lab, machine, put_into_the_cache, table
from pipeline.artifacts.paths import MODEL, meta_of, text_of
from pipeline.artifacts.reading import read_json
from pipeline.engine.runtime.runtime import Runtime
from pipeline.evaluation.scores import score
from pipeline.inference.trained import open_model
from pipeline.lab.studies.entries import read_entries

DATA: dict[str, dict[str, Any]] = {
    "tinyshakespeare": {"prepare.dataset": "tinyshakespeare"},
    "plays": {"prepare.dataset": "shakespeare"},
    "code": {"prepare.dataset": "file", "prepare.path": sysconfig.get_path("stdlib"), "prepare.pattern": "*.py"},
}
RECIPES = ("nanogpt-cpu", "sprint", "marathon")
MEASURED = 60  # steps that the speed of a recipe is estimated from
SPARE = 0.85  # share of the anchor's seconds to plan with, because speeds vary


class Run(NamedTuple):
    """The result of a training: nats per character on the whole validation split; seconds of its steps, and of its process."""

    loss: float
    training: float
    process: float


def whole_split_loss(lab: Lab) -> float:
    """Nats per character of the validation split behind its first token, in the precision of the training."""
    runtime, tokens = Runtime(lab.params.runtime, lab.params.train.precision), lab.folder / "data/tokens"
    subject = open_model(lab.folder / MODEL.parent, runtime, tokens=tokens)
    text = text_of(lab.folder / "data/raw", "validation").read_bytes()
    first = int(read_json(meta_of(tokens))["first_token_bytes"]["validation"])
    return score(subject, "validation", len(text) - first).nats / len(text[first:].decode(errors="ignore"))


def trained(lab: Lab) -> Run:
    """Train in a process of its own, then evaluate on the whole split in this one."""
    took, start = lab.run("train"), time.perf_counter()
    loss = whole_split_loss(lab)
    return Run(loss, lab.training_seconds(), took.wall + time.perf_counter() - start)


def steps_within(seconds: float, folder: Path, knobs: Mapping[str, Any], data: Lab) -> int:
    """How many steps of a recipe fit into some seconds, estimated from a few of them."""
    lab = Lab(folder, {**knobs, "train.steps": MEASURED}, data)
    lab.run("train")
    return int(SPARE * seconds / (lab.training_seconds() / MEASURED))


class Round(NamedTuple):
    """One seed: three trainings, and the number of steps of the last, if there was one."""

    seed: int
    anchor: Run
    sprint: Run
    marathon: Run | None
    steps: int


def race(asked: argparse.Namespace, folder: Path) -> list[Round]:
    """All rounds; each is printed as it ends."""
    common = DATA[asked.data] | SILENT | {"runtime.threads": asked.threads}
    recipes = {name: dict(entry.set) | common for name, entry in read_entries(TOP / "studies").items() if name in RECIPES}
    data = {name: Lab(folder / f"data-{name}", recipes[name]) for name in RECIPES}
    for lab in data.values():
        lab.run("prepare")
        lab.run("tokenize")
    rounds = []
    for seed in range(asked.first_seed, asked.first_seed + asked.pairs):
        anchor = trained(Lab(folder / f"anchor-{seed}", recipes["nanogpt-cpu"] | {"seed": seed}, data["nanogpt-cpu"]))
        sprint = trained(Lab(folder / f"sprint-{seed}", recipes["sprint"] | {"seed": seed}, data["sprint"]))
        marathon, steps = None, 0
        if not asked.sprint:
            steps = steps_within(anchor.training, folder / "pace", recipes["marathon"] | {"seed": seed}, data["marathon"])
            long = recipes["marathon"] | {"seed": seed, "train.steps": steps}
            marathon = trained(Lab(folder / f"marathon-{seed}", long, data["marathon"]))
        rounds.append(Round(seed, anchor, sprint, marathon, steps))
        print(rounds[-1], flush=True)
    return rounds


def sprints(rounds: list[Round]) -> str:
    """The table of the time to the same loss."""
    rows: list[tuple[object, ...]] = []
    for seed, anchor, sprint, _, _ in rounds:
        overtaken = "yes" if sprint.loss <= anchor.loss else "NO"
        training = (anchor.training, sprint.training, anchor.training / sprint.training)
        process = (anchor.process, sprint.process, anchor.process / sprint.process)
        rows.append((seed, f"{anchor.loss:.4f}", f"{sprint.loss:.4f}", overtaken, *training, *process))
    header = (
        "seed",
        "nanogpt-cpu, nats",
        "sprint, nats",
        "sprint better",
        "nanogpt-cpu training, s",
        "sprint training, s",
        "ratio",
    )
    shown = table((*header, "nanogpt-cpu process, s", "sprint process, s", "ratio"), rows)
    faster, sooner = (statistics.median(float(str(row[column])) for row in rows) for column in (6, 9))
    return f"{shown}\n\nmedian: training {faster:.1f} times as fast, whole process {sooner:.1f} times as fast\n"


def marathons(rounds: list[Round]) -> str:
    """The table of the loss in the same time."""
    rows: list[tuple[object, ...]] = []
    for seed, anchor, _, marathon, steps in rounds:
        assert marathon is not None
        within = "yes" if marathon.training <= anchor.training else "NO"
        losses = (f"{anchor.loss:.4f}", f"{marathon.loss:.4f}")
        rows.append((seed, anchor.training, marathon.training, within, f"{steps:,}", *losses))
    header = (
        "seed",
        "nanogpt-cpu training, s",
        "marathon training, s",
        "in time",
        "steps",
        "nanogpt-cpu loss, nats",
        "marathon loss, nats",
    )
    middle = statistics.median(each.marathon.loss for each in rounds if each.marathon)
    return f"{table(header, rows)}\n\nmedian: {middle:.4f} nats per character in its time"


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
