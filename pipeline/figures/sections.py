"""The sections of the report that hold the readings, in their order."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.readings import About, Reading


def by_section(readings: Iterable[Reading]) -> list[tuple[str, list[Reading]]]:
    """(heading, readings) of each section that has any, in the order of SECTIONS.

    In each, colour maps over a training first, then lines, and the largest pictures last.
    """
    found = {about: sorted((one for one in readings if one.about == about), key=_room) for about in SECTIONS}
    return [(SECTIONS[about], some) for about, some in found.items() if some]


def _room(reading: Reading) -> int:
    return ("heat", "lines", "points", "maps").index(reading.form)


SECTIONS: dict[About, str] = {
    "signal": "Activations",
    "gradients": "Gradients and updates",
    "attention": "Attention heads",
    "prediction": "Predictions",
    "samples": "Generated text",
    "other": "Other readings",
}
