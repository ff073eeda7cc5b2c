"""Activation checkpointing, activation offloading and torch.compile of a network's blocks.

None of them changes a result beyond rounding. Dropout in a block is a pure function of (seed, step, site), so that a block
that is recomputed gives the same output, and no generator state has to be saved.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from pipeline.networks.transformer import Block
from pipeline.params.errors import UserError
from pipeline.params.stages import Runtime

COMPILE_FROM = 5000  # steps on a CUDA device from which `auto` compiles; a guess, not yet measured

Forward = Callable[..., Tensor]


def configure_blocks(model: nn.Module, knobs: Runtime, device: torch.device, steps: int, measured: int | None = None) -> None:
    """Wrap the forward of each block as the section `runtime` says; by default blocks stay as they are.

    Modules, parameters and their names do not change, so that checkpoints and snapshots are the same.

    Args:
        measured: steps from which compiling pays on this machine, as `rally autotune` measured; None if it did not.

    Raises:
        UserError: runtime.compile is true, and this machine cannot compile.
    """
    compiling = _compiles(knobs.compile, device, steps, measured)
    for block in model.modules():
        if isinstance(block, Block):
            forward = ACTIVATION_CHECKPOINTING[knobs.activation_checkpointing](block.forward)
            forward = compiled(forward) if compiling else forward
            if knobs.offload_activations and device.type != "cpu":  # which are in host memory already
                forward = offload_activations(forward, block)
            if forward != block.forward:
                block.forward = forward  # type: ignore[method-assign]


@contextmanager
def unmodified_blocks(model: nn.Module) -> Iterator[None]:
    """A context in which the blocks run unwrapped, so that a pass over a few tokens does not wait for compilation."""
    wrapped = [block for block in model.modules() if isinstance(block, Block) and "forward" in vars(block)]
    forwards = [block.forward for block in wrapped]
    for block in wrapped:
        block.forward = inspect.unwrap(block.forward, stop=inspect.ismethod)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block, forward in zip(wrapped, forwards, strict=True):
            block.forward = forward  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------------------------------- memory


def save_everything(forward: Forward) -> Forward:
    """Save all activations for backward: the most memory, no recomputation."""
    return forward


def recompute_block(forward: Forward, **options: Any) -> Forward:
    """Save a block's input only, and run the block again in backward: a third more compute.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
    """

    @functools.wraps(forward)
    def checkpointed(*arguments: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*arguments)
        output: Tensor = checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **options)
        return output

    return checkpointed


def recompute_cheap_operations(forward: Forward) -> Forward:
    """Save the outputs of linear layers and of fused attention, and recompute the rest: norms, activations, scores.

    Attention scores of the eager kernel are products too, but grow with the square of the length, so they are recomputed.

    Source: Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", 2022.
    """
    return recompute_block(forward, context_fn=functools.partial(create_selective_checkpoint_contexts, _save_policy))


def _save_policy(context: SelectiveCheckpointContext, operation: Any, *arguments: Any, **options: Any) -> CheckpointPolicy:
    name = operation.name()
    saved = name in ("aten::mm", "aten::addmm") or name.startswith("aten::_scaled_dot_product")
    return CheckpointPolicy.MUST_SAVE if saved else CheckpointPolicy.PREFER_RECOMPUTE


def offload_activations(forward: Forward, block: nn.Module) -> Forward:
    """Move what a block saves for backward, except weights, to host memory, and back when backward needs it.

    The copies are queued on the stream of the computation, so that no kernel overtakes them and the host need not wait.
    They do not overlap with computation: a step takes longer by the time of the copies.

    Source: Rhu et al., "vDNN: Virtualized Deep Neural Networks for Scalable, Memory-Efficient Neural Network Design", 2016.
    """

    @functools.wraps(forward)
    def offloaded(*arguments: Any) -> Tensor:
        weights = {weight.untyped_storage().data_ptr() for weight in block.parameters()}

        def pack(tensor: Tensor) -> tuple[torch.device, Tensor]:
            if tensor.untyped_storage().data_ptr() in weights:
                return tensor.device, tensor
            on_host = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
            return tensor.device, on_host.copy_(tensor, non_blocking=tensor.is_cuda)

        def unpack(packed: tuple[torch.device, Tensor]) -> Tensor:
            device, tensor = packed
            return tensor.to(device, non_blocking=True)

        with saved_tensors_hooks(pack, unpack):
            return forward(*arguments)

    return offloaded


ACTIVATION_CHECKPOINTING: dict[str, Callable[[Forward], Forward]] = {
    "none": save_everything,
    "block": recompute_block,
    "selective": recompute_cheap_operations,
}


# --------------------------------------------------------------------------------------------------------------- time


def compiled(forward: Forward) -> Forward:
    """A compiled forward, used in training only: validation would not gain enough to pay for another compilation.

    Each shape is compiled by itself (`dynamic=False`): with dynamic shapes a resumed run, which meets shapes in another
    order, would round differently from an uninterrupted one.

    Source: Ansel et al., "PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode Transformation and Graph
    Compilation", 2024.
    """
    import torch._dynamo  # takes seconds, so only when compiling

    # Beyond the limit torch falls back to uncompiled code, with a warning that is easily missed.
    torch._dynamo.config.recompile_limit = 1024
    compiled_forward: Forward = torch.compile(forward, dynamic=False)

    @functools.wraps(forward)
    def when_training(*arguments: Any) -> Tensor:
        return compiled_forward(*arguments) if torch.is_grad_enabled() else forward(*arguments)

    return when_training


def _compiles(wanted: str | bool, device: torch.device, steps: int, measured: int | None) -> bool:
    """Whether to compile; with `auto` only if it pays: on a CPU, measured, it never did for networks of these sizes."""
    known = measured is not None or device.type == "cuda"
    if wanted is False or (wanted == "auto" and not (known and steps >= (COMPILE_FROM if measured is None else measured))):
        return False
    missing = missing_compiler(device)
    if missing and wanted is True:
        raise UserError(f"runtime.compile: true needs {missing}, which was not found; use false")
    return not missing


def missing_compiler(device: torch.device) -> str:
    """What torch.compile needs and does not find on this machine, in words; '' if nothing."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and not shutil.which(compiler):
        return f"the C++ compiler '{compiler}'"
    if device.type == "cuda" and not importlib.util.find_spec("triton"):
        return "the package 'triton'"
    return ""
