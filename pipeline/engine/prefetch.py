"""Prefetching: batches prepared in a background thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipeline.tasks.base import Batch


class Prefetcher:
    """Prepares the batches of coming steps in a thread while the current step runs.

    A batch is a pure function of the step, so that neither the thread nor an interruption can change it. An error in the
    thread is raised at the step that needs the batch.

    Args:
        batch_at: makes the batch of a step.
        steps: of the whole training; nothing is prepared beyond.
        depth: batches to prepare ahead; 0 = none, and no thread.
    """

    def __init__(self, batch_at: Callable[[int], Batch], steps: int, depth: int) -> None:
        self.batch_at, self.steps, self.depth = batch_at, steps, depth
        self.thread = ThreadPoolExecutor(1, "prefetch") if depth else None
        self.pending: dict[int, Future[Batch]] = {}

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.thread:
            self.thread.shutdown(cancel_futures=True)

    def at(self, step: int) -> Batch:
        """The batch of a step; starts to prepare those after it."""
        if not self.thread:
            return self.batch_at(step)
        for upcoming in range(step, min(step + self.depth + 1, self.steps)):
            if upcoming not in self.pending:
                self.pending[upcoming] = self.thread.submit(self.batch_at, upcoming)
        return self.pending.pop(step).result()
