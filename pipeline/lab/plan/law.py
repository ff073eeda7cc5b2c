"""The law by which losses of other sizes are forecast: of the lab's own ladder, else the one of studies/sizes.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.lab.scaling.law import Law
from pipeline.lab.scaling.own import LEDGER, read_ladders
from pipeline.params.errors import UserError

LARGEST = (1e30, 10.0)  # of A and B, of alpha and beta: beyond it a law was edited by hand
ERROR = 0.15  # nats: what the fit of studies/sizes.yaml is good for at best
Z80 = 1.2816  # standard deviations from the middle of a normal distribution to the ends of its 80 % interval
SAME = 0.05  # nats: entropies that differ by less are of one text
DATASET, VOCABULARY = "tinystories", 4096  # that it is for


@dataclass(frozen=True)
class FittedLaw:
    """A scaling law with what it was fitted on, and how far it may err.

    Attributes:
        law: of losses in nats per token.
        error: half of the 80 % interval of a forecast, nats.
        source: in words.
        dataset, vocabulary: what it was fitted on; 0: that of its characters, -1: unknown.
        entropy: of its text, if known: another one is another text.
    """

    law: Law
    error: float
    source: str
    dataset: str
    vocabulary: int
    entropy: float | None = None

    def loss(self, parameters: float, tokens: float) -> float:
        """The loss of a network that was trained on so many tokens, with a schedule of its own."""
        return float(self.law.loss(np.array([parameters]), np.array([tokens]))[0])

    def is_of(self, dataset: str, vocabulary: int, levels: Mapping[str, float]) -> bool:
        """Whether it forecasts losses of these data.

        Args:
            levels: losses of baselines, as far as they are known.
        """
        same = self.entropy is None or abs(levels.get("entropy", self.entropy) - self.entropy) < SAME
        return self.dataset == dataset and self.vocabulary in (0, vocabulary) and same


SIZES = FittedLaw(
    Law(entropy=0.46, size_factor=135.0, size_exponent=0.347, token_factor=606.0, token_exponent=0.367),
    ERROR,
    "the fit of studies/sizes.yaml, with a plain ± 0.15",
    DATASET,
    VOCABULARY,
)


def law(dataset: str) -> FittedLaw:
    """The law for a text: that of your own ladder on it, if notebook/ladder.json has one, else that of studies/sizes.yaml."""
    return _of_ladder(dataset) or SIZES


def trouble() -> str:
    """Why the lab's own ladders could not be asked, in a line; "" where they could, or where there are none."""
    try:
        read_ladders()
    except UserError as error:
        return str(error)
    return ""


def _of_ladder(dataset: str) -> FittedLaw | None:
    """What `rally ladder` found on a text; None where it has not run on it, or cannot be read."""
    try:
        ladders = read_ladders()
    except UserError:
        return None
    for name, ladder in ladders.items():
        numbers = [_number(_inside(ladder, "fit", "law").get(letter)) for letter in ("E", "A", "alpha", "B", "beta")]
        floor, *others = (number for number in numbers if number is not None) if None not in numbers else (None,)
        is_of = _inside(ladder, "data").get("dataset") == dataset and ladder.get("count") == "all"
        if not is_of or floor is None or floor < 0 or not all(0 < number < LARGEST[at % 2] for at, number in enumerate(others)):
            continue
        a, alpha, b, beta = others
        # Of two BPE vocabularies losses per token differ; a ladder does not say which it had.
        vocabulary = -1 if _inside(ladder, "data").get("tokenizer") == "bpe" else 0
        entropy = _number(ladder.get("entropy"))
        source = f"your own ladder {name!r} ({LEDGER})"
        return FittedLaw(Law(floor, a, alpha, b, beta), _half(ladder), source, dataset, vocabulary, entropy)
    return None


def _half(ladder: Mapping[str, Any]) -> float:
    """Half of the 80 % interval of forecasts of a ladder's largest runs, the widest, but no less than a seed makes."""
    seed = Z80 * (_number(_inside(ladder, "fit").get("spread_of_a_run")) or 0.0)
    tops = ladder.get("top")
    said = [one.get("forecast") for one in tops if isinstance(one, Mapping)] if isinstance(tops, list) else []
    ends = [(_number(one[0]), _number(one[-1])) for one in said if isinstance(one, list) and one]
    halves = [(high - low) / 2 for low, high in ends if low is not None and high is not None]
    return max(*halves, seed) if halves else ERROR


def _inside(content: Any, *names: str) -> Mapping[str, Any]:
    """A mapping within others; empty where it is missing or something else."""
    for name in names:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
