"""What a computation is, and the trainings that computations share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.lab.dvc.base_params import BaseParams
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipeline.lab.studies.measures.record import Record


@dataclass(frozen=True)
class Result:
    """What a computation found.

    Attributes:
        values: numbers, words, or yes and no, by name; the truth of a bet is one of them.
        lines: what the learner is shown, line by line.
        picture: to be written; None where there is none.
    """

    values: Mapping[str, Any]
    lines: Sequence[str] = ()
    picture: Figure | None = None


@dataclass(frozen=True)
class Computation:
    """A function from the base parameters and the arguments of a drill to what it found.

    Attributes:
        promises: a value of each name that it will find, so that a bet can be checked before anything runs.
    """

    run: Callable[..., Result]
    promises: Mapping[str, Any] = field(default_factory=dict)


# A small language model of generated text, as in the study lr-sweep: trained in a few seconds of one core.
SMALL: Mapping[str, Any] = {
    "task.kind": "language",
    "prepare.dataset": "markov",
    "tokenize.kind": "char",
    "model.depth": 2,
    "model.width": 64,
    "model.heads": 4,
    "model.context_length": 32,
    "model.mlp_ratio": 4.0,
    "model.activation": "gelu",
    "model.norm": "layer",
    "model.embedding_mixer": "none",
    "model.position": "learned",
    "model.init": "gpt2",
    "train.steps": 250,
    "train.batch_size": 16,
    "train.accumulation_steps": 1,
    "train.optimizer": "adamw",
    "train.lr": 0.01,
    "train.beta1": 0.9,
    "train.beta2": 0.99,
    "train.epsilon": 1e-8,
    "train.weight_decay": 0.0,
    "train.grad_clip": 0.0,
    "train.schedule": "cosine",
    "train.warmup_ratio": 0.1,
    "train.min_lr_ratio": 0.0,
    "train.precision": "float32",
    "train.validation_points": 1,
    "train.validation_examples": 512,
    "train.log_points": 25,
    "train.snapshots": [0.0, 1.0],
    "train.stop_if_diverged": False,
    "probe.sequences": 16,
    "runtime.threads": 1,
}


def small(base: BaseParams, knobs: Mapping[str, Any]) -> Params:
    """The parameters of a small training: SMALL and its own knobs over the base."""
    return parse(Params, with_knobs(base.sections, {**SMALL, **knobs}))


def trained(base: BaseParams, arms: Mapping[str, Mapping[str, Any]], seeds: Sequence[int] = (1,)) -> dict[str, list[Record]]:
    """The records of small trainings, for each arm one per seed; kept like those of a study, so that none is trained twice."""
    from pipeline.lab.studies.grid import Variant
    from pipeline.lab.studies.report import progress_display
    from pipeline.lab.studies.runs.sweep import make_data, run_all

    variants = [
        Variant((row, column), small(base, {**knobs, "seed": seed}))
        for row, knobs in enumerate(arms.values())
        for column, seed in enumerate(seeds)
    ]
    make_data(variants)
    with progress_display(variants[0].params.runtime.progress, len(variants)) as advance:
        records = run_all(variants, (), advance)
    return {arm: [records[row, column] for column in range(len(seeds))] for row, arm in enumerate(arms)}
