"""The sum of gradients over the processes of one training, whose bytes do not depend on how many processes there are."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.params.errors import UserError
from pipeline.processes import LOOK, ONLY, Place, ProcessLost

T = TypeVar("T")
TIMEOUT = timedelta(days=1)  # of a message: the first process may wait for another run; who has died is noticed at once


class Tree:
    """The sum of lists of tensors as a binary tree: neighbours are added first, then neighbouring sums, and so on.

    Floating-point sums depend on their order; this order depends on the number of leaves alone, a power of two. The sum of
    the leaves of one process is a branch of the tree, so the branches can be computed anywhere.
    """

    def __init__(self) -> None:
        self.branches: list[tuple[int, list[Tensor]]] = []  # (number of leaves, their sum), larger ones first

    def add(self, leaf: list[Tensor]) -> None:
        """Add the next leaf; its tensors may be changed."""
        leaves = 1
        while self.branches and self.branches[-1][0] == leaves:
            left = self.branches.pop()[1]
            torch._foreach_add_(left, leaf)
            leaf, leaves = left, 2 * leaves
        self.branches.append((leaves, leaf))

    def total(self) -> list[Tensor]:
        """The sum of all leaves."""
        [(_, total)] = self.branches
        return total


class Company:
    """The processes that compute one training together.

    Every process draws the whole batch, computes its own slots of it, and makes the same update.

    Args:
        place: of this process.
        device: on which it computes.
        check: called while it waits for the others to come; raises an error if one of them has ended.

    Attributes:
        rank: 0 .. size - 1; the process of rank 0 writes all files.
        size: the number of processes.
        lost: whether one of the others has ended too early.
    """

    def __init__(self, place: Place, device: torch.device, check: Callable[[], None] = lambda: None) -> None:
        self.rank, self.size, self.lost = place.rank, place.size, False
        self.device, self.messages = device, torch.device("cpu")  # where results are wanted; where messages must be
        if self.size == 1:
            return
        backend = "gloo"
        if device.type == "cuda" and place.local_size <= torch.cuda.device_count():  # NCCL wants a card for each process
            backend, self.messages = "nccl", device
        with self._talking():
            if not place.meeting:
                dist.init_process_group(backend, timeout=TIMEOUT)
                return
            store = dist.FileStore(place.meeting, self.size)  # type: ignore[attr-defined]
            store.set(f"here {self.rank}", "")
            while not store.check([f"here {rank}" for rank in range(self.size)]):
                check()
                time.sleep(LOOK)
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=TIMEOUT)

    def share(self, slots: Sequence[T]) -> Sequence[T]:
        """The slots of this process, neighbours; their number is a power of two and at least that of the processes."""
        each = len(slots) // self.size
        return slots[self.rank * each : (self.rank + 1) * each]

    def turns(self, count: int) -> range:
        """The own ones of a number of tasks, which the processes take in turns."""
        return range(self.rank, count, self.size)

    def parts(self, count: int) -> int:
        """How many parts to make of something that `count` parts suffice for; the processes take them in turns."""
        return count

    def unsummed(self, loss: Tensor, gradients: list[Tensor]) -> list[Tensor]:
        """Of the loss and the gradients of the own slots, those that are to be added over all processes."""
        return [loss, *gradients]

    def norm(self, tensors: list[Tensor]) -> Tensor:
        """The norm of all numbers of some tensors."""
        return torch.stack(torch._foreach_norm(tensors)).norm()

    def add(self, tensors: list[Tensor], stop: bool) -> bool:
        """Add tensors of one type over all processes, in place; whether any process wants to stop (the sum is then useless).

        The sums of neighbours are exchanged and added, then those of neighbouring pairs, and so on. `a + b` and `b + a` have
        the same bits, so every process has the same sum. An all-reduce has another order for each number of processes.

        Raises:
            ProcessLost: another process has ended.
        """
        if self.size == 1:
            return stop
        total = torch.cat([*(tensor.flatten() for tensor in tensors), tensors[0].new_full((1,), float(stop))]).to(self.messages)
        distance = 1
        while distance < self.size:
            total += self._exchanged(total, self.rank ^ distance)
            distance *= 2
        *sums, stops = total.to(tensors[0].device).split([*(tensor.numel() for tensor in tensors), 1])
        # Copied back, so that later sums find the memory layout that a single process has.
        torch._foreach_copy_(tensors, [sum_.view(tensor.shape) for tensor, sum_ in zip(tensors, sums, strict=True)])
        return bool(stops)

    def each(self, shapes: Sequence[torch.Size], compute: Callable[[int], Tensor]) -> Iterator[Tensor]:
        """The results of `compute(0)`, `compute(1)`, …, in order; the processes take turns to compute them.

        Args:
            shapes: of the results, which are float32.

        Raises:
            ProcessLost: another process has ended.
        """
        if len(shapes) < self.size or self.size == 1:  # too few to be shared
            yield from map(compute, range(len(shapes)))
            return
        owned = [[shapes[index] for index in range(rank, len(shapes), self.size)] for rank in range(self.size)]
        lengths = [[shape.numel() for shape in each] for each in owned]
        packed = torch.zeros(max(map(sum, lengths)), device=self.messages)
        own = lengths[self.rank]
        for place, index in zip(packed[: sum(own)].split(own), self.turns(len(shapes)), strict=True):
            place.copy_(compute(index).flatten())
        gathered = [torch.empty_like(packed) for _ in range(self.size)]
        with self._talking(whole=False):
            dist.all_gather(gathered, packed)
        parts = [iter(one[: sum(sizes)].split(sizes)) for one, sizes in zip(gathered, lengths, strict=True)]
        for index, shape in enumerate(shapes):
            yield next(parts[index % self.size]).view(shape).to(self.device)

    def whole_shapes(self, names: Sequence[str], weights: Sequence[Tensor]) -> list[torch.Size]:
        """The shapes of whole weights."""
        return [weight.shape for weight in weights]

    def of_stacks(
        self, stacks: Sequence[list[Tensor]], shapes: Sequence[torch.Size], compute: Callable[[Tensor], Tensor]
    ) -> Iterator[Tensor]:
        """What `compute` makes of stacks of matrices, of these shapes and float32; the processes take turns to compute.

        Raises:
            ProcessLost: another process has ended.
        """
        return self.each(shapes, lambda place: compute(torch.stack(stacks[place])))

    def agree(self, what: str, value: str) -> None:
        """Compare a value between all processes.

        Args:
            what: the value, in words.

        Raises:
            UserError: it differs.
        """
        if self.size == 1:
            return
        mine = torch.tensor(list(hashlib.sha256(value.encode()).digest()), dtype=torch.uint8, device=self.messages)
        found = [torch.empty_like(mine) for _ in range(self.size)]
        with self._talking():
            dist.all_gather(found, mine)
        if others := [str(rank) for rank in range(1, self.size) if not torch.equal(found[rank], found[0])]:
            raise UserError(
                f"train: process {', '.join(others)} of {self.size} has another {what} than process 0; use the same commit,"
                " parameters, data, packages and kind of processor everywhere"
            )

    def from_first(self, content: bytes) -> bytes:
        """What the process of rank 0 passes here, for all of them."""
        if self.size == 1:
            return content
        length = torch.tensor([len(content)], device=self.messages)
        with self._talking():
            dist.broadcast(length, 0)
            message = torch.empty(int(length), dtype=torch.uint8, device=self.messages)
            if self.rank == 0 and content:
                message.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
            if int(length):
                dist.broadcast(message, 0)
        return message.cpu().numpy().tobytes()

    def close(self) -> None:
        """Leave the others, in whatever way the training has ended.

        Without it the threads of the connection outlive Python, and now and then abort the process (SIGABRT) at its exit.
        """
        if self.size == 1 or not dist.is_initialized():
            return
        if self.lost and self.messages.type == "cuda" and dist.group.WORLD is not None:
            dist.group.WORLD.abort()  # NCCL would wait for those that have ended
        dist.destroy_process_group()

    def _exchanged(self, mine: Tensor, partner: int) -> Tensor:
        """The tensor of another process, which gets this one's."""
        theirs = torch.empty_like(mine)
        with self._talking():
            pair = [dist.P2POp(dist.isend, mine, partner), dist.P2POp(dist.irecv, theirs, partner)]
            for message in dist.batch_isend_irecv(pair):
                message.wait()
        return theirs

    @contextlib.contextmanager
    def _talking(self, whole: bool = True) -> Iterator[None]:
        """A block in which messages are exchanged.

        Raises:
            ProcessLost: another process has ended.
        """
        try:
            yield
        except RuntimeError as error:  # a closed connection
            self.lost = True
            why = re.sub(r"^\[\S*\] ", "", str(error))  # without torch's place of the error
            raise ProcessLost(why.partition("\n")[0].partition(". ")[0], whole) from error


ALONE = Company(ONLY, torch.device("cpu"))
