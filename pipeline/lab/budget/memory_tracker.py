"""A tracker of the memory and FLOPs of tensor code that runs on fake tensors."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

PARTS = ("weights", "gradients", "optimizer", "batch", "activations", "logits", "temporaries")
PHASES = ("forward", "backward", "update")


class MemoryTracker(TorchDispatchMode):
    """Tracks the memory of every tensor while it lives, and the FLOPs of every operation.

    Args:
        vocabulary: the last dimension by which logits are recognized.
        granularity: bytes that the allocator rounds up to.
    """

    def __init__(self, vocabulary: int, granularity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.vocabulary, self.granularity = vocabulary, granularity
        self.now: Counter[str] = Counter()
        self.owner: dict[int, list[str]] = {}
        self.current = "remember"
        self.restart()

    def restart(self) -> None:
        """Reset the peak and the FLOPs, not the memory in use."""
        self.peak, self.flops, self.kept, self.highest = dict.fromkeys(PARTS, 0), Counter[str](), 0, 0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        before, self.current = self.current, name
        yield
        self.current = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:  # a number read from a fake tensor, such as the optimizer's step
            return 1.0 if args[0].is_floating_point() else True if args[0].dtype == torch.bool else 1
        result = func(*args, **kwargs)
        if count := _FLOPS.get(func._overloadpacket):
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
        return PART_OF_PHASE[self.current]

    def move(self, tensor: Tensor, part: str) -> None:
        """Move a tensor to another part, now that its role is known."""
        storage = tensor.untyped_storage()
        place = self.owner[storage._cdata]
        size = -(-storage.nbytes() // self.granularity) * self.granularity
        self.now[place[0]] -= size
        self.now[part] += size
        place[0] = part

    def track_gradients(self, model: nn.Module) -> None:
        """Track which tensors become gradients of weights."""
        for weight in (weight for weight in model.parameters() if weight.requires_grad):
            weight.register_post_accumulate_grad_hook(self._has_gradient)

    def _has_gradient(self, weight: Tensor) -> None:
        assert weight.grad is not None
        self.move(weight.grad, "gradients")


PART_OF_PHASE = {
    "build": "weights",
    "remember": "optimizer",
    "batch": "batch",
    "forward": "activations",
    "backward": "temporaries",
    "update": "temporaries",
}


def _attention_on_cpu(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_on_cpu_backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    # As in the closed form 6N + 12LdT, and as without a fused kernel, which computes the scores a second time.
    return 2 * sdpa_flop_count(query.shape, key.shape, value.shape)


# torch counts no FLOPs of its CPU kernel for attention (pytorch issue 195460).
_FLOPS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_on_cpu,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_on_cpu_backward,
}
