"""How large do activations become from block to block?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.probes.base import Subject
from pipeline.readings import Axis, Reading, finite


def activation_rms(subject: Subject) -> Reading:
    """sqrt(mean x²), over the fixed batch, of what enters the first block and of what leaves each block.

    Healthy: the last is half to some twenty times the first (the default recipe ends near fifteen). Broken: over a hundred
    times, or under a thousandth. Rules of thumb, for want of a calibration on runs known to be sick.

    Source: He et al., "Delving Deep into Rectifiers", 2015: layers must neither enlarge nor shrink a signal.
    """
    streams = _streams(subject)
    sizes = [float(stream.cpu().double().square().mean().sqrt()) for stream in streams]
    return Reading(
        name="activation_rms",
        form="lines",
        quantity="root mean square of the features",
        says="How large the features are after each block. Healthy: the last from half to some 20 times the first;"
        " 100 times as large, or a thousandth, is a scale that has run away.",
        axes=(Axis("step", [subject.step]), Axis("after", ["embedding", *_numbered("block", len(sizes) - 1)])),
        values=finite([sizes]),
        logarithmic=True,
    )


def _streams(subject: Subject) -> list[Tensor]:
    """[B, T, D] before the first block and after each, on the fixed batch."""
    streams: list[Tensor] = []

    def enters(block: nn.Module, inputs: tuple[Any, ...]) -> None:
        streams.append(inputs[0])

    def leaves(block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        streams.append(output)

    blocks = list(subject.blocks)
    hooks = [blocks[0].register_forward_pre_hook(enters), *(block.register_forward_hook(leaves) for block in blocks)]
    try:
        with torch.no_grad(), subject.runtime.autocast():
            subject.model(subject.batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return streams


def _numbered(word: str, count: int) -> list[str]:
    return [f"{word} {number}" for number in range(1, count + 1)]
