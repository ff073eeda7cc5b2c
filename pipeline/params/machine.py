"""Cores of this machine, and whether they are busy."""

from __future__ import annotations

import os
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")


BUSY = 50.0  # per cent of the time in which some process waited for a core


def machine_is_busy() -> bool:
    """Whether processes waited for a core during most of the last ten seconds, as Linux measures it; elsewhere by the load.

    Then threads that wait for each other should sleep at once: each turn of waiting takes a core from the thread that is waited
    for. On a quiet machine that would cost a third of the speed (docs/benchmarks.md).
    """
    try:
        some = PRESSURE.read_text(encoding="ascii").partition("avg60")[0]  # some avg10=0.31 avg60=…
        return float(some.rpartition("avg10=")[2]) > BUSY
    except (OSError, ValueError):  # an older kernel, macOS, a container that hides it
        return hasattr(os, "getloadavg") and os.getloadavg()[0] > 2 * cores()


def cores() -> int:
    """What 0 stands for in runtime.threads and runtime.workers: the cores that this process may use.

    Fewer than the machine has in a container or under taskset; threads that share a core wait for each other.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
