"""How many bytes a computation holds: of what is alive at once, and of what autograd was asked to save."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Alive(TorchDispatchMode):
    """Follows every storage that is made while it looks, from its birth to its end.

    Attributes:
        now, peak: bytes alive at the moment, and the most there were.
    """

    def __init__(self, apart: nn.Module) -> None:
        """Storages of `apart`, the network itself, are not counted."""
        super().__init__()
        self.now = self.peak = 0
        self.known: dict[int, object] = {id(weight.untyped_storage()): weight for weight in apart.parameters()}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and id(tensor.untyped_storage()) not in self.known:
                self._born(tensor.untyped_storage())
        return made

    def _born(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()

        def ends(reference: object) -> None:
            self.now -= size
            del self.known[key]

        self.known[key] = weakref.ref(storage, ends)
        self.now += size
        self.peak = max(self.peak, self.now)


@contextlib.contextmanager
def saved(apart: Iterable[Tensor]) -> Iterator[dict[int, int]]:
    """What autograd saves within: bytes by storage, those of some weights apart."""
    seen: dict[int, int] = {}
    weights = {weight.untyped_storage().data_ptr() for weight in apart}
    kept: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        if (storage := tensor.untyped_storage()).data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield seen
