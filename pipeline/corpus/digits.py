"""1,797 small handwritten digits that come with scikit-learn: images without a download."""

from __future__ import annotations

import numpy as np

from pipeline.corpus.documents import Card
from pipeline.corpus.images import Pictures
from pipeline.corpus.progress import Follow
from pipeline.params import Prepare


def digits(knobs: Prepare, pictures: Pictures, follow: Follow) -> Card:
    """8 x 8 pixels of 17 greys.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", 1998 (the UCI repository; its test part).
    """
    from sklearn.datasets import load_digits  # 1.5 s

    found = load_digits()
    images = (found.images * 255 / 16).round().astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    held_out = round(knobs.validation_share * len(images)), round(knobs.test_share * len(images))
    places = np.split(order, np.cumsum(held_out))
    for split, some in zip(("validation", "test", "train"), places, strict=True):
        pictures.add(split, images[some], found.target[some])
    return Card(
        name="digits",
        source="scikit-learn's load_digits",
        licence="CC BY 4.0",
        split="at random, the same for every seed",
        classes=[str(digit) for digit in range(10)],
    )
