"""The runs of a plan, in order: each stage's winner is fixed by its runs before the next stage begins.

Nothing is noted anywhere but in the experiments themselves: the runs that have ended, with their losses, decide what the next
one is. So an interrupted run is simply done again, and a plan goes on in any clone that has its experiments.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.lab.plan.form import Option, Plan, Stage, Tier
from pipeline.lab.plan.menu import recorded

AS_IT_IS = "as it is"  # the arm that changes nothing
Known = Callable[["Run"], float | None]
"""The loss of a run, nats; None where it has not ended."""


@dataclass(frozen=True)
class Run:
    """One training of a plan.

    Attributes:
        number: from 1 on.
        stage, tier, arm: of the plan, and the label of the option.
        knobs: knob -> value, all that it sets.
    """

    plan: str
    number: int
    stage: str
    tier: str
    arm: str
    seed: int
    knobs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the experiment."""
        return f"{self.plan}-{self.number:02d}"


@dataclass
class Arm:
    """A variant of a stage, with the losses of its runs."""

    label: str
    knobs: dict[str, Any]
    losses: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.losses) if self.losses else math.inf


@dataclass(frozen=True)
class Outcome:
    """What a stage found.

    Attributes:
        arms: label -> losses.
        winner: the label of the arm that is taken; "" while runs are open.
        note: why it is that one.
    """

    stage: str
    arms: Mapping[str, Sequence[float]]
    winner: str
    note: str


