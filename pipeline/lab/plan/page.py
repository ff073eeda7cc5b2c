"""The page that `rally plan` prints: what will be run, for how long, and when to stop."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Any

from pipeline.doctor.signs.plan import Checkpoint
from pipeline.lab.budget.report import clock, number, size
from pipeline.lab.plan.checkpoints import Interval, checkpoints
from pipeline.lab.plan.draft import SECONDS_OF_STAGES
from pipeline.lab.plan.forecast import forecast
from pipeline.lab.plan.form import TIERS, Plan, Stage, Tier, path_of
from pipeline.lab.plan.steps import Run, runs_at_most

WIDE = 100  # characters of a line
A_FIFTH = {"unigram": 0.8, "bigram": 0.2}
WORDS = {1.0: "{}", 0.1: "{} / 10"}


def page(plan: Plan, *, written: bool = True) -> str:
    """The whole page.

    Args:
        written: to its file, so that it can be run.
    """
    lines = [line.rstrip() for part in (_head, _sizes, _search, _checks, _notes) for line in part(plan)]
    following = f"Next: rally plan run {plan.name}   (`git add {path_of(plan.name)}` keeps the plan)"
    unwritten = f"Nothing was written. Next: the same command with --name {plan.name}, then rally plan run {plan.name}"
    return "\n".join([*lines, "", following if written else unwritten])


def seconds_of_run(plan: Plan, stage: Stage) -> list[float]:
    """Seconds of a run of a stage with its other stages of the pipeline: at the fastest, in the middle, at the slowest."""
    tier = plan.tier(stage.tier)
    steps = next((option.set["train.steps"] for option in stage.options if "train.steps" in option.set), tier.steps)
    short = steps / tier.steps if stage.name in ("check", "precision") else 1.0
    return [one * short + SECONDS_OF_STAGES for one in tier.seconds]


def seconds_in_all(plan: Plan) -> list[float]:
    """Seconds of all runs: at the fastest, in the middle, at the slowest."""
    every = [(runs, seconds_of_run(plan, stage)) for stage, runs in runs_at_most(plan)]
    return [sum(runs * one[at] for runs, one in every) for at in range(3)]


def span(seconds: list[float]) -> str:
    """Such as 2.0 h, or 1.1 to 3.7 h where it is a range."""
    low, middle, high = seconds
    return clock(middle) if math.isclose(low, high) else f"{clock(low, like=high)} to {clock(high)}"


def end_forecast(plan: Plan) -> Interval:
    """The forecast of the longest run, as nothing has run yet."""
    return forecast(plan, Run(plan.name, 0, "set", "set", "", 1, {**plan.base, **plan.set.set}), [])


def wrapped(text: str, first: str = "", later: str | None = None) -> list[str]:
    """A text in lines, the first after one prefix, the others after another."""
    return textwrap.wrap(
        text, WIDE, initial_indent=first, subsequent_indent=" " * len(first) if later is None else later, break_on_hyphens=False
    )


def table(rows: list[list[str]], right: tuple[int, ...] = (), indent: str = "  ") -> Iterator[str]:
    """Columns as wide as their widest cell; those of `right` end flush."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield indent + "  ".join(cells)


def _head(plan: Plan) -> Iterator[str]:
    machine = "this CPU" if plan.card is None else f"a {plan.card:g} GB card"
    runs = sum(count for _, count in runs_at_most(plan))
    yield from wrapped(
        f"Plan {plan.name}: {machine}, {plan.data['prepare.dataset']}, vocabulary {plan.vocabulary:,}. The longest run takes"
        f" {plan.hours:g} h, all {runs} runs together {span(seconds_in_all(plan))}."
    )
    yield from wrapped(f"Speed: {plan.speed}.")
    yield from wrapped(f"Losses, in nats per token, are forecast by {plan.law}.")


def _sizes(plan: Plan) -> Iterator[str]:
    yield from ("", "Sizes: point for the search, game to confirm its best rates, set for the long run")
    rows = [["", "weights", "layers x width", "context", "steps", "tokens", "per weight", "memory", "time per run"]]
    for name in TIERS:
        tier, knobs = plan.tier(name), plan.tier(name).set
        each = tier.tokens / tier.parameters
        rows.append(
            [
                name,
                number(tier.parameters).strip(),
                f"{knobs['model.depth']} x {knobs['model.width']}",
                f"{knobs['model.context_length']}",
                f"{tier.steps:,}",
                number(tier.tokens).strip(),
                f"{each:.0f}" if each >= 10 else f"{each:.1f}",
                size(tier.bytes),
                span(tier.seconds),
            ]
        )
    yield from table(rows, right=(1, 3, 4, 5, 6, 7))
    changes = {knob: value for knob, value in plan.set.set.items() if knob.startswith("runtime.")}
    more = "; the set also needs " + ", ".join(f"{knob}={value}" for knob, value in changes.items()) if changes else ""
    yield from wrapped(
        f"{_batch(plan.set)} tokens per step, in {plan.base['train.precision']}; memory by `rally budget`, at"
        f" least 8 % free{more}.",
        "  ",
    )


def _batch(tier: Tier) -> str:
    knobs = tier.set
    tokens, parts = knobs["train.batch_size"] * knobs["model.context_length"], knobs["train.accumulation_steps"]
    return f"{tokens:,}" + (f" in {parts} parts" if parts > 1 else "")


