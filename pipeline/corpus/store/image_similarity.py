"""The measure of how alike two images are: in every pixel, and as seen from afar."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real, UInt8

# The root mean square by which two images may differ, as a share of the contrast (the deviation of the pixels) of the fainter
# one: as seen from afar, in 8 x 8 cells, and in every pixel. Saved as a JPEG of quality 90, pieces of photographs differ by
# .02 to .05 and .03 to .18. The closest two different images are .07 and .20 apart among 5,000 of MNIST's digits, .11 among
# 1,797 digits of 8 x 8 pixels.
CELL_TOLERANCE, PIXEL_TOLERANCE = 0.05, 0.25


CELLS = 8


class ImageFeatures(NamedTuple):
    """Some images: of each the sum of squared deviations of its pixels from their mean, and its cells."""

    contrast: Float[np.ndarray, " N"]
    cells: Float[np.ndarray, "N F"]


def features_of(images: UInt8[np.ndarray, "N H W C"]) -> ImageFeatures:
    pixels = images.reshape(len(images), -1).astype(np.float64)
    squares = np.einsum("np,np->n", pixels, pixels)  # whole numbers: exact, as are the sums
    return ImageFeatures(squares - np.square(pixels.sum(axis=1)) / pixels.shape[1], cell_means(images))


def cell_means(images: Real[np.ndarray, "N H W C"]) -> Float[np.ndarray, "N F"]:
    """The means of an image's cells, weighted so that distances are those of images that consist of such cells."""
    cells: Float[np.ndarray, "N R C F"] = images.astype(np.float64)
    weight: Float[np.ndarray, "R C"] = np.ones((1, 1))
    for axis, length in ((1, images.shape[1]), (2, images.shape[2])):
        starts = np.unique(np.arange(CELLS) * length // CELLS)
        cells = np.add.reduceat(cells, starts, axis=axis)
        sizes = np.diff(starts, append=length)
        weight = weight * np.expand_dims(sizes, 2 - axis)  # of rows, then of rows x columns
    return (cells / np.sqrt(weight)[..., None]).reshape(len(images), -1)


def are_similar(
    one: UInt8[np.ndarray, "N H W C"], other: UInt8[np.ndarray, "N H W C"], contrast: Float[np.ndarray, " N"]
) -> Bool[np.ndarray, " N"]:
    """Whether two images look alike, for each pair of the fainter one's contrast: the measure itself."""
    difference = one.astype(np.int16) - other
    pixels = difference.reshape(len(difference), -1).astype(np.float64)
    apart = np.einsum("np,np->n", pixels, pixels)
    return (apart <= PIXEL_TOLERANCE**2 * contrast) & (
        np.square(cell_means(difference)).sum(axis=1) <= CELL_TOLERANCE**2 * contrast
    )


def squared_distances(ones: Float[np.ndarray, "N F"], others: Float[np.ndarray, "M F"]) -> Float[np.ndarray, "N M"]:
    """The squared distance of each to each."""
    squares = (np.square(values).sum(axis=1) for values in (ones, others))
    return np.add.outer(*squares) - 2 * ones @ others.T
