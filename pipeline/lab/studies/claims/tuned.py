"""Claims about arms at their own best values, chosen on other seeds than those that judge them, and the cost of a wrong one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from pipeline.figures.words import formatted
from pipeline.lab.statistics.intervals import Interval, Pairing, difference
from pipeline.lab.studies.claims.base import Claim, Status, Verdict, status_of
from pipeline.lab.studies.claims.implied import Alternatives, Inequality, Unknown
from pipeline.lab.studies.claims.results import Label, Results, chosen_on_other_seeds, flat_part
from pipeline.params.errors import UserError

NO_AXIS = "where: leaves no axis on which a best value could be chosen"


class BestAtMost(Claim):
    """At its best place the measure is at most `value`; of several lines the one with the highest minimum decides.

    The place is chosen on the other seeds, for the lowest of several numbers is lower than its mean. Where m places may be the
    best (the flat part), the interval is one of m. Refuted only where every place lies above.
    """

    minimizes: ClassVar[bool] = True

    value: float

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        if not results.axes:
            raise UserError(NO_AXIS)
        across, lines, earned = results.axes[-1], list(results.lines()), self.pairing(measures)
        bests, above = [], []
        for name, values in lines:
            places, judged = chosen_on_other_seeds(values)
            among = max(len(flat_part(results, values, earned)), 1)
            bests.append((results.interval(judged, among), _chosen(across.name, across.labels, places), name))
            above.append(all(results.interval(seeds, len(lines)).low > self.value for seeds in values))
        worst, at, name = max(bests)
        found = f"{formatted(worst.mean)} ({results.text(worst)}, {results.seeds_text}) {at}"
        said = f"at most {formatted(self.value)}"
        return Verdict(
            status_of(all(best.high <= self.value for best, _, _ in bests), any(above)),
            f"the best {self.name(measures)}{f' of {name}' if name else ''} is {found}; claimed: {said}",
            f"the lowest {self.quantity(measures)} is {said}",
            found,
            effect=worst,
            place=name,
        )

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        return [[Inequality.of({_best(ids): 1.0}, self.value) for _, ids in self.select(self.measure, cells).lines()]]


class BestBelow(Claim):
    """With each arm at its own best place on the last axis, one is below the other: by `by`, or by `factor`.

    The place of each seed is the best one of the other seeds. To hold, the best of one arm must be clear of every place that
    may be the best of the other (its flat part); to be refuted the same the other way round. At an edge of the grid an arm may
    not be at its best: that of `worse` then cannot hold the claim, that of `better` cannot refute it.
    """

    minimizes: ClassVar[bool] = True

    arm: str
    better: Label
    worse: Label
    by: float | None = None
    factor: Annotated[float | None, Field(ge=1)] = None

    @model_validator(mode="before")
    @classmethod
    def _has_one_bound(cls, given: Any) -> Any:
        if isinstance(given, dict) and ("by" in given) == ("factor" in given):
            raise ValueError("needs one of by and factor")
        return given

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        arms = [results.at({self.arm: label}) for label in (self.better, self.worse)]
        if not arms[0].axes:
            raise UserError(NO_AXIS)
        across, earned = arms[0].axes[-1], self.pairing(measures)
        is_scale = across.is_scale()
        pairs = list(zip(arms[0].lines(), arms[1].lines(), strict=True))
        held, refuted, edges, said = [], [], set[str](), []
        for (name, better), (_, worse) in pairs:
            chosen = [chosen_on_other_seeds(values) for values in (better, worse)]
            (_, one), (_, other) = chosen
            at_edge = [is_scale and not {0, len(across.labels) - 1}.isdisjoint(places) for places, _ in chosen]
            flat = [flat_part(results, values, earned) for values in (better, worse)]
            among = [max(len(places), 1) for places in flat]
            spread = self._compare(results, one, other, earned)
            bound = self.by if self.by is not None else self.factor or 1.0
            clear = all(self._compare(results, one, worse[place], earned, among[0]).low >= bound for place in flat[1])
            missed = all(
                self._compare(results, better[place], other, earned, among[1] * len(pairs)).high < bound for place in flat[0]
            )
            clear, missed = clear and bool(flat[1]), missed and bool(flat[0])
            doubts = ((self.worse, at_edge[1] and clear), (self.better, at_edge[0] and missed))
            edges |= {str(label) for label, doubted in doubts if doubted}
            held.append(clear and not at_edge[1])
            refuted.append(missed and not at_edge[0])
            chosen_text = " and ".join(
                f"{formatted(float(judged.mean()))} for {label} {_chosen(across.name, across.labels, places)}"
                for (places, judged), label in zip(chosen, (self.better, self.worse), strict=True)
            )
            said.append((spread, name, chosen_text))
        spread, name, chosen_text = min(said)
        unit = f"a factor of {formatted(spread.mean)}" if self.by is None else formatted(spread.mean)
        found = f"{unit} ({results.text(spread)}, {results.seeds_text}, {earned.text()}): {chosen_text}"
        found += f" ({name})" if name else ""
        status = status_of(all(held), any(refuted))
        if edges and status is Status.UNDECIDED:
            status = Status.EXTEND
            found += f"; a better {across.name} of {' and '.join(sorted(edges))} may lie beyond the grid"
        elif status is Status.UNDECIDED and spread.low >= bound:  # the interval alone would say yes
            found += f"; against every place that may be the best of {self.worse}, it is not clear of the bound"
        bound_text = (
            f"at least {formatted(self.by)}" if self.by is not None else f"a factor of at least {formatted(self.factor or 1.0)}"
        )
        where = f"of {self.better} is below that of {self.worse}, each at its best {across.name},"
        return Verdict(
            status,
            f"{self.name(measures)} {where} by {found}; claimed: {bound_text}",
            f"{self.quantity(measures)} {where} by {bound_text}",
            found,
            effect=spread,
            place=name,
        )

    def _compare(
        self,
        results: Results,
        better: Float[np.ndarray, " seeds"],
        worse: Float[np.ndarray, " seeds"],
        earned: Pairing,
        among: int = 1,
    ) -> Interval:
        """How much larger the worse one is, as a difference or a factor; unbounded where a training diverged."""
        if not (np.isfinite(better).all() and np.isfinite(worse).all()):
            return Interval(-np.inf, np.inf, np.inf)
        if self.by is not None:
            return results.difference(worse, better, earned, among)
        if (better <= 0).any() or (worse <= 0).any():
            return Interval(-np.inf, float(worse.mean() / better.mean()) if better.any() else np.inf, np.inf)
        logs = difference(np.log(worse), np.log(better), paired=earned.is_earned, alpha=results.basis.alpha / among)
        return Interval(*(math.exp(min(end, 700.0)) for end in logs))

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        found = []
        selected = self.select(self.measure, cells)
        better, worse = (selected.at({self.arm: label}).lines() for label in (self.better, self.worse))
        for (_, one), (_, other) in zip(better, worse, strict=True):
            factor, by = (1.0, self.by) if self.by is not None else (self.factor or 1.0, 0.0)
            found.append(Inequality.of({_best(one): factor, _best(other): -1.0}, -(by or 0.0)))
        return [found]


class SensitivityFalls(Claim):
    """From one arm to the other, the cost of a wrong value on the last axis falls by at least `factor`.

    The sensitivity is the mean over the axis of min(loss, `cap`), minus the lowest of them. The cap is the loss of a model that
    has learned nothing, because to be worse than that makes no difference.

    Source: Wortsman et al., "Small-scale proxies for large-scale Transformer training instabilities", 2023.
    """

    minimizes: ClassVar[bool] = True

    arm: str
    worse: Label
    better: Label
    cap: float
    factor: Annotated[float, Field(gt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        first, second = (self._sensitivity(results.at({self.arm: label})) for label in (self.worse, self.better))
        earned = self.pairing(measures)
        with np.errstate(divide="ignore", invalid="ignore"):
            if (first > 0).all() and (second > 0).all():
                logs = difference(np.log(first), np.log(second), paired=earned.is_earned, alpha=results.basis.alpha)
                fell = Interval(*(math.exp(min(end, 700.0)) for end in logs))
            else:
                ratios = np.where(first == second, 1.0, first / second)
                fell = results.interval(ratios) if np.isfinite(ratios).all() else Interval(-np.inf, np.inf, np.inf)
        found = (
            f"a factor of {formatted(fell.mean)} ({results.text(fell)}, {results.seeds_text}, {earned.text()}), from "
            f"{formatted(float(first.mean()))} at {self.worse} to {formatted(float(second.mean()))} at {self.better}"
        )
        said, across = f"at least {formatted(self.factor)}", results.axes[-1].name
        return Verdict(
            status_of(fell.low >= self.factor, fell.high < self.factor),
            f"sensitivity to {across} falls by {found}; claimed: {said}",
            f"the cost of a wrong {across} falls by a factor of {said} from {self.arm} {self.worse} to {self.better}",
            found,
            effect=fell,
        )

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        lines = (self.select(self.measure, cells).at({self.arm: label}) for label in (self.worse, self.better))
        worse, better = ((f"cost {self.cap}", tuple(int(cell) for cell in line.values.ravel())) for line in lines)
        return [[Inequality.of({worse: -1.0, better: self.factor}, 0.0)]]

    def _sensitivity(self, line: Results) -> Float[np.ndarray, " seeds"]:
        capped: Float[np.ndarray, "places seeds"] = np.minimum(line.values, self.cap)
        cost: Float[np.ndarray, " seeds"] = capped.mean(axis=0) - capped.min(axis=0)
        return cost


def _best(ids: np.ndarray) -> Unknown:
    """The unknown of the lowest of a line of cells."""
    return "best", tuple(int(cell) for cell in ids.ravel())


def _chosen(name: str, labels: tuple[Label, ...], places: list[int]) -> str:
    """Where the best place was, in the words of a sentence."""
    return f"at {name} {' or '.join(str(labels[place]) for place in sorted(set(places)))}"
