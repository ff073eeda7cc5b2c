"""All truths by name."""

from __future__ import annotations

from pipeline.lab.course.truths import bests, places
from pipeline.lab.course.truths.base import Truth

TRUTHS: dict[str, type[Truth]] = {
    "value": places.Value,
    "difference": places.Difference,
    "ratio": places.Ratio,
    "larger": places.Larger,
    "best": bests.Best,
    "moved": bests.Moved,
    "best_ratio": bests.BestRatio,
    "winner": bests.Winner,
    "order": bests.Order,
    "claim": places.Verdict,
    "computed": places.Computed,
}
