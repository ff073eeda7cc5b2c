"""Feature maps: features of two held-out images before the first block and after each."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.inference.trained import TrainedModel
from pipeline.networks.convolution import ConvolutionBlock, Size, as_map
from pipeline.networks.images import CNN, ImageTransformer
from pipeline.probes.passes.forward import Forward, forward
from pipeline.probes.passes.layers import input_name, layer_names
from pipeline.readings import Axis, Reading, rounded_or_none

IMAGES = 2
FEATURES = 8  # of a block
LAYERS = 6  # that are shown at most: the first, the last, and some between them


def feature_maps(trained: TrainedModel) -> Reading | None:
    """Eight features of two held-out images, before the first block and after each, as maps over the places of the image.

    The features with the largest variance over the places of both images, block by block, in the order of their index, as
    shares of the largest |feature| of the block. Where a map has been downsampled, its places are drawn as large squares.
    For a deep network six layers are shown. No such reading where features have no places (an MLP, a linear map, text).

    Healthy: maps that show the image, edges and strokes first, coarser and fewer places in later blocks. Broken: maps that
    are flat, or equal for both images.

    Distrust: eight of many; and what a feature shows need not be what the prediction depends on.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
    """
    every = maps_of(trained, forward(trained))
    if not every:
        return None
    height, width = every[0].shape[2:]
    images = min(IMAGES, len(trained.batch.inputs))
    named = list(zip([input_name(trained), *layer_names(trained)], every, strict=True))
    shown = np.unique(np.linspace(0, len(named) - 1, min(LAYERS, len(named))).astype(np.int64))
    rows, values = [], []
    for image in range(images):
        for name, maps in (named[place] for place in shown):
            rows.append(f"{'AB'[image]} {name}")
            values.append(rounded_or_none(enlarged(_chosen(maps[:images])[image], height, width).tolist()))
    return Reading(
        name="feature_maps",
        form="maps",
        quantity="feature / largest of the block",
        says="Two held-out images (A, B) before the first block and after each: the eight features that vary most over it."
        " Healthy: the maps show the image, coarser from block to block; flat maps carry no information.",
        axes=(
            Axis("image", rows),
            Axis("feature", list(range(1, len(values[0]) + 1))),
            Axis("row", list(range(height))),
            Axis("column", list(range(width))),
        ),
        values=values,
        about="signal",
        span=(-1, 1),
    )


def maps_of(trained: TrainedModel, trace: Forward) -> list[Float[Tensor, "B D _ _"]]:
    """The streams of a pass over images as maps; empty where features have no places."""
    model = trained.model
    sizes: list[Size]
    if isinstance(model, CNN):
        sizes = [
            model.patches.size,
            *(block.convolution.size for block in trained.blocks if isinstance(block, ConvolutionBlock)),
        ]
    elif isinstance(model, ImageTransformer):
        sizes = [model.patches.size] * len(trace.streams)
    else:
        return []
    # A pooling token, where there is one, comes before the places of the map.
    places = (stream[:, stream.shape[1] - math.prod(size) :] for stream, size in zip(trace.streams, sizes, strict=True))
    return [as_map(some, size).float() for some, size in zip(places, sizes, strict=True)]


def _chosen(maps: Float[Tensor, "B D y x"]) -> Float[Tensor, "B F y x"]:
    """The features that vary most over the image, as shares of the largest |feature|."""
    return maps[:, most_varied(maps)] / maps.abs().max().clamp(min=torch.finfo(maps.dtype).tiny)


def most_varied(maps: Float[Tensor, "B D y x"]) -> Int[Tensor, " F"]:
    """The indices of the features that vary most over the image, in increasing order."""
    spread = maps.var(dim=(0, 2, 3), correction=0)
    return spread.nan_to_num().topk(min(FEATURES, len(spread))).indices.sort().values


def enlarged(maps: Float[Tensor, "F y x"], height: int, width: int) -> Float[Tensor, "F Y X"]:
    """Maps at a larger size, by nearest-neighbour interpolation."""
    down, across = (np.arange(to) * of // to for to, of in zip((height, width), maps.shape[1:], strict=True))
    return maps[:, torch.from_numpy(down)[:, None], torch.from_numpy(across)].cpu()
