"""The class of causes, and what their hints and commands are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.doctor.case import Case
from pipeline.doctor.signs.base import Side


@dataclass(frozen=True)
class Hint:
    """What a knob's value adds to the points of a cause. It raises no symptom; it only makes the cause more or less likely."""

    vote: float
    holds: Callable[[Case], bool]


def anywhere(case: Case) -> bool:
    return True


def is_language(case: Case) -> bool:
    return case.kind == "language"


def is_classifier(case: Case) -> bool:
    return case.kind != "language"


def has_residual_stream(case: Case) -> bool:
    """Where there is a residual stream."""
    return case.kind != "vision" or case.knob("model.network") in ("cnn", "transformer")


def has_attention(case: Case) -> bool:
    return case.kind != "vision" or case.knob("model.network") == "transformer"


def has_hidden_layers(case: Case) -> bool:
    return case.kind != "vision" or case.knob("model.network") != "linear"


@dataclass(frozen=True)
class Cause:
    """Something that makes runs sick.

    Attributes:
        description: what it is and what it does to a run, for a learner.
        knob: the knob to change; "" where it is in the code.
        overrides: the options of the experiment that would confirm it, computed from this run's own values.
        expected: what the outcome of that experiment would mean.
        votes: "sign side" -> points.
        hints: what the knobs add.
        program: the command that runs the experiment.
        applies: whether a run can have this cause at all; otherwise it is not considered.
    """

    description: str
    knob: str
    overrides: Callable[[Case], str]
    expected: str
    votes: Mapping[str, float]
    hints: tuple[Hint, ...] = field(default=())
    program: str = "dvc exp run"
    applies: Callable[[Case], bool] = anywhere

    def command(self, case: Case) -> str:
        """The experiment that would confirm it, ready to paste."""
        return f"{self.program} {self.overrides(case)}".strip()

    def parsed_votes(self) -> Iterator[tuple[str, Side, float]]:
        """(sign, side, points) of every vote."""
        for vote, points in self.votes.items():
            sign, _, side = vote.rpartition(" ")
            assert side in ("low", "healthy", "high"), vote
            yield sign, side, points  # type: ignore[misc]


def scaled(knob: str, factor: float, default: float) -> Callable[[Case], str]:
    """-S with the run's own value times a factor."""
    return lambda case: f"-S {knob}={float(case.knob(knob, default)) * factor:.3g}"


def override(options: str) -> Callable[[Case], str]:
    """The same options for every run."""
    return lambda case: options


def knob_above(knob: str, limit: float) -> Callable[[Case], bool]:
    return lambda case: float(case.knob(knob, 0.0)) > limit


def knob_is(knob: str, *values: object) -> Callable[[Case], bool]:
    return lambda case: case.knob(knob) in values
