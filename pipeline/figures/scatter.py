"""Readings of form "points" in the report: dots, and the name of each series at its median."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from pipeline.figures import charts
from pipeline.figures.style import colors
from pipeline.figures.words import shown
from pipeline.readings import Reading

Point = tuple[float, float]
MARGIN = 0.04  # around the outermost points, as a share of the plot


@dataclass(frozen=True)
class Cloud:
    """The points of a series, its name and its median point."""

    name: str
    points: tuple[Point, ...]

    @property
    def middle(self) -> Point:
        return statistics.median(x for x, _ in self.points), statistics.median(y for _, y in self.points)


def clouds(reading: Reading) -> list[Cloud]:
    """The series of a reading, some of which may have no points."""
    return [
        Cloud(shown(str(name)), tuple((x, y) for x, y in some if x is not None and y is not None))
        for name, some in zip(reading.axes[0].ticks, reading.values, strict=True)
    ]


def view(reading: Reading) -> dict[str, Any]:
    """Positions are in percent of the plot, so that it stretches with the page."""
    found = clouds(reading)
    every = [point for cloud in found for point in cloud.points]
    (left, width), (low, height) = (_ends([point[axis] for point in every]) for axis in (0, 1))

    def place(point: Point) -> Point:
        return 100 * (point[0] - left) / width, 100 * (1 - (point[1] - low) / height)

    light, dark = (colors(len(found), dark=night) for night in (False, True))
    series = [
        {
            "name": cloud.name,
            "dots": [place(point) for point in cloud.points],
            "middle": place(cloud.middle) if cloud.points else None,
            "light": day,
            "dark": night,
        }
        for cloud, day, night in zip(found, light, dark, strict=True)
    ]
    across, up = (str(tick) for tick in reading.axes[2].ticks)
    return {"title": charts.title_of(reading.name), "description": reading.says, "x": across, "y": up, "series": series}


def _ends(values: list[float]) -> tuple[float, float]:
    """(start of an axis, its length)."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high - low + 2 * margin
