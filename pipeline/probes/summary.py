"""Which few numbers of the readings are runs compared by? No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import fmean, median

from pipeline.artifacts.writing import rounded
from pipeline.readings import STEP, Reading

Last = dict[str, float]
"""What a reading says of the last snapshot: {block, head, line …: number}, without those that are no numbers."""


def summary(readings: Mapping[str, Reading]) -> dict[str, float]:
    """Each number of NUMBERS that the readings tell, at the last snapshot."""
    found: dict[str, float] = {}
    for name, (reading, number) in NUMBERS.items():
        if reading in readings and (last := at_the_end(readings[reading])):
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


def at_the_end(reading: Reading) -> Last:
    """The last snapshot of a reading, by what stands on its other axis."""
    if reading.axes[0].name == STEP:
        names, values = reading.axes[1].ticks, reading.values[-1]
    else:
        names, values = reading.axes[0].ticks, [line[-1] for line in reading.values]
    return {str(name): value for name, value in zip(names, values, strict=True) if value is not None}


def _of(name: str) -> Callable[[Last], float | None]:
    return lambda last: last.get(name)


def _largest(last: Last) -> float:
    return max(last.values())


def _mean(last: Last) -> float:
    return fmean(last.values())


def _median(last: Last) -> float:
    return median(last.values())


def _behind(last: Last) -> float:
    """The last of them: behind the last block."""
    return [*last.values()][-1]


def _growth(last: Last) -> float | None:
    first, *_, end = *last.values(), 0.0, [*last.values()][-1]
    return end / first if first else None


def _of_blocks(last: Last) -> float | None:
    """The first block's (of an MLP: layer's) over the last one's."""
    blocks = [value for name, value in last.items() if name.startswith(("block", "layer"))]
    return blocks[0] / blocks[-1] if blocks and blocks[-1] else None


def _gain(last: Last) -> float | None:
    """What the first positions have more than the last; nothing where there is one stretch."""
    places = [*last.values()]
    return places[0] - places[-1] if len(places) > 1 else None


# What it is called, of which reading, and which number of it.
NUMBERS: dict[str, tuple[str, Callable[[Last], float | None]]] = {
    "activation_growth": ("activation_rms", _growth),
    "effective_rank": ("effective_rank", _behind),
    "saturated": ("saturation", _largest),
    "dead": ("dead_units", _largest),
    "gradient_ratio": ("gradient_norm", _of_blocks),
    "update_ratio": ("update_ratio", _median),
    "noise_scale": ("noise_scale", _largest),
    "sharpness": ("sharpness", _largest),
    "attention_entropy": ("attention_entropy", _mean),
    "attention_logit": ("attention_logit", _largest),
    "attention_sink": ("attention_sink", _mean),
    "previous_token": ("previous_token", _largest),
    "induction": ("induction", _largest),
    "log_partition": ("log_partition", _of("mean")),
    "context_gain": ("loss_by_position", _gain),
    "distinct_2": ("sample_quality", _of("distinct_2")),
    "valid": ("sample_quality", _of("valid")),
    "copied_length": ("copied_length", _largest),
}

# Ratios that span decades from run to run: of a plain network without normalization, the gradients of the first block are
# 1e-10 of those of the last.
DECADES = ("activation_growth", "gradient_ratio", "update_ratio")
