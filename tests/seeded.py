"""Variants made by hand, to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pipeline.lab.experiments.records import Experiment, Group, Knob, State, grouped

KNOBS: Mapping[str, Knob] = {
    "seed": 1,
    "task.kind": "language",
    "prepare.dataset": "markov",
    "prepare.seed": 3,
    "prepare.max_examples": 0,
    "tokenize.kind": "char",
    "model.depth": 3,
    "train.lr": 0.03,
    "train.optimizer": "muon",
    "runtime.threads": 1,
}


def variant(
    name: str,
    values: Sequence[float] | Mapping[int, float] | Float[np.ndarray, " seeds"],
    metric: str = "bits_per_byte",
    *,
    diverged: Sequence[int] = (),
    waits: Sequence[int] = (),
    also: Mapping[str, float] | None = None,
    **knobs: Knob,
) -> Group:
    """One variant: NAME is its first experiment, the others end in the seed; knobs as train__lr=0.01.

    Args:
        values: the scores of the seeds 1, 2, …, or seed -> score.
        diverged, waits: more seeds, without a score.
        also: other scores, equal in all seeds.
    """
    scores = dict(values) if isinstance(values, Mapping) else dict(enumerate(map(float, values), 1))
    own = {knob.replace("__", "."): value for knob, value in knobs.items()}
    made = []
    for place, seed in enumerate(sorted({*scores, *diverged, *waits})):
        made.append(
            Experiment(
                name if not place else f"{name}-seed{seed}",
                f"{abs(hash((name, seed))):040x}",
                "b" * 40,
                State.QUEUED if seed in waits else State.DONE,
                None,
                {**KNOBS, **own, "seed": seed},
                {metric: scores[seed], **(also or {})} if seed in scores else {},
                diverged=seed in diverged,
            )
        )
    (group,) = grouped(made)
    return group
