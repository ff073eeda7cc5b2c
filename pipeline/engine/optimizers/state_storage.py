"""How the memory of an optimizer is kept between updates: as it is, on the CPU, or in 8 bits a number."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


class Float32State:
    """A memory as it is, beside its weight.

    Attributes:
        at_hand: reading it costs nothing, and what is done to it needs no writing back.
    """

    at_hand = True

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def read(self) -> Tensor:
        """The memory, to be worked on in place."""
        return self.tensor

    def write(self, tensor: Tensor) -> None:
        """Keep what was read and worked on."""

    def tensors(self) -> dict[str, Tensor]:
        """What is kept, for checkpoints; "" is the name of all of it."""
        return {"": self.tensor}

    def away(self) -> Float32State:
        """The same, kept on the CPU."""
        return self if self.tensor.device.type == "cpu" else CpuState(self.tensor)


class CpuState(Float32State):
    """A memory on the CPU, whose weight is elsewhere; it comes for an update and goes again.

    Source: Ren et al., "ZeRO-Offload: Democratizing Billion-Scale Model Training", 2021.
    """

    at_hand = False

    def __init__(self, tensor: Tensor) -> None:
        self.device = tensor.device
        super().__init__(tensor.to("cpu", copy=True))
        if self.device.type == "cuda":
            self.tensor = self.tensor.pin_memory()  # the card then fetches it without the CPU's help

    def read(self) -> Tensor:
        return self.tensor.to(self.device, copy=True)

    def write(self, tensor: Tensor) -> None:
        self.tensor.copy_(tensor)


class Int8State(Float32State):
    """A memory as 8-bit codes of blocks, each with its own scale, so that one large number spoils its block only.

    Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2021 (small tensors stay as they are there
    too); the blocks are as short as bitsandbytes has them now.
    """

    at_hand = False
    BLOCK = 256  # numbers that share a scale
    SMALLEST = 4096  # numbers of a memory that is worth it

    def __init__(self, tensor: Tensor, signed: bool) -> None:
        self.shape, self.signed = tensor.shape, signed
        blocks = -(-tensor.numel() // self.BLOCK)
        self.codes = Float32State(torch.zeros(blocks, self.BLOCK, dtype=torch.uint8, device=tensor.device))
        self.scales = Float32State(torch.zeros(blocks, dtype=tensor.dtype, device=tensor.device))
        self.write(tensor)

    def read(self) -> Tensor:
        scales = self.scales.read()
        numbers = dequantized(self.codes.read(), quantization_levels(self.signed).to(scales)) * scales[:, None]
        return numbers.flatten()[: self.shape.numel()].view(self.shape)

    def write(self, tensor: Tensor) -> None:
        padded = torch.nn.functional.pad(tensor.flatten(), (0, -tensor.numel() % self.BLOCK)).view(-1, self.BLOCK)
        scales = padded.abs().amax(dim=1)
        relative = padded / scales.clamp(min=torch.finfo(scales.dtype).tiny)[:, None]
        for kept, now in (
            (self.codes, quantized(relative, quantization_levels(self.signed).to(scales))),
            (self.scales, scales),
        ):
            memory = kept.read()
            memory.copy_(now)
            kept.write(memory)

    def tensors(self) -> dict[str, Tensor]:
        return {"_codes": self.codes.tensor, "_scales": self.scales.tensor}

    def away(self) -> Float32State:
        self.codes, self.scales = self.codes.away(), self.scales.away()
        return self


@functools.cache
def quantization_levels(signed: bool) -> Float[Tensor, " L"]:
    """The numbers that a code can stand for, growing: seven powers of ten, the larger the finer divided, up to 1.

    Without a sign there is no 0. A mean square that is rounded to 0 would divide its mean by nothing.

    Source: Dettmers et al., 2021 (dynamic tree quantization); Li, Chen & Zhu, "Memory Efficient Optimizers with 4-bit
    States", 2023 (the zero that is left out).
    """
    found = [torch.ones(1, dtype=torch.float64)]
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (power if signed else power + 1) + 1, dtype=torch.float64)
        found.append(10.0 ** (power - 6) * (edges[:-1] + edges[1:]) / 2)
    positive = torch.cat(found)
    return (torch.cat([-positive[1:], positive.new_zeros(1), positive]) if signed else positive).sort().values


def quantized(numbers: Float[Tensor, "N B"], known: Float[Tensor, " L"]) -> UInt8[Tensor, "N B"]:
    """The code of the nearest level of each number."""
    between = (known[1:] + known[:-1]) / 2
    places: Int[Tensor, "N B"] = torch.bucketize(numbers, between, out_int32=True)
    return places.to(torch.uint8)


def dequantized(codes: UInt8[Tensor, "N B"], known: Float[Tensor, " L"]) -> Float[Tensor, "N B"]:
    """The levels that codes stand for."""
    return known.index_select(0, codes.flatten().int()).view(codes.shape)
