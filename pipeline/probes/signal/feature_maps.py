"""What does each block make of an image?"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.inference.trained import Subject
from pipeline.networks.convolution import ConvolutionBlock, Size, as_map
from pipeline.networks.images import CNN, ImageTransformer
from pipeline.probes.passes.forward_backward import Forward, entry, forward, layer_names
from pipeline.readings import Axis, Reading, finite

IMAGES = 2
FEATURES = 8  # of a block
LAYERS = 6  # of which it is shown at most: the first, the last, and some between them


def feature_maps(subject: Subject) -> Reading | None:
    """Eight features of two held-out images, before the first block and behind each, as maps of the places where they stand.

    The features that differ most from place to place (of the largest variance over both images, block by block), in the order
    of their number, as shares of the largest |feature| of the block. Where a map has shrunk, its places are drawn as large
    squares. Of a deep network six layers are shown. No such reading where features have no places (an MLP, a linear map, text).

    Healthy: maps in which one finds the image again, edges and strokes first, later blocks coarser and fewer places. Broken:
    maps that are flat, or alike for both images.

    Distrust: eight of many; and what a feature shows need not be what the classes hang on.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
    """
    every = maps_of(subject, forward(subject))
    if not every:
        return None
    height, width = every[0].shape[2:]
    images = min(IMAGES, len(subject.batch.inputs))
    named = list(zip([entry(subject), *layer_names(subject)], every, strict=True))
    shown = np.unique(np.linspace(0, len(named) - 1, min(LAYERS, len(named))).astype(np.int64))
    rows, values = [], []
    for image in range(images):
        for name, maps in (named[place] for place in shown):
            rows.append(f"{'AB'[image]} {name}")
            values.append(finite(enlarged(_chosen(maps[:images])[image], height, width).tolist()))
    return Reading(
        name="feature_maps",
        form="maps",
        quantity="feature, as a share of the block's largest",
        says="Two held-out images (A, B) as features see them, before the first block and behind each: the eight that differ"
        " most from place to place. Healthy: one finds the image again, coarser from block to block; flat maps say nothing.",
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


def maps_of(subject: Subject, trace: Forward) -> list[Float[Tensor, "B D _ _"]]:
    """The streams of a pass over images as maps; empty where features have no places."""
    model = subject.model
    sizes: list[Size]
    if isinstance(model, CNN):
        sizes = [
            model.patches.size,
            *(block.convolution.size for block in subject.blocks if isinstance(block, ConvolutionBlock)),
        ]
    elif isinstance(model, ImageTransformer):
        sizes = [model.patches.size] * len(trace.streams)
    else:
        return []
    # A place of the pooling's own, where there is one, stands before those of the map.
    places = (stream[:, stream.shape[1] - math.prod(size) :] for stream, size in zip(trace.streams, sizes, strict=True))
    return [as_map(some, size).float() for some, size in zip(places, sizes, strict=True)]


def _chosen(maps: Float[Tensor, "B D y x"]) -> Float[Tensor, "B F y x"]:
    """The features that differ most from place to place, as shares of the largest number of any."""
    return maps[:, most_varied(maps)] / maps.abs().max().clamp(min=torch.finfo(maps.dtype).tiny)


def most_varied(maps: Float[Tensor, "B D y x"]) -> Int[Tensor, " F"]:
    """The numbers of the features that differ most from place to place, in their order."""
    spread = maps.var(dim=(0, 2, 3), correction=0)
    return spread.nan_to_num().topk(min(FEATURES, len(spread))).indices.sort().values


def enlarged(maps: Float[Tensor, "F y x"], height: int, width: int) -> Float[Tensor, "F Y X"]:
    """Maps at another size: each place of the large one is that of the small one which lies there."""
    down, across = (np.arange(to) * of // to for to, of in zip((height, width), maps.shape[1:], strict=True))
    return maps[:, torch.from_numpy(down)[:, None], torch.from_numpy(across)].cpu()
