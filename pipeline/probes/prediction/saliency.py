"""Which pixels led the model astray?"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.engine.input_dependence import recorded_embeddings
from pipeline.inference.trained import Subject
from pipeline.probes.passes.held_out import held_out
from pipeline.readings import Axis, Reading, finite
from pipeline.tasks.vision import Vision

MISTAKES = 6


def saliency(subject: Subject) -> Reading | None:
    """|∂ loss of the said class / ∂ pixel| of the six worst mistakes, each beside its image; the largest over colours.

    The loss of the said class is -ln p of what the model says, rightly or not: where its gradient is large, a little more or
    less light makes the model less sure of what it says. Worst are, of 500 held-out images, those with the largest loss.
    Each map is a share of its own largest number, each image between its darkest and its lightest pixel. No such reading of
    text, or where there are no mistakes.

    Healthy: it lies on the strokes, or where one is missing that would make it the other class. Broken: it lies at the edges or
    in the background, alike for all images.

    Distrust: a gradient is local and noisy; where the model is quite sure it is tiny, and its pattern mostly noise.

    Source: Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps",
    2013.
    """
    task = subject.task
    if not isinstance(task, Vision):
        return None
    found = held_out(subject)
    worst = found.worst(MISTAKES)
    if not len(worst):
        return None
    pixels = task.images("validation")[0][found.rows[worst]].astype(np.float32).mean(axis=-1)
    images = torch.from_numpy(pixels)
    said = found.said[worst]
    maps = slopes(subject, task.batch("validation", found.rows[worst]).inputs, said)
    names = task.shape.classes
    mistakes = [f"{names[int(found.targets[place])]} said {names[int(found.said[place])]}" for place in worst]
    values = torch.stack([_between(images), maps / _largest(maps)], dim=1)
    return Reading(
        name="saliency",
        form="maps",
        quantity="share of the map's largest",
        says="The worst mistakes (row: the class, and what was said), the image and which pixels what was said hangs on."
        " Healthy: the strokes, or where one is missing; edges and background alike in all of them are no good reason.",
        axes=(
            Axis("class", mistakes),
            Axis("its", ["image", "saliency"]),
            Axis("row", list(range(values.shape[2]))),
            Axis("column", list(range(values.shape[3]))),
        ),
        values=finite(values.tolist()),
        about="prediction",
        span=(0, 1),
    )


def slopes(subject: Subject, inputs: Tensor, said: Int[Tensor, " B"]) -> Float[Tensor, B * P]:
    """How much the loss of a class hangs on each pixel of some images (the largest |slope| over colours), or on each token of
    some texts (the L2 norm of the slope by its embedding).
    """
    pixels = inputs.is_floating_point()
    inputs = inputs.to(subject.runtime.device)
    inputs = inputs.clone().requires_grad_() if pixels else inputs
    with recorded_embeddings(subject.model) as looked_up, torch.enable_grad(), subject.runtime.autocast():
        losses = F.cross_entropy(subject.model(inputs).float(), said.to(inputs.device), reduction="sum")
        [slope] = torch.autograd.grad(losses, [inputs] if pixels else looked_up)
    return (slope.abs().amax(dim=-1) if pixels else slope.norm(dim=-1)).float().cpu()


def _between(images: Float[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """From the darkest pixel of each to its lightest: 0 .. 1."""
    darkest = images.amin(dim=(1, 2), keepdim=True)
    return (images - darkest) / _largest(images - darkest)


def _largest(maps: Float[Tensor, "B H W"]) -> Float[Tensor, "B 1 1"]:
    return maps.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
