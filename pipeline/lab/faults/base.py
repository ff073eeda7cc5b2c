"""What a fault is, and the training that it is put into.

Where knobs can do it, knobs do it. The other faults are mistakes in code; here they are made in the objects of one training
(its task, network, optimizer, scaler), so that the rest of the code holds no switch for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.engine.checkpoint import Progress
from pipeline.networks.attention import Attention
from pipeline.networks.transformer import GPT, Block
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.tasks.lm import LanguageModelling


@dataclass
class Training:
    """A training before its first step, with all the objects that a fault can be put into."""

    params: Params
    progress: Progress
    task: LanguageModelling

    @property
    def network(self) -> GPT:
        assert isinstance(self.progress.model, GPT)
        return self.progress.model

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self.network.blocks if isinstance(block, Block)]

    @property
    def attentions(self) -> list[Attention]:
        return [module for module in self.network.modules() if isinstance(module, Attention)]


def nothing(training: Training) -> None:
    """Knobs alone do it."""


@dataclass(frozen=True)
class Fault:
    """A way to make a healthy training sick.

    Attributes:
        description: what is done.
        cause: the entry of CAUSES that the doctor should name.
        knobs: the knobs that are set, by name ("train.lr").
        factors: the knobs that are multiplied.
        inject: what is spoilt in the training once it is built with those knobs.
    """

    description: str
    cause: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    inject: Callable[[Training], None] = nothing

    def overridden(self, params: Params) -> Params:
        """The params of a healthy training with the fault's knobs."""
        sections = params.model_dump()
        scaled = {}
        for name, factor in self.factors.items():
            section, _, knob = name.partition(".")
            scaled[name] = sections[section][knob] * factor
        return parse(Params, with_knobs(sections, {**self.knobs, **scaled}))


def wrap_method(owner: object, method: str, wrap: Callable[[Any], Any]) -> None:
    """Replace a method of one object, not of its class, by what `wrap` returns for it."""
    setattr(owner, method, wrap(getattr(owner, method)))
