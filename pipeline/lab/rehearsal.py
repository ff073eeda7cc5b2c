"""A training step rehearsed without data: what it holds in memory and how many FLOPs it does, before anything is allocated.

The step is the real one (`engine.loop.update`, on the real network, loss and optimizer), its tensors have shapes and no
content. So every knob counts as it will, also one that is newer than this file; nothing is known here of what
an activation keeps for backward, or what an optimizer remembers.
"""

from __future__ import annotations

import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import update
from pipeline.engine.optimizers import OPTIMIZERS
from pipeline.engine.runtime import Runtime, Scaler
from pipeline.networks.dropout import Noise
from pipeline.params import Params
from pipeline.tasks.base import Batch, Loss
from pipeline.tasks.lm import LanguageModelling

PARTS = ("weights", "gradients", "optimizer", "batch", "activations", "logits", "temporaries")
PHASES = ("forward", "backward", "update")


@dataclass(frozen=True)
class Rehearsal:
    """What one step of a training takes.

    Attributes:
        parameters: numbers to learn, by the part of the network that they belong to.
        multiplied: parameters of the matrices that every token is multiplied by.
        peak: bytes by part at the moment of the step at which most is held.
        kept: bytes that the forward pass of a micro-batch leaves for the backward pass, logits among them.
        state: bytes of the optimizer's memory.
        flops: of the matrix products, by phase of the step.
    """

    parameters: Mapping[str, int]
    multiplied: int
    peak: Mapping[str, int]
    kept: int
    state: int
    flops: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """Held at the peak."""
        return sum(self.peak.values())

    @property
    def saved(self) -> int:
        """Bytes that a checkpoint keeps: weights, which are float32, and the optimizer's memory."""
        return 4 * sum(self.parameters.values()) + self.state


def rehearse(params: Params, vocabulary: int, *, precision: str, on_card: bool) -> Rehearsal:
    """A step as it would be on the CPU, or on a CUDA card (which need not be there).

    On a card 16-bit attention is one fused kernel. Shapes pretend to be on the CPU all the same, because torch without CUDA cannot
    pretend otherwise; float16, for which the CPU's fused kernel is used too, stands in for bfloat16: as many bytes.

    Args:
        precision: float32, bfloat16 or float16: what `auto` comes to there.
    """
    stand_in = "float16" if on_card and precision == "bfloat16" else precision
    runtime = Runtime(params.runtime.model_copy(update={"device": "cpu"}), stand_in)
    ledger = Ledger(vocabulary, granularity=512 if on_card else 1)
    with FakeTensorMode() as fake, ledger:
        task = WithoutData(params, vocabulary, ledger, fake)
        with ledger.phase("build"):
            model = task.build(torch.Generator().manual_seed(params.seed))
        ledger.follow(model)
        with ledger.phase("remember"):
            optimizer = OPTIMIZERS[params.train.optimizer](dict(model.named_parameters()), params.train)
        progress = Progress(model, optimizer, AfterBackward(ledger))
        for _ in range(2):  # what an optimizer begins to remember in its first step is there in the second
            ledger.restart()
            update(progress, task, params.train, params.seed, runtime, lambda: False)
            progress.recent.clear()
        state = {id(memory): memory for memory in optimizer.state().values()}
    by_part, multiplied = count_parameters(model)
    return Rehearsal(
        parameters=by_part,
        multiplied=multiplied,
        peak=ledger.peak,
        kept=ledger.kept,
        state=sum(memory.nbytes for memory in state.values()),
        flops={phase: ledger.flops[phase] for phase in PHASES},
    )


def count_parameters(model: nn.Module) -> tuple[dict[str, int], int]:
    """Parameters by part of the network (a shared one once), and how many stand in matrices that every token is multiplied by."""
    parts: Counter[str] = Counter()
    for name, weight in model.named_parameters():
        parts[re.sub(r"^blocks\.\d+\.(\w+).*", r"\1", name).split(".")[0]] += weight.numel()
    multiplied = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    return dict(parts), multiplied


