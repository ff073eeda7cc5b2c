"""Which images show the same thing? What a network has seen in training must not be asked of it in a test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, UInt8

# The root mean square by which two images may differ, as a share of the contrast (the deviation of the pixels) of the fainter
# one: as seen from afar, in 8 x 8 cells, and in every pixel. Saved as a JPEG of quality 90, pieces of photographs differ by
# .02 to .05 and .03 to .18. The closest two different images are .07 and .20 apart among 5,000 of MNIST's digits, .11 among
# 1,797 digits of 8 x 8 pixels.
AFAR, NEAR = 0.05, 0.25
CELLS = 8
BLOCK = 256  # images that are compared with all others at once


def lookalikes(images: UInt8[np.ndarray, "N H W C"]) -> Int[np.ndarray, " N"]:
    """The number of each image's group: those that look alike, directly or by way of others, have the same.

    So do copies, also those that were saved anew as a JPEG or have a little noise on them; a copy that was cut, moved, turned
    or made brighter is not found.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, first, copy_of = np.unique(images.reshape(len(images), -1), axis=0, return_index=True, return_inverse=True)
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *_alike(images[first])])
    alike = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(first), len(first)))
    _, group = connected_components(alike, directed=False)
    return group[copy_of.reshape(-1)].astype(np.int64)


def _alike(images: UInt8[np.ndarray, "N H W C"]) -> Iterator[Int[np.ndarray, "P 2"]]:
    """Pairs of places of images that look alike: first seen from afar, then in every pixel."""
    pixels = images.reshape(len(images), -1)
    contrast = pixels.std(axis=1, dtype=np.float64) * pixels.shape[1] ** 0.5  # as a distance between two images
    cells = _from_afar(images)
    squares = np.square(cells).sum(axis=1)
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        distance = squares[rows, None] + squares[start:] - 2 * cells[rows] @ cells[start:].T
        fainter = np.minimum(contrast[rows, None], contrast[start:])
        one, other = np.nonzero(distance <= np.square(AFAR * fainter))
        one, other = one[one < other] + start, other[one < other] + start
        apart = [np.linalg.norm(pixels[i].astype(np.float64) - pixels[j]) for i, j in zip(one, other, strict=True)]
        near = np.array(apart) <= NEAR * np.minimum(contrast[one], contrast[other])
        yield np.stack([one[near], other[near]], axis=1)


def _from_afar(images: UInt8[np.ndarray, "N H W C"]) -> Float[np.ndarray, "N F"]:
    """The means of an image's cells, weighted so that distances are those of images that consist of such cells."""
    cells: Float[np.ndarray, "N R C F"] = images.astype(np.float32)
    weight: Float[np.ndarray, "R C"] = np.ones((1, 1), np.float32)
    for axis, length in ((1, images.shape[1]), (2, images.shape[2])):
        starts = np.unique(np.arange(CELLS) * length // CELLS)
        cells = np.add.reduceat(cells, starts, axis=axis)
        sizes = np.diff(starts, append=length).astype(np.float32)
        weight = weight * np.expand_dims(sizes, 2 - axis)  # of rows, then of rows x columns
    cells = cells / np.sqrt(weight)[..., None]
    return (cells - cells.mean(axis=0)).reshape(len(images), -1)
