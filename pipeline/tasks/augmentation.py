"""Augmentation of training images: random shifts, flips, cutout and mixup."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from pipeline.tasks.base import Batch

Images = Float[np.ndarray, "B H W C"]


@dataclass(frozen=True)
class Augmentation:
    """The random changes of an image each time that it is trained on.

    Attributes:
        shift: the largest shift in pixels, in each direction; pixels at the edge are repeated.
        flip: whether half of the images are mirrored, left to right.
        cutout: side of the square that is blanked, pixels; its centre is anywhere, so that part of it may be outside.
            Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
        mixup: pairs of images are mixed with shares from Beta(mixup, mixup); 0 = off.
            Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0
    mixup: float = 0.0

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """A batch of standardised images, augmented: a function of the batch and the random numbers only."""
        images = batch.inputs.numpy()
        if self.shift:
            images = shifted(images, self.shift, rng)
        if self.flip:
            images = flipped(images, rng)
        if self.cutout:
            images = cut_out(images, self.cutout, rng)
        augmented = Batch(torch.from_numpy(images), batch.targets)
        return mixed_up(augmented, self.mixup, rng) if self.mixup else augmented


NO_AUGMENTATION = Augmentation()


def shifted(images: Images, limit: int, rng: np.random.Generator) -> Images:
    """Each image shifted by up to `limit` pixels, vertically and horizontally."""
    count, height, width = images.shape[:3]
    down, right = rng.integers(-limit, limit, endpoint=True, size=(2, count, 1))
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    return images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def flipped(images: Images, rng: np.random.Generator) -> Images:
    """Each image, mirrored with probability 0.5."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def cut_out(images: Images, side: int, rng: np.random.Generator) -> Images:
    """Each image with a random square set to 0, the mean of all pixels."""
    count, height, width = images.shape[:3]
    top, left = (rng.integers(length, size=(count, 1)) - side // 2 for length in (height, width))
    rows, columns = np.arange(height) - top, np.arange(width) - left
    hidden = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return np.where(hidden[..., None], images.dtype.type(0), images)


def mixed_up(batch: Batch, mixup: float, rng: np.random.Generator) -> Batch:
    """Mixup: each image mixed with another of the batch, and its target with that image's by the same share.

    The share is at most 0.5, so that `targets` stays the class of the larger part.
    """
    share = rng.beta(mixup, mixup, size=len(batch.targets))
    shares = torch.from_numpy(np.minimum(share, 1 - share)).to(batch.inputs.dtype)
    others = torch.from_numpy(rng.permutation(len(share)))
    weights = shares[:, None, None, None]
    return Batch((1 - weights) * batch.inputs + weights * batch.inputs[others], batch.targets, batch.targets[others], shares)
