"""The summary of the readings: a few numbers by which runs are compared (metrics/probe.json). No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import fmean, median

from pipeline.artifacts.writing import rounded
from pipeline.readings import STEP, Reading

LastValues = dict[str, float]
"""The values of a reading at the last snapshot: {block, head, line …: number}, without those that are not finite."""


def summary(readings: Mapping[str, Reading]) -> dict[str, float]:
    """Each number of NUMBERS that the readings have, at the last snapshot."""
    found: dict[str, float] = {}
    for name, (reading, number) in NUMBERS.items():
        if reading in readings and (last := last_values(readings[reading])):
            value = number(last)
            if value is not None:
                found[name] = rounded(value)
    return found


def as_metrics(readings: Mapping[str, Reading]) -> dict[str, float]:
    """What metrics/probe.json holds: the summary, with the numbers that span decades as their logarithm.

    `dvc metrics diff` rounds to five decimal places, where 3e-5 and 3.4e-5 are equal. A number that is 0 is left out, because
    it has no logarithm.
    """
    return {
        f"log10_{name}" if name in DECADES else name: rounded(math.log10(value), 4) if name in DECADES else value
        for name, value in summary(readings).items()
        if name not in DECADES or value > 0
    }


def last_values(reading: Reading) -> LastValues:
    """The values of a reading at the last snapshot, by the ticks of its other axis."""
    if reading.axes[0].name == STEP:
        names, values = reading.axes[1].ticks, reading.values[-1]
    else:
        names, values = reading.axes[0].ticks, [line[-1] for line in reading.values]
    return {str(name): value for name, value in zip(names, values, strict=True) if value is not None}


def _of(name: str) -> Callable[[LastValues], float | None]:
    return lambda last: last.get(name)


def _largest(last: LastValues) -> float:
    return max(last.values())


def _mean(last: LastValues) -> float:
    return fmean(last.values())


def _median(last: LastValues) -> float:
    return median(last.values())


def _last(last: LastValues) -> float:
    """That after the last block."""
    return [*last.values()][-1]


def _growth(last: LastValues) -> float | None:
    first, *_, end = *last.values(), 0.0, [*last.values()][-1]
    return end / first if first else None


def _first_over_last(last: LastValues) -> float | None:
    """That of the first block (of an MLP: layer) / that of the last."""
    blocks = [value for name, value in last.items() if name.startswith(("block", "layer"))]
    return blocks[0] / blocks[-1] if blocks and blocks[-1] else None


def _drop(last: LastValues) -> float | None:
    """The first value minus the last; None where there is only one."""
    values = [*last.values()]
    return values[0] - values[-1] if len(values) > 1 else None


# The name of the number, the reading, and how it is computed from the last values of the reading.
NUMBERS: dict[str, tuple[str, Callable[[LastValues], float | None]]] = {
    "activation_growth": ("activation_rms", _growth),
    "effective_rank": ("effective_rank", _last),
    "saturated": ("saturation", _largest),
    "dead": ("dead_units", _largest),
    "gradient_ratio": ("gradient_norm", _first_over_last),
    "update_ratio": ("update_ratio", _median),
    "noise_scale": ("noise_scale", _largest),
    "sharpness": ("sharpness", _largest),
    "attention_entropy": ("attention_entropy", _mean),
    "attention_logit": ("attention_logit", _largest),
    "attention_sink": ("attention_sink", _mean),
    "previous_token": ("previous_token", _largest),
    "induction": ("induction", _largest),
    "log_partition": ("log_partition", _of("mean")),
    "context_gain": ("loss_by_position", _drop),
    "distinct_2": ("sample_quality", _of("distinct_2")),
    "valid": ("sample_quality", _of("valid")),
    "copied_length": ("copied_length", _largest),
}

# Ratios that span decades from run to run: of a plain network without normalization, the gradients of the first block are
# 1e-10 of those of the last.
DECADES = ("activation_growth", "gradient_ratio", "update_ratio")
