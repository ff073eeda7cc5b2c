"""Comparisons made by hand for the tests of their page: groups of seeds, the differences between them, and their curves."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from pipeline.lab.comparison.comparison import Comparison, Difference, Importance, Interaction, Ruling
from pipeline.lab.experiments.records import Experiment, Group, Knob, State, grouped
from pipeline.lab.statistics.intervals import Interval, Pairing, difference

RATES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
WIDTHS = (32, 64, 128, 256)
POSITIONS = ("learned", "rope")


def experiment(name: str, knobs: Mapping[str, Knob], loss: float | None = None, **scores: float) -> Experiment:
    """An experiment that is done; an infinite loss is that of one that diverged, None that of one that is queued."""
    state = State.QUEUED if loss is None else State.DONE
    found = {} if loss is None else {"loss": loss, **scores}
    return Experiment(
        name,
        "c0ffee" + "0" * 34,
        "ba5e" + "0" * 36,
        state,
        datetime(2026, 12, 1, tzinfo=UTC),
        knobs,
        found,
        finding="" if loss is None else "learning rate too high" if math.isinf(loss) else "healthy",
        diverged=loss is not None and math.isinf(loss),
        missing="" if loss is not None else f"{name}: is queued; `dvc queue start` runs it",
    )


def variant(name: str, knobs: Mapping[str, Knob], losses: Iterable[float | None]) -> list[Experiment]:
    """The experiments of one variant, one for each seed."""
    return [experiment(f"{name}-s{seed}", {**knobs, "seed": seed}, loss) for seed, loss in enumerate(losses, start=1)]


def compared(first: Group, second: Group, minimizes: bool = True) -> Difference:
    """A difference with Welch's interval, as large groups of seeds have it."""
    one, other = first.array("loss"), second.array("loss")
    knobs = {name: (first.knobs[name], second.knobs[name]) for name in first.knobs if first.knobs[name] != second.knobs[name]}
    if not (np.isfinite(one).all() and np.isfinite(other).all() and len(one) and len(other)):
        return Difference(first, second, "loss", knobs, Ruling.NOT_COMPARABLE, reason="a seed diverged, so there is no mean")
    n = min(len(one), len(other))
    gap = difference(other[:n], one[:n], paired=False)
    if n == 1:
        return Difference(
            first,
            second,
            "loss",
            knobs,
            Ruling.UNDECIDED,
            gap,
            needed=3,
            command="./run dvc exp run --queue -S seed=2,3",
            reason="one seed each does not say how much a seed moves loss",
        )
    decided = gap.low > 0 or gap.high < 0
    deviation = (gap.high - gap.low) / 4 or 1e-9
    below = 0.5 * math.erfc(gap.mean / deviation / math.sqrt(2))
    ruling = (Ruling.BETTER if (gap.mean < 0) == minimizes else Ruling.WORSE) if decided else Ruling.UNDECIDED
    total = math.ceil(n * ((gap.high - gap.low) / (2 * abs(gap.mean) + 1e-9)) ** 2) + n
    needed = None if decided or total > 30 else total
    seeds = ",".join(map(str, range(n + 1, (needed or 0) + 1)))
    tells = f"{total - n} more seeds each would tell, if it is as large as it looks"
    return Difference(
        first,
        second,
        "loss",
        knobs,
        ruling,
        gap,
        Pairing(0.07, False),
        min(1.0, 2 * min(below, 1 - below)),
        min(1.0, 2.5 * min(below, 1 - below)),
        below if minimizes else 1 - below,
        needed,
        f"./run dvc exp run --queue -n {second.name}-more -S seed={seeds}" if needed else "",
        "" if decided else tells if needed else "if there is a difference, it takes more than 30 seeds each to see it",
    )


def neighbours(groups: Sequence[Group]) -> list[Difference]:
    """The differences of all pairs that differ in one knob."""
    pairs = itertools.combinations(groups, 2)
    return [compared(a, b) for a, b in pairs if sum(a.knobs[name] != b.knobs[name] for name in a.knobs) == 1]


@functools.cache
def sweep() -> tuple[Comparison, dict[str, dict[str, list[float | None]]]]:
    """200 experiments: the best learning rate falls with the width, the position matters little, and some diverge."""
    generator = np.random.default_rng(15)
    made: list[Experiment] = []
    curves: dict[str, dict[str, list[float | None]]] = {}
    for place, (rate, width, position) in enumerate(itertools.product(RATES, WIDTHS, POSITIONS)):
        knobs: dict[str, Knob] = {"train.lr": rate, "model.width": width, "model.position": position, "task.kind": "language"}
        away = math.log(rate / (0.5 / width)) / math.log(2)
        lost = away > 4.5
        for seed in range(1, 5 if place < 8 else 4):
            floor = 1.9 + 6 / width + 0.012 * away**2 + 0.006 * (position == "learned") + 0.012 * generator.normal()
            one = experiment(
                f"lr{rate}-w{width}-{position}-s{seed}",
                {**knobs, "seed": seed},
                math.inf if lost else round(floor, 5),
                accuracy=1 / floor,
            )
            made.append(one)
            curves[one.name] = curve(floor, rate, generator, lost)
    groups = grouped(made)
    order = sorted(groups, key=lambda group: float(group.array("loss").mean()))
    near = [compared(order[0], other) for other in order[1:6]]
    importance = Importance(
        "loss",
        58,  # variants that did not diverge
        {
            "model.width": Interval(0.51, 0.58, 0.66),
            "train.lr": Interval(0.33, 0.4, 0.47),
            "model.position": Interval(0.0, 0.02, 0.05),
        },
        {("train.lr", "model.width"): 0.09, ("model.width", "model.position"): 0.002},
        0.91,
    )
    moves = Interaction("train.lr", "model.width", {32: 0.016, 64: 0.008, 128: 0.004, 256: 0.002})
    notes = ("2 experiments are not in it: their data is another one (prepare.dataset shakespeare).",)
    return Comparison(tuple(groups), "loss", True, (*near, *neighbours(groups)), importance, (moves,), notes), curves


def curve(floor: float, rate: float, generator: np.random.Generator, lost: bool) -> dict[str, list[float | None]]:
    """A training of 600 steps, which is validated every 20; one that is lost ends in infinities."""
    steps = np.arange(1, 601)
    loss = floor + (4.2 - floor) * np.exp(-steps * 12 * rate**0.6 / 60) + 0.05 * generator.normal(size=600)
    if lost:
        loss[90:] = np.inf
    validated = [float(value) if step % 20 == 0 else None for step, value in zip(steps, loss - 0.02, strict=True)]
    return {
        "step": [float(step) for step in steps],
        "loss": loss.tolist(),
        "validation_loss": validated,
        "lr": (rate * np.minimum(1, steps / 60)).tolist(),
    }
