"""A claim about many runs, and the verdict on it: held, refuted, undecided, or not decidable on this grid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from pipeline.lab.statistics.intervals import Interval, Pairing
from pipeline.lab.studies.claims.implied import Alternatives
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
        standing: of the seeds: "seen" when the bounds were chosen, "fresh", or "".
        effect: the number that decides it, with its interval: of several places the one that comes nearest to refuting it.
        place: where that is; "" where there is only one.
    """

    status: Status
    sentence: str
    claimed: str = ""
    found: str = ""
    needed: int | None = None
    standing: str = ""
    effect: Interval | None = None
    place: str = ""

    @property
    def title(self) -> str:
        """The status, and of a claim that held on which seeds."""
        return STANDINGS.get((self.status, self.standing), self.status.value)


STANDINGS = {
    (Status.HELD, "seen"): "held, on the seeds it was made with",
    (Status.HELD, "fresh"): "confirmed on fresh seeds",
    (Status.REFUTED, "fresh"): "refuted on fresh seeds",
}


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
        if verdict.status is Status.UNDECIDED:
            verdict = replace(verdict, needed=self._needed(measures))
        place = " and ".join(f"{name} {_joined(label)}" for name, label in self.where.items())
        status = CONTROL_STATUS.get(verdict.status, verdict.status) if self.control else verdict.status
        sentence, claimed = verdict.sentence, verdict.claimed
        return replace(
            verdict,
            status=status,
            sentence=f"with {place} {sentence}" if place else sentence,
            claimed=f"{claimed} with {place}" if place else claimed,
            standing=next(iter(measures.values())).basis.standing,
        )

    def _needed(self, measures: Mapping[str, Results]) -> int | None:
        """How many seeds in all would decide it in one more round, if the others scatter as these do; None: not even MOST."""
        seeds = next(iter(measures.values())).seeds

        def decided(wanted: int) -> bool:
            more = {name: _stretched(results, wanted) for name, results in measures.items()}
            return self.decide(self.select(self.measure, more), more).status in (Status.HELD, Status.REFUTED)

        if seeds < 2 or not decided(high := MOST):
            return None
        low = seeds
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if decided(middle) else (middle, high)
        return high

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

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        """What it says of the true values, as far as inequalities can say it; by default nothing.

        Args:
            cells: every measure, with the number of its unknown in every cell.
        """
        return [[]]

    def pairing(self, measures: Mapping[str, Results]) -> Pairing:
        """Whether seeds are compared in pairs, by its measure over the whole study."""
        return measures.get(self.measure, next(iter(measures.values()))).pairing

    @abstractmethod
    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        """Decide it.

        Args:
            results: its measure, in the part of the grid that `where` selects.
            measures: all measures, on the whole grid.
        """


CONTROL_STATUS = {Status.REFUTED: Status.FAILED, Status.EXTEND: Status.FAILED, Status.HELD: Status.PASSED}


MOST = 100  # seeds; a claim that needs more is as good as undecidable


def _stretched(results: Results, seeds: int) -> Results:
    """Results of more seeds in a further round, with the same mean and deviation in every place."""
    values = results.values
    more = values[..., np.arange(seeds) % results.seeds]
    with np.errstate(invalid="ignore", divide="ignore"):
        away = more - more.mean(axis=-1, keepdims=True)
        scale = values.std(axis=-1, ddof=1, keepdims=True) / more.std(axis=-1, ddof=1, keepdims=True)
        scaled = values.mean(axis=-1, keepdims=True) + away * np.nan_to_num(scale)
    kept = np.isfinite(values).all(axis=-1, keepdims=True)
    scaled = np.clip(scaled, results.low, results.high)
    return replace(results, values=np.where(kept, scaled, more), basis=replace(results.basis, rounds=results.basis.rounds + 1))


def _joined(label: Label | list[Label]) -> str:
    return " or ".join(map(str, label)) if isinstance(label, list) else str(label)


def status_of(held: bool, refuted: bool) -> Status:
    """Undecided where neither is so: the interval lies on both sides, and more seeds would make it narrower."""
    return Status.HELD if held else Status.REFUTED if refuted else Status.UNDECIDED
