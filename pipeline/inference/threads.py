"""Threads in which a model is read: pieces of work at once, so that the threads of torch need not wait for each other."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Workers:
    """Threads that work at once: on a CPU one for each thread that torch has, for a card one.

    Two threads that share a small operation wait for each other at its end, some hundred times a pass; two that have a
    piece of work each do not (docs/benchmarks.md).

    The work must not depend on other work. Contexts of PyTorch, such as `inference_mode`, belong to the thread that enters
    them, so each piece enters its own.

    Args:
        most: of them, where each piece needs much memory; they then share torch's threads.
    """

    def __init__(self, device: torch.device, most: int | None = None) -> None:
        self.count = min(threads_for(device), most or threads_for(device))
        self._threads = max(torch.get_num_threads() // self.count, 1)
        self._pool = ThreadPoolExecutor(self.count, initializer=torch.set_num_threads, initargs=(self._threads,))
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Workers:
        self._held.enter_context(threads_of_torch(self._threads))
        self._held.enter_context(one_thread_of_numpy())
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)  # after an error, or Ctrl-C, no piece begins any more
        self._held.close()

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        """One piece of work; its result is waited for later."""
        return self._pool.submit(work)

    def each(self, work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
        """The results of all pieces, in their order; as many pieces as there are threads are taken ahead, for their memory."""
        begun = deque[Future[Result]]()
        for piece in pieces:
            begun.append(self._pool.submit(work, piece))
            if len(begun) > self.count:
                yield begun.popleft().result()
        yield from (future.result() for future in begun)


def threads_for(device: torch.device) -> int:
    """How many pieces are worked on at once: on a CPU as many as torch has threads, on a card one."""
    return torch.get_num_threads() if device.type == "cpu" else 1


@contextlib.contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """So many threads of torch, here and in threads that begin meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_thread_of_numpy() -> contextlib.AbstractContextManager[object]:
    """One thread of numpy, whose second one would spin while it waits."""
    return ThreadpoolController().select(internal_api="openblas").limit(limits=1)
