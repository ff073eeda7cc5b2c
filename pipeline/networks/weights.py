"""The weights of a network in a file: safetensors, each parameter once, held against a checksum when read."""

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

FLOATS = ("F64", "F32", "F16", "BF16")  # what weights are told in; others are quantized, and mean something beside a scale
TABLES = 1 << 24  # numbers that a network may hold beside its weights: waves and angles of positions
FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)


def weights_as_bytes(model: nn.Module) -> bytes:
    """Every parameter under its name (a shared one once), as a safetensors file holds them."""
    return safetensors.torch.save({name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()})


def save_weights(model: nn.Module, path: Path) -> str:
    """Write every parameter of a network; the sha256 of the file."""
    content = weights_as_bytes(model)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a safetensors file, from its header alone: no tensor is read.

    Raises:
        UserError: it is not such a file, or holds something else than floating-point numbers.
    """
    if not path.is_file():  # nor a pipe, which nobody may ever write to
        raise UserError(f"{path}: is not there; `dvc repro` makes it")
    try:
        with safe_open(path, framework="pt") as file:
            pieces: dict[str, Any] = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
            types = {name: str(piece.get_dtype()) for name, piece in pieces.items()}
            shapes = {name: tuple(piece.get_shape()) for name, piece in pieces.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: its weights cannot be read: {error}") from None
    if odd := next((name for name, kind in types.items() if kind not in FLOATS), None):
        raise UserError(f"{path}: {odd} is of type {types[odd]}; only {', '.join(FLOATS)} are read, and no quantized weights")
    return shapes


class TooLarge(Exception):  # noqa: N818 (an answer, which the caller words)
    """A network was going to hold many more numbers than the file of its weights."""


class _ElementLimit(TorchFunctionMode):
    """A block in which no more numbers than so many are made; asked before memory is taken for them."""

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
    """A network that is to be filled with weights of these shapes.

    What describes it may lie: a width of 16,384 beside a file of 100 kB would take gigabytes before anybody compared the two.

    Raises:
        TooLarge: it would take more memory than such weights explain.
    """
    with _ElementLimit(2 * sum(map(math.prod, shapes.values())) + TABLES):
        return build()


def open_network(build: Callable[[], nn.Module], path: Path, sha256: str) -> nn.Module:
    """A network, built and filled with the weights of a file.

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
    """Fill a network with the weights of a file.

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
    return UserError(f"{path}: holds the weights of another network than its JSON says; `dvc repro` makes both anew")


def first_not_finite(weights: Mapping[str, Tensor]) -> str:
    """The name of a weight that holds something else than finite numbers; '' where none does."""
    return next((name for name, weight in weights.items() if not bool(torch.isfinite(weight).all())), "")
