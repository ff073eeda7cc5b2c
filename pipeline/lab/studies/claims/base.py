"""What a claim about many runs is: decided by a program as held, refuted, undecided, or not to be told from this grid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.lab.studies.claims.results import Label, Results
from pipeline.params.errors import UserError
from pipeline.params.knobs import Section
from pipeline.params.names import suggest


class Status(StrEnum):
    """What a program can say of a claim."""

    HELD = "held"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    EXTEND = "extend the grid"
    FAILED = "failed, as it should"  # a control, which must not hold
    PASSED = "held, and should not"  # a control: what is claimed beside it proves nothing


@dataclass(frozen=True)
class Verdict:
    """What became of a claim, and the numbers that say so."""

    status: Status
    says: str


# ---------------------------------------------------------------------------------------------------------------- claims


class Claim(Section):
    """A claim about results. What it wants to know beside these is in its own fields.

    Attributes:
        measure: of which of the study's measures it speaks; empty where there is one alone.
        where: about which part of the grid.
        control: it is the same claim about an arm of which it must not hold, so that one sees that it could fail.
        seeks_least: it looks for the place where the measure is least, and takes that for the best.
    """

    seeks_least: ClassVar[bool] = False

    measure: str = ""
    where: Annotated[dict[str, Label | list[Label]], Field(default_factory=dict)]
    control: bool = False

    def judge(self, found: Results | Mapping[str, Results]) -> Verdict:
        """Decide it.

        Args:
            found: every measure of the study by name, or the only one.

        Raises:
            UserError: the grid is none that it could speak about.
        """
        measures = {"": found} if isinstance(found, Results) else found
        verdict = self.decide(self.of(self.measure, measures), measures)
        place = " and ".join(f"{name} {_listed(label)}" for name, label in self.where.items())
        status = CONTROL_STATUS.get(verdict.status, verdict.status) if self.control else verdict.status
        return Verdict(status, f"with {place} {verdict.says}" if place else verdict.says)

    def of(self, measure: str, measures: Mapping[str, Results]) -> Results:
        """What there is of a measure in the part of the grid that is spoken about.

        Raises:
            UserError: the study has no such measure.
        """
        if not measure and len(measures) > 1:
            raise UserError(f"measure: is missing, for the study has several. Known: {', '.join(measures)}")
        if measure and measure not in measures and "" not in measures:
            raise UserError(f"measure: the study does not take '{measure}'. {suggest(measure, tuple(measures))}")
        return measures.get(measure, next(iter(measures.values()))).at(self.where)

    @abstractmethod
    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        """Decide it about the part of the grid that `where` leaves.

        Args:
            measures: all of them, as a whole.
        """


CONTROL_STATUS = {Status.REFUTED: Status.FAILED, Status.EXTEND: Status.FAILED, Status.HELD: Status.PASSED}


def _listed(label: Label | list[Label]) -> str:
    return " or ".join(map(str, label)) if isinstance(label, list) else str(label)


def status_of(held: bool, refuted: bool) -> Status:
    """Neither: the interval lies on both sides, and more seeds would make it narrower."""
    return Status.HELD if held else Status.REFUTED if refuted else Status.UNDECIDED