class Ledger(TorchDispatchMode):
    """Keeps account of every tensor's memory while it lives, and of the FLOPs of every operation.

    Args:
        vocabulary: by which logits, and what is as large, are told from other activations.
        granularity: bytes that the allocator rounds up to.
    """

    def __init__(self, vocabulary: int, granularity: int) -> None:
        super().__init__()
        self.vocabulary, self.granularity = vocabulary, granularity
        self.now: Counter[str] = Counter()
        self.owner: dict[int, list[str]] = {}
        self.current = "build"
        self.restart()

    def restart(self) -> None:
        """Forget the peak and the FLOPs so far, not what is held."""
        self.peak, self.flops, self.kept, self.highest = dict.fromkeys(PARTS, 0), Counter[str](), 0, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is ever compiled, and to skip the compiler torch would import it: a second

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        before, self.current = self.current, name
        yield
        self.current = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if count := FLOPS.get(func._overloadpacket):
            self.flops[self.current] += count(*args, **kwargs, out_val=result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._enter(leaf)
        return result

    def _enter(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self.owner:
            return
        size = -(-storage.nbytes() // self.granularity) * self.granularity
        place = [self._part(tensor)]
        self.owner[storage._cdata] = place
        weakref.finalize(storage, self._leave, storage._cdata, size, place)
        self.now[place[0]] += size
        if (total := self.now.total()) > self.highest:
            self.highest, self.peak = total, {part: self.now[part] for part in PARTS}

    def _leave(self, key: int, size: int, place: list[str]) -> None:
        del self.owner[key]
        self.now[place[0]] -= size

    def _part(self, tensor: Tensor) -> str:
        if self.current in ("forward", "backward") and tensor.ndim >= 2 and tensor.shape[-1] == self.vocabulary:
            return "logits"
        return WHOSE[self.current]

    def move(self, tensor: Tensor, part: str) -> None:
        """Book a tensor elsewhere, now that it is known what it is."""
        storage = tensor.untyped_storage()
        place = self.owner[storage._cdata]
        size = -(-storage.nbytes() // self.granularity) * self.granularity
        self.now[place[0]] -= size
        self.now[part] += size
        place[0] = part

    def follow(self, model: nn.Module) -> None:
        """See what becomes the gradient of a weight."""
        for weight in model.parameters():
            weight.register_post_accumulate_grad_hook(self._has_gradient)

    def _has_gradient(self, weight: Tensor) -> None:
        assert weight.grad is not None
        self.move(weight.grad, "gradients")


WHOSE = {
    "build": "weights",
    "remember": "optimizer",
    "batch": "batch",
    "forward": "activations",
    "backward": "temporaries",
    "update": "temporaries",
}


class WithoutData(LanguageModelling):
    """Language modelling on ids that nobody has drawn: a batch has a shape and no content."""

    def __init__(self, params: Params, vocabulary: int, ledger: Ledger, fake: FakeTensorMode) -> None:
        super().__init__(Path(), params.model, vocabulary)
        self.ledger, self.fake = ledger, fake

    def size(self, split: str) -> int:
        return 1

    def batch(self, split: str, rows: np.ndarray) -> Batch:
        with self.ledger.phase("batch"):
            windows = torch.zeros((len(rows), self.model.length + 1), dtype=torch.int64)
            return Uncounted(windows[:, :-1], windows[:, 1:].clone())

    def loss(self, model: nn.Module, batch: Batch, noise: Noise | None = None) -> Loss:
        with self.ledger.phase("forward"):
            loss = super().loss(model, batch, noise)
        self.ledger.current = "backward"
        self.ledger.kept = max(self.ledger.kept, self.ledger.now["activations"] + self.ledger.now["logits"])
        return loss


class Uncounted(Batch):
    """A batch all of whose targets count; without content they could not be counted."""

    @property
    def count(self) -> int:
        return self.targets.numel()


class AfterBackward(Scaler):
    """A scaler that does nothing but tell the ledger that the gradients are whole."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(enabled=False)
        self.ledger = ledger

    def unscale(self, model: nn.Module) -> bool:
        self.ledger.current = "update"
        return True


def _attention_on_cpu(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_on_cpu_backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    # As in the closed form 6N + 12LdT, and as without a fused kernel: its second look at the scores is no progress.
    return 2 * sdpa_flop_count(query.shape, key.shape, value.shape)


# torch counts no FLOPs of its CPU kernel for attention (pytorch issue 195460).
FLOPS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_on_cpu,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_on_cpu_backward,
}
