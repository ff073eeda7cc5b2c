"""What keeps two variants from being compared: another task, other held-out data, other tokens, or unequal tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.figures.words import formatted, knob_text
from pipeline.lab.experiments.records import (
    HIGHER_IS_BETTER,
    PER_TOKEN,
    TOKENIZER_TOLERANCE,
    Group,
    Knob,
    State,
    bytes_per_token,
)

RECORDED = ("train.log_points", "train.validation_points", "train.validation_examples", "train.snapshots")
"""Knobs of what is written down of a training."""

WITHOUT_EFFECT = ("runtime.", "evaluate.", "probe.", "plot.", *RECORDED)
"""How names of knobs begin that do not change what is trained: runtime by rounding alone."""

TRAINING_DATA = ("prepare.label_noise", "prepare.max_examples")
"""Knobs of the data that leave held-out examples as they are."""

TUNED = (
    "train.lr",
    "train.weight_decay",
    "train.adamw_lr_ratio",
    "train.momentum",
    "train.beta1",
    "train.beta2",
    "train.warmup_ratio",
)
"""Knobs whose best value moves when other knobs change."""

TRIED, TIMES = 3, 3  # values of such a knob; a variant of which so many times fewer were tried was not tuned


def minimizes(metric: str) -> bool:
    """Whether less of a score is better."""
    return metric.removeprefix("test_") not in HIGHER_IS_BETTER


def differing(first: Group, second: Group) -> dict[str, tuple[Knob, Knob]]:
    """The knobs that differ -> (value of the first, value of the second).

    Knobs that do not change what is trained are named only where no other differs; a knob that one of them does not have,
    because its commit is older, is not one that differs.
    """
    both = [name for name in first.knobs if name in second.knobs and first.knobs[name] != second.knobs[name]]
    some = [name for name in both if not name.startswith(WITHOUT_EFFECT)]
    return {name: (first.knobs[name], second.knobs[name]) for name in some or both}


def same_code(first: Group, second: Group) -> bool:
    """Whether both were trained by the same code, as far as it is known."""
    return first.experiments[0].code == second.experiments[0].code


def why_not(first: Group, second: Group, metric: str) -> str:
    """The reason why these two cannot be compared in this metric; "" where they can be."""
    knobs = differing(first, second)
    if "task.kind" in knobs:
        return f"other tasks: {_told('task.kind', knobs)}"
    if data := [name for name in knobs if name.startswith("prepare.") and name not in TRAINING_DATA]:
        if "prepare.dataset" in knobs:
            return f"other data: {_told('prepare.dataset', knobs)}"
        what = "another draw of the data" if data == ["prepare.seed"] else "other held-out examples"
        return f"{what}: {', '.join(_told(name, knobs) for name in data)}"
    if metric.removeprefix("test_") in PER_TOKEN and _is_language(first) and (tokens := tokens_differ((first, second))):
        return f"{metric} is per token, and {tokens}; bits_per_byte can be compared"
    for one in (first, second):
        if not one.values(metric):
            return f"{one.name} has no {metric}: {without_scores(one)}"
    return ""


def _told(name: str, knobs: Mapping[str, tuple[Knob, Knob]]) -> str:
    first, second = (knob_text(value) for value in knobs[name])
    return f"{name} {first} and {second}"


def without_scores(group: Group) -> str:
    """Why a group has no scores."""
    if any(one.diverged for one in group.experiments):
        return "its training diverged"
    missing = [one.missing for one in group.experiments if one.missing]
    return missing[0] if missing else f"it is {group.experiments[0].state.value}"


def diverged(group: Group) -> int:
    """How many of its seeds diverged, and so are not in its mean."""
    return sum(one.diverged for one in group.experiments)


def unfinished(group: Group) -> int:
    """How many of its seeds wait or run."""
    return sum(one.state in (State.QUEUED, State.RUNNING) for one in group.experiments)


def _is_language(group: Group) -> bool:
    return group.experiments[0].task in ("language", "")


def tokens_differ(groups: Sequence[Group]) -> str:
    """In words how the tokens of language models differ; "" where they do not.

    Where a group has not both loss and bits per byte, the tokenizer's knobs are compared.
    """
    sizes = []
    for group in groups:
        found = [size for one in group.experiments if (size := bytes_per_token(one.scores)) is not None]
        sizes.append(float(np.mean(found)) if found else None)
    known = [size for size in sizes if size is not None]
    if len(known) == len(groups):
        low, high = min(known), max(known)
        return f"a token is {formatted(low)} to {formatted(high)} bytes" if high > low * (1 + TOKENIZER_TOLERANCE) else ""
    names = {
        name
        for one in groups
        for name, value in one.knobs.items()
        if name.startswith("tokenize.") and value != groups[0].knobs.get(name, value)
    }
    return f"the tokenizers differ in {', '.join(sorted(names))}" if names else ""


@dataclass(frozen=True)
class Tuning:
    """One arm was tuned and the other was not.

    Attributes:
        knob: the one that was tuned.
        tuned, untuned: the arms.
        missing: values of the knob that were tried for the tuned arm alone.
    """

    knob: str
    tuned: Group
    untuned: Group
    tries: tuple[int, int]
    missing: tuple[Knob, ...]

    def text(self) -> str:
        """The reason, in words."""
        many, few = self.tries
        return (
            f"{self.knob} was tried at {many} values for {self.tuned.name}, which has the best of them, and at"
            f" {few} for {self.untuned.name}"
        )


def unequal_tuning(better: Group, worse: Group, among: Sequence[Group], metric: str) -> Tuning | None:
    """Whether the better one of two may be so because it alone was tuned.

    That is where TRIED or more values of a knob of TUNED were tried with the other knobs of the better one, TIMES as many as
    with those of the worse one, and the better one has the best of them. Nothing is said where the question is that knob alone,
    or where the one that was tuned less is the better one all the same.
    """
    differ = differing(better, worse)
    for knob in TUNED:
        if list(differ) == [knob] or knob not in better.knobs:
            continue
        ours, theirs = (line_of(one, knob, among, metric) for one in (better, worse))
        if len(ours) < max(TRIED, TIMES * len(theirs)):
            continue
        best = (min if minimizes(metric) else max)(ours, key=lambda value: ours[value])
        if best == better.knobs[knob]:
            missing = tuple(value for value in ours if value not in theirs)
            return Tuning(knob, better, worse, (len(ours), len(theirs)), missing)
    return None


def line_of(group: Group, knob: str, among: Sequence[Group], metric: str) -> dict[Knob, float]:
    """The values of a knob that were tried with all other knobs as in a group -> mean score."""
    found = {}
    for one in (*among, group):
        is_on = knob in one.knobs and (one is group or set(differing(one, group)) == {knob})  # an older commit may lack it
        if is_on and (values := one.array(metric)).size:
            found[one.knobs[knob]] = float(values.mean())
    return found
