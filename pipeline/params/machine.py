"""Cores of this machine, and whether they are busy."""

from __future__ import annotations

import os
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")


BUSY = 50.0  # per cent of the time during which some process waited for a core


def machine_is_busy() -> bool:
    """Whether processes waited for a core during most of the last ten seconds (Linux's PSI; elsewhere by the load average).

    Then threads that wait for each other should sleep at once, because a spinning thread takes a core from the one that it
    waits for. On an idle machine that would cost a third of the speed (docs/benchmarks.md).
    """
    try:
        some = PRESSURE.read_text(encoding="ascii").partition("avg60")[0]  # some avg10=0.31 avg60=…
        return float(some.rpartition("avg10=")[2]) > BUSY
    except (OSError, ValueError):  # an older kernel, macOS, a container that hides it
        return hasattr(os, "getloadavg") and os.getloadavg()[0] > 2 * cores()


def cores() -> int:
    """The number of cores that this process may use, which 0 means in runtime.threads and runtime.workers.

    In a container or under taskset these are fewer than the machine has.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
