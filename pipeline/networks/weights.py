"""The weights of a network in a file: safetensors, each parameter once, held against a checksum when read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from pipeline.artifacts import check_sha256, write_bytes
from pipeline.params import Refusal


def weights_as_bytes(model: nn.Module) -> bytes:
    """Every parameter under its name (a shared one once), as a safetensors file holds them."""
    return safetensors.torch.save({name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()})


def save_weights(model: nn.Module, path: Path) -> str:
    """Write every parameter of a network; the sha256 of the file."""
    content = weights_as_bytes(model)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def load_weights(model: nn.Module, path: Path, sha256: str) -> None:
    """Fill a network with the weights of a file.

    Raises:
        Refusal: the file is missing, damaged, or of another network.
    """
    check_sha256(path, sha256)
    tensors = safetensors.torch.load_file(path)
    wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    if wanted != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
        raise Refusal(f"{path}: holds the weights of another network than its JSON says; `dvc repro` makes both anew")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(tensors[name])
