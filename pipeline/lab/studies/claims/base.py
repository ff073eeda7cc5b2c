"""A claim about many runs, and the verdict on it: held, refuted, undecided, or not decidable on this grid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.lab.studies.claims.results import Label, Results
from pipeline.params.errors import UserError
from pipeline.params.knobs import Section
from pipeline.params.names import suggest


class Status(StrEnum):
    """The verdict on a claim."""

    HELD = "held"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    EXTEND = "extend the grid"
    FAILED = "failed, as it should"  # a control
    PASSED = "held, and should not"  # a control, so that the claim proves nothing


@dataclass(frozen=True)
class Verdict:
    """The status of a claim, and the numbers that decide it.

    Attributes:
        sentence: what was found and what was claimed, in one sentence that begins with the measure's name.
        claimed: the claim with its bound, in words.
        found: the value, its interval and the number of seeds.
        needed: how many seeds in all would decide it; None where it is decided, or where more seeds would not.
    """

    status: Status
    sentence: str
    claimed: str = ""
    found: str = ""
    needed: int | None = None


class Claim(Section):
    """A claim about a measure on a grid. Its fields are its arguments in a study.

    Attributes:
        measure: one of the study's measures; empty where there is only one.
        where: the part of the grid that it is about.
        control: the claim must not hold here, which shows that it could fail.
        minimizes: it takes the place where the measure is lowest for the best.
    """

    minimizes: ClassVar[bool] = False

    measure: str = ""
    where: Annotated[dict[str, Label | list[Label]], Field(default_factory=dict)]
    control: bool = False

    def judge(self, found: Results | Mapping[str, Results]) -> Verdict:
        """Decide it.

        Args:
            found: every measure of the study by name, or the only one.

        Raises:
            UserError: the claim does not fit the grid.
        """
        measures = {"": found} if isinstance(found, Results) else found
        verdict = self.decide(self.select(self.measure, measures), measures)
        place = " and ".join(f"{name} {_joined(label)}" for name, label in self.where.items())
        status = CONTROL_STATUS.get(verdict.status, verdict.status) if self.control else verdict.status
        sentence, claimed = verdict.sentence, verdict.claimed
        return replace(
            verdict,
            status=status,
            sentence=f"with {place} {sentence}" if place else sentence,
            claimed=f"{claimed} with {place}" if place else claimed,
        )

    def select(self, measure: str, measures: Mapping[str, Results]) -> Results:
        """A measure in the part of the grid that the claim is about.

        Raises:
            UserError: the study has no such measure.
        """
        if not measure and len(measures) > 1:
            raise UserError(f"measure: is missing, and the study has several. Known: {', '.join(measures)}")
        if measure and measure not in measures and "" not in measures:
            raise UserError(f"measure: the study does not take '{measure}'. {suggest(measure, tuple(measures))}")
        return measures.get(measure, next(iter(measures.values()))).at(self.where)

    def name(self, measures: Mapping[str, Results]) -> str:
        """The name of its measure, for a sentence."""
        return self.measure or next(iter(measures)) or "the measure"

    def quantity(self, measures: Mapping[str, Results]) -> str:
        """What it measures, in words."""
        return measures.get(self.measure, next(iter(measures.values()))).quantity or self.name(measures)

    @abstractmethod
    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        """Decide it.

        Args:
            results: its measure, in the part of the grid that `where` selects.
            measures: all measures, on the whole grid.
        """


CONTROL_STATUS = {Status.REFUTED: Status.FAILED, Status.EXTEND: Status.FAILED, Status.HELD: Status.PASSED}


def _joined(label: Label | list[Label]) -> str:
    return " or ".join(map(str, label)) if isinstance(label, list) else str(label)


def status_of(held: bool, refuted: bool) -> Status:
    """Undecided where neither is so: the interval lies on both sides, and more seeds would make it narrower."""
    return Status.HELD if held else Status.REFUTED if refuted else Status.UNDECIDED
