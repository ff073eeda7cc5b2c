"""The processes that train together: started by the stage on this machine, or by torchrun on one or several (no torch)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.params.errors import UserError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # of torchrun
MEETING = "RALLY_MEETING"  # environment variable of a process that the stage started: the file through which they meet
LOOK = 0.02  # seconds between two looks at the other processes
PATIENCE = 10.0  # seconds within which a process ends that was told to


@dataclass(frozen=True)
class Place:
    """Which of the processes of a training this one is.

    Attributes:
        rank: 0 .. size - 1; the process of rank 0 writes all files.
        size: the number of processes on all machines, a power of two.
        local_rank: its number among those of its machine; also the number of its card.
        local_size: the number of processes on its machine.
        meeting: the file through which they find one another; "" = torchrun's variables say where.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    meeting: str = ""


ONLY = Place()


class ProcessLost(Exception):  # noqa: N818 (not an error of this process)
    """Another process of the training has ended, or cannot be reached.

    Attributes:
        whole: whether the state of the training is that after a complete step, so that it can be saved.
    """

    def __init__(self, why: str, whole: bool) -> None:
        super().__init__(f"another process of this training cannot be reached ({why})")
        self.whole = whole


class Crew:
    """The processes of a training, as one of them sees them.

    Args:
        place: its own.
        others: those that it has started, from rank 1 on; none if torchrun has started them.
        folder: where each of them writes what it has to say.
    """

    def __init__(self, place: Place, others: Sequence[subprocess.Popen[bytes]] = (), folder: Path = Path()) -> None:
        self.place, self.others, self.folder = place, others, folder

    def lost(self, wait: bool = False) -> str:
        """Which process has ended too early, with its last words; "" if none has, or if torchrun watches them.

        Args:
            wait: one is ending.
        """
        until = time.monotonic() + PATIENCE
        while wait and self.others and all(process.poll() is None for process in self.others) and time.monotonic() < until:
            time.sleep(LOOK)
        for rank, process in enumerate(self.others, start=1):
            if (status := process.poll()) is not None:
                how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
                words = (self.folder / f"{rank}.txt").read_text(encoding="utf-8", errors="replace").splitlines()
                return f"process {rank} of {self.place.size} {how}{': ' * bool(words)}{words[-1] if words else ''}"
        return ""

    def check(self) -> None:
        """Do nothing while all processes run.

        Raises:
            UserError: one has ended.
        """
        if lost := self.lost():
            raise UserError(f"train: {lost}")

    def end(self) -> None:
        """End the others, which have nothing left to do."""
        for process in self.others:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.others:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


ALONE = Crew(ONLY)


@contextlib.contextmanager
def started(processes: int, slots: int) -> Iterator[Crew]:
    """A block in which all processes of the training run: those that torchrun has started, or else this one and new ones.

    A new one runs this command once more, in a session of its own, so that Ctrl-C reaches the first alone; it ends as soon
    as the first has ended, in whatever way.

    Args:
        processes: the knob `runtime.processes`.
        slots: the knob `train.slots`.

    Raises:
        UserError: the number of processes that torchrun has started does not fit the knobs.
    """
    place = place_in(os.environ)
    if place is not None:
        _check(place, processes, slots)
        if place.meeting:
            threading.Thread(target=_end_with_the_first, daemon=True).start()
        yield Crew(place)
    elif processes == 1:
        yield ALONE
    else:
        with tempfile.TemporaryDirectory(prefix="rally-") as folder:
            _stay_on_this_machine()
            places = [Place(rank, processes, rank, processes, str(Path(folder, "meeting"))) for rank in range(processes)]
            crew = Crew(places[0], [_start(each, Path(folder)) for each in places[1:]], Path(folder))
            try:
                yield crew
            finally:
                crew.end()


def place_in(environment: Mapping[str, str]) -> Place | None:
    """The place that the variables of torchrun give a process; None if there are none.

    >>> place_in({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
    Place(rank=3, size=4, local_rank=1, local_size=2, meeting='')

    Raises:
        UserError: they are not numbers of a place.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    words = [environment.get(name, environment[VARIABLES[place % 2]]) for place, name in enumerate(VARIABLES)]
    if not all(word.isascii() and word.isdigit() for word in words) or int(words[0]) >= int(words[1]):
        given = ", ".join(f"{name}={word!r}" for name, word in zip(VARIABLES, words, strict=True))
        raise UserError(f"{given}: not the place of a process; torchrun sets these variables, else unset RANK and WORLD_SIZE")
    rank, size, local_rank, local_size = map(int, words)
    return Place(rank, size, local_rank, local_size, environment.get(MEETING, ""))


def _check(place: Place, processes: int, slots: int) -> None:
    size = place.size
    if processes not in (1, size):
        raise UserError(f"runtime.processes: {processes}, but torchrun started {size}; use 1, which leaves the number to it")
    if size & (size - 1) or size > slots:
        raise UserError(
            f"torchrun: started {size} processes, with train.slots {slots}; start a power of two of them, at most {slots},"
            " or set more slots (which makes it another run)"
        )


def _stay_on_this_machine() -> None:
    """Let the processes talk over the loopback interface, which needs no host name and no open port."""
    loopbacks = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", (loopbacks or ["lo"])[0])


def _start(place: Place, folder: Path) -> subprocess.Popen[bytes]:
    numbers = dict(zip(VARIABLES, map(str, (place.rank, place.size, place.local_rank, place.local_size)), strict=True))
    environment = {**os.environ, **numbers, MEETING: place.meeting}
    with (folder / f"{place.rank}.txt").open("wb") as words:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.train"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=words,
            stderr=words,
            start_new_session=True,
        )


def _end_with_the_first() -> None:
    """End this process once the pipe from the first one is closed, which happens also if that one is killed."""
    while os.read(0, 1):  # not sys.stdin, whose lock Python would want when this process ends by itself
        pass
    os._exit(1)
