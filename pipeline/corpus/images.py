"""In what form do images wait to be learned? The arrays of data/raw: {split}.images.npy and {split}.labels.npy, and a card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Int, UInt8

from pipeline.artifacts import SPLITS, images_of, labels_of, memory_mapped, rounded
from pipeline.corpus.documents import Card
from pipeline.corpus.progress import Follow
from pipeline.params import Prepare, Refusal

Pixels = UInt8[np.ndarray, "N H W C"]


class Pictures:
    """The three splits of a set of images, while they are being filled."""

    def __init__(self) -> None:
        self.images: dict[str, list[Pixels]] = {split: [] for split in SPLITS}
        self.labels: dict[str, list[Int[np.ndarray, " N"]]] = {split: [] for split in SPLITS}

    def add(self, split: str, images: Pixels, labels: npt.ArrayLike) -> None:
        """Append images to a split, and the numbers of their classes."""
        self.images[split].append(images)
        self.labels[split].append(np.asarray(labels))

    def save(self, folder: Path) -> dict[str, Any]:
        """Write what is there; what the card says of it.

        Raises:
            Refusal: a split is empty.
        """
        empty = [split for split in SPLITS if not sum(map(len, self.labels[split]))]
        if empty:
            raise Refusal(f"prepare: there are no images for {' and '.join(empty)}; more of them or larger shares would do")
        counts = {}
        for split in SPLITS:
            images, labels = np.concatenate(self.images[split]), np.concatenate(self.labels[split])
            np.save(images_of(folder, split), images)
            np.save(labels_of(folder, split), labels.astype(np.uint16))
            counts[split] = len(labels)
        return {"examples": counts, "image": list(images.shape[1:])}


ImageSet = Callable[[Prepare, Pictures, Follow], Card]
"""Fills the splits with images and says where they came from."""


def scale_of(path: Path) -> tuple[list[float], list[float]]:
    """(mean, standard deviation) of the pixels of each channel."""
    pixels = memory_mapped(path)
    mean, deviation = pixels.mean(axis=(0, 1, 2), dtype=np.float64), pixels.std(axis=(0, 1, 2), dtype=np.float64)
    return [rounded(float(m)) for m in mean], [rounded(max(float(d), 1.0)) for d in deviation]
