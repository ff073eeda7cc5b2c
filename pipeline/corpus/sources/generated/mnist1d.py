"""MNIST-1D: ten digits, each a line of 40 points. It trains in seconds, and is hard enough to compare networks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from pipeline.corpus.store.images import ImageWriter, split_training
from pipeline.corpus.store.text import Card
from pipeline.params.data import Prepare
from pipeline.progress import Follow

# The horizontal position of the pen in each of twelve lines, from the top of a digit to its bottom.
# Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", 2020 (github.com/greydanus/mnist1d: mnist1d/data.py
# has these numbers, mnist1d/transform.py the procedure).
STROKES = {
    "0": [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
    "1": [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
    "2": [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
    "3": [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
    "4": [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
    "5": [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
    "6": [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
    "7": [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
    "8": [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
    "9": [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
}

EXAMPLES, TEST = 5000, 1000  # as published: 4,000 to train on and 1,000 to test on
POINTS = 40  # of an example
PADDING = 36, 60  # empty points after the stroke, at least and at most
SHIFT = 48  # points of circular shift, at most
SCALE = 0.4  # the height varies by half of that up and down
CORRELATED = 0.25  # standard deviation of the noise in the padding, before smoothing
SMOOTHED = 2  # points: standard deviation of the Gaussian that smooths it
NOISE = 0.02  # standard deviation of the noise at every point
SHEAR = 0.75  # the line tilts by half of that up and down
GREYS = 160  # levels of a byte for a height of 1; 128 is 0, and heights rarely exceed .7


def mnist1d(knobs: Prepare, writer: ImageWriter, follow: Follow) -> Card:
    """A stroke for each of ten digits, stretched, shifted, scaled and tilted at random, with noise."""
    rng = np.random.default_rng(knobs.seed)
    labels = rng.permutation(np.arange(EXAMPLES) % len(STROKES))
    lines = render(templates()[labels], rng)
    images = (128 + GREYS * lines).round().clip(0, 255).astype(np.uint8)[:, None, :, None]
    writer.add("test", images[-TEST:], labels[-TEST:])
    how = split_training(writer, images[:-TEST], labels[:-TEST], list(STROKES), knobs)
    return Card(
        name="mnist1d",
        source="generated: MNIST-1D's procedure with random numbers of our own (Greydanus and Kobak, 2020)",
        licence="CC0-1.0",
        split=f"{EXAMPLES - TEST:,} to train on and {TEST:,} to test on, as published: {how}",
        classes=list(STROKES),
    )


def templates() -> Float[np.ndarray, "10 12"]:
    """The strokes, each beginning at 0 with a standard deviation of 1/6."""
    strokes = np.array(list(STROKES.values()))
    strokes /= strokes.std(axis=1, keepdims=True)
    return (strokes - strokes[:, :1]) / 6


def render(strokes: Float[np.ndarray, "N 12"], rng: np.random.Generator) -> Float[np.ndarray, "N 40"]:
    """Strokes as examples: padded, stretched, scaled, shifted, with noise, tilted, and resampled at 40 points."""
    from scipy.ndimage import gaussian_filter1d  # .2 s

    count, points = strokes.shape
    length = points + PADDING[1]
    last = points + rng.integers(*PADDING, endpoint=True, size=(count, 1)) - 1
    at = np.linspace(0, 1, length) * last
    lines = interpolate(np.pad(strokes, ((0, 0), (0, PADDING[1]))), at) * (1 + SCALE * (rng.random((count, 1)) - 0.5))
    places = (np.arange(length) - rng.integers(SHIFT, size=(count, 1))) % length  # circular shift
    lines, empty = (np.take_along_axis(values, places, axis=1) for values in (lines, at >= points))
    smooth = gaussian_filter1d(CORRELATED * rng.standard_normal((count, length)), SMOOTHED, axis=1)
    lines = np.where(empty, smooth, lines) + NOISE * rng.standard_normal((count, length))
    lines -= SHEAR * (rng.random((count, 1)) - 0.5) * np.linspace(-0.5, 0.5, length)
    return interpolate(lines, np.linspace(0, length - 1, POINTS) + np.zeros((count, 1)))


def interpolate(lines: Float[np.ndarray, "N L"], at: Float[np.ndarray, "N P"]) -> Float[np.ndarray, "N P"]:
    """The values of lines at fractional positions, by linear interpolation."""
    before = np.floor(at).astype(np.int64)
    after = np.minimum(before + 1, lines.shape[1] - 1)
    first, second = (np.take_along_axis(lines, places, axis=1) for places in (before, after))
    return first + (at - before) * (second - first)
