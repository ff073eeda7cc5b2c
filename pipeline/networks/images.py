"""Image classifiers: a CNN, an MLP, a Vision Transformer, and a linear classifier as a baseline.

An entry is built with (model, image, outputs, generator) and maps standardised images [B, H, W, C] to logits [B, K].
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.classifier import Encoder
from pipeline.networks.convolution import DOWNSAMPLES, ConvolutionBlock, Size
from pipeline.networks.dropout import Dropout, DropoutState
from pipeline.networks.image_norms import with_state
from pipeline.networks.inits import initialise, scaled_for_head
from pipeline.networks.pooling import POOLINGS
from pipeline.networks.residuals import RESIDUALS
from pipeline.networks.transformer import final_norm, norm_for
from pipeline.params.model import Model

Image = tuple[int, int, int]
"""Height, width, channels."""


class PatchEmbedding(nn.Module):
    """Patch embedding: an image cut into squares, each mapped linearly to the features of a position; zero padding.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2021.
    """

    def __init__(self, model: Model, image: Image) -> None:
        super().__init__()
        self.sides = tuple(min(model.patch_size, side) for side in image[:2])
        self.size: Size = (-(-image[0] // self.sides[0]), -(-image[1] // self.sides[1]))
        self.map = nn.Linear(self.sides[0] * self.sides[1] * image[2], model.width, bias=model.bias)

    def forward(self, images: Float[Tensor, "B H W C"]) -> Float[Tensor, "B T D"]:
        rows, columns = self.sides
        missing = -images.shape[1] % rows, -images.shape[2] % columns
        images = F.pad(images, (0, 0, 0, missing[1], 0, missing[0])) if any(missing) else images
        squares = images.unflatten(2, (-1, columns)).unflatten(1, (-1, rows)).transpose(2, 3)
        return self.map(squares.flatten(3).flatten(1, 2))


class CNN(nn.Module):
    """Patches, then blocks of convolution and feed-forward, with downsampling after each block but the last."""

    def __init__(self, model: Model, image: Image, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.knobs = model
        self.patches = PatchEmbedding(model, image)
        self.dropout = Dropout(model.dropout, model.dropout_schedule, "embedding")
        self.blocks = nn.ModuleList()
        self.shrinks = nn.ModuleList()  # downsampling; the name is part of every saved model
        size: Size = self.patches.size
        for layer in range(model.depth):
            self.blocks.append(ConvolutionBlock(model, layer, size))
            downsample = DOWNSAMPLES[model.downsample if layer < model.depth - 1 else "none"](model, size)
            self.shrinks.append(downsample)
            size = downsample.size_after
        self.final_norm = final_norm(model)
        self.pooling = POOLINGS[model.pooling](model)
        self.head = nn.Linear(model.width, outputs, bias=model.bias)
        initialise(self.named_parameters(), model, generator, branches_add_up=RESIDUALS[model.residual].branches_add_up)

    def forward(self, images: Float[Tensor, "B H W C"], dropout_state: DropoutState | None = None) -> Float[Tensor, "B K"]:
        x = self.dropout(self.patches(images), dropout_state)
        for block, downsample in zip(self.blocks, self.shrinks, strict=True):
            x = downsample(block(x, dropout_state))
        x = with_state(self.final_norm, dropout_state)(x)
        pooled = self.pooling(x, x.new_ones(x.shape[:2], dtype=torch.bool))
        return self.head(scaled_for_head(pooled, self.knobs))


class ImageTransformer(Encoder):
    """A Vision Transformer: the blocks of the text classifier over the patches of an image.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021.
    """

    def __init__(self, model: Model, image: Image, outputs: int, generator: torch.Generator) -> None:
        patches = PatchEmbedding(model, image)
        super().__init__(model, patches.size[0] * patches.size[1], outputs)
        self.patches = patches
        self.init_weights(generator)

    def forward(self, images: Float[Tensor, "B H W C"], dropout_state: DropoutState | None = None) -> Float[Tensor, "B K"]:
        return self.classes(self.patches(images), None, dropout_state)


class MLP(nn.Module):
    """A multilayer perceptron over all pixels: each layer linear, norm, activation, dropout; no residual connections."""

    def __init__(self, model: Model, image: Image, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.knobs, self.activation = model, ACTIVATIONS[model.activation]
        pixels = image[0] * image[1] * image[2]
        sizes = [pixels, *[model.width] * model.depth]
        self.layers = nn.ModuleList(
            nn.Linear(inputs, self.activation.inputs * model.width, bias=model.bias) for inputs in sizes[: model.depth]
        )
        wide = model.model_copy(update={"width": self.activation.inputs * model.width})
        self.norms = nn.ModuleList(norm_for(wide) for _ in self.layers)
        self.dropouts = nn.ModuleList(
            Dropout(model.dropout, model.dropout_schedule, f"layer {layer}") for layer in range(model.depth)
        )
        self.head = nn.Linear(sizes[-1], outputs, bias=model.bias)
        initialise(self.named_parameters(), model, generator, branches_add_up=False)

    def forward(self, images: Float[Tensor, "B H W C"], dropout_state: DropoutState | None = None) -> Float[Tensor, "B K"]:
        x = images.flatten(1).unsqueeze(1)  # a single position
        for layer, norm, dropout in zip(self.layers, self.norms, self.dropouts, strict=True):
            x = dropout(self.activation.function(with_state(norm, dropout_state)(layer(x))), dropout_state)
        return self.head(scaled_for_head(x.squeeze(1), self.knobs))


class LinearClassifier(nn.Module):
    """Logistic regression on pixels: the baseline for every other network."""

    def __init__(self, model: Model, image: Image, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.head = nn.Linear(image[0] * image[1] * image[2], outputs, bias=True)
        initialise(self.named_parameters(), model, generator, branches_add_up=False)

    def forward(self, images: Float[Tensor, "B H W C"], dropout_state: DropoutState | None = None) -> Float[Tensor, "B K"]:
        return self.head(images.flatten(1))


class NetworkBuilder(Protocol):
    """The signature by which networks are built."""

    def __call__(self, model: Model, image: Image, outputs: int, generator: torch.Generator) -> nn.Module: ...


NETWORKS: dict[str, NetworkBuilder] = {
    "cnn": CNN,
    "mlp": MLP,
    "transformer": ImageTransformer,
    "linear": LinearClassifier,
}
