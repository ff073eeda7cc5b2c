"""What an engine is: it starts processes somewhere, says how they ended, and cancels them. No torch."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipeline.lab.fleet import begin

# The python of RALLY_VENV, else the one that runs here, else the first on the PATH: the machines may have other folders.
LAUNCH = 'python=${RALLY_VENV:+$RALLY_VENV/bin/python}; [ -x "${python:=$1}" ] || python=python3; exec "$python" -P -c "$2"'


@dataclass(frozen=True)
class Needs:
    """What each training needs.

    Attributes:
        cores: CPU cores.
        card: whether it needs a GPU, one of its own.
        at_once: how many may run or wait at once; 0 = as the engine thinks best.
    """

    cores: int = 1
    card: bool = False
    at_once: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        status: its exit status, negative the signal that killed it; None if it is gone without a trace.
        said: its standard output.
        log: the last line that the engine's own log has of it.
    """

    status: int | None
    said: str = ""
    log: str = ""

    @property
    def was_killed(self) -> bool:
        return self.status is None or self.status < 0


class Engine(ABC):
    """Starts processes on this machine or others.

    Attributes:
        at_once: how many it is given at once.
        pause: seconds between two looks at what has ended.
    """

    pause: ClassVar[float] = 0.1
    at_once: int

    @abstractmethod
    def __init__(self, address: str, needs: Needs, folder: Path) -> None:
        """Connect.

        Args:
            address: what follows the engine's name in --on.
            folder: for its own files; not yet there.

        Raises:
            UserError: it is not installed, there is nothing at the address, or the engine has none.
        """

    @abstractmethod
    def start(self, tasks: Sequence[str]) -> Sequence[Hashable]:
        """Start a process for each task, which reads it from its standard input; a handle for each."""

    @abstractmethod
    def ended(self, handles: Sequence[Any]) -> list[tuple[Any, Outcome]]:
        """Those that have ended since they were started; does not wait."""

    @abstractmethod
    def cancel(self, handles: Sequence[Any]) -> None:
        """End these, and nothing else."""

    @abstractmethod
    def close(self, *, keep_logs: bool = False) -> None:
        """Give up the connection, and remove the engine's own files. What belongs to others goes on."""


def command() -> list[str]:
    """What every engine runs: `subprocess.run` of the standard library with these words, so that nothing of Rally is pickled.

    The program is sent as text: an edit after the start changes nothing.
    """
    return ["sh", "-c", LAUNCH, "sh", sys.executable, Path(begin.__file__).read_text(encoding="utf-8")]


def options(task: str) -> dict[str, Any]:
    """The options of `subprocess.run` for a task. Standard error goes to the engine's log."""
    return {"input": task, "stdout": subprocess.PIPE, "text": True}
