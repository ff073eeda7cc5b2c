"""The similarity of two images: their difference per pixel and per coarse cell, relative to their contrast."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real, UInt8

# The root mean square by which two similar images may differ, relative to the contrast (standard deviation of the pixels) of
# the fainter one: in the means of 8 x 8 cells, and in the pixels. Saved as a JPEG of quality 90, pieces of photographs differ
# by .02 to .05 and .03 to .18. The closest two different images differ by .07 and .20 among 5,000 MNIST digits, by .11 among
# 1,797 digits of 8 x 8 pixels.
CELL_TOLERANCE, PIXEL_TOLERANCE = 0.05, 0.25
CELLS = 8  # cells along each axis


class ImageFeatures(NamedTuple):
    """Of each image: the sum of squared deviations of its pixels from their mean, and its `cell_means`."""

    contrast: Float[np.ndarray, " N"]
    cells: Float[np.ndarray, "N F"]


def features_of(images: UInt8[np.ndarray, "N H W C"]) -> ImageFeatures:
    """The contrast and the cells of each image."""
    pixels = images.reshape(len(images), -1).astype(np.float64)
    squares = np.einsum("np,np->n", pixels, pixels)  # integers: exact, as are the sums
    return ImageFeatures(squares - np.square(pixels.sum(axis=1)) / pixels.shape[1], cell_means(images))


def cell_means(images: Real[np.ndarray, "N H W C"]) -> Float[np.ndarray, "N F"]:
    """The mean of each cell of an image, scaled so that distances equal those between images made of uniform cells."""
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
    """Whether two images are similar, pair by pair.

    Args:
        contrast: of the fainter image of each pair.
    """
    difference = one.astype(np.int16) - other
    pixels = difference.reshape(len(difference), -1).astype(np.float64)
    by_pixels = np.einsum("np,np->n", pixels, pixels)
    by_cells = np.square(cell_means(difference)).sum(axis=1)
    return (by_pixels <= PIXEL_TOLERANCE**2 * contrast) & (by_cells <= CELL_TOLERANCE**2 * contrast)


def squared_distances(ones: Float[np.ndarray, "N F"], others: Float[np.ndarray, "M F"]) -> Float[np.ndarray, "N M"]:
    """The squared distance of every row of one array to every row of the other."""
    squares = (np.square(values).sum(axis=1) for values in (ones, others))
    return np.add.outer(*squares) - 2 * ones @ others.T
