"""What `rally autotune` found to be fastest on this machine, for the `auto` settings of every clone of its user.

Beside the downloads and not in a clone, so that two clones still leave equal bytes.
"""

from __future__ import annotations

import functools
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pipeline.artifacts.paths import cache
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.networks.attention import Kernel
from pipeline.params.errors import UserError
from pipeline.params.machine import cores

NEVER = 10**9  # steps, more than a training can have


@dataclass(frozen=True)
class Tuned:
    """Settings that were the fastest.

    Attributes:
        device: cpu, cuda or mps.
        precision, threads, attention: what `auto` means there.
        compile_from: steps of a training from which on compiling its blocks pays; None where it was not measured.
        measured_on: the shape of the network and its batch, in words.
    """

    device: str
    precision: str
    threads: int
    attention: Kernel
    compile_from: int | None
    measured_on: str


def machine(device: str) -> str:
    """What the measurement holds for: processor and usable cores, or card; and torch."""
    what = torch.cuda.get_device_name() if device == "cuda" else processor()
    return f"{device}, {what}, {cores()} cores, torch {torch.__version__}"


@functools.cache
def processor() -> str:
    """The name that the processor bears."""
    if platform.system() == "Darwin":
        words = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    known = Path("/proc/cpuinfo")
    if known.exists():
        with known.open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def tuned_for(device: str) -> Tuned | None:
    """What was found for this machine's device, if it was asked."""
    try:
        found = read_json(_file()).get(machine(device))
        return Tuned(**found) if found else None
    except (UserError, TypeError):  # there is none, or it is another version's: nothing hangs on it
        return None


def keep(tuned: Tuned | None, device: str) -> None:
    """Let `auto` mean this from now on; with None what it meant before."""
    try:
        known = read_json(_file())
    except UserError:
        known = {}
    known.pop(machine(device), None)
    write_json(_file(), known | ({machine(device): asdict(tuned)} if tuned else {}))


def _file() -> Path:
    return cache() / "tuned.json"
