"""Parts of the CNN: the Transformer's block with a convolution in place of attention, and downsampling between blocks."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import Block
from pipeline.params.model import Model

Size = tuple[int, int]
"""Height and width of a feature map, positions."""


def halved(size: Size) -> Size:
    """The size of a feature map after 2 x 2 downsampling; a side of 1 stays."""
    return -(-size[0] // 2), -(-size[1] // 2)


def as_map(x: Float[Tensor, "B T D"], size: Size) -> Float[Tensor, "B D H W"]:
    """Positions, row by row, as a feature map; a view."""
    return x.unflatten(1, size).permute(0, 3, 1, 2)


def as_positions(x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B T D"]:
    """A feature map as positions, row by row."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def as_kernel(weight: Float[Tensor, "O _"], rows: int, columns: int) -> Float[Tensor, "O I y x"]:
    """A matrix [outputs, rows x columns x inputs] as the kernel of a convolution; a view."""
    return weight.view(len(weight), rows, columns, -1).permute(0, 3, 1, 2)


class Convolution(nn.Module):
    """A 2-D convolution over positions, with zero padding.

    Its weight is a matrix [outputs, rows x columns x inputs], so that inits and optimizers treat it like any other matrix.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998.
    """

    def __init__(self, model: Model, size: Size) -> None:
        super().__init__()
        self.size = size
        # A feature map of height or width 1 has no neighbours in that direction.
        self.kernel = tuple(model.kernel_size if side > 1 else 1 for side in size)
        self.output = nn.Linear(self.kernel[0] * self.kernel[1] * model.width, model.width, bias=model.bias)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        rows, columns = self.kernel
        weight = as_kernel(self.output.weight, rows, columns)
        return as_positions(F.conv2d(as_map(x, self.size), weight, self.output.bias, padding=(rows // 2, columns // 2)))


class ConvolutionBlock(Block):
    """A convolution, then feed-forward at each position.

    Source: Yu et al., "MetaFormer Is Actually What You Need for Vision", 2022 (the block matters more than its
    token mixer).
    """

    convolution: Convolution

    def __init__(self, model: Model, layer: int, size: Size) -> None:
        super().__init__(model, layer, "convolution", Convolution(model, size))

    def forward(self, x: Float[Tensor, "B T D"], dropout_state: DropoutState | None) -> Float[Tensor, "B T D"]:
        return self.add_branches(x, self.convolution, dropout_state)


class Downsample(nn.Module):
    """No downsampling."""

    def __init__(self, model: Model, size: Size) -> None:
        super().__init__()
        self.size = size
        self.square = tuple(min(side, 2) for side in size)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return x

    @property
    def size_after(self) -> Size:
        """The size of the feature map after it."""
        return self.size


class MaxPool(Downsample):
    """The maximum of each feature over 2 x 2 positions."""

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B P D"]:
        return as_positions(F.max_pool2d(as_map(x, self.size), self.square, ceil_mode=True))

    @property
    def size_after(self) -> Size:
        return halved(self.size)


class AveragePool(MaxPool):
    """The mean of each feature over 2 x 2 positions."""

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B P D"]:
        return as_positions(F.avg_pool2d(as_map(x, self.size), self.square, ceil_mode=True, count_include_pad=False))


class Stride(MaxPool):
    """A 2 x 2 convolution with stride 2 and zero padding.

    Source: Springenberg et al., "Striving for Simplicity: The All Convolutional Net", 2014.
    """

    def __init__(self, model: Model, size: Size) -> None:
        super().__init__(model, size)
        self.map = nn.Linear(self.square[0] * self.square[1] * model.width, model.width, bias=model.bias)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B P D"]:
        rows, columns = self.square
        weight = as_kernel(self.map.weight, rows, columns)
        grid = F.pad(as_map(x, self.size), (0, -self.size[1] % columns, 0, -self.size[0] % rows))
        return as_positions(F.conv2d(grid, weight, self.map.bias, stride=self.square))


DOWNSAMPLES: dict[str, Callable[[Model, Size], Downsample]] = {
    "max": MaxPool,
    "average": AveragePool,
    "stride": Stride,
    "none": Downsample,
}
