"""Signs that a run is off its plan: the checkpoints of a file that was written before the run, and how many of them it missed.

A checkpoint is a number of the run as it was at a step, and its bounds. `rally plan run` writes the file, and plan.path names
it; without one these signs have no value. What is read at a step is the run cut off there, so that what came later cannot
excuse it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.artifacts.writing import rounded
from pipeline.doctor.case import Case
from pipeline.doctor.signs import attention, consistency, gradients, layers, loss, start
from pipeline.doctor.signs.base import LANGUAGE, RULE, Range, Sign
from pipeline.readings import Axis, Reading

GROUPS = {"off_plan_start": ("step 0",), "off_plan_early": ("step 1", "step 10", "step 100", "step 1000")}
FEWEST = 3  # rows of the curve whose mean is the loss at a step
RECENT = 0.1  # of the steps so far, whose rows are averaged


@dataclass(frozen=True)
class Checkpoint:
    """What a run must be at a step.

    Attributes:
        at: "step 0", "step 100" (see `full_rate_steps`), "25 %" of the steps, or "end".
        what: an entry of NUMBERS.
        low, high: bounds; None: no bound.
        plus: a baseline (uniform, unigram, bigram, entropy) -> the share of its loss that is added to both bounds.
        missed: what to do then: a command, and why.
    """

    at: str
    what: str
    low: float | None = None
    high: float | None = None
    plus: Mapping[str, float] = field(default_factory=dict)
    missed: str = ""

    def bounds(self, levels: Mapping[str, float]) -> tuple[float, float] | None:
        """Both bounds as numbers; None where the baseline that they depend on is unknown."""
        if not self.plus.keys() <= levels.keys():
            return None
        above = sum(share * levels[level] for level, share in self.plus.items())
        return (
            -math.inf if self.low is None else self.low + above,
            math.inf if self.high is None else self.high + above,
        )


@dataclass(frozen=True)
class Judged:
    """A checkpoint of one run.

    Attributes:
        value: the number; None where the run had ended before.
        low, high: the bounds as numbers.
    """

    checkpoint: Checkpoint
    value: float | None
    low: float
    high: float

    @property
    def held(self) -> bool:
        return self.value is not None and self.low <= self.value <= self.high

    def as_json(self) -> dict[str, Any]:
        """For metrics/doctor.json."""
        bounds = {name: rounded(bound, 5) for name, bound in (("low", self.low), ("high", self.high)) if math.isfinite(bound)}
        value = None if self.value is None or not math.isfinite(self.value) else rounded(self.value, 5)
        one = self.checkpoint
        return {"at": one.at, "what": one.what, "value": value, **bounds, "held": self.held, "missed": one.missed}


def checkpoints_of(plan: Mapping[str, Any]) -> list[Checkpoint]:
    """The checkpoints of a plan's file."""
    return [Checkpoint(**row) for row in plan.get("checkpoints", ())]


def judged(case: Case) -> list[Judged]:
    """Every checkpoint that can be judged: of a number that the run has, at a step that it reached or should have reached.

    None of a run with other knobs than the plan's: -S accumulates in params.yaml, so plan.path may be left from an earlier one.
    """
    if any(case.knob(name, value) != value for name, value in case.plan.get("knobs", {}).items()):
        return []
    cuts: dict[str, Case | None] = {}
    found = []
    levels = dict(case.levels)
    if case.uniform_loss is not None:
        levels["uniform"] = case.uniform_loss
    for one in checkpoints_of(case.plan):
        if one.at not in cuts:
            cuts[one.at] = cut(case, one.at)
        part, bounds = cuts[one.at], one.bounds(levels)
        if bounds is None or (part is None and not case.progress.get("stopped")):
            continue
        value = NUMBERS[one.what](part) if part else None
        if part is None or value is not None:
            found.append(Judged(one, value, *bounds))
    return found


# --------------------------------------------------------------------------------------------------- the run up to a step


def full_rate_steps(case: Case) -> list[tuple[float, float]]:
    """(step, steps at the full learning rate so far) of each row of the curve: those of the warm-up count as lr / peak.

    So that a warm-up does not miss a checkpoint. After the peak each step counts 1: a decay is the end of a training, not its
    beginning.
    """
    rates = case.curve("lr")
    peak = max((rate for _, rate in rates), default=0.0)
    counted, before, risen, rows = 0.0, 0.0, False, []
    for step, rate in rates:
        risen = risen or rate >= peak
        counted += (step - before) * (1.0 if risen or not peak else rate / peak)
        before = step
        rows.append((step, counted))
    return rows


def cut(case: Case, at: str) -> Case | None:
    """The run as it was at a checkpoint; None where it never came so far."""
    if at == "step 0":
        return _until(case, 0)
    if at == "end":
        return None if case.progress.get("stopped") else case
    if at.endswith("%"):
        steps = float(case.knob("train.steps") or case.progress.get("step") or 0)
        wanted = steps * float(at.removesuffix("%")) / 100
        reached = next((step for step, _ in case.curve("lr") if step >= wanted), None)
    else:
        wanted = float(at.removeprefix("step "))
        reached = next((step for step, counted in full_rate_steps(case) if counted >= wanted - 1e-9), None)
    return None if reached is None else _until(case, reached)


