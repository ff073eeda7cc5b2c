"""Work in several processes that goes on when one of them is killed: what it did is done again, with fewer at once."""

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

KILLS = 3  # how often a piece of work may lose its process, alone in it, before it is given up

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def each_done(
    work: Callable[..., T], tasks: Mapping[K, tuple[Any, ...]], workers: int, *, on_ctrl_c: signal.Handlers = signal.SIG_IGN
) -> Iterator[tuple[K, T]]:
    """(task, what `work` gives for its arguments) of each task as it is done.

    Where the pool breaks, because the system has killed a process for want of memory or somebody did, half as many go on with
    what is not done. Nobody says which task the dead process had, except where there is one process.

    Args:
        tasks: the arguments of each.
        workers: processes at once.
        on_ctrl_c: what they do on Ctrl-C, which they hear too: finish what they have begun, or (SIG_DFL) end at once.

    Raises:
        UserError: after all others are done, of tasks that were given up.
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
            pool.shutdown(cancel_futures=True)  # what has begun is finished and kept, what has not is not begun
        if is_broken and workers == 1:
            kills[first := next(iter(left))] += 1
            if kills[first] == KILLS:
                given_up.append(first)
                del left[first]
        elif is_broken:
            workers //= 2
            print(f"a process was killed, perhaps for want of memory; going on with {workers} at once", file=sys.stderr)
    if given_up:
        raise UserError(
            *(
                f"{task}: its process was killed {KILLS} times with no other beside it, perhaps for want of memory: "
                f"`rally budget` says what a training takes. All others are done; the same command tries this one again"
                for task in given_up
            )
        )


def _begin(on_ctrl_c: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, on_ctrl_c)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()  # a killed parent says nothing to its workers, and they would wait for work for ever
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
