"""A scaling law fitted to points: Huber's loss, many starts, a bootstrap over runs. No torch.

With an unknown entropy the residuals are those of the logarithm of the loss, as Hoffmann et al. do. With a known one they are
those of the logarithm of the excess over it: a miss of a hundredth is nothing at an excess of 0.3, and everything at 0.02.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize

from pipeline.lab.scaling.law import Law
from pipeline.lab.scaling.points import Point, check_enough, columns
from pipeline.params.errors import UserError

DELTA = 1e-3  # of the logarithm of the loss: residuals beyond it count linearly (Hoffmann et al., appendix D.2)
DELTA_OF_EXCESS = 2e-2  # of the logarithm of the excess
BOOTSTRAPS = 200
EXPONENTS = (1e-3, 4.0)  # that a fit may give
KEPT = 3  # best minima of the fit, from which each bootstrap starts
SEED = 20220329  # of the bootstrap

Vector = Float[np.ndarray, " n"]
Numbers = Float[np.ndarray, " k"]
"""ln A, alpha, ln B, beta and, where the entropy is fitted, ln E."""

Places = Int[np.ndarray, " m"]
Objective = Callable[[Any], tuple[float, Any]]


@dataclass(frozen=True)
class Fit:
    """A law, and how sure it is.

    Attributes:
        law: of all points.
        again: of each bootstrap, points drawn with replacement.
        known: the entropy was known, not fitted.
        spread: the standard deviation of a run around the law, of the logarithm of the loss (of the excess if `known`),
            estimated by the median so that outliers do not widen it.
    """

    law: Law
    again: tuple[Law, ...]
    known: bool
    spread: float

    def interval_of(self, letter: str) -> tuple[float, float]:
        """The 80 % interval of a number of the law, by its letter."""
        return self.interval(lambda law: law.numbers()[letter])

    def interval(self, of: Callable[[Law], float], level: float = 0.8) -> tuple[float, float]:
        """Between which quantiles of the bootstrap a number lies."""
        values = [of(law) for law in self.again]
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def fit_law(
    points: Sequence[Point], entropy: float | None = None, *, recency: float = 0.0, bootstraps: int = BOOTSTRAPS
) -> Fit:
    """The law of some points.

    Args:
        entropy: E in nats per token, where it is known; None = it is fitted too.
        recency: a point counts as its compute to this power. 0, as published: all alike; above it, the nearest budgets decide,
            because a law of a wrong form is best where it was fitted.

    Raises:
        UserError: the points are too few or too close (see `check_enough`), or a loss lies below the entropy.
    """
    check_enough(points)
    if entropy is not None and (below := sum(point.loss <= entropy for point in points)):
        raise UserError(
            f"{below} of {len(points)} losses are not above the entropy of {entropy:.4f} nats per token; use that of this "
            "text, or validate on more of it"
        )
    solve = _Solver(points, entropy, recency)
    minima = solve.minima(np.arange(len(points)), solve.starts())
    law = solve.law(minima[0])
    rng = np.random.default_rng(SEED)
    again = []
    for _ in range(bootstraps):
        drawn = rng.integers(0, len(points), len(points))
        again.append(solve.law(solve.minima(drawn, minima[:KEPT])[0]))
    middle = _median(np.abs(solve.residuals(minima[0])), solve.weights)
    spread = 1.4826 * middle * math.sqrt(len(points) / max(len(points) - len(minima[0]), 1))
    return Fit(law, tuple(again), entropy is not None, spread)


def law_of(points: Sequence[Point], entropy: float | None, recency: float) -> Law:
    """The law alone, of any number of points (see `fit_law`)."""
    solve = _Solver(points, entropy, recency)
    return solve.law(solve.minima(np.arange(len(points)), solve.starts())[0])


def _median(values: Vector, weights: Vector) -> float:
    """The weighted median: the mean of the smallest values whose weights are at least, and more than, a half of all.

    >>> _median(np.array([3.0, 1.0, 2.0, 9.0]), np.ones(4)), _median(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 4.0]))
    (2.5, 9.0)
    """
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    at = [int(np.searchsorted(shares, 0.5 - tolerance)) for tolerance in (1e-9, -1e-9)]
    return float(values[order][at].mean())


class _Solver:
    """Fits to subsets of the points.

    A and B are those at the means of ln N and ln D, so that factors and exponents hardly depend on each other, and no start
    depends on units.
    """

    def __init__(self, points: Sequence[Point], entropy: float | None, recency: float) -> None:
        size, tokens, flops, loss = columns(points)
        self.weights = (flops / flops.max()) ** recency
        self.entropy = entropy
        self.mean_size, self.mean_tokens = float(np.log(size).mean()), float(np.log(tokens).mean())
        self.size, self.tokens = np.log(size) - self.mean_size, np.log(tokens) - self.mean_tokens
        self.target = np.log(loss if entropy is None else loss - entropy)
        self.delta = DELTA if entropy is None else DELTA_OF_EXCESS

    def starts(self) -> list[Numbers]:
        lowest = math.exp(float(self.target.min()))
        exponents = (0.2, 0.4, 0.8)
        if self.entropy is not None:
            terms = [math.log(share * math.exp(float(np.median(self.target)))) for share in (0.1, 0.4, 0.9)]
            return [np.array(start) for start in itertools.product(terms, exponents, terms, exponents)]
        starts = []
        for share, more, first, alpha, beta in itertools.product((0.3, 0.6, 0.9), (0.2, 0.8), (0.1, 0.9), exponents, exponents):
            rest = math.log(max(more * (math.exp(float(np.median(self.target))) - share * lowest), 1e-6))
            terms = [rest + math.log(first), rest + math.log(1 - first)]
            starts.append(np.array([terms[0], alpha, terms[1], beta, math.log(share * lowest)]))
        return starts

    def minima(self, chosen: Places, starts: Sequence[Numbers]) -> list[Numbers]:
        """The minima that the starts lead to, the lowest first."""
        objective = self._objective(chosen)
        bounds = [(None, None), EXPONENTS, (None, None), EXPONENTS, (None, None)][: len(starts[0])]
        options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-12, "gtol": 1e-8}
        found = [minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options) for start in starts]
        return [one.x for one in sorted(found, key=lambda one: float(one.fun))]

    def residuals(self, numbers: Numbers) -> Vector:
        """Of all points: the logarithm of what was measured minus that of the law."""
        return self.target - np.logaddexp.reduce(self._terms(numbers, np.arange(len(self.target))), axis=0)

    def _terms(self, numbers: Numbers, chosen: Places) -> Float[np.ndarray, "terms m"]:
        """The logarithms of the terms of the law."""
        terms = [numbers[0] - numbers[1] * self.size[chosen], numbers[2] - numbers[3] * self.tokens[chosen]]
        return np.stack([*terms, np.full_like(terms[0], numbers[4])] if len(numbers) == 5 else terms)

    def _objective(self, chosen: Places) -> Objective:
        """The sum of Huber's loss, in units of delta squared, and its gradient.

        In these units it is about as large as the number of points. Hoffmann et al. averaged a loss of 1e-6, and the solver
        took that for the minimum.
        """
        size, tokens, target, weights = (rows[chosen] for rows in (self.size, self.tokens, self.target, self.weights))

        def objective(numbers: Any) -> tuple[float, Any]:  # called ten thousand times: no shapes are checked
            rows = [numbers[0] - numbers[1] * size, numbers[2] - numbers[3] * tokens]
            terms = np.stack([*rows, np.full_like(size, numbers[4])] if len(numbers) == 5 else rows)
            whole = np.logaddexp.reduce(terms, axis=0)
            shares = np.exp(terms - whole)
            off = (whole - target) / self.delta
            slope = weights * np.clip(off, -1, 1)
            value = float((weights * np.where(np.abs(off) <= 1, off**2 / 2, np.abs(off) - 0.5)).sum())
            parts = [slope * shares[0], -slope * shares[0] * size, slope * shares[1], -slope * shares[1] * tokens]
            parts += [slope * shares[2]] if len(numbers) == 5 else []
            return value, np.array([part.sum() for part in parts]) / self.delta

        return objective

    def law(self, numbers: Numbers) -> Law:
        alpha, beta = float(numbers[1]), float(numbers[3])
        return Law(
            entropy=float(np.exp(numbers[4])) if self.entropy is None else self.entropy,
            size_factor=math.exp(numbers[0] + alpha * self.mean_size),
            size_exponent=alpha,
            token_factor=math.exp(numbers[2] + beta * self.mean_tokens),
            token_exponent=beta,
        )