def _search(plan: Plan) -> Iterator[str]:
    yield from ("", "Order of the search (a stage's winner is fixed before the next begins; % of the time of all runs)")
    whole = seconds_in_all(plan)[1]
    rows = []
    for at, (stage, runs) in enumerate(runs_at_most(plan), start=1):
        share = runs * seconds_of_run(plan, stage)[1] / whole
        rows.append([f"{at}.", stage.name, stage.tier, f"{runs} run{'s' * (runs > 1)}", f"{share:.0%}", tried(stage)])
    widths = [max(len(row[at]) for row in rows) for at in range(5)]
    for row in rows:
        start = (
            "  "
            + "  ".join(
                cell.rjust(width) if at == 4 else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=False))
            )
            + "  "
        )
        yield from wrapped(row[5], start)


def tried(stage: Stage) -> str:
    """What a stage tries, in a few words."""
    if stage.of:
        which = f"the best of {stage.of} and the next lower one" if stage.lower else f"the best {stage.best} of {stage.of}"
        return f"{which}, seeds {', '.join(map(str, stage.seeds))}"
    if not stage.options:
        return "with all that was found"
    if stage.name == "check":
        return f"{stage.options[0].set['train.steps']} steps: does it meet the first checkpoints?"
    again = f", then seeds {' and '.join(map(str, stage.seeds))} for the best {stage.again}" if stage.again else ""
    wider = "; one more where the best is at an end" if stage.extends else ""
    return ", ".join(option.label for option in stage.options) + again + wider


def _checks(plan: Plan) -> Iterator[str]:
    expected = end_forecast(plan)
    yield ""
    yield from wrapped(
        "Checkpoints: what every run must be at a step, else what to do (losses in nats per token; V: the vocabulary; from 10 %"
        " on: those of the set)"
    )
    rows = [[one.at, MEANINGS[one.what], bounds(one, plan), one.missed] for one in checkpoints(plan.set.steps, expected)]
    rows = [["at", "must be", "", "if not"], *rows]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    last = ""
    for row in rows:
        place, last = (row[0] if row[0] != last else ""), row[0]
        start = "  " + "  ".join(cell.ljust(width) for cell, width in zip((place, *row[1:3]), widths, strict=True)) + "  "
        yield from wrapped(row[3], start)
    yield from wrapped(
        "Steps up to 1,000 are at the full rate: a step of the warm-up counts as its rate / the peak. * a fifth of the way from"
        " the loss of unigram to that of bigram on this text, which the first run measures.",
        "  ",
    )
    yield from wrapped(
        f"Forecast of the set: {expected.median:.2f} nats per token, with 80 % within {expected.low:.2f} to"
        f" {expected.high:.2f} ({expected.because}). Each run gets one of its own before it begins.",
        "  ",
    )


def bounds(one: Checkpoint, plan: Plan) -> str:
    """The bounds of a checkpoint as numbers where the baselines are known, else in their words."""
    levels = {"uniform": math.log(plan.vocabulary)} | plan.levels
    found = one.bounds(levels)
    if found is not None:
        low, high = found
        if math.isinf(low):
            return f"≤ {high:.4g}"
        return f"≥ {low:.4g}" if math.isinf(high) else f"{low:.4g} to {high:.4g}"
    sign, bound = ("≤", one.high) if one.high is not None else ("≥", one.low)
    words = " + ".join(WORDS.get(share, f"{share:g} {{}}").format(level) for level, share in one.plus.items())
    return f"{sign} {'unigram *' if one.plus == A_FIFTH else words}" + (f" + {bound:g}" if bound else "")


def _notes(plan: Plan) -> Iterator[str]:
    yield from ("", "To know")
    for note in plan.notes:
        yield from wrapped(f"{note[0].upper()}{note[1:]}.", "  - ")


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan with its times, forecast and checkpoints, for programs."""
    expected = end_forecast(plan)
    return plan.model_dump(mode="json") | {
        "seconds_in_all": seconds_in_all(plan),
        "runs": {stage.name: runs for stage, runs in runs_at_most(plan)},
        "forecast": vars(expected),
        "checkpoints": [
            {"at": one.at, "what": one.what, "bounds": bounds(one, plan), "missed": one.missed}
            for one in checkpoints(plan.set.steps, expected)
        ],
    }


MEANINGS: dict[str, str] = {
    "start_excess": "|loss - ln V - variance / 2|",
    "start_loss": "loss - ln V",
    "future_leak": "dependence on later tokens",
    "batch_leak": "dependence on other examples",
    "overlap": "validation text in training text",
    "rise_at_start": "loss - loss at step 0",
    "highest_loss": "highest loss - ln V",
    "training_loss": "training loss",
    "validation_loss": "validation loss",
    "gap": "validation - training loss",
    "generalization_gap": "validation / training loss - 1",
    "clipped_steps": "share of steps clipped",
    "skipped_steps": "share of steps skipped",
    "gradient_agreement": "gradient norm / computed afresh",
    "gradient_ratio": "gradient norm, first block / last",
    "update_ratio": "update / weight, median layer",
    "least_update": "update, least layer / median",
    "decay_share": "share of decay in updates",
    "schedule_followed": "update / rate, least / largest",
    "targets_counted": "share of targets in the loss",
    "probability_range": "ln Z within that of probabilities",
    "unreached": "share of layers without gradient",
    "previous_token": "attention to the token before",
    "attention_sink": "attention to the first token",
    "attention_entropy_start": "attention entropy / uniform",
    "attention_entropy": "attention entropy, sharpest head",
    "attention_logit": "largest attention score",
    "effective_rank": "directions after the last block",
    "saturated": "share of saturated units",
    "dead": "share of dead units",
    "log_partition": "drift of ln Z",
}
"""What each number of the doctor's checkpoints is, in a few words."""
