"""What happens in a forward pass: every tensor that a named part of the network makes, from what, and in which order.

Modules are watched by hooks. What is no module (queries, an activation, the sum in which a branch meets its stream) is
watched where it passes from one to the next, so that a residual, say, is seen as it runs and not as somebody drew it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pipeline.networks.attention import Attention
from pipeline.networks.positions import Position
from pipeline.networks.residuals import Residual
from pipeline.networks.transformer import GPT, Block, FeedForward

_OPEN = (nn.ModuleList, Residual, Position)  # no parts by themselves: what happens in them is their owner's


@dataclass(frozen=True)
class Call:
    """A part of the network that made a tensor.

    Attributes:
        name: the network's own (blocks.0.attention.project); of what is no module, its owner's and what it is (blocks.0.add).
        kind: its class, or the operation.
        within: the name of the part that it ran in; "" for the network itself.
        inputs: the names of the parts that made what it read, from first to last.
        output: what it made.
        parameters: how many numbers are learned in it.
        detail: what else to know, such as the factor of a product.
    """

    name: str
    kind: str
    within: str
    inputs: tuple[str, ...]
    output: Tensor
    parameters: int = 0
    detail: str = ""


@dataclass
class Trace:
    """A forward pass as it ran.

    Attributes:
        calls: all parts that made something, each before what ran in it. One that hands on what it was given is none of them.
        streams: what entered the first block, and what left each.
        maps: the attention probabilities of each block, [1, H, T, T].
    """

    calls: list[Call] = field(default_factory=list)
    streams: list[Tensor] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)

    def within(self, name: str) -> list[Call]:
        """The parts that ran in a part, in their order."""
        return [call for call in self.calls if call.within == name]

    def __getitem__(self, name: str) -> Call:
        return next(call for call in self.calls if call.name == name)


def trace(model: GPT, ids: Tensor) -> Trace:
    """Run a network on some ids, as it is used, and keep what every part of it makes; the network stays as it was."""
    watch = _Watch(model)
    with torch.no_grad(), watch.taps():
        with watch:
            logits = model(ids)
        watch.note("probabilities", "softmax", (logits,), logits.float().softmax(dim=-1))
    watch.trace.calls = [watch.calls[name] for name in watch.order if name in watch.calls]
    return watch.trace


class _Watch(TorchFunctionMode):
    """Sees every module and every operation of a pass, and knows of each tensor which parts it comes from."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model, self.trace = model, Trace()
        self.order: list[str] = []
        self.calls: dict[str, Call] = {}
        self._running: list[tuple[str, nn.Module]] = [("", model)]
        self._sources: dict[int, tuple[str, ...]] = {}
        self._alive: list[Tensor] = []  # so that no tensor is mistaken for one that lay at its place before

    # ------------------------------------------------------------------------------------------------------ operations

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [one for one in (result if isinstance(result, list | tuple) else [result]) if isinstance(one, Tensor)]
        if made:
            self._ran(func.__name__.strip("_"), (*args, *(kwargs or {}).values()), made)
        return result

    def _ran(self, operation: str, factors: tuple[Any, ...], made: list[Tensor]) -> None:
        given = _tensors(factors)
        if not (sources := self._of(given)):
            return
        owner, module = self._running[-1]
        if isinstance(module, GPT | Block) and not any(made[0] is one for one in given):
            self.note(f"{owner}.{operation}".lstrip("."), operation, given, made[0], detail=self._factor(operation, factors))
        else:  # inside of a part: what comes out of it is no part, but where it came from is not forgotten
            self._from(made, sources)

    def _of(self, given: Iterable[Tensor]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in given for name in self._sources.get(id(one), ())))

    def _from(self, made: Iterable[Tensor], sources: tuple[str, ...]) -> None:
        for one in made:
            self._sources[id(one)] = sources
            self._alive.append(one)

    def _factor(self, operation: str, given: Iterable[Any]) -> str:
        """By what an operation multiplies or divides: a number, or a learned number or vector."""
        said = []
        for one in given:
            if isinstance(one, Tensor) and one.numel() > 1 and id(one) not in self._sources:
                said.append(f"a learned vector {list(one.shape)}")
            elif isinstance(one, int | float) or (isinstance(one, Tensor) and one.numel() == 1):
                said.append(f"{float(one):.3g}")
        return f"{'÷' if 'div' in operation else '×'} {', '.join(said)}" if said else ""

    def note(self, name: str, kind: str, given: Iterable[Tensor], made: Tensor, parameters: int = 0, detail: str = "") -> str:
        """Keep what a part made; the name it goes by."""
        name = self._reserved(name)
        self.calls[name] = Call(name, kind, self._running[-1][0], self._of(given), made, parameters, detail)
        self._from([made], (name,))
        return name

    def _reserved(self, name: str) -> str:
        """A name that is not taken yet (add, then add_1), at this place in the order."""
        taken = sum(other == name or other.rpartition("_")[0] == name for other in self.order)
        self.order.append(name if not taken else f"{name}_{taken}")
        return self.order[-1]

    # --------------------------------------------------------------------------------------------------------- modules

    @contextlib.contextmanager
    def taps(self) -> Iterator[None]:
        """A block in which modules, and what passes between their parts, are watched."""
        hooks = []
        with contextlib.ExitStack() as taps:
            for name, module in self.model.named_modules():
                if name and not isinstance(module, _OPEN):
                    hooks.append(module.register_forward_pre_hook(partial(self._enters, name), with_kwargs=True))
                    hooks.append(module.register_forward_hook(self._leaves, with_kwargs=True))
                if isinstance(module, Attention):
                    taps.enter_context(_put(module, "attend", partial(self._mixing, name, module, module.attend)))
                if isinstance(module, FeedForward):
                    kind, bends = self.model.knobs.activation, module.activation.function
                    bent = partial(self._part, f"{name}.activation", kind, bends, 0)
                    taps.enter_context(_put(module, "activation", replace(module.activation, function=bent)))
            position = self.model.position
            embed = partial(self._part, "position", "position", position.embed, _parameters(position))
            taps.enter_context(_put(position, "embed", embed))
            try:
                yield
            finally:
                for hook in hooks:
                    hook.remove()

    def _enters(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if isinstance(module, Block) and not self.trace.streams:
            self.trace.streams.append(args[0])
        self._running.append((self._reserved(name), module))

    def _leaves(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        name, _ = self._running.pop()
        given = _tensors((*args, *kwargs.values()))
        if isinstance(module, Block):
            self.trace.streams.append(output)
        if any(output is one for one in given):
            return  # dropout at rest, no norm, no mixer
        tied = module is self.model.head and self.model.knobs.tie_embeddings
        learned, detail = (0, "the embedding's matrix") if tied else (_parameters(module), "")
        kind, within = type(module).__name__, self._running[-1][0]
        self.calls[name] = Call(name, kind, within, self._of(given), output, learned, detail)
        self._from([output], (name,))

    # ---------------------------------------------------------------------------------------- what passes between modules

    def _part(self, name: str, kind: str, function: Callable[..., Tensor], learned: int, x: Tensor, *more: Any) -> Tensor:
        """What a function makes, noted as a part of the network if it makes something."""
        self._running.append((name, nn.Identity()))  # what happens in it is its own
        made = function(x, *more)
        self._running.pop()
        if made is not x:
            self.note(name, kind, (x,), made, learned)
        return made

    def _mixing(
        self,
        name: str,
        attention: Attention,
        mix: Callable[..., Tensor],
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor | None = None,
    ) -> Tensor:
        """What attention mixes, noted with what it is given and what it holds back: scores and probabilities."""
        compares, shared = q is not v, attention.heads // attention.kv_heads
        parts = (("q", "queries", q, 1), ("k", "keys", k, shared)) if compares else ()
        for part, kind, tensor, sharing in (*parts, ("v", "values", v, shared)):
            self._from([tensor], (self.note(f"{name}.{part}", kind, (tensor,), tensor[:, ::sharing]),))
        asked: tuple[Tensor, ...] = ()
        if compares:
            asked = (attention.masked_scores(q, k, bias),)
            self.note(f"{name}.scores", "scores", (q, k), asked[0])
        weights = attention.weights(q, k, bias)
        self.note(f"{name}.weights", "softmax" if compares else "even", asked, weights)
        self.trace.maps.append(weights)
        mixed = mix(q, k, v, bias)
        self.note(f"{name}.mixed", "weighted mean", (weights, v), mixed)
        return mixed


@contextlib.contextmanager
def _put(owner: nn.Module, attribute: str, value: Any) -> Iterator[None]:
    """A block in which an object has another attribute of its own."""
    own = vars(owner).get(attribute)
    vars(owner)[attribute] = value
    try:
        yield
    finally:
        if own is None:
            del vars(owner)[attribute]
        else:
            vars(owner)[attribute] = own


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        found += [value] if isinstance(value, Tensor) else _tensors(value) if isinstance(value, list | tuple) else []
    return found


def _parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
