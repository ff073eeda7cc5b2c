"""Weights of a network in a safetensors file, verified by checksum when read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pipeline.artifacts.checksums import check_sha256
from pipeline.artifacts.writing import write_bytes
from pipeline.params.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]

FLOATS = ("F64", "F32", "F16", "BF16")  # types of weights that are read; others are quantized and need a scale
TABLES = 1 << 24  # numbers that a network may hold besides its weights: tables of positions
FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)


def weights_as_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """Weights by name in safetensors format."""
    return safetensors.torch.save({name: weight.detach().cpu().contiguous() for name, weight in weights.items()})


def save_weights(model: nn.Module, path: Path) -> str:
    """Write every parameter of a network (a shared one once); returns the sha256 of the file."""
    content = weights_as_bytes(dict(model.named_parameters()))
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def shapes_in(path: Path, left_out: tuple[str, ...] = ()) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a safetensors file, read from its header only.

    Args:
        left_out: suffixes of tensors that are not weights.

    Raises:
        UserError: it is not a safetensors file, or has weights that are not floating point.
    """
    if not path.is_file():  # a pipe might block forever
        raise UserError(f"{path}: not found; run `dvc repro` to create it")
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if not name.endswith(left_out)]  # noqa: SIM118 (it is not a mapping)
            pieces: dict[str, Any] = {name: file.get_slice(name) for name in names}
            types = {name: str(piece.get_dtype()) for name, piece in pieces.items()}
            shapes = {name: tuple(piece.get_shape()) for name, piece in pieces.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: the weights cannot be read: {error}") from None
    if odd := next((name for name, kind in types.items() if kind not in FLOATS), None):
        raise UserError(
            f"{path}: {odd} has the type {types[odd]}; only {', '.join(FLOATS)} can be read, quantized weights cannot"
        )
    return shapes


class TooLarge(Exception):  # noqa: N818 (the caller writes the message)
    """A network would hold many more numbers than the file of its weights."""


class _ElementLimit(TorchFunctionMode):
    """A context in which tensor factories create at most so many numbers; checked before memory is allocated."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.left = numbers

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in FACTORIES:
            sizes = args[0] if args and not isinstance(args[0], int) else args or (kwargs or {}).get("size", ())
            self.left -= math.prod(sizes)
            if self.left < 0:
                raise TooLarge
        return function(*args, **kwargs or {})


def build_within_limit(shapes: Shapes, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network for weights of these shapes, with a limit on its memory.

    Its description may be wrong: a width of 16,384 beside a file of 100 kB would allocate gigabytes before they are compared.

    Raises:
        TooLarge: it needs more memory than such weights explain.
    """
    with _ElementLimit(2 * sum(map(math.prod, shapes.values())) + TABLES):
        return build()


def open_network(build: Callable[[], nn.Module], path: Path, sha256: str) -> nn.Module:
    """Build a network and load its weights from a file.

    Raises:
        UserError: the file is missing, damaged, or of another network.
    """
    check_sha256(path, sha256)
    try:
        network = build_within_limit(shapes_in(path), build)
    except TooLarge:
        raise _mismatch(path) from None
    load_weights(network, path, sha256)
    return network


def load_weights(model: nn.Module, path: Path, sha256: str) -> None:
    """Load the weights of a network from a file.

    Raises:
        UserError: the file is missing, damaged, or of another network.
    """
    check_sha256(path, sha256)
    if shapes_in(path) != {name: tuple(weight.shape) for name, weight in model.named_parameters()}:
        raise _mismatch(path)
    tensors = safetensors.torch.load_file(path)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(tensors[name])


def _mismatch(path: Path) -> UserError:
    return UserError(
        f"{path}: the weights do not match the network that its JSON describes; run `dvc repro` to create both again"
    )


def first_not_finite(weights: Mapping[str, Tensor]) -> str:
    """The name of the first weight with numbers that are not finite; '' if there is none."""
    return next((name for name, weight in weights.items() if not bool(torch.isfinite(weight).all())), "")
