"""Tensors of a GGUF file and of transformers: other names, and some in another layout (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.lab.gguf.architectures import GgufArchitecture
from pipeline.lab.gguf.number_types import Floats


def to_gguf(weights: Mapping[str, Floats], architecture: GgufArchitecture, config: Mapping[str, Any]) -> dict[str, Floats]:
    """The tensors of a file, from those of transformers."""
    tensors = {}
    for name, weight in weights.items():
        place, end = _parted(name)
        theirs = _renamed(place, architecture.tensors) + end
        tensors[theirs] = _converted(weight, place, end, architecture, config, forth=True)
    if architecture.own_head and "output.weight" not in tensors:
        tensors["output.weight"] = tensors["token_embd.weight"]
    return tensors


def from_gguf(tensors: Mapping[str, Floats], architecture: GgufArchitecture, config: Mapping[str, Any]) -> dict[str, Floats]:
    """The tensors of transformers, from those of a file.

    Raises:
        KeyError: the architecture has no tensor of this name.
    """
    weights = {}
    back = {theirs: ours for ours, theirs in architecture.tensors.items()}
    for name, tensor in tensors.items():
        place, end = _parted(name)
        try:
            ours = _renamed(place, back)
        except KeyError:
            raise KeyError(name) from None
        weights[ours + end] = _converted(tensor, ours, end, architecture, config, forth=False)
    return weights


def _parted(name: str) -> tuple[str, str]:
    """A name without its end, and the end: .weight or .bias."""
    place, _, end = name.rpartition(".")
    return place, f".{end}"


def _renamed(place: str, names: Mapping[str, str]) -> str:
    """A name in the other convention; the number of its block stays."""
    number = next((part for part in place.split(".") if part.isascii() and part.isdigit()), "")
    return names[place.replace(f".{number}.", ".{}.", 1) if number else place].replace("{}", number)


def _converted(
    weight: Floats, place: str, end: str, architecture: GgufArchitecture, config: Mapping[str, Any], *, forth: bool
) -> Floats:
    """A tensor in the other layout; `place` is its name in transformers."""
    last = place.rpartition(".")[2]
    if end == ".weight" and last in architecture.transposed and "." in place and weight.ndim == 2:
        return np.ascontiguousarray(weight.T)
    if architecture.offset and end == ".weight" and weight.ndim == 1:
        return weight + np.float32(architecture.offset if forth else -architecture.offset)
    if architecture.pairs and last in ("q_proj", "k_proj"):
        heads = config["num_attention_heads" if last == "q_proj" else "num_key_value_heads"]
        if weight.shape[0] % (2 * heads):
            return weight  # of a shape that cannot be; its reader says so
        size = weight.shape[0] // heads
        halves = weight.reshape(heads, *((2, size // 2) if forth else (size // 2, 2)), *weight.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weight.shape)
    return weight