@dataclass
class Course:
    """Where a plan stands.

    Attributes:
        done: runs that have ended, with their losses, in order.
        outcomes: of stages that are over.
        next: the run to do now; None where all are done.
        found: knob -> value, of the winners so far.
    """

    done: list[tuple[Run, float]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    next: Run | None = None
    found: dict[str, Any] = field(default_factory=dict)


def course_of(plan: Plan, known: Known) -> Course:
    """Where a plan stands, by the losses of its runs."""
    walker = _Walker(plan, known)
    for stage in plan.stages:
        if not walker.play(stage):
            break
    return walker.course


class _Walker:
    """Goes through the stages of a plan until a run has no loss."""

    def __init__(self, plan: Plan, known: Known) -> None:
        self.plan, self.known, self.course, self.number = plan, known, Course(), 0
        self.arms: dict[str, list[Arm]] = {}
        self.incumbent: Arm | None = None  # what was found so far, at the point
        self.noise: float | None = None

    def loss_of(self, stage: Stage, arm: Arm, seed: int) -> float | None:
        """The loss of the next run; None where it has not ended, and then it is the run to do."""
        self.number += 1
        knobs = {**self.plan.base, **self.plan.tier(stage.tier).set, **arm.knobs, "seed": seed}
        if stage.tier != "point":
            knobs |= _equal_tokens(self.plan.tier(stage.tier), arm.knobs)
        run = Run(self.plan.name, self.number, stage.name, stage.tier, arm.label, seed, knobs)
        loss = self.known(run)
        if loss is None:
            self.course.next = run
        else:
            self.course.done.append((run, loss))
            arm.losses.append(loss)
        return loss

    def play(self, stage: Stage) -> bool:
        """Whether all runs of a stage have ended; then its winner is fixed."""
        found = dict(self.course.found)
        arms = self._arms(stage, found)
        self.arms[stage.name] = arms
        todo = [arm for arm in arms if not arm.losses]
        seeds = stage.seeds if stage.of else [1]
        if any(self.loss_of(stage, arm, seed) is None for arm in todo for seed in seeds):
            return False
        if stage.extends and not self._extend(stage, arms, found):
            return False
        best = sorted(arms, key=lambda arm: arm.mean)
        if stage.again and any(self.loss_of(stage, arm, seed) is None for arm in best[: stage.again] for seed in stage.seeds):
            return False
        self._close(stage, arms)
        return True

    def _arms(self, stage: Stage, found: dict[str, Any]) -> list[Arm]:
        if stage.of:
            return self._finalists(stage, found)
        if not stage.options:
            return [Arm(AS_IT_IS, _carried(found))]
        arms = [Arm(option.label, self._with(found, option, stage)) for option in stage.options]
        if self.incumbent is not None and stage.tier == "point" and not _is_short(stage):
            arms.insert(0, Arm(AS_IT_IS, dict(found), list(self.incumbent.losses)))
        return arms

    def _finalists(self, stage: Stage, found: dict[str, Any]) -> list[Arm]:
        """The best options of an earlier stage, with all that was found since: what a later winner multiplied stays so.

        Where the stage says so, the runner-up is the next lower value, for a larger and longer run has a lower best rate.
        """
        before = sorted(self.arms[stage.of], key=lambda arm: arm.mean)
        [label] = [outcome.winner for outcome in self.course.outcomes if outcome.stage == stage.of]
        winner = next(arm for arm in before if arm.label == label)
        if (knob := stage.lower) and knob in winner.knobs:
            lower = [arm for arm in before if arm.knobs.get(knob, math.inf) < winner.knobs[knob]]
            first = [winner, *sorted(lower, key=lambda arm: -arm.knobs[knob])[:1]]
            before = first + [arm for arm in before if arm not in first]
        own = {name for option in _stage(self.plan, stage.of).options for name in option.set}
        arms = []
        for arm in before[: stage.best]:
            knobs = _carried(found)
            for name in own & arm.knobs.keys():
                factor = found[name] / winner.knobs[name] if name == stage.lower else 1.0
                knobs[name] = arm.knobs[name] if factor == 1 else float(f"{arm.knobs[name] * factor:.3g}")
            arms.append(Arm(arm.label, knobs))
        return arms

    def _with(self, found: dict[str, Any], option: Option, stage: Stage) -> dict[str, Any]:
        """The knobs of an option, over what was found."""
        now = {**self.plan.base, **self.plan.tier(stage.tier).set, **found}
        knobs = {**found, **option.set}
        for knob, factor in option.times.items():
            if knob in now:
                knobs[knob] = float(f"{now[knob] * factor:.3g}")
        if option.time_scale:
            rate = now.get("train.lr", 0.03)
            knobs["train.weight_decay"] = float(f"{1 / (rate * option.time_scale * now['train.steps']):.3g}")
        return knobs

    def _extend(self, stage: Stage, arms: list[Arm], found: dict[str, Any]) -> bool:
        """Whether the range of a knob needs no more: if its best value is at an end, one more beyond it is tried, once."""
        knob = stage.extends
        values = sorted(arm.knobs[knob] for arm in arms if knob in arm.knobs)
        best = min(arms, key=lambda arm: arm.mean)
        if len(values) < 2 or not math.isfinite(best.mean) or best.knobs.get(knob) not in (values[0], values[-1]):
            return True
        at_low = best.knobs[knob] == values[0]
        value = float(f"{values[0] ** 2 / values[1] if at_low else values[-1] ** 2 / values[-2]:.3g}")
        arm = Arm(f"{value:g}", {**found, knob: value})
        arms.append(arm)
        return self.loss_of(stage, arm, 1) is not None

    def _close(self, stage: Stage, arms: list[Arm]) -> None:
        """Fix the winner of a stage."""
        spreads = [statistics.stdev(arm.losses) for arm in arms if len(arm.losses) > 1 and all(map(math.isfinite, arm.losses))]
        if spreads and stage.tier == "point":
            self.noise = statistics.fmean(spreads)
        most = max(len(arm.losses) for arm in arms)
        best, note = min((arm for arm in arms if len(arm.losses) == most), key=lambda arm: arm.mean), "the lowest loss"
        first = arms[0]
        by = stage.wins_by if stage.wins_by is not None else 2 * (self.noise or 0.0)
        keeps = first.label == AS_IT_IS or stage.wins_by is not None
        if keeps and best is not first and first.mean - best.mean <= by:
            best, note = first, f"{best.label} is better by {first.mean - best.mean:.3f} nats, which {by:.3f} can be by chance"
        elif len(arms) == 1:
            note = "the only one"
        self.course.outcomes.append(Outcome(stage.name, {arm.label: tuple(arm.losses) for arm in arms}, best.label, note))
        if stage.name in ("check", "set"):
            return
        if _is_short(stage):
            own = {knob for option in stage.options for knob in option.set} - RECORDING
            self.course.found |= {knob: value for knob, value in best.knobs.items() if knob in own}
            return
        self.course.found = dict(best.knobs)
        if stage.tier == "point":
            self.incumbent = Arm(AS_IT_IS, dict(best.knobs), best.losses[:1])


def _equal_tokens(tier: Tier, found: Mapping[str, Any]) -> dict[str, Any]:
    """The steps with which a larger size reads its tokens, where the search found another batch than it was planned with."""
    batch = tier.set["train.batch_size"]
    factor = found.get("train.batch_size", batch) / batch
    if factor == 1:
        return {}
    steps = max(round(tier.steps / factor), 1)
    parts = max(round(tier.set["train.accumulation_steps"] * factor), 1)
    return {"train.steps": steps, "train.accumulation_steps": parts, **recorded(steps)}


RECORDING = {"train.steps", "train.snapshots", "train.log_points", "train.validation_points"}
OF_POINT = RECORDING | {"model.depth", "model.width", "model.heads", "model.context_length"}


def _carried(found: Mapping[str, Any]) -> dict[str, Any]:
    """What of the winners at the point holds for a larger size: not its shape, and not the length of its runs."""
    return {knob: value for knob, value in found.items() if knob not in OF_POINT}


def _is_short(stage: Stage) -> bool:
    """Whether the runs of a stage are shorter than those of the search, and their losses no measure for it."""
    return stage.name in ("check", "precision")


def _stage(plan: Plan, name: str) -> Stage:
    return next(stage for stage in plan.stages if stage.name == name)


def runs_at_most(plan: Plan) -> Iterator[tuple[Stage, int]]:
    """How many runs each stage has, without what an edge of a range adds."""
    counts: dict[str, int] = {}
    for stage in plan.stages:
        arms = stage.best if stage.of else max(len(stage.options), 1)
        counts[stage.name] = arms * len(stage.seeds) if stage.of else arms + stage.again * len(stage.seeds)
        yield stage, counts[stage.name]
