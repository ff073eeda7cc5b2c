"""Filters: the weights of the first layer as small images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.inference.trained import TrainedModel
from pipeline.networks.convolution import ConvolutionBlock
from pipeline.networks.images import CNN, MLP, ImageTransformer, LinearClassifier
from pipeline.readings import Axis, Reading, rounded_or_none
from pipeline.tasks.vision import Vision

ACROSS, DOWN = 8, 4  # filters that are shown


def filters(trained: TrainedModel) -> Reading | None:
    """The weights of each unit of the first layer, as a small map of pixels: the 32 filters of largest norm, the largest first.

    For an MLP a row of its first matrix, for a linear map (by class, in their order) and a Vision Transformer likewise; for a
    CNN the patch embedding and the first convolution together, without the norm between them: the receptive field of a place.
    Colours are summed. Each is divided by its largest |weight|. No such reading of text.

    Healthy: strokes, edges, spots, smooth over neighbouring pixels. Broken: still noise at the end, as at initialization: the
    weights never changed, or are fitted to noise.

    Distrust: in a wide network many filters stay as initialized and do not matter; and with large patches or whole images,
    weight decay is what makes them smooth.

    Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012 (figure 3).
    """
    task = trained.task
    if not isinstance(task, Vision):
        return None
    found = weights_of(trained, task.shape.image).sum(dim=-1)
    by_class = isinstance(trained.model, LinearClassifier)
    sizes = found.flatten(1).norm(dim=1).nan_to_num()
    shown = found[: ACROSS * DOWN] if by_class else found[sizes.argsort(descending=True, stable=True)[: ACROSS * DOWN]]
    shares = shown / shown.abs().amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(shown.dtype).tiny)
    across = min(ACROSS, len(shares))
    missing = -len(shares) % across
    gaps = torch.cat([shares, shares.new_full((missing, *shares.shape[1:]), torch.nan)])
    values = gaps.unflatten(0, (-1, across))
    return Reading(
        name="filters",
        form="maps",
        quantity="weight / largest of the filter",
        says="The weights of each pixel in "
        + ("each class, in their order." if by_class else "units of the first layer.")
        + " Healthy: strokes, edges and spots; noise from pixel to pixel is as initialized, or fitted to noise.",
        axes=(
            Axis("from", [1 + row * across for row in range(len(values))]),
            Axis("plus", list(range(across))),
            Axis("row", list(range(values.shape[2]))),
            Axis("column", list(range(values.shape[3]))),
        ),
        values=rounded_or_none(values.tolist()),
        about="signal",
        span=(-1, 1),
    )


@torch.no_grad()
def weights_of(trained: TrainedModel, image: tuple[int, ...]) -> Float[Tensor, "F y x C"]:
    """The weights of the pixels in each unit of the first layer."""
    model = trained.model
    if isinstance(model, MLP | LinearClassifier):
        first = model.layers[0] if isinstance(model, MLP) else model.head
        assert isinstance(first, nn.Linear)
        return first.weight.detach().cpu().unflatten(1, image)
    assert isinstance(model, CNN | ImageTransformer)
    rows, columns = model.patches.sides
    patches = model.patches.map.weight.detach().cpu().unflatten(1, (rows, columns, image[2]))
    if isinstance(model, ImageTransformer):
        return patches
    block = trained.blocks[0]
    assert isinstance(block, ConvolutionBlock)
    gather = block.convolution
    rows, columns = gather.kernel
    kernel = gather.output.weight.detach().cpu().unflatten(1, (rows, columns, -1))
    squares = torch.einsum("oyxd,dabc->oyaxbc", kernel, patches)  # place by place, pixel by pixel in it
    return squares.flatten(3, 4).flatten(1, 2)
