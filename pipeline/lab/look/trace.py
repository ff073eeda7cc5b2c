"""A trace of a forward pass: every tensor that a named part of the network outputs, from which inputs, in which order.

Modules are traced by hooks. Tensors that are not the output of a module (queries, the activation function, the sum of a branch
and its residual stream) are traced where they pass from one operation to the next, so the trace shows what really ran.
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

_OPEN = (nn.ModuleList, Residual, Position)  # not parts of their own: their operations belong to their owner


@dataclass(frozen=True)
class Call:
    """A part of the network and its output.

    Attributes:
        name: of the module (blocks.0.attention.project); otherwise the owner's name and the operation (blocks.0.add).
        kind: its class, or the operation.
        within: the name of the part that contains it; "" for the network itself.
        inputs: the names of the parts whose outputs it read, in order.
        output: the tensor.
        parameters: how many it has.
        detail: further information, such as the factor of a product.
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
        calls: all parts, each before those inside it; without those that return their input unchanged.
        streams: the input of the first block, and the output of each.
        maps: the attention probabilities of each block, [1, H, T, T].
    """

    calls: list[Call] = field(default_factory=list)
    streams: list[Tensor] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)

    def within(self, name: str) -> list[Call]:
        """The parts inside a part, in the order of execution."""
        return [call for call in self.calls if call.within == name]

    def __getitem__(self, name: str) -> Call:
        return next(call for call in self.calls if call.name == name)


def trace(model: GPT, ids: Tensor) -> Trace:
    """Run a network on some ids and keep the output of every part; the network stays as it was."""
    watch = _Watch(model)
    with torch.no_grad(), watch.taps():
        with watch:
            logits = model(ids)
        watch.note("probabilities", "softmax", (logits,), logits.float().softmax(dim=-1))
    watch.trace.calls = [watch.calls[name] for name in watch.order if name in watch.calls]
    return watch.trace


class _Watch(TorchFunctionMode):
    """Follows every module and operation of a pass, and knows for each tensor which parts it comes from."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model, self.trace = model, Trace()
        self.order: list[str] = []
        self.calls: dict[str, Call] = {}
        self._running: list[tuple[str, nn.Module]] = [("", model)]
        self._sources: dict[int, tuple[str, ...]] = {}
        self._alive: list[Tensor] = []  # keeps tensors alive, so that no id is used again

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
        else:  # inside a part: the result is not a part of its own, but keeps its sources
            self._from(made, sources)

    def _of(self, given: Iterable[Tensor]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in given for name in self._sources.get(id(one), ())))

    def _from(self, made: Iterable[Tensor], sources: tuple[str, ...]) -> None:
        for one in made:
            self._sources[id(one)] = sources
            self._alive.append(one)

    def _factor(self, operation: str, given: Iterable[Any]) -> str:
        """The factor of a multiplication or division: a number, or a learned number or vector."""
        factors = []
        for one in given:
            if isinstance(one, Tensor) and one.numel() > 1 and id(one) not in self._sources:
                factors.append(f"a learned vector {list(one.shape)}")
            elif isinstance(one, int | float) or (isinstance(one, Tensor) and one.numel() == 1):
                factors.append(f"{float(one):.3g}")
        return f"{'÷' if 'div' in operation else '×'} {', '.join(factors)}" if factors else ""

    def note(self, name: str, kind: str, given: Iterable[Tensor], made: Tensor, parameters: int = 0, detail: str = "") -> str:
        """Keep the output of a part; the name it gets."""
        name = self._reserved(name)
        self.calls[name] = Call(name, kind, self._running[-1][0], self._of(given), made, parameters, detail)
        self._from([made], (name,))
        return name

    def _reserved(self, name: str) -> str:
        """A name that is not taken yet (add, then add_1), at this position in the order."""
        taken = sum(other == name or other.rpartition("_")[0] == name for other in self.order)
        self.order.append(name if not taken else f"{name}_{taken}")
        return self.order[-1]

    # --------------------------------------------------------------------------------------------------------- modules

    @contextlib.contextmanager
    def taps(self) -> Iterator[None]:
        """A block in which modules, and tensors between them, are traced."""
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
            return  # inactive dropout, no norm, no mixer
        tied = module is self.model.head and self.model.knobs.tie_embeddings
        learned, detail = (0, "the embedding's matrix") if tied else (_parameters(module), "")
        kind, within = type(module).__name__, self._running[-1][0]
        self.calls[name] = Call(name, kind, within, self._of(given), output, learned, detail)
        self._from([output], (name,))

    # ---------------------------------------------------------------------------------------- tensors between modules

    def _part(self, name: str, kind: str, function: Callable[..., Tensor], learned: int, x: Tensor, *more: Any) -> Tensor:
        """The output of a function, kept as a part of the network unless it returns its input."""
        self._running.append((name, nn.Identity()))  # its operations belong to it
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
        """The output of attention, kept with its inputs, scores and probabilities."""
        compares, shared = q is not v, attention.heads // attention.kv_heads
        parts = (("q", "queries", q, 1), ("k", "keys", k, shared)) if compares else ()
        for part, kind, tensor, sharing in (*parts, ("v", "values", v, shared)):
            self._from([tensor], (self.note(f"{name}.{part}", kind, (tensor,), tensor[:, ::sharing]),))
        request: tuple[Tensor, ...] = ()
        if compares:
            request = (attention.masked_scores(q, k, bias),)
            self.note(f"{name}.scores", "scores", (q, k), request[0])
        weights = attention.weights(q, k, bias)
        self.note(f"{name}.weights", "softmax" if compares else "uniform", request, weights)
        self.trace.maps.append(weights)
        mixed = mix(q, k, v, bias)
        self.note(f"{name}.mixed", "weighted mean", (weights, v), mixed)
        return mixed


@contextlib.contextmanager
def _put(owner: nn.Module, attribute: str, value: Any) -> Iterator[None]:
    """A block in which an attribute of an object is replaced."""
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
