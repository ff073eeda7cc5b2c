"""The settings that `rally autotune` measured as fastest on this machine, for the `auto` knobs of every clone of its user.

Stored beside the downloads and not in a clone, so that two clones still give equal bytes.
"""

from __future__ import annotations

import functools
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pipeline.artifacts.paths import cache_folder
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.networks.attention import Kernel
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.params.renamed import with_new_names

NEVER = 10**9  # steps: more than a training can have


@dataclass(frozen=True)
class Tuned:
    """The fastest settings.

    Attributes:
        device: cpu, cuda or mps.
        precision, threads, attention: the meaning of `auto` there.
        compile_from: steps of a training from which compiling its blocks pays; None if it was not measured.
        measured_on: the shape of the network and its batch, in words.
    """

    device: str
    precision: str
    threads: int
    attention: Kernel
    compile_from: int | None
    measured_on: str


def machine_name(device: str) -> str:
    """What a measurement is valid for: device, processor or GPU, usable cores, version of torch."""
    chip = torch.cuda.get_device_name() if device == "cuda" else processor_name()
    return f"{device}, {chip}, {cores()} cores, torch {torch.__version__}"


@functools.cache
def processor_name() -> str:
    """The name of the processor."""
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        with cpuinfo.open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def tuned_for(device: str) -> Tuned | None:
    """The settings measured for a device of this machine; None if there are none."""
    try:
        found = read_json(_file()).get(machine_name(device))
        if not found:
            return None
        kernel = with_new_names({"runtime": {"attention": found.get("attention")}})["runtime"]
        return Tuned(**found | kernel)
    except (UserError, TypeError):  # no such file, or one of another version: nothing depends on it
        return None


def save_tuned(tuned: Tuned | None, device: str) -> None:
    """Store settings as the meaning of `auto`; with None delete them."""
    try:
        known = read_json(_file())
    except UserError:
        known = {}
    known.pop(machine_name(device), None)
    write_json(_file(), known | ({machine_name(device): asdict(tuned)} if tuned else {}))


def _file() -> Path:
    return cache_folder() / "tuned.json"
