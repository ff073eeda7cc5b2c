"""The law by which losses of other sizes are forecast: of the lab's own ladder, else the one of studies/sizes.yaml."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LADDER = Path("notebook/ladder.json")
ERROR = 0.15  # nats: what the fit of studies/sizes.yaml is good for at best
DATASET, VOCABULARY = "tinystories", 4096  # that it is for


@dataclass(frozen=True)
class Law:
    """loss = floor + a / parameters^alpha + b / tokens^beta, nats per token.

    Attributes:
        error: half of the 80 % interval of a forecast, nats.
        source: in words.
        dataset, vocabulary: what it was fitted on; 0: unknown.
    """

    floor: float
    a: float
    alpha: float
    b: float
    beta: float
    error: float
    source: str
    dataset: str
    vocabulary: int

    def loss(self, parameters: float, tokens: float) -> float:
        """The loss of a network that was trained on so many tokens, with a schedule of its own."""
        return self.floor + self.a / parameters**self.alpha + self.b / tokens**self.beta

    def is_of(self, dataset: str, vocabulary: int) -> bool:
        """Whether it forecasts losses of these data."""
        return self.dataset == dataset and self.vocabulary in (0, vocabulary)


SIZES = Law(0.46, 135.0, 0.347, 606.0, 0.367, ERROR, "the fit of studies/sizes.yaml, with a plain ± 0.15", DATASET, VOCABULARY)


def law(dataset: str) -> Law:
    """The law for a text: that of notebook/ladder.json, unless only the one of studies/sizes.yaml is of this text."""
    own = _of_ladder()
    return SIZES if own is None or (dataset == SIZES.dataset and own.dataset != dataset) else own


def _of_ladder() -> Law | None:
    """What `rally ladder` found; None where it has not run, or found no law."""
    try:
        content = json.loads(LADDER.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, Mapping):
        return None
    found = content.get("law") or content.get("fit") or content
    named = {name: _number(found, *keys) for name, keys in _KEYS.items()}
    numbers = [value for value in named.values() if value is not None]
    if len(numbers) < len(named) or not all(value > 0 for value in numbers[1:]):
        return None
    half = _number(content, "error", "half_width") or ERROR
    data = content.get("data") or content.get("dataset") or ""
    dataset = data.get("dataset", "") if isinstance(data, Mapping) else data
    vocabulary = _number(content, "vocabulary", "vocab_size") or 0
    floor, a, alpha, b, beta = numbers
    return Law(floor, a, alpha, b, beta, half, f"your own ladder, {LADDER}", str(dataset), int(vocabulary))


_KEYS = {"floor": ("E",), "a": ("A",), "alpha": ("alpha",), "b": ("B",), "beta": ("beta",)}


def _number(found: Any, *keys: str) -> float | None:
    """The first of some keys that holds a finite number, or the middle of one that is given with an interval."""
    for key in keys:
        value = found.get(key) if isinstance(found, Mapping) else None
        value = value.get("value", value.get("median")) if isinstance(value, Mapping) else value
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None
