"""DVC commands, printed as they are typed and run one after another."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence

from pipeline.params.errors import printable


def shell_line(command: Sequence[str]) -> str:
    """A command as it is typed in a shell, after `$ `."""
    return printable(f"$ {shlex.join(command)}")


def run_dvc(*commands: Sequence[str]) -> int:
    """Print and run commands, each `["dvc", …]`, with the DVC of this environment, up to the first one that fails.

    Returns:
        The exit status of the last one that ran.
    """
    # Ctrl-C goes to DVC too, which needs its time to put things back; Python would kill it after a quarter of a second.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    status = 0
    try:
        for command in commands:
            print(shell_line(command), flush=True)
            if status := subprocess.run([sys.executable, "-m", *command], check=False).returncode:
                break
    finally:
        signal.signal(signal.SIGINT, before)
    return status
