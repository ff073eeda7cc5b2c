"""DVC commands: names of experiments, commands as they are typed, and running them."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from pipeline.identity import digest
from pipeline.params.errors import printable


def bad_name(name: str) -> str:
    """What is wrong with a name that is not a good one."""
    return f"'{name}' means something else to git or DVC; take letters, digits, . and -, not only a to f"


def is_good_name(name: str) -> bool:
    """Whether git takes it as a reference, and DVC never as the beginning of a commit (`e1` breaks `dvc plots diff`)."""
    is_reference = re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*", name) and not name.endswith((".", ".lock"))
    return bool(is_reference) and not re.fullmatch(r"[0-9a-fA-F]{1,40}", name)


def experiment_name(name: str, turned: Mapping[str, str]) -> str:
    """A name and what was turned: nanogpt-cpu-lr3e-4. Other values are another name: of a long one stands a digest."""
    parts = [name]
    for knob, value in turned.items():
        is_short = re.fullmatch(r"[\w.+-]{1,24}", value, re.ASCII)
        parts.append(knob.rpartition(".")[2] + (value.replace("+", "") if is_short else f"-{digest(value)[:6]}"))
    return re.sub(r"\.{2,}", ".", "-".join(parts)).strip(".-")


def typed(command: Sequence[str]) -> str:
    """A command as one would type it."""
    return printable(f"$ {shlex.join(command)}")


def run(*commands: Sequence[str]) -> int:
    """Print commands of DVC's, and run one after another with the DVC of this environment; the status of the last that ran.

    After one that fails none is run.
    """
    # Ctrl-C goes to DVC too, which needs its time to put things back; we would kill it after a quarter of a second.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    status = 0
    try:
        for command in commands:
            print(typed(command), flush=True)
            if status := subprocess.run([sys.executable, "-m", *command], check=False).returncode:
                break
    finally:
        signal.signal(signal.SIGINT, before)
    return status
