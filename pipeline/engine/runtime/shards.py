"""Processes of one training that keep a part of the rows of each weight, of its gradient and of its state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.engine.runtime.company import Company
from pipeline.params.errors import UserError
from pipeline.processes import Place, ProcessLost


class Shards(Company):
    """The processes of a training that is sharded: each has its rows of every weight, and updates these alone.

    A weight of n rows has ceil(n / size) of them in each process but the last ones, which may have fewer or none.

    Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020; Zhao et al.,
    "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", 2023.

    Raises:
        UserError: torch cannot shard on this device.
    """

    def __init__(self, place: Place, device: torch.device, check: Callable[[], None] = lambda: None) -> None:
        if device.type not in ("cpu", "cuda"):
            raise UserError(f"runtime.shard: true needs the device cpu or cuda, not {device.type}; use false")
        super().__init__(place, device, check)
        if device.type != self.messages.type:
            raise UserError(
                f"runtime.shard: true needs a card for each process; here are {torch.cuda.device_count()} cards for"
                f" {place.local_size} processes. Use as many processes as cards, or false"
            )
        self.shapes: dict[str, torch.Size] = {}  # of the whole weights

    def unsummed(self, loss: Tensor, gradients: list[Tensor]) -> list[Tensor]:
        return [loss]  # backward sums the gradients

    def parts(self, count: int) -> int:
        return -(-count // self.size) * self.size  # a forward pass needs all processes

    def norm(self, tensors: list[Tensor]) -> Tensor:
        """The norm of all numbers of tensors of which each process has a part.

        Raises:
            ProcessLost: another process has ended.
        """
        squares = super().norm(tensors).square()
        self.add([squares], stop=False)
        return squares.sqrt()

    def any(self, wanted: bool) -> bool:
        """Whether any process wants something.

        Raises:
            ProcessLost: another process has ended.
        """
        return self.add([torch.zeros((), device=self.device)], wanted)

    def whole_shapes(self, names: Sequence[str], weights: Sequence[Tensor]) -> list[torch.Size]:
        return [self.shapes[name] for name in names]

    def of_stacks(
        self, stacks: Sequence[list[Tensor]], shapes: Sequence[torch.Size], compute: Callable[[Tensor], Tensor]
    ) -> Iterator[Tensor]:
        """The own rows of what `compute` makes of stacks of whole matrices; the processes take turns to compute.

        A process gets the rows of a stack from all, computes, and gives each its rows of the result.
        """
        wholes: dict[int, Tensor] = {}
        for turn, (stack, (count, rows, _)) in enumerate(zip(stacks, shapes, strict=True)):
            own = torch.stack([self._padded(matrix, rows) for matrix in stack])
            if (gathered := self._gathered(own, turn % self.size)) is not None:
                wholes[turn] = torch.cat(gathered, dim=1)[:, :rows]
                assert wholes[turn].shape == shapes[turn] and len(stack) == count
        results = {turn: compute(whole) for turn, whole in wholes.items()}
        for turn, (stack, (count, rows, columns)) in enumerate(zip(stacks, shapes, strict=True)):
            each = -(-rows // self.size)
            mine = torch.empty(count, each, columns, device=self.messages)
            parts = None
            if turn in results:
                padded = torch.nn.functional.pad(results[turn].float(), (0, 0, 0, each * self.size - rows))
                parts = [part.contiguous() for part in padded.split(each, dim=1)]
            with self._talking():
                dist.scatter(mine, parts, src=turn % self.size)
            yield mine[:, : len(stack[0])]

    def splits(self, name: str, state: Tensor) -> bool:
        """Whether a tensor of the optimizer, named `kind.weight`, has a row for each row of its weight."""
        return state.ndim > 0 and name.partition(".")[2] in self.shapes

    def own_rows(self, whole: Tensor) -> Tensor:
        """The rows of a whole tensor that this process keeps; a view."""
        each = -(-len(whole) // self.size)
        return whole[self.rank * each : (self.rank + 1) * each]

    def first_gathers(self, own: Tensor, rows: int) -> Tensor | None:
        """The whole tensor of `rows` rows on the CPU, of whose rows each process passes its own; None but in the first."""
        gathered = self._gathered(self._padded(own, rows), 0)
        return None if gathered is None else torch.cat([part.cpu() for part in gathered])[:rows]

    def _padded(self, own: Tensor, rows: int) -> Tensor:
        """Own rows with zeros after them, as many as each process but the last ones has."""
        missing = -(-rows // self.size) - len(own)
        return torch.cat((own, own.new_zeros(missing, *own.shape[1:]))) if missing else own

    def _gathered(self, own: Tensor, to: int) -> list[Tensor] | None:
        """The tensors of all processes, in one of them; None in the others."""
        own = own.detach().to(self.messages).contiguous()
        gathered = [torch.empty_like(own) for _ in range(self.size)] if self.rank == to else None
        with self._talking():
            dist.gather(own, gathered, dst=to)
        return gathered

    @contextlib.contextmanager
    def talking(self) -> Iterator[None]:
        """A block in which torch exchanges messages.

        Raises:
            ProcessLost: another process has ended.
        """
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, dist.DistBackendError) or "gloo" in str(error):
                with self._talking():
                    raise
            raise

    @contextlib.contextmanager
    def _talking(self, whole: bool = False) -> Iterator[None]:
        """A block in which messages are exchanged; without one of the processes the state is never whole."""
        try:
            with super()._talking():
                yield
        except ProcessLost as lost:
            lost.whole = False
            raise
