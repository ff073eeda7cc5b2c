"""What `rally plan show` prints: what is done, what held, what is next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.figures.words import formatted
from pipeline.lab.plan.form import Plan
from pipeline.lab.plan.page import MEANINGS, table, wrapped
from pipeline.lab.plan.standing import checkpoints_of, standing
from pipeline.lab.plan.steps import Course, Outcome, Run, runs_at_most


def show(plan: Plan) -> str:
    """The standing of a plan."""
    course = standing(plan)
    return "\n".join(line.rstrip() for line in lines_of(plan, course))


def lines_of(plan: Plan, course: Course) -> Iterator[str]:
    """The same as lines."""
    at_most = sum(count for _, count in runs_at_most(plan))
    yield f"Plan {plan.name}: {len(course.done)} of about {at_most} runs are done."
    if course.done:
        rows = [["run", "stage", "arm", "seed", "loss", "checkpoints"]]
        missed: list[str] = []
        for run, loss in course.done:
            judged = checkpoints_of(run)
            held = sum(bool(one.get("held")) for one in judged)
            rows.append(
                [run.name, run.stage, run.arm, f"{run.seed}", _loss(loss), f"{held} of {len(judged)} held" if judged else "–"]
            )
            missed += list(missed_lines(run, judged))
        yield from ("", *table(rows, right=(3, 4)))
        yield from (["", "Missed", *missed] if missed else ["", "No checkpoint was missed."])
    for one in course.outcomes:
        yield from ("", *outcome_lines(one))
    yield ""
    if course.next:
        yield f"Next: {title(course.next)}; `rally plan run {plan.name}`"
    else:
        yield "All runs are done; `rally bet` says how good the forecasts were."


def title(run: Run) -> str:
    """Such as `first-04: lr 0.02 (point, seed 1)`."""
    return f"{run.name}: {run.stage} {run.arm} ({run.tier}, seed {run.seed})"


def done_lines(run: Run, loss: float) -> list[str]:
    """What came of a run: its loss and the checkpoints that it missed, with what to do."""
    judged = checkpoints_of(run)
    held = sum(bool(one.get("held")) for one in judged)
    return [f"{run.name}: loss {_loss(loss)}; {held} of {len(judged)} checkpoints held", *missed_lines(run, judged)]


def missed_lines(run: Run, judged: Sequence[Any]) -> Iterator[str]:
    """A line for each checkpoint that a run missed."""
    for one in judged:
        if not one.get("held"):
            bounds = " to ".join(f"{sign}{formatted(one[end])}" for sign, end in (("≥ ", "low"), ("≤ ", "high")) if end in one)
            was = "the run had stopped" if one.get("value") is None else f"was {formatted(one['value'])}"
            what = MEANINGS.get(one["what"], one["what"])
            yield from wrapped(f"{run.name}, {one['at']}: {what} {was}, must be {bounds}. {one['missed']}", "  ", "      ")


def outcome_lines(one: Outcome) -> Iterator[str]:
    """What a stage found, in a line or two."""
    arms = ", ".join(f"{label} {_loss(sum(losses) / len(losses))}" for label, losses in one.arms.items() if losses)
    yield from wrapped(f"{one.stage}: {one.winner} ({one.note}). {arms}", "", "  ")


def _loss(loss: float) -> str:
    return f"{loss:.3f}" if math.isfinite(loss) else "diverged"


def as_json(plan: Plan) -> dict[str, Any]:
    """The standing of a plan, for programs."""
    course = standing(plan)
    following = course.next
    return {
        "plan": plan.name,
        "done": [
            {
                "run": run.name,
                "stage": run.stage,
                "arm": run.arm,
                "seed": run.seed,
                "loss": loss if math.isfinite(loss) else None,
                "checkpoints": checkpoints_of(run),
            }
            for run, loss in course.done
        ],
        "outcomes": [
            {
                "stage": one.stage,
                "winner": one.winner,
                "note": one.note,
                "arms": {label: _finite(losses) for label, losses in one.arms.items()},
            }
            for one in course.outcomes
        ],
        "next": {"run": following.name, "stage": following.stage, "arm": following.arm, "knobs": dict(following.knobs)}
        if following
        else None,
    }


def _finite(losses: Sequence[float]) -> list[float | None]:
    return [loss if math.isfinite(loss) else None for loss in losses]
