"""Batches that lie ready when their step comes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipeline.tasks.base import Batch


class Prefetcher:
    """Prepares the batches of the steps to come in a thread, while the one before them is learned from.

    What a step sees is a pure function of the step, so that neither the thread nor an interruption can change it. An error
    in the thread comes up at the step that wanted the batch.

    Args:
        batch_at: the batch of a step.
        steps: of the whole training; nothing is prepared beyond.
        depth: how many steps ahead; 0 = each batch when it is wanted, and no thread.
    """

    def __init__(self, batch_at: Callable[[int], Batch], steps: int, depth: int) -> None:
        self.batch_at, self.steps, self.depth = batch_at, steps, depth
        self.thread = ThreadPoolExecutor(1, "ahead") if depth else None
        self.coming: dict[int, Future[Batch]] = {}

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.thread:
            self.thread.shutdown(cancel_futures=True)

    def at(self, step: int) -> Batch:
        """The batch of a step; those after it are under way."""
        if not self.thread:
            return self.batch_at(step)
        for coming in range(step, min(step + self.depth + 1, self.steps)):
            if coming not in self.coming:
                self.coming[coming] = self.thread.submit(self.batch_at, coming)
        return self.coming.pop(step).result()
