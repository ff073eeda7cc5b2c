"""A small training of this process, looked at from its start to its end, of which a record alone remains."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import NONE, labels_of, meta_of, tokens_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import rounded
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit
from pipeline.engine.recorder import snapshots_due
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.sanity import numbers_at_start
from pipeline.engine.setup import build_training
from pipeline.lab.faults.faults import FAULTS, Training
from pipeline.lab.faults.sanity_faults import BREACHES
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.network_metrics import network_numbers
from pipeline.lab.studies.record import Record
from pipeline.tasks.base import Shape
from pipeline.tasks.lm import LanguageModelling


def trained(variant: Variant, tokens: Path, read: tuple[str, ...]) -> Record:
    """Train it, with its fault if it has one.

    Args:
        read: the measures for which the network is looked at, at every snapshot.
    """
    fault = (FAULTS | BREACHES)[variant.fault] if variant.fault else None
    params = fault.turned(variant.params) if fault else variant.params
    runtime = Runtime(params.runtime, params.train.precision)
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, tokens, runtime)
    if fault:
        assert isinstance(task, LanguageModelling), "a grid has put faults into language models alone"
        fault.break_it(Training(params, progress, task))
    numbers = numbers_at_start(progress.model, task, drawn=params.train.init_from == str(NONE)) | levels_of(tokens)
    due = snapshots_due(params.train) if read else set()
    looks = Looks(due, lambda: network_numbers(progress, task, tokens, runtime, params.probe, read))
    with runtime.enough_memory():
        fit(progress, task, params.train, params.seed, runtime, looks)
    if not progress.diverged and looks.seen:
        numbers |= looks.seen[-1][1]
    return Record(progress.curve, progress.validations, progress.diverged, numbers, looks.lines(read))


class Looks:
    """Who is told of every step and looks at some; a training of seconds begins again after Ctrl-C, so that nothing is kept."""

    def __init__(self, due: set[int], look: Callable[[], dict[str, float]]) -> None:
        self.due, self.look = due, look
        self.seen: list[tuple[int, dict[str, float]]] = []

    def on_step(self, progress: Progress) -> None:
        if progress.step in self.due and not progress.diverged:
            found = self.look()
            self.seen.append((progress.step, {name: rounded(value) for name, value in found.items() if math.isfinite(value)}))

    def interrupted(self) -> bool:
        return False

    def lines(self, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """What was seen, number by number, over the steps."""
        seen = {name: [(step, found[name]) for step, found in self.seen if name in found] for name in names}
        return {
            name: {"over": "step", "x": [step for step, _ in line], "y": [number for _, number in line]}
            for name, line in seen.items()
        }


def levels_of(tokens: Path) -> dict[str, float]:
    """What is reached on the validation split by whoever reads nothing and knows the training split's counts of tokens, or of
    classes: its loss, nats a target (unigram), and the share of targets that it gets right (majority). And the entropy of the
    source, where its maker knows it.
    """
    meta = read_json(meta_of(tokens))
    shape = Shape.of(meta)
    counts = [
        np.bincount(_targets(tokens, split), minlength=len(shape.classes) or shape.vocabulary)
        for split in ("train", "validation")
    ]
    learned, held_out = counts
    levels = {
        "unigram": rounded(_cross_entropy(learned, held_out)),
        "majority": rounded(float(held_out[learned.argmax()] / held_out.sum())),
    }
    if (known := meta.get("entropy_nats_per_byte")) is not None and not shape.classes:
        levels["entropy"] = rounded(known * meta["bytes"]["validation"] / meta["tokens"]["validation"])
    return levels


def _targets(tokens: Path, split: str) -> Integer[np.ndarray, " N"]:
    """What is to be told: the class of each example, or where there are none each token."""
    labels = labels_of(tokens, split)
    return memory_mapped(labels if labels.exists() else tokens_of(tokens, split))


def _cross_entropy(learned: Integer[np.ndarray, " V"], held_out: Integer[np.ndarray, " V"]) -> float:
    """Of one split under the shares of the other, to each of whose counts one is added so that nothing is impossible."""
    shares = (learned + 1) / (learned + 1).sum()
    return float(-(held_out * np.log(shares)).sum() / held_out.sum())
