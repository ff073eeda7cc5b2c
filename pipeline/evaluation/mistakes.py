"""Which mistakes are the worst? Those that a classifier was surest of, shown as a person would look at them; no torch."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.arrays import memory_mapped
from pipeline.artifacts.checksums import was_written
from pipeline.artifacts.paths import RAW, images_of
from pipeline.artifacts.writing import rounded
from pipeline.evaluation.class_baselines import texts
from pipeline.evaluation.class_metrics import Answers
from pipeline.evaluation.samples import fenced, inline

SPLIT = "validation"  # what one looks at is learned from: the test split stays unseen
READ = 600  # characters of a text that are shown
BLOCKS = " ░▒▓█"  # from dark to light, as pixels shine
ACROSS = 32  # characters of a picture at most: of a larger one every so-many-th pixel


@dataclass(frozen=True)
class Mistake:
    """An example that was taken for another, or nearly.

    Attributes:
        number: which of the split.
        truth, said: the true class, and the likeliest one.
        probability, of_truth: how likely each of them was held to be.
    """

    number: int
    truth: int
    said: int
    probability: float
    of_truth: float

    @property
    def wrong(self) -> bool:
        return self.truth != self.said


def worst(answers: Answers, most: int) -> list[Mistake]:
    """So many: first the wrong ones, the surest at the front; then the right ones that it was least sure of."""
    if np.isnan(answers.said).any():
        return []
    order = np.lexsort((answers.confidence * np.where(answers.right, 1, -1), answers.right))[:most]
    of_truth = np.exp(answers.said[np.arange(len(answers.labels)), answers.labels])
    return [
        Mistake(int(i), int(answers.labels[i]), int(answers.chosen[i]), float(answers.confidence[i]), float(of_truth[i]))
        for i in order
    ]


def as_json(mistakes: Sequence[Mistake], classes: Sequence[str], raw: Path = RAW) -> dict[str, Any]:
    """metrics/mistakes.json: each with its text, or its pixels (base64 of bytes, row by row)."""
    shown = _shown(mistakes, raw)
    rows = [
        {
            "number": one.number,
            "truth": classes[one.truth],
            "said": classes[one.said],
            "probability": rounded(one.probability, 4),
            "of_truth": rounded(one.of_truth, 4),
            **({"text": what} if isinstance(what, str) else {"pixels": base64.b64encode(what.tobytes()).decode()}),
        }
        for one, what in zip(mistakes, shown, strict=True)
    ]
    image = next((list(what.shape) for what in shown if not isinstance(what, str)), [])
    return {"split": SPLIT, "image": image, "mistakes": rows}


def page(answers: Answers, mistakes: Sequence[Mistake], classes: Sequence[str], raw: Path = RAW) -> str:
    """samples.md of a classifier: its worst mistakes, each with what it is and what it was taken for."""
    count, wrong = len(answers.labels), int((~answers.right).sum())
    if np.isnan(answers.said).any():
        return "# Mistakes\n\nWhat the model says are no numbers (its training diverged), so it tells no classes.\n"
    parts = [f"# Mistakes\n\n{wrong:,} of the {count:,} examples of the {SPLIT} split were taken for another class.\n"]
    headings = {True: "## The worst, the surest first\n", False: "## Right, the least sure first\n"}
    for one, what in zip(mistakes, _shown(mistakes, raw), strict=True):
        if heading := headings.pop(one.wrong, ""):
            parts.append(heading)
        parts.append(f"### {_told(one, classes)}\n")
        parts.append(fenced(what if isinstance(what, str) else _blocks(what)) + "\n")
    return "\n".join(parts)


def _told(one: Mistake, classes: Sequence[str]) -> str:
    truth, said, sure = inline(classes[one.truth]), inline(classes[one.said]), f"{100 * one.probability:.1f} %"
    return f"{truth}, taken for {said} ({sure}; for the truth {100 * one.of_truth:.2g} %)" if one.wrong else f"{truth} ({sure})"


def _shown(mistakes: Sequence[Mistake], raw: Path) -> list[str | UInt8[np.ndarray, "H W C"]]:
    """The examples themselves: the beginning of a text, or an image."""
    if was_written(images_of(raw, SPLIT)):
        images = memory_mapped(images_of(raw, SPLIT))
        return [np.asarray(images[one.number]) for one in mistakes]
    order = sorted(one.number for one in mistakes)
    found = dict(zip(order, texts(raw, SPLIT, order), strict=True))
    return [_beginning(found[one.number]) for one in mistakes]


def _beginning(text: str) -> str:
    text = text.rstrip("\n")
    return text if len(text) <= READ else text[: READ - 1] + "…"


def _blocks(image: UInt8[np.ndarray, "H W C"]) -> str:
    """An image in characters, two to a pixel, which are so about square."""
    every = -(-image.shape[1] // ACROSS)
    shades = image[::every, ::every].mean(axis=-1)
    places = np.minimum(shades * len(BLOCKS) / 256, len(BLOCKS) - 1).astype(np.int64)
    return "\n".join("".join(2 * BLOCKS[place] for place in row).rstrip() for row in places)
