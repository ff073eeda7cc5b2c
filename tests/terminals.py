"""Rally in a terminal of its own, for tests that type."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[1]
PROGRAM = """
import atexit, json, sys
sys.path.insert(0, {top!r})
atexit.register(lambda: open("imported.json", "w").write(json.dumps(list(sys.modules))))
from pipeline.lab.cli import main
main()
"""
RALLY = [sys.executable, "-c", PROGRAM.format(top=str(TOP))]


class Terminal:
    """A program in a terminal of its own: what is typed, and what it shows."""

    def __init__(self, *arguments: str, program: str = "") -> None:
        """Rally with these arguments, or another program in Python."""
        command = [sys.executable, "-c", program] if program else [*RALLY, *arguments]
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in a terminal, also where the tests run in the background
            os.execv(command[0], command)
        self.unread = ""

    def type(self, keys: str) -> None:
        time.sleep(0.3)  # a key that comes before readline is ready is lost
        os.write(self.file, keys.encode())

    def read_until(self, wanted: str, seconds: float = 60) -> str:
        """What it shows up to the wanted text, which may be wrapped at its spaces."""
        end = time.monotonic() + seconds
        wrapped = re.compile(r"\s+".join(map(re.escape, wanted.split(" "))))
        while not (found := wrapped.search(self.unread)):
            assert time.monotonic() < end, f"{wanted!r} does not come after {self.unread!r}"
            if select.select([self.file], [], [], 0.1)[0]:
                self.unread += os.read(self.file, 4096).decode(errors="replace")
        shown, self.unread = self.unread[: found.end()], self.unread[found.end() :]
        return shown

    def exit_status(self) -> int:
        with contextlib.suppress(OSError):  # the terminal closes when the program ends
            while os.read(self.file, 4096):
                pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextlib.contextmanager
def terminals() -> Iterator[list[Terminal]]:
    """Terminals that a test opens, ended with it."""
    opened: list[Terminal] = []
    yield opened
    for each in opened:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(each.pid, signal.SIGKILL)
            os.waitpid(each.pid, 0)
        os.close(each.file)
