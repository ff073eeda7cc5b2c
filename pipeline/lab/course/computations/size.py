"""How large a network is: its weights counted by building it, and the shape of what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.lab.course.computations.base import Result
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.networks.transformer import GPT


def weights(base: BaseParams, knobs: Mapping[str, Any], vocabulary: int) -> Result:
    """How many weights a network has, in all and by part."""
    model = _built(base, knobs, vocabulary)
    parts: dict[str, int] = {}
    for name, weight in model.named_parameters():
        part = " ".join(name.split(".")[: 3 if name.startswith("blocks") else 1])
        parts[part] = parts.get(part, 0) + weight.numel()
    whole = sum(parts.values())
    lines = [f"{part:32} {count:>12,}" for part, count in parts.items()]
    return Result({"weights": whole}, [*lines, f"{'all weights':32} {whole:>12,}"])


def attention_weights(base: BaseParams, knobs: Mapping[str, Any], vocabulary: int, tokens: int) -> Result:
    """How many attention weights one forward pass computes, and how many features."""
    import torch

    from pipeline.lab.look.trace import trace

    model = _built(base, {**knobs, "model.context_length": 2 * tokens}, vocabulary)
    counts, lines = {}, []
    for length in (tokens, 2 * tokens):
        seen = trace(model, torch.arange(length)[None] % vocabulary)
        shapes = {name: list(seen[f"blocks.0.attention.{name}"].output.shape) for name in ("weights", "mixed")}
        numbers = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
        counts[length] = numbers["weights"]
        lines += [
            f"{length:,} tokens: attention weights {shapes['weights']} = {numbers['weights']:,},"
            f" what the heads pass on {shapes['mixed']} = {numbers['mixed']:,}"
        ]
    return Result({"numbers": counts[tokens], "doubled": counts[2 * tokens] / counts[tokens]}, lines)


def _built(base: BaseParams, knobs: Mapping[str, Any], vocabulary: int) -> GPT:
    import torch

    from pipeline.networks.attention import set_attention_kernel
    from pipeline.networks.transformer import GPT

    params = parse(Params, with_knobs(base.sections, {"task.kind": "language", **knobs}))
    model = GPT(params.model, vocabulary, torch.Generator().manual_seed(params.seed))
    set_attention_kernel(model, "eager")
    return model
