"""Seeds as one row: the mean of each score with its interval, how many diverged or are sick, and the knobs that differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.lab.experiments.notes import codes
from pipeline.lab.experiments.records import METRICS, Experiment, Group, Knob, State
from pipeline.lab.experiments.table import Row, text_of
from pipeline.lab.statistics.intervals import Interval, interval

SHARES = ("accuracy", "macro_f1", "calibration_error")  # from 0 to 1
POSITIVE = ("loss", "bits_per_byte")
NOTHING = 1e-9  # relative; the rounding errors of a mean of equal numbers
MAX_DECIMALS = 6  # the scores have six digits


@dataclass(frozen=True)
class Score:
    """A score over seeds.

    Attributes:
        interval: the mean with its 95 % confidence interval, without what no score can be; unbounded for one seed.
        n: the seeds that have it.
    """

    interval: Interval
    n: int


def score_of(group: Group, metric: str) -> Score | None:
    """The mean of a score over the seeds that have it; None where none has. A diverged seed has none."""
    values = np.array([one.scores[metric] for one in group.experiments if metric in one.scores])
    if not len(values):
        return None
    low, mean, high = interval(values)
    least = 0.0 if metric in (*SHARES, *POSITIVE) else -math.inf
    most = 1.0 if metric in SHARES else math.inf
    return Score(
        Interval(max(low, least), mean, min(high, most)) if len(values) > 1 else Interval(low, mean, high), len(values)
    )


def score_text(score: Score | None) -> str:
    """Such as `1.234 ± 0.012`, `0.98 (0.95 … 1)` where the interval has unequal sides, or the number alone of one seed."""
    if score is None:
        return ""
    low, mean, high = score.interval
    if score.n == 1:
        return f"{mean:.4g}"
    half = max(mean - low, high - mean)
    if half < NOTHING * abs(mean) or not half:
        return f"{mean:.4g} ± 0"
    decimals = min(MAX_DECIMALS, max(0, 1 - math.floor(math.log10(half))))
    if math.isclose(mean - low, high - mean, rel_tol=1e-6, abs_tol=1e-12):
        return f"{mean:.{decimals}f} ± {half:.{decimals}f}"
    return f"{mean:.{decimals}f} ({low:.{decimals}f} … {high:.{decimals}f})"


def name_of(group: Group) -> str:
    """The name of its first experiment, which commands take, and how many more there are."""
    more = len(group.experiments) - 1
    return group.name + (f" +{more}" if more else "")


def seeds_text(group: Group) -> str:
    """Such as `3 seeds`, `1 seed`, or `2 of 3 done`."""
    count, done = len(group.experiments), sum(one.has_result for one in group.experiments)
    if done < count:
        return f"{done} of {count} done"
    return f"{count} seed{'s' * (count > 1)}"


def states_text(group: Group) -> str:
    """Such as `2 queued, 1 failed`; "" where all ended."""
    counts = Counter(one.state for one in group.experiments if one.state is not State.DONE)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def findings(group: Group) -> dict[str, int]:
    """finding -> number of seeds, the most frequent first; a diverged seed counts as `diverged` whatever else was found."""
    found = Counter("diverged" if one.diverged else one.finding for one in group.experiments if one.diverged or one.finding)
    return dict(found.most_common())


def findings_text(group: Group) -> str:
    """Such as `healthy`, or `overfits 2, healthy 1`."""
    found = findings(group)
    return next(iter(found), "") if len(found) < 2 else ", ".join(f"{name} {count}" for name, count in found.items())


def sick_text(group: Group) -> str:
    """The share that diverged or was found sick, such as `1 of 3`; "" where the doctor saw none."""
    seen = [one for one in group.experiments if one.diverged or one.finding]
    return f"{sum(one.sick for one in seen)} of {len(seen)}" if seen else ""


def rows_of(groups: Sequence[Group]) -> list[Row]:
    """A row a group, for the table."""
    numbers = {code: str(place) for place, code in enumerate(codes(groups), 1)}
    rows = []
    for group in groups:
        row = {"Experiment": name_of(group), "seeds": seeds_text(group), "State": states_text(group)}
        row |= {metric: score_text(score_of(group, metric)) for metric in METRICS}
        row |= {"sick": sick_text(group), "finding": findings_text(group)}
        row |= {"code": numbers[group.experiments[0].code] if len(numbers) > 1 else ""}
        rows.append(row | {name: text_of(value) for name, value in group.knobs.items()})
    return rows


def differing(groups: Iterable[Group]) -> list[str]:
    """The names of the knobs that are not the same in all groups; one that some code does not have is none of them."""
    values: dict[str, set[Knob]] = {}
    for group in groups:
        for name, value in group.knobs.items():
            values.setdefault(name, set()).add(value)
    return [name for name, found in values.items() if len(found) > 1]


def as_json(groups: Sequence[Group], notes: Sequence[str]) -> dict[str, Any]:
    """The content of `rally show --json`; a bound that is infinite is null."""
    names = differing(groups)
    return {"groups": [_group_json(group, names) for group in groups], "notes": list(notes)}


def _group_json(group: Group, differ: Sequence[str]) -> dict[str, Any]:
    metrics = dict.fromkeys((*METRICS, *(name for one in group.experiments for name in one.scores)))
    scores = {metric: score for metric in metrics if (score := score_of(group, metric))}
    return {
        "name": group.name,
        "seeds": [one.seed for one in group.experiments],
        "done": sum(one.has_result for one in group.experiments),
        "task": group.experiments[0].task,
        "data": group.experiments[0].data,
        "knobs": {"differ": {name: group.knobs.get(name) for name in differ}, "all": dict(group.knobs)},
        "scores": {metric: _score_json(score) for metric, score in scores.items()},
        "diverged": sum(one.diverged for one in group.experiments),
        "sick": sum(one.sick for one in group.experiments),
        "findings": findings(group),
        "experiments": [_experiment_json(one) for one in group.experiments],
    }


def _score_json(score: Score) -> Mapping[str, float | None]:
    low, mean, high = score.interval
    return {
        "mean": mean,
        "low": low if math.isfinite(low) else None,
        "high": high if math.isfinite(high) else None,
        "n": score.n,
    }


def _experiment_json(one: Experiment) -> dict[str, Any]:
    return {
        "name": one.name,
        "commit": one.commit,
        "baseline": one.baseline,
        "seed": one.seed,
        "state": one.state.value,
        "created": one.created.isoformat() if one.created else None,
        "scores": dict(one.scores),
        "finding": one.finding,
        "diverged": one.diverged,
        "missing": one.missing,
        "code": one.code,
    }
