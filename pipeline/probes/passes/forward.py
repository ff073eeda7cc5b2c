"""The forward pass over the fixed batch, with what enters and leaves each layer on the way; the probes share it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pipeline.engine.runtime.runtime import Runtime
from pipeline.inference.trained import TrainedModel, cached
from pipeline.networks.attention import Attention
from pipeline.networks.positions import Position
from pipeline.networks.transformer import GPT, AttentionBlock
from pipeline.probes.passes.layers import layers
from pipeline.tasks.base import IGNORED

CELLS = 2**20  # attention probabilities that are held at once: 4 MB
ROWS = 512  # of logits at once: 4 MB of a vocabulary of 2,048


@dataclass(frozen=True)
class AttentionInput:
    """What enters the attention of a layer, from which scores and probabilities are computed again, some examples at a time.

    Attributes:
        real: which places are not padding; None where there is no padding.
    """

    attention: Attention
    x: Float[Tensor, "B T D"]
    position: Position
    runtime: Runtime
    real: Bool[Tensor, "B T"] | None = None

    def maps(self) -> Iterator[Float[Tensor, "b H T T"]]:
        """The attention probabilities [example, head, query, key], some examples at a time."""
        for part in self._parts():
            with torch.no_grad(), self.runtime.autocast():
                maps = self.attention.maps(self.x[part], self.position, None if self.real is None else self.real[part])
            yield maps.float()

    def scores(self) -> Iterator[Float[Tensor, "b H T T"]]:
        """The scores q · k · scale, some examples at a time; nothing for an attention without scores, such as `average`."""
        for part in self._parts():
            with torch.no_grad(), self.runtime.autocast():
                scores = self.attention.scores(self.x[part], self.position)
            if scores is not None:
                yield scores.float()

    def visible(self) -> Iterator[Bool[Tensor, "_ T T"]]:
        """Which keys (columns) each query may attend to, in the same parts; padding neither attends nor is attended to.

        One map for all examples where none has padding.
        """
        length = self.x.shape[1]
        seen = self.attention.visible(length, length, self.x.device)[None]
        for part in self._parts():
            yield seen if self.real is None else seen & self.real[part, None, :] & self.real[part, :, None]

    def _parts(self) -> Iterator[slice]:
        examples, length = self.x.shape[:2]
        size = max(1, CELLS // (self.attention.heads * length**2))
        return (slice(first, first + size) for first in range(0, examples, size))


@dataclass(frozen=True)
class Predictions:
    """What the probes read of logits, which are too large to keep: 32 MB for 32 sequences of 128 tokens out of 2,048.

    Attributes:
        log_partition: log Z of each prediction of all examples, one after another, in nats.
        losses: the cross-entropy of each, in nats; 0 for targets that do not count.
    """

    log_partition: Float[Tensor, " N"]
    losses: Float[Tensor, " N"]

    @classmethod
    def of(cls, logits: Iterable[Float[Tensor, "n V"]], targets: Int[Tensor, "B ..."]) -> Predictions:
        """Of logits in pieces, in the order of the targets."""
        log_partition, losses, first = list[Tensor](), list[Tensor](), 0
        for some in logits:
            target = targets.flatten()[first : first + len(some)]
            log_partition.append(some.float().logsumexp(dim=-1))
            losses.append(F.cross_entropy(some.float(), target, reduction="none", ignore_index=IGNORED))
            first += len(some)
        return cls(torch.cat(log_partition), torch.cat(losses))


@dataclass(frozen=True)
class Forward:
    """What enters and leaves each layer on some examples.

    Attributes:
        streams: the features before the first layer, and after each.
        attention: what enters the attention of each layer.
        hidden: the features of each layer behind its activation function.
        predictions: of the output, once, where targets were given.
    """

    streams: list[Float[Tensor, "B _ _"]] = field(default_factory=list)
    attention: list[AttentionInput] = field(default_factory=list)
    hidden: list[Float[Tensor, "B _ _"]] = field(default_factory=list)
    predictions: list[Predictions] = field(default_factory=list)

    def without_padding(self, features: Float[Tensor, "B T D"]) -> Float[Tensor, "N D"]:
        """The features at all places of all examples, one after another, except padding."""
        real = self.attention[0].real if self.attention else None
        return features.flatten(0, 1) if real is None else features[real]


def run(trained: TrainedModel, inputs: Tensor, targets: Tensor | None = None) -> Forward:
    """One forward pass, without dropout, recorded by hooks.

    Args:
        targets: of the predictions that are to be read, too.
    """
    trace = Forward()

    def record_attention(attention: Attention, given: tuple[Any, ...]) -> None:
        real = given[3] if len(given) > 3 else None
        trace.attention.append(AttentionInput(attention, given[0], given[1], trained.runtime, real))

    def record_input(module: nn.Module, given: tuple[Any, ...]) -> None:
        trace.streams.append(given[0])

    def record_hidden(module: nn.Module, given: tuple[Any, ...]) -> None:
        trace.hidden.append(given[0])

    def record_output(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        trace.streams.append(output)

    every = layers(trained)
    hooks = [layer.first.register_forward_pre_hook(record_input) for layer in every[:1]]
    for layer in every:
        if isinstance(layer.first, AttentionBlock):
            hooks.append(layer.first.attention.register_forward_pre_hook(record_attention))
        hooks.append(layer.hidden_to.register_forward_pre_hook(record_hidden))
        hooks.append(layer.last.register_forward_hook(record_output))
    try:
        with torch.no_grad(), trained.runtime.autocast():
            logits = _logits(trained.model, inputs)
            if targets is not None:
                trace.predictions.append(Predictions.of(logits, targets))
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def _logits(model: nn.Module, inputs: Tensor) -> Iterator[Float[Tensor, "n V"]]:
    """The logits of all predictions, once the pass through the layers is done; those of a language model a few at a time."""
    if not isinstance(model, GPT):
        return iter([model(inputs)])
    features = model.features(inputs).flatten(0, 1)
    return (model.logits(some) for some in features.split(ROWS))


@cached
def forward(trained: TrainedModel) -> Forward:
    """The pass over the fixed batch."""
    return run(trained, trained.batch.inputs, trained.batch.targets)