def _until(case: Case, last: float) -> Case:
    """The case with nothing of it that came after a step."""

    def columns(curve: Mapping[str, Any]) -> dict[str, Any]:
        keep = sum(step is not None and step <= last for step in curve.get("step", ()))
        return {name: list(column)[:keep] for name, column in curve.items()}

    return replace(
        case,
        train=columns(case.train),
        validation=columns(case.validation),
        readings={name: part for name, one in case.readings.items() if (part := _early(one, last)) is not None},
    )


def _early(reading: Reading, last: float) -> Reading | None:
    """The snapshots of a reading up to a step; None where it has none."""
    axis = reading.axes[-1]
    if axis.name != "step":
        return None
    keep = sum(float(tick) <= last for tick in axis.ticks)
    rows = [row[:keep] for row in reading.values]
    return replace(reading, axes=(*reading.axes[:-1], Axis(axis.name, axis.ticks[:keep])), values=rows) if keep else None


# ----------------------------------------------------------------------------------------------------------- its numbers


def training_loss(case: Case) -> float | None:
    """The training loss at the end of a run or of a part of it: the mean of the last rows, nats."""
    rows = case.curve("loss")
    if not rows:
        return None
    recent = [loss for step, loss in rows if step > rows[-1][0] * (1 - RECENT)]
    return statistics.mean(recent if len(recent) >= FEWEST else [loss for _, loss in rows[-FEWEST:]])


def highest_loss(case: Case) -> float | None:
    """The highest row of the training loss, less the noise of a batch, above ln V, nats."""
    highest = loss.peak(case)
    return None if highest is None or case.uniform_loss is None else highest * case.uniform_loss


def rise_at_start(case: Case) -> float | None:
    """How far the first row of the training loss is above the loss before the first step, nats."""
    rows, before = case.curve("loss"), case.sanity.get("loss")
    return rows[0][1] - before if rows and before is not None else None


def gap(case: Case) -> float | None:
    """Validation loss less training loss at the end of a run or of a part of it, nats."""
    now = training_loss(case)
    return case.validation_losses[-1][1] - now if case.validation_losses and now is not None else None


def final_loss(case: Case) -> float | None:
    """The validation loss at the end of a run or of a part of it, nats."""
    return case.validation_losses[-1][1] if case.validation_losses else training_loss(case)


def _group(at: str) -> str:
    for group, places in GROUPS.items():
        if at in places:
            return group
    return "off_plan_end" if at == "end" else "off_plan_curve"


def missed_in(group: str) -> Callable[[Case], float | None]:
    """How many checkpoints of a group were missed; None where none of them could be judged."""

    def count(case: Case) -> float | None:
        of_group = [one for one in judged(case) if _group(one.checkpoint.at) == group] if case.plan else []
        return float(sum(not one.held for one in of_group)) if of_group else None

    return count


def _signs() -> Iterator[tuple[str, Sign]]:
    about = {
        "off_plan_start": "before the first step",
        "off_plan_early": "of the first steps",
        "off_plan_curve": "along the curve",
        "off_plan_end": "at the end",
    }
    for name, when in about.items():
        text = f"Of the plan's checkpoints {when}, {{value}} were missed."
        yield (
            name,
            Sign(missed_in(name), text, Range(RULE + "written before the run", high=0.0, sick_high=0.0), "loss", LANGUAGE),
        )


PLAN = dict(_signs())


NUMBERS: dict[str, Callable[[Case], float | None]] = {
    "start_excess": start.start_excess,
    "start_loss": start.start_loss,
    "future_leak": start.future_leak,
    "batch_leak": start.batch_leak,
    "rise_at_start": rise_at_start,
    "highest_loss": highest_loss,
    "training_loss": training_loss,
    "validation_loss": final_loss,
    "gap": gap,
    "generalization_gap": loss.generalization_gap,
    "overlap": start.overlap,
    "clipped_steps": gradients.clipped_steps,
    "skipped_steps": gradients.skipped_steps,
    "gradient_agreement": gradients.gradient_agreement,
    "gradient_ratio": gradients.gradient_ratio,
    "update_ratio": gradients.update_ratio,
    "least_update": gradients.least_update,
    "decay_share": gradients.decay_share,
    "schedule_followed": consistency.schedule_followed,
    "targets_counted": consistency.targets_counted,
    "probability_range": consistency.probability_range,
    "unreached": consistency.unreached,
    "previous_token": attention.previous_token,
    "attention_sink": attention.attention_sink,
    "attention_entropy_start": attention.attention_entropy_start,
    "attention_entropy": attention.attention_entropy,
    "attention_logit": attention.attention_logit,
    "effective_rank": layers.effective_rank,
    "saturated": layers.saturated,
    "dead": layers.dead,
    "log_partition": layers.log_partition_drift,
}
"""What a checkpoint may ask of a run, by name."""
