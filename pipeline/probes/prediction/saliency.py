"""Saliency: which pixels the predicted class depends on, for the worst mistakes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.engine.input_dependence import recorded_embeddings
from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.held_out import held_out
from pipeline.readings import Axis, Reading, rounded_or_none
from pipeline.tasks.vision import Vision

MISTAKES = 6


def saliency(trained: TrainedModel) -> Reading | None:
    """|∂ loss of the predicted class / ∂ pixel| of the six worst mistakes, each next to its image; the maximum over colours.

    The loss of the predicted class is -ln p of the prediction, right or wrong: where its gradient is large, a slightly
    brighter or darker pixel makes the model less sure of it. The worst mistakes are, of 500 held-out images, those with the
    largest loss. Each map is divided by its maximum, each image scaled from its darkest to its lightest pixel. No such
    reading of text, or where there are no mistakes.

    Healthy: it is on the object, or where a stroke is missing that would make it the other class. Broken: it is at the borders
    or in the background, equal for all images.

    Distrust: a gradient is local and noisy; where the model is very sure it is tiny, and its pattern mostly noise.

    Source: Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps",
    2013.
    """
    task = trained.task
    if not isinstance(task, Vision):
        return None
    found = held_out(trained)
    worst = found.worst(MISTAKES)
    if not len(worst):
        return None
    pixels = task.images("validation")[0][found.rows[worst]].astype(np.float32).mean(axis=-1)
    images = torch.from_numpy(pixels)
    predicted = found.predicted[worst]
    maps = input_gradients(trained, task.batch("validation", found.rows[worst]).inputs, predicted)
    names = task.shape.classes
    mistakes = [f"{names[int(found.targets[place])]} as {names[int(found.predicted[place])]}" for place in worst]
    values = torch.stack([_scaled(images), maps / _largest(maps)], dim=1)
    return Reading(
        name="saliency",
        form="maps",
        quantity="share of the largest in the map",
        says="The worst mistakes (row: true class, as predicted class): the image, and the pixels that decide the prediction."
        " Healthy: the object, or where a stroke is missing; borders or background in all of them are a bad sign.",
        axes=(
            Axis("class", mistakes),
            Axis("shown", ["image", "saliency"]),
            Axis("row", list(range(values.shape[2]))),
            Axis("column", list(range(values.shape[3]))),
        ),
        values=rounded_or_none(values.tolist()),
        about="prediction",
        span=(0, 1),
    )


def input_gradients(trained: TrainedModel, inputs: Tensor, classes: Int[Tensor, " B"]) -> Float[Tensor, B * P]:
    """How much the loss of a class depends on each pixel of some images (the largest |gradient| over colours), or on each
    token of some texts (the L2 norm of the gradient of its embedding).
    """
    pixels = inputs.is_floating_point()
    inputs = inputs.to(trained.runtime.device)
    inputs = inputs.clone().requires_grad_() if pixels else inputs
    with recorded_embeddings(trained.model) as looked_up, torch.enable_grad(), trained.runtime.autocast():
        losses = F.cross_entropy(trained.model(inputs).float(), classes.to(inputs.device), reduction="sum")
        [gradient] = torch.autograd.grad(losses, [inputs] if pixels else looked_up)
    return (gradient.abs().amax(dim=-1) if pixels else gradient.norm(dim=-1)).float().cpu()


def _scaled(images: Float[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Each image scaled from its darkest pixel to its lightest: 0 .. 1."""
    darkest = images.amin(dim=(1, 2), keepdim=True)
    return (images - darkest) / _largest(images - darkest)


def _largest(maps: Float[Tensor, "B H W"]) -> Float[Tensor, "B 1 1"]:
    return maps.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
