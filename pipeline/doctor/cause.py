"""What a cause of sickness is, and what its commands and hints are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.doctor.case import Case
from pipeline.doctor.ranges import Side


@dataclass(frozen=True)
class Hint:
    """What a knob says for a cause: not a symptom, only a reason to think of it first."""

    vote: float
    holds: Callable[[Case], bool]


def anywhere(case: Case) -> bool:
    return True


def in_language(case: Case) -> bool:
    return case.kind == "language"


def in_classes(case: Case) -> bool:
    return case.kind != "language"


def in_blocks(case: Case) -> bool:
    """Where there is a stream with residuals."""
    return case.kind != "vision" or case.knob("model.network") in ("cnn", "transformer")


def in_attention(case: Case) -> bool:
    return case.kind != "vision" or case.knob("model.network") == "transformer"


def in_layers(case: Case) -> bool:
    return case.kind != "vision" or case.knob("model.network") != "linear"


@dataclass(frozen=True)
class Cause:
    """Something that makes runs sick.

    Attributes:
        says: what it is and why it shows as it does, for a learner.
        knob: to turn; "" where it is in the code.
        overrides: the options of the experiment that would tell, with this run's own values turned.
        tells: what its outcome would say.
        votes: "sign side" -> points.
        hints: what the knobs add.
        program: what runs it.
        fits: whether there can be such a thing in a run at all; else it is not thought of.
    """

    says: str
    knob: str
    overrides: Callable[[Case], str]
    tells: str
    votes: Mapping[str, float]
    hints: tuple[Hint, ...] = field(default=())
    program: str = "dvc exp run"
    fits: Callable[[Case], bool] = anywhere

    def command(self, case: Case) -> str:
        """The experiment that would tell, to be pasted."""
        return f"{self.program} {self.overrides(case)}".strip()

    def ballots(self) -> Iterator[tuple[str, Side, float]]:
        """(sign, side, points) of every vote."""
        for spoken, points in self.votes.items():
            sign, _, side = spoken.rpartition(" ")
            assert side in ("low", "healthy", "high"), spoken
            yield sign, side, points  # type: ignore[misc]


def scaled(knob: str, factor: float, otherwise: float) -> Callable[[Case], str]:
    """-S with the run's own value times a factor."""
    return lambda case: f"-S {knob}={float(case.knob(knob, otherwise)) * factor:.3g}"


def override(options: str) -> Callable[[Case], str]:
    """The same options for every run."""
    return lambda case: options


def knob_above(knob: str, limit: float) -> Callable[[Case], bool]:
    return lambda case: float(case.knob(knob, 0.0)) > limit


def knob_is(knob: str, *values: object) -> Callable[[Case], bool]:
    return lambda case: case.knob(knob) in values
