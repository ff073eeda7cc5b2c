"""How do the blocks of a network run while it trains? As they are, or so that they want less memory, or less time.

Nothing here changes a result beyond rounding. What is random in a block is a pure function of (seed, step, site), so that a
block that runs again is the same block, and no state of a generator has to be kept for it.
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

COMPILE_FROM = 5000  # steps on a CUDA device from which `auto` compiles. A guess: it waits for a measurement on one

Forward = Callable[..., Tensor]


def configure_blocks(model: nn.Module, knobs: Runtime, device: torch.device, steps: int, measured: int | None = None) -> None:
    """Have the blocks run as the section `runtime` says; where it says nothing special they stay untouched.

    The network stays itself: the same modules, parameters and names, so that checkpoints and snapshots know nothing of it.

    Args:
        measured: from how many steps on compiling was found to pay here, if anybody looked.

    Raises:
        UserError: compiling is wanted and cannot be done here.
    """
    compiling = _compiles(knobs.compile, device, steps, measured)
    for block in model.modules():
        if isinstance(block, Block):
            forward = ACTIVATION_CHECKPOINTING[knobs.activation_checkpointing](block.forward)
            forward = compiled(forward) if compiling else forward
            if knobs.offload_activations and device.type != "cpu":  # whose memory is the host's already
                forward = offload_activations(forward, block)
            if forward != block.forward:
                block.forward = forward  # type: ignore[method-assign]


@contextmanager
def unmodified_blocks(model: nn.Module) -> Iterator[None]:
    """Meanwhile the blocks run as they are written: who looks at a few tokens shall not wait for kernels to be compiled."""
    arranged = [block for block in model.modules() if isinstance(block, Block) and "forward" in vars(block)]
    ways = [block.forward for block in arranged]
    for block in arranged:
        block.forward = inspect.unwrap(block.forward, stop=inspect.ismethod)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block, way in zip(arranged, ways, strict=True):
            block.forward = way  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------------------------------- memory


def save_everything(forward: Forward) -> Forward:
    """Keep whatever backward will want: most memory, nothing twice."""
    return forward


def recompute_block(forward: Forward, **more: Any) -> Forward:
    """Keep a block's input alone, and run the block again in backward: a third more work.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
    """

    @functools.wraps(forward)
    def again(*arguments: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*arguments)
        output: Tensor = checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **more)
        return output

    return again


def recompute_cheap_operations(forward: Forward) -> Forward:
    """Keep what the linear layers and the fused attention gave, and recompute all else: norms, activations, scores.

    The scores of an attention that is written out are products too, but grow with the square of the length: not kept.

    Source: Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", 2022.
    """
    return recompute_block(forward, context_fn=functools.partial(create_selective_checkpoint_contexts, _save_policy))


def _save_policy(context: SelectiveCheckpointContext, operation: Any, *arguments: Any, **more: Any) -> CheckpointPolicy:
    name = operation.name()
    kept = name in ("aten::mm", "aten::addmm") or name.startswith("aten::_scaled_dot_product")
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def offload_activations(forward: Forward, block: nn.Module) -> Forward:
    """Keep in the host's memory what a block saves for backward, its weights apart, and fetch it when backward comes by.

    The copies stand in the device's own queue: no kernel can overtake them, and the host need not wait. They do not overlap
    with the computing, so that a step takes longer by the time of the copies.

    Source: Rhu et al., "vDNN: Virtualized Deep Neural Networks for Scalable, Memory-Efficient Neural Network Design", 2016.
    """

    @functools.wraps(forward)
    def elsewhere(*arguments: Any) -> Tensor:
        weights = {weight.untyped_storage().data_ptr() for weight in block.parameters()}

        def pack(tensor: Tensor) -> tuple[torch.device, Tensor]:
            if tensor.untyped_storage().data_ptr() in weights:
                return tensor.device, tensor
            there = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
            return tensor.device, there.copy_(tensor, non_blocking=tensor.is_cuda)

        def unpack(packed: tuple[torch.device, Tensor]) -> Tensor:
            device, tensor = packed
            return tensor.to(device, non_blocking=True)

        with saved_tensors_hooks(pack, unpack):
            return forward(*arguments)

    return elsewhere


ACTIVATION_CHECKPOINTING: dict[str, Callable[[Forward], Forward]] = {
    "none": save_everything,
    "block": recompute_block,
    "selective": recompute_cheap_operations,
}


# --------------------------------------------------------------------------------------------------------------- time


def compiled(forward: Forward) -> Forward:
    """Kernels made for this very block, in training alone: what validation gains would not pay for another compilation.

    For each shape its own, never one for all that were seen so far: else a resumed run, which sees other shapes first, would
    round otherwise than an unbroken one.

    Source: Ansel et al., "PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode Transformation and Graph
    Compilation", 2024.
    """
    import torch._dynamo  # seconds; only who compiles shall wait for it

    torch._dynamo.config.recompile_limit = 1024  # beyond it torch goes back to uncompiled code, in words that few would see
    faster: Forward = torch.compile(forward, dynamic=False)

    @functools.wraps(forward)
    def when_training(*arguments: Any) -> Tensor:
        return faster(*arguments) if torch.is_grad_enabled() else forward(*arguments)

    return when_training


def _compiles(wanted: str | bool, device: torch.device, steps: int, measured: int | None) -> bool:
    """Whether to compile. By itself only where it pays: on a CPU it never did at the size of these networks (measured)."""
    known = measured is not None or device.type == "cuda"
    if wanted is False or (wanted == "auto" and not (known and steps >= (COMPILE_FROM if measured is None else measured))):
        return False
    missing = missing_compiler(device)
    if missing and wanted is True:
        raise UserError(f"runtime.compile: true wants {missing}, which is not here; false would do")
    return not missing


def missing_compiler(device: torch.device) -> str:
    """What torch needs to make kernels and does not find, in words."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and not shutil.which(compiler):
        return f"the C++ compiler '{compiler}'"
    if device.type == "cuda" and not importlib.util.find_spec("triton"):
        return "the package 'triton'"
    return ""
