"""Which images show the same thing? What a network has seen in training must not be asked of it in a test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, UInt8

SHARE = 0.1  # of the contrast; the closest two of 5,000 of MNIST's digits are .20 apart, of 1,797 digits of 8 x 8 pixels .11
CELLS = 8  # a coarse look has so many rows and columns
BLOCK = 256  # images that are compared with all others at once


def lookalikes(images: UInt8[np.ndarray, "N H W C"]) -> Int[np.ndarray, " N"]:
    """The number of each image's group: those that look alike, directly or by way of others, have the same.

    Two images look alike when the root mean square of their difference is at most a tenth of the contrast (the standard
    deviation of the pixels) of the fainter one. So are copies, also those that were saved anew as a JPEG or have a little noise
    on them; a copy that was cut, moved, turned or made brighter is not found.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, first, copy_of = np.unique(images.reshape(len(images), -1), axis=0, return_index=True, return_inverse=True)
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *_alike(images[first])])
    alike = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(first), len(first)))
    _, group = connected_components(alike, directed=False)
    return group[copy_of.reshape(-1)].astype(np.int64)


def _alike(images: UInt8[np.ndarray, "N H W C"]) -> Iterator[Int[np.ndarray, "P 2"]]:
    """Pairs of places of images that look alike: found by a coarse look, which misses none, and held to every pixel."""
    pixels = images.reshape(len(images), -1)
    allowed = SHARE * pixels.std(axis=1) * pixels.shape[1] ** 0.5  # the distance from which on another one differs
    coarse = _coarse(images)
    squares = np.square(coarse).sum(axis=1)
    rounding = 1e-5 * squares.max()
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        distance = squares[rows, None] + squares[start:] - 2 * coarse[rows] @ coarse[start:].T
        limit = np.minimum(allowed[rows, None], allowed[start:])
        one, other = np.nonzero(distance <= limit**2 + rounding)
        one, other = one[one < other] + start, other[one < other] + start
        apart = np.array([np.linalg.norm(pixels[i].astype(np.float64) - pixels[j]) for i, j in zip(one, other, strict=True)])
        alike = apart <= np.minimum(allowed[one], allowed[other])
        yield np.stack([one[alike], other[alike]], axis=1)


def _coarse(images: UInt8[np.ndarray, "N H W C"]) -> Float[np.ndarray, "N F"]:
    """Means over cells of an image, weighted so that no two images are farther apart than in their pixels (Jensen)."""
    sums = images.astype(np.float32)
    weight = np.ones(1, np.float32)
    for axis in (1, 2):
        starts = np.unique(np.linspace(0, images.shape[axis], CELLS, endpoint=False).astype(np.int64))
        sums = np.add.reduceat(sums, starts, axis=axis)
        sizes = np.diff(starts, append=images.shape[axis])
        weight = np.multiply.outer(weight, sizes).reshape(weight.size * len(sizes))
    coarse = sums / np.sqrt(weight).reshape(sums.shape[1:3])[..., None]
    return (coarse - coarse.mean(axis=0)).reshape(len(images), -1).astype(np.float32)
