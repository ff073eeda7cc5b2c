"""Work in several processes that survives when one of them is killed: its task is done again, with fewer processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pipeline.params.errors import UserError

MAX_KILLS = 3  # how often a task that runs alone may lose its process before it is given up

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def run_in_processes(
    work: Callable[..., T], tasks: Mapping[K, tuple[Any, ...]], workers: int, *, on_ctrl_c: signal.Handlers = signal.SIG_IGN
) -> Iterator[tuple[K, T]]:
    """(task, what `work` returns for its arguments) of each task, as it is done.

    Where a process is killed (mostly by the system, out of memory) half as many processes continue with what is not done. Which
    task the killed process had is known only where there is one process.

    Args:
        tasks: the arguments of each.
        workers: processes at once.
        on_ctrl_c: what the processes, which receive Ctrl-C too, do then: finish what they have begun, or (SIG_DFL) end at once.

    Raises:
        UserError: tasks were given up; raised after all others are done.
    """
    left, kills, given_up = dict(tasks), Counter[K](), list[K]()
    while left:
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (on_ctrl_c,))
        is_broken = False
        try:
            running = {}
            try:
                for task, arguments in left.items():
                    running[pool.submit(work, *arguments)] = task
            except BrokenProcessPool:
                is_broken = True
            for future in as_completed(running):
                try:
                    result = future.result()
                except BrokenProcessPool:
                    is_broken = True
                    continue
                del left[running[future]]
                yield running[future], result
        finally:
            pool.shutdown(cancel_futures=True)  # tasks that have begun end, others do not begin
        if is_broken and workers == 1:
            kills[first := next(iter(left))] += 1
            if kills[first] == MAX_KILLS:
                given_up.append(first)
                del left[first]
        elif is_broken:
            workers //= 2
            print(f"a worker process was killed, probably out of memory; continuing with {workers} at once", file=sys.stderr)
    if given_up:
        raise UserError(
            *(
                f"{task}: its process was killed {MAX_KILLS} times while it ran alone, probably out of memory; lower what a "
                f"training needs (`rally budget` says how). All others are done, and the same command tries this one again"
                for task in given_up
            )
        )


def _begin(on_ctrl_c: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, on_ctrl_c)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()  # the workers of a killed parent would wait for work for ever
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
