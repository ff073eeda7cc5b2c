"""Storage of optimizer state between updates: as float32, offloaded to the CPU, or quantized to 8 bits per number."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


class Float32State:
    """A state tensor as it is, on the device of its weight.

    Attributes:
        in_place: `read` gives the stored tensor itself, so that reading is free and changes need no `write`.
    """

    in_place = True

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def read(self) -> Tensor:
        """The state, to be changed in place."""
        return self.tensor

    def write(self, tensor: Tensor) -> None:
        """Store a state that was read and changed."""

    def tensors(self) -> dict[str, Tensor]:
        """The stored tensors by suffix of their name in a state dict."""
        return {"": self.tensor}

    def offloaded(self) -> Float32State:
        """The same state, stored on the CPU."""
        return self if self.tensor.device.type == "cpu" else CpuState(self.tensor)


class CpuState(Float32State):
    """A state on the CPU while its weight is on another device; copied there and back for each update.

    Source: Ren et al., "ZeRO-Offload: Democratizing Billion-Scale Model Training", 2021.
    """

    in_place = False

    def __init__(self, tensor: Tensor) -> None:
        self.device = tensor.device
        super().__init__(tensor.to("cpu", copy=True))
        if self.device.type == "cuda":
            self.tensor = self.tensor.pin_memory()  # so that the GPU copies it by DMA

    def read(self) -> Tensor:
        return self.tensor.to(self.device, copy=True)

    def write(self, tensor: Tensor) -> None:
        self.tensor.copy_(tensor)


class Int8State(Float32State):
    """A state as 8-bit codes in blocks, each with its own scale, so that one outlier affects its block only.

    Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2021 (small tensors stay in float32 there,
    too); the block size is that of bitsandbytes today.
    """

    in_place = False
    BLOCK = 256  # numbers that share a scale
    SMALLEST = 4096  # numbers that a state must have to be quantized

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
        for storage, new in (
            (self.codes, quantized(relative, quantization_levels(self.signed).to(scales))),
            (self.scales, scales),
        ):
            stored = storage.read()
            stored.copy_(new)
            storage.write(stored)

    def tensors(self) -> dict[str, Tensor]:
        return {"_codes": self.codes.tensor, "_scales": self.scales.tensor}

    def offloaded(self) -> Float32State:
        self.codes, self.scales = self.codes.offloaded(), self.scales.offloaded()
        return self


@functools.cache
def quantization_levels(signed: bool) -> Float[Tensor, " L"]:
    """The values of the 8-bit codes, ascending: seven decades up to 1, larger ones divided more finely.

    Unsigned values leave out 0: a mean square rounded to 0 would divide its mean by 0.

    Source: Dettmers et al., 2021 (dynamic tree quantization); Li, Chen & Zhu, "Memory Efficient Optimizers with 4-bit
    States", 2023 (leaving out zero).
    """
    found = [torch.ones(1, dtype=torch.float64)]
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (power if signed else power + 1) + 1, dtype=torch.float64)
        found.append(10.0 ** (power - 6) * (edges[:-1] + edges[1:]) / 2)
    positive = torch.cat(found)
    return (torch.cat([-positive[1:], positive.new_zeros(1), positive]) if signed else positive).sort().values


def quantized(numbers: Float[Tensor, "N B"], levels: Float[Tensor, " L"]) -> UInt8[Tensor, "N B"]:
    """The code of the level nearest to each number."""
    midpoints = (levels[1:] + levels[:-1]) / 2
    places: Int[Tensor, "N B"] = torch.bucketize(numbers, midpoints, out_int32=True)
    return places.to(torch.uint8)


def dequantized(codes: UInt8[Tensor, "N B"], levels: Float[Tensor, " L"]) -> Float[Tensor, "N B"]:
    """The levels of the codes."""
    return levels.index_select(0, codes.flatten().int()).view(codes.shape)
