"""The best size at each compute budget, from a parabola through the losses of several sizes. No torch.

Source: Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.lab.scaling.points import Point, columns

FEWEST_SIZES = 3
BOOTSTRAPS = 400
LEVEL = 0.8  # of the interval
SEED = 1
CLOSE = 1.35  # points whose FLOPs differ by less than this factor belong to one budget

Edge = Literal["", "smallest", "largest", "flat"]


class Minimum(NamedTuple):
    """The best size at a compute budget.

    Attributes:
        flops: the budget.
        size: the lowest point of the parabola; the size with the lowest mean loss where there is none.
        low, high: its interval, within the sizes that were tried.
        loss: at that size.
        edge: "smallest" or "largest": the best size may lie beyond the sizes that were tried; "flat": no parabola opens upward
            through them, or they are fewer than FEWEST_SIZES; "" otherwise.
        curve: the coefficients of the parabola in ln N, the highest power first; () where there is none.
    """

    flops: float
    size: float
    low: float
    high: float
    loss: float
    edge: Edge
    curve: tuple[float, ...]


def by_budget(points: Sequence[Point]) -> list[list[Point]]:
    """The points in groups of about equal FLOPs, the cheapest group first; points that stand alone are left out."""
    groups = list[list[Point]]()
    for point in sorted(points, key=lambda point: point.flops):
        if groups and point.flops < CLOSE * groups[-1][0].flops:
            groups[-1].append(point)
        else:
            groups.append([point])
    return [group for group in groups if len({point.size for point in group}) >= FEWEST_SIZES]


def minimum(points: Sequence[Point]) -> Minimum:
    """The best size among points with about equal FLOPs."""
    size, _, flops, loss = columns(points)
    budget = float(np.exp(np.log(flops).mean()))
    sizes = np.unique(size)
    means = np.array([loss[size == one].mean() for one in sizes])
    at, place = float(sizes[means.argmin()]), int(means.argmin())
    if len(sizes) < FEWEST_SIZES:
        return Minimum(budget, at, at, at, float(means.min()), "flat", ())
    logs = np.log(size)
    curve = np.polyfit(logs, loss, 2)
    inside = _vertex(curve)
    edge: Edge = "smallest" if place == 0 else "largest" if place == len(sizes) - 1 else ""
    if not edge and not (math.isfinite(inside) and logs.min() <= inside <= logs.max()):
        edge = "flat"
    if edge:
        return Minimum(budget, at, float(sizes[0]), float(sizes[-1]), float(means.min()), edge, tuple(map(float, curve)))
    low, high = _interval(logs, loss, curve)
    return Minimum(budget, math.exp(inside), low, high, float(np.polyval(curve, inside)), "", tuple(map(float, curve)))


def _vertex(curve: Float[np.ndarray, " 3"]) -> float:
    """Where a parabola that opens upward is lowest; nan for others."""
    return float(-curve[1] / (2 * curve[0])) if curve[0] > 0 else math.nan


def _interval(
    logs: Float[np.ndarray, " n"], loss: Float[np.ndarray, " n"], curve: Float[np.ndarray, " 3"]
) -> tuple[float, float]:
    """Between which sizes the lowest point lies, by drawing the residuals of the parabola again and again."""
    rng, fitted = np.random.default_rng(SEED), np.polyval(curve, logs)
    freedom = max(len(logs) - 3, 1)
    residuals = (loss - fitted) * math.sqrt(len(logs) / freedom)
    places = []
    for _ in range(BOOTSTRAPS):
        again = np.polyfit(logs, fitted + rng.choice(residuals, len(logs)), 2)
        place = _vertex(again)
        if not math.isfinite(place):  # of a parabola that opens downward the lowest point is one of the ends
            first, last = np.polyval(again, [logs.min(), logs.max()])
            place = float(logs.min() if first < last else logs.max())
        places.append(place)
    low, high = np.quantile(np.clip(places, logs.min(), logs.max()), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(np.exp(low)), float(np.exp(high))


def exponent(minima: Sequence[Minimum]) -> float | None:
    """The a of N = C^a through the minima that lie inside; None where they are fewer than two."""
    inside = [one for one in minima if not one.edge]
    if len(inside) < 2:
        return None
    return float(np.polyfit(np.log([one.flops for one in inside]), np.log([one.size for one in inside]), 1)[0])
