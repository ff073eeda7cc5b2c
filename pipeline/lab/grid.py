"""What is tried? A study's grid of knobs and seeds, what it measures, and the claims that it is held against."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.lab.checks import CHECKS, Check
from pipeline.lab.results import Axis, Label, Results
from pipeline.params import Params, ParamsError, Refusal, parse, suggest, with_knobs

Knobs = Mapping[str, Any]
"""section.knob -> value."""


@dataclass(frozen=True)
class Record:
    """What is kept of a training: the rows of its curves, and whether its loss stopped being a number."""

    curve: list[dict[str, float]]
    validations: list[dict[str, float]]
    diverged: bool


@dataclass(frozen=True)
class Sweep:
    """A grid, every place of which is trained once a seed.

    Attributes:
        axes: the last runs across the picture, the one before it makes its lines, those before that its panels.
        knobs: of every axis, the knobs that each of its labels stands for.
        measure: an entry of MEASURES.
    """

    axes: tuple[Axis, ...]
    knobs: tuple[tuple[Knobs, ...], ...]
    seeds: tuple[int, ...]
    measure: str
    checks: tuple[tuple[str, Check], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (*(len(axis.labels) for axis in self.axes), len(self.seeds))

    def variants(self, standing: Mapping[str, Any]) -> Iterator[tuple[tuple[int, ...], Params]]:
        """(its place in the grid, all knobs) of every training.

        Raises:
            ParamsError: with one line for each knob that cannot be used.
        """
        problems: dict[str, None] = {}
        made = []
        for place in itertools.product(*map(range, self.shape)):
            chosen = (settings[at] for settings, at in zip(self.knobs, place[:-1], strict=True))
            try:
                knobs = {knob: value for settings in chosen for knob, value in settings.items()}
                made.append((place, parse(Params, with_knobs(standing, knobs | {"seed": self.seeds[place[-1]]}))))
            except ParamsError as error:
                problems |= dict.fromkeys(error.problems)
        if problems:
            raise ParamsError(*problems)
        return iter(made)


# --------------------------------------------------------------------------------------------------------------- reading

PARTS = ("vary", "seeds", "measure", "check")  # all or none of them


def read(parts: Mapping[str, Any]) -> Sweep:
    """The parts of an entry of studies/ that make it a sweep.

    Raises:
        Refusal: with one line for each that cannot be used.
    """
    if missing := [part for part in PARTS if part not in parts]:
        raise Refusal(*(f"{part}: is missing; a study that varies knobs has {', '.join(PARTS)}" for part in missing))
    vary, seeds, measure = parts["vary"], parts["seeds"], parts["measure"]
    problems = []
    if not (isinstance(vary, dict) and vary and all(isinstance(way, list | dict) and way for way in vary.values())):
        problems.append("vary: holds no axes (knob: [value, value …], or name: {label: {knob: value}, …})")
    elif any(isinstance(way, dict) and not all(isinstance(knobs, dict) for knobs in way.values()) for way in vary.values()):
        problems.append("vary: a label holds no knobs (name: {label: {knob: value}, …})")
    if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds) and len({*seeds}) == len(seeds)):
        problems.append("seeds: are no list of different whole numbers")
    if measure not in MEASURES:
        problems.append(f"measure: there is no '{measure}'. {suggest(str(measure), tuple(MEASURES))}")
    if problems:
        raise Refusal(*problems)
    axes = tuple(Axis(name, tuple(way)) for name, way in vary.items())
    knobs = tuple(tuple(way.values()) if isinstance(way, dict) else tuple({name: v} for v in way) for name, way in vary.items())
    sweep = Sweep(axes, knobs, tuple(seeds), measure, _checks(parts["check"]))
    nothing = Results(axes, np.zeros(sweep.shape))
    for name, check in sweep.checks:
        try:
            check.judge(nothing)  # whether it can speak about this grid
        except Refusal as refusal:
            problems += [f"check: {name}: {problem}" for problem in refusal.problems]
    if problems:
        raise Refusal(*problems)
    return sweep


def _checks(claims: Any) -> tuple[tuple[str, Check], ...]:
    if not (isinstance(claims, list) and claims and all(isinstance(claim, dict) and len(claim) == 1 for claim in claims)):
        raise Refusal("check: holds no claims (- name: {what it wants to know})")
    read = []
    for claim in claims:
        [(name, arguments)] = claim.items()
        if name not in CHECKS:
            raise Refusal(f"check: there is no '{name}'. {suggest(str(name), tuple(CHECKS))}")
        read.append((name, parse(CHECKS[name], arguments, ("check", name))))
    return tuple(read)


# -------------------------------------------------------------------------------------------------------------- measures


def train_loss(record: Record) -> float:
    """The mean training loss, nats a token, of the last row of the curve: of the last steps / train.curve_points steps."""
    return math.inf if record.diverged else record.curve[-1]["loss"]


def validation_loss(record: Record) -> float:
    """The loss, nats a token, on held-out text after the last step.

    Raises:
        Refusal: it was not measured.
    """
    if record.diverged:
        return math.inf
    if not record.validations:
        raise Refusal("measure: validation_loss needs train.validations above 0")
    return record.validations[-1]["loss"]


MEASURES: dict[str, Callable[[Record], float]] = {
    "train_loss": train_loss,
    "validation_loss": validation_loss,
}


def results(sweep: Sweep, records: Mapping[tuple[int, ...], Record]) -> Results:
    """The measure of every training, in its place."""
    values = np.empty(sweep.shape)
    for place, record in records.items():
        values[place] = MEASURES[sweep.measure](record)
    return Results(sweep.axes, values)


def label_text(label: Label) -> str:
    """A label as people write it."""
    return f"{label:.4g}" if isinstance(label, float) else str(label)


def titles(axes: Sequence[Axis], *, named: bool = False) -> list[str]:
    """What each combination of labels is called, in the order of the grid; on request with the names of the axes."""
    words = ([f"{axis.name} {text}" if named else text for text in map(label_text, axis.labels)] for axis in axes)
    return [", ".join(combination) for combination in itertools.product(*words)]
