"""In which order are the readings of a run looked at? By what they ask after, as a reader goes through a model."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.readings import About, Reading


def by_question(readings: Iterable[Reading]) -> list[tuple[str, list[Reading]]]:
    """(what is asked, the readings about it) in the order of QUESTIONS, without those that nothing was read about.

    In each the colour maps of a training first, then lines, and what wants most room last.
    """
    found = {about: sorted((one for one in readings if one.about == about), key=_room) for about in QUESTIONS}
    return [(QUESTIONS[about], some) for about, some in found.items() if some]


def _room(reading: Reading) -> int:
    return ("heat", "lines", "points", "maps").index(reading.form)


QUESTIONS: dict[About, str] = {
    "signal": "What runs through the layers?",
    "gradients": "What moves the weights?",
    "attention": "What do heads look at?",
    "prediction": "What comes out?",
    "samples": "What does it write by itself?",
    "other": "What else was read?",
}
