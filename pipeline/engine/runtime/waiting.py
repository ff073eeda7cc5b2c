"""How OpenMP's threads wait for each other: they spin on a quiet machine, and sleep where other programs need the cores.

A thread that spins takes the core from the very thread that it waits for; one that sleeps costs an idle machine a third of
its speed (docs/benchmarks.md). No byte of a result depends on it, unlike on the number of threads.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
from collections.abc import Callable

import psutil
import torch

from pipeline.params.machine import cores

LOOK = 1.0  # seconds between two looks at the machine; a look takes a fifth of a millisecond
BUSY, QUIET = 0.35, 0.15  # how many cores threads lack, above which they sleep and below which they spin


class CoresLacking:
    """How many more cores this process would need for its threads than others left free, on average since the last call.

    Args:
        threads: how many of them compute at once.
    """

    def __init__(self, threads: int) -> None:
        self.threads, self.last = threads, _clocks()

    def __call__(self) -> float:
        before, self.last = self.last, _clocks()
        seconds, busy, own = (now - then for now, then in zip(self.last, before, strict=True))
        return self.threads - cores() + max(busy - own, 0.0) / max(seconds, 1e-9)


def _clocks() -> tuple[float, float, float]:
    """Seconds: of the clock, of work on all cores that this process may use, and of its own work."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(cores())
    counted = ("user", "nice", "system", "irq", "softirq", "steal")  # a guest's time is in the user's, idle time in none
    spent = [times for core, times in enumerate(psutil.cpu_times(percpu=True)) if core in usable]
    return time.monotonic(), sum(getattr(times, kind, 0.0) for times in spent for kind in counted), time.process_time()


class Idlers:
    """Threads of OpenMP that never get work. While there are more threads than cores, waiting ones do not spin.

    GNU's OpenMP reads GOMP_SPINCOUNT once, when it is loaded; but before each wait it compares the number of its threads with
    that of the cores, and spins a hundred times at most where there are more of them.

    Source: GCC 13, libgomp/config/linux/wait.h (do_spin) and team.c: a team lives as long as the thread that called for it.

    Args:
        count: of the team, the thread that calls for it included.
    """

    def __init__(self, count: int) -> None:
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._call, args=(count,), name="idlers", daemon=True)
        self.thread.start()

    def _call(self, count: int) -> None:
        library = ctypes.CDLL(None)  # torch's OpenMP is a part of the process
        library.GOMP_parallel(ctypes.cast(library.getpid, ctypes.c_void_p), None, count, 0)  # which does nothing, `count` times
        self.done.wait()

    def end(self) -> None:
        """End them; returns when they are gone."""
        self.done.set()
        self.thread.join()


class Waiting:
    """Looks at the machine now and then, and lets waiting threads spin or sleep.

    Args:
        threads: how many compute at once.
        lacking: how many cores they lack.
        look: seconds between two looks.
    """

    def __init__(self, threads: int, lacking: Callable[[], float] | None = None, look: float = LOOK) -> None:
        self.lacking, self.look = lacking or CoresLacking(threads), look
        self.team = max(cores() - threads + 2, 2)  # so that together they are one more than the cores
        self.idlers: Idlers | None = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="waiting", daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.ended.wait(self.look):
            self.adapt()

    def adapt(self) -> None:
        """Look once: spin or sleep from now on; between the two thresholds as before."""
        lacking = self.lacking()
        if lacking > BUSY and not self.idlers:
            self.idlers = Idlers(self.team)
        elif lacking < QUIET and self.idlers:
            self.idlers.end()
            self.idlers = None

    def end(self) -> None:
        """Spin again, and look no more."""
        self.ended.set()
        self.thread.join()
        if self.idlers:
            self.idlers.end()


def adapt_waiting() -> None:
    """Have the threads of this process spin or sleep from now on, as the machine is quiet or busy.

    Does nothing for one thread, which waits for none, and without GNU's OpenMP: those of LLVM and Intel sleep after the
    millisecond of KMP_BLOCKTIME.
    """
    if torch.get_num_threads() == 1 or not hasattr(ctypes.CDLL(None), "GOMP_parallel"):
        return
    if not (_watching and _watching[-1].thread.is_alive()):  # in a process that was forked, it is not
        _watching[:] = [Waiting(torch.get_num_threads())]
        atexit.register(_watching[-1].end)


_watching: list[Waiting] = []  # one at most
