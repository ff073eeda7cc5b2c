"""The worst mistakes of a classifier: the wrong predictions of highest probability, with their examples; no torch."""

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
from pipeline.evaluation.class_metrics import ClassPredictions
from pipeline.evaluation.samples import fenced, inline

SPLIT = "validation"  # mistakes that you see change what you do next, so the test split stays unseen
CHARACTERS = 600  # of a text that are shown
BLOCKS = " ░▒▓█"  # from dark to light
ACROSS = 32  # pixels of a picture at most; a larger image is subsampled


@dataclass(frozen=True)
class Mistake:
    """An example that was misclassified, or nearly.

    Attributes:
        index: of the example in the split.
        true, predicted: the true class, and the likeliest one.
        probability, of_true: the predicted probability of the likeliest class, and of the true one.
    """

    index: int
    true: int
    predicted: int
    probability: float
    of_true: float

    @property
    def wrong(self) -> bool:
        return self.true != self.predicted


def worst(predictions: ClassPredictions, most: int) -> list[Mistake]:
    """At most this many: wrong predictions, the highest probability first, then correct ones, the lowest probability first."""
    if np.isnan(predictions.log_probabilities).any():
        return []
    order = np.lexsort((predictions.confidence * np.where(predictions.correct, 1, -1), predictions.correct))[:most]
    of_true = np.exp(predictions.log_probabilities[np.arange(len(predictions.labels)), predictions.labels])
    return [
        Mistake(
            int(i),
            int(predictions.labels[i]),
            int(predictions.predicted[i]),
            float(predictions.confidence[i]),
            float(of_true[i]),
        )
        for i in order
    ]


def as_json(mistakes: Sequence[Mistake], classes: Sequence[str], raw: Path = RAW) -> dict[str, Any]:
    """metrics/mistakes.json: each with its text, or its pixels (base64 of bytes, row by row)."""
    shown = _shown(mistakes, raw)
    rows = [
        {
            "number": one.index,
            "truth": classes[one.true],
            "said": classes[one.predicted],
            "probability": rounded(one.probability, 4),
            "of_truth": rounded(one.of_true, 4),
            **({"text": example} if isinstance(example, str) else {"pixels": base64.b64encode(example.tobytes()).decode()}),
        }
        for one, example in zip(mistakes, shown, strict=True)
    ]
    image = next((list(example.shape) for example in shown if not isinstance(example, str)), [])
    return {"split": SPLIT, "image": image, "mistakes": rows}


def page(predictions: ClassPredictions, mistakes: Sequence[Mistake], classes: Sequence[str], raw: Path = RAW) -> str:
    """samples.md of a classifier: its worst mistakes, each with its true and its predicted class."""
    count, wrong = len(predictions.labels), int((~predictions.correct).sum())
    if np.isnan(predictions.log_probabilities).any():
        return "# Mistakes\n\nThe logits are not finite (training diverged), so there are no predictions.\n"
    parts = [f"# Mistakes\n\n{wrong:,} of the {count:,} examples of the {SPLIT} split were misclassified.\n"]
    headings = {True: "## Worst mistakes, the most confident first\n", False: "## Correct, the least confident first\n"}
    for one, example in zip(mistakes, _shown(mistakes, raw), strict=True):
        if heading := headings.pop(one.wrong, ""):
            parts.append(heading)
        parts.append(f"### {_heading(one, classes)}\n")
        parts.append(fenced(example if isinstance(example, str) else _blocks(example)) + "\n")
    return "\n".join(parts)


def _heading(one: Mistake, classes: Sequence[str]) -> str:
    true, predicted, sure = inline(classes[one.true]), inline(classes[one.predicted]), f"{100 * one.probability:.1f} %"
    return (
        f"{true}, predicted as {predicted} ({sure}; true class {100 * one.of_true:.2g} %)" if one.wrong else f"{true} ({sure})"
    )


def _shown(mistakes: Sequence[Mistake], raw: Path) -> list[str | UInt8[np.ndarray, "H W C"]]:
    """The examples themselves: the beginning of a text, or an image."""
    if was_written(images_of(raw, SPLIT)):
        images = memory_mapped(images_of(raw, SPLIT))
        return [np.asarray(images[one.index]) for one in mistakes]
    order = sorted(one.index for one in mistakes)
    found = dict(zip(order, texts(raw, SPLIT, order), strict=True))
    return [_beginning(found[one.index]) for one in mistakes]


def _beginning(text: str) -> str:
    text = text.rstrip("\n")
    return text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…"


def _blocks(image: UInt8[np.ndarray, "H W C"]) -> str:
    """An image in characters, two for each pixel, so that pixels are about square."""
    every = -(-image.shape[1] // ACROSS)
    shades = image[::every, ::every].mean(axis=-1)
    places = np.minimum(shades * len(BLOCKS) / 256, len(BLOCKS) - 1).astype(np.int64)
    return "\n".join("".join(2 * BLOCKS[place] for place in row).rstrip() for row in places)
