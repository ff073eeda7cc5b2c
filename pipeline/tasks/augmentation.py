"""How are images changed while training? So that what does not matter of them (place, side, a hidden part) is not learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from pipeline.tasks.base import Batch

Images = Float[np.ndarray, "B H W C"]


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image, each time that it is seen.

    Attributes:
        shift: pixels by which it moves at most, in each direction; what comes in repeats the edge.
        flip: whether half of the images are mirrored, left to right.
        cutout: side of the square that is blanked, pixels; its middle may be anywhere, so that it may hang over the edge.
            Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
        mixup: images are blended in pairs, with shares from Beta(mixup, mixup); 0 = not.
            Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0
    mixup: float = 0.0

    def of(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """A batch of standardised images, varied: a function of the batch and of the random numbers alone."""
        images = batch.inputs.numpy()
        if self.shift:
            images = shifted(images, self.shift, rng)
        if self.flip:
            images = flipped(images, rng)
        if self.cutout:
            images = cut_out(images, self.cutout, rng)
        varied = Batch(torch.from_numpy(images), batch.targets)
        return mixed_up(varied, self.mixup, rng) if self.mixup else varied


NO_AUGMENTATION = Augmentation()


def shifted(images: Images, most: int, rng: np.random.Generator) -> Images:
    """Each image, moved by up to so many pixels down or up, and right or left."""
    count, height, width = images.shape[:3]
    down, right = rng.integers(-most, most, endpoint=True, size=(2, count, 1))
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    return images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def flipped(images: Images, rng: np.random.Generator) -> Images:
    """Each image as it is or mirrored, as likely."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def cut_out(images: Images, side: int, rng: np.random.Generator) -> Images:
    """Each image with a square of it set to the mean of all pixels, which is 0."""
    count, height, width = images.shape[:3]
    top, left = (rng.integers(length, size=(count, 1)) - side // 2 for length in (height, width))
    rows, columns = np.arange(height) - top, np.arange(width) - left
    hidden = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return np.where(hidden[..., None], images.dtype.type(0), images)


def mixed_up(batch: Batch, mixup: float, rng: np.random.Generator) -> Batch:
    """Each image with a share of another of the batch, and told as much of its class.

    The share is at most a half: the target of an example stays that of its larger part.
    """
    share = rng.beta(mixup, mixup, size=len(batch.targets))
    shares = torch.from_numpy(np.minimum(share, 1 - share)).to(batch.inputs.dtype)
    others = torch.from_numpy(rng.permutation(len(share)))
    part = shares[:, None, None, None]
    return Batch((1 - part) * batch.inputs + part * batch.inputs[others], batch.targets, batch.targets[others], shares)
