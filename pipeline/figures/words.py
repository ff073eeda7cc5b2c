"""How numbers, words and labels are written, in pictures, pages and the terminal. It needs no matplotlib."""

from __future__ import annotations

import math


def formatted(number: float | None, digits: int = 3) -> str:
    """A number as people write it: 1,000 · 0.02 · 3e-4; a gap is a dash."""
    if number is None or not math.isfinite(number):
        return "–"
    if number and not 1e-3 <= abs(number) < 1e6:
        mantissa, exponent = f"{number:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    if number == int(number):
        return f"{int(number):,}"
    size = math.floor(math.log10(abs(number)))
    written = f"{number:,.{max(0, digits - 1 - size)}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def knob_text(value: object, digits: int = 6) -> str:
    """The value of a knob as it is typed in params.yaml; a missing one is a dash, and an empty text shows its quotes.

    >>> knob_text(False), knob_text(4096), knob_text(3e-4), knob_text([1, 2.0]), knob_text(""), knob_text(None)
    ('false', '4096', '3e-4', '1, 2', '""', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return formatted(value, digits).replace(",", "")
    if isinstance(value, list | tuple):
        return ", ".join(knob_text(one, digits) for one in value)
    return str(value) or '""'


def shown(word: str) -> str:
    """A word or token with what would be invisible in it made visible: line ends, and spaces at its edges."""
    inside = word.strip(" ")
    before, after = len(word) - len(word.lstrip(" ")), len(word) - len(word.rstrip(" "))
    edges = ("␣" * before, "␣" * after) if inside else ("␣" * len(word), "")
    return edges[0] + "".join(_SHOWN.get(c, c if c.isprintable() else "�") for c in inside) + edges[1]


_SHOWN = {"\n": "⏎", "\t": "⇥", "\r": "␍"}


def short(text: str, most: int = 24) -> str:
    """A label that leaves room for the picture."""
    return text if len(text) <= most else text[: most - 1] + "…"
