"""All computations by name. Their functions import torch when they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.lab.course.computations import heads, size, steps, week
from pipeline.lab.course.computations.base import Computation


def promised(name: str) -> Mapping[str, Any]:
    """A value of each name that a computation will find."""
    return COMPUTATIONS[name].promises


COMPUTATIONS: dict[str, Computation] = {
    "weights": Computation(size.weights, {"weights": 1}),
    "attention weights": Computation(size.attention_weights, {"numbers": 1, "doubled": 1.0}),
    "previous-token heads": Computation(heads.previous_token_heads, {"share": 1.0, "before": 1.0, "head": "1.1"}),
    "accumulation": Computation(steps.accumulation, {"equal": True, "difference": 1.0, "mean_of_means": 1.0}),
    "range test": Computation(steps.range_test, {"turn": 1.0}),
    "observations": Computation(week.observations, {"held": 100.0}),
    "rungs": Computation(week.rungs, {"fall": 1.0, "last": 2.0, "forecast": 2.0}),
    "understanding": Computation(week.understanding, {"inside": 80.0}),
    "radical changes": Computation(steps.radical_changes, {"worst": "no norms", "least": "one head", "harmless": 1}),
}
