"""The record of one run of a study: a small training, measured at its snapshots and at its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import labels_of, meta_of, tokens_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import rounded
from pipeline.engine.checkpoint import Progress
from pipeline.engine.recorder import snapshots_due
from pipeline.lab.faults.sanity_faults import SANITY_FAULTS
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.measures.network_metrics import network_numbers
from pipeline.lab.studies.measures.record import Record
from pipeline.lab.training.run_one import run_one
from pipeline.tasks.base import Shape


def run_variant(variant: Variant, tokens: Path, metrics: tuple[str, ...]) -> Record:
    """Train it, with its fault if it has one.

    Args:
        metrics: those that need the network, which are measured at every snapshot.
    """
    fault = (FAULTS | SANITY_FAULTS)[variant.fault] if variant.fault else None
    params = fault.overridden(variant.params) if fault else variant.params
    due = snapshots_due(params.train) if metrics else set()
    run, measured = run_one(
        params,
        tokens,
        fault,
        lambda run: StepMeasurements(
            due, lambda: network_numbers(run.progress, run.task, tokens, run.runtime, params.probe, metrics)
        ),
    )
    progress, numbers = run.progress, run.sanity | levels_of(tokens)
    if not progress.diverged and measured.taken:
        numbers |= measured.taken[-1][1]
    return Record(progress.curve, progress.validations, progress.diverged, numbers, measured.lines(metrics))


class StepMeasurements:
    """Measures the network at some steps. Nothing is saved: a training of seconds begins again after Ctrl-C."""

    def __init__(self, due: set[int], measure: Callable[[], dict[str, float]]) -> None:
        self.due, self.measure = due, measure
        self.taken: list[tuple[int, dict[str, float]]] = []

    def on_step(self, progress: Progress) -> None:
        if progress.step in self.due and not progress.diverged:
            found = self.measure()
            self.taken.append((progress.step, {name: rounded(value) for name, value in found.items() if math.isfinite(value)}))

    def interrupted(self) -> bool:
        return False

    def lines(self, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """Each number over the steps."""
        taken = {name: [(step, found[name]) for step, found in self.taken if name in found] for name in names}
        return {
            name: {"over": "step", "x": [step for step, _ in line], "y": [number for _, number in line]}
            for name, line in taken.items()
        }


def levels_of(tokens: Path) -> dict[str, float]:
    """The baselines that know only how frequent each token or class of the training split is, on the validation split.

    "unigram" is the loss, nats per target, "majority" the accuracy; "entropy" is that of the source, where it is known.
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
    """The targets: the class of each example, or where there are none each token."""
    labels = labels_of(tokens, split)
    return memory_mapped(labels if labels.exists() else tokens_of(tokens, split))


def _cross_entropy(learned: Integer[np.ndarray, " V"], held_out: Integer[np.ndarray, " V"]) -> float:
    """Cross-entropy of one split under the frequencies of the other, with add-one smoothing."""
    shares = (learned + 1) / (learned + 1).sum()
    return float(-(held_out * np.log(shares)).sum() / held_out.sum())
