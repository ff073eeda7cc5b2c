"""Cores of this machine."""

from __future__ import annotations

import os


def cores() -> int:
    """The number of cores that this process may use, which 0 means in runtime.threads and runtime.workers.

    In a container or under taskset these are fewer than the machine has.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
