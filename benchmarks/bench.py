"""What the benchmarks share: a folder in which stages run with chosen knobs, time and memory, and Markdown tables."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import cache_folder, meta_of
from pipeline.artifacts.reading import read_json
from pipeline.lab.studies.entries import read_entries
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml

TOP = Path(__file__).parent.parent
ANCHOR = dict(read_entries(TOP / "studies")["nanogpt-cpu"].set)
SILENT = {"runtime.progress": "none", "runtime.checkpoint_seconds": 1e9, "train.validation_points": 0, "train.log_points": 20}


@dataclass(frozen=True)
class Took:
    """What a command cost: wall-clock seconds, and CPU seconds of all its processes."""

    wall: float
    cpu: float


class Lab:
    """A folder with a copy of params.yaml in which some knobs are overridden, where stages run as DVC runs them.

    Args:
        folder: made if it is not there.
        knobs: section.knob -> value.
        data: another lab, whose tokens are used instead of preparing them again.
    """

    def __init__(self, folder: Path, knobs: Mapping[str, Any], data: Lab | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        values = read_yaml(TOP / "params.yaml")
        for name, value in knobs.items():
            section, _, knob = name.rpartition(".")
            (values[section] if section else values)[knob] = value
        self.params = parse(Params, values)
        (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        for name in ("dvc.yaml", "pipeline"):
            self._link(folder / name, TOP / name)
        (folder / "data").mkdir(exist_ok=True)
        self._link(folder / "data/own", TOP / "data/own")
        for name in ("data/raw", "data/tokens") if data else ():
            self._link(folder / name, data.folder / name)  # type: ignore[union-attr]

    @staticmethod
    def _link(link: Path, target: Path) -> None:
        link.unlink(missing_ok=True)
        link.symlink_to(target.resolve())

    def run(self, stage: str) -> Took:
        """Run a stage from scratch in a process of its own: no checkpoint is resumed."""
        shutil.rmtree(self.folder / ".rally", ignore_errors=True)
        return timed([sys.executable, "-m", f"pipeline.{stage}"], self.folder)

    def vocabulary(self) -> int:
        """The size of its tokenizer's vocabulary."""
        return int(read_json(meta_of(self.folder / "data/tokens"))["vocabulary"])

    def training_seconds(self) -> float:
        """Seconds of all steps of the last training, without start-up and files."""
        return float(read_json(next((self.folder / ".rally/timings").iterdir()))["seconds"])


def timed(command: list[str], folder: Path, expect: int = 0) -> Took:
    """Run a command and measure it.

    Raises:
        RuntimeError: its exit status is not the expected one.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "DVC_ROOT": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != expect:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


class Peak:
    """The peak memory of the processes that this one starts during the block, together; sampled twenty times per second.

    Args:
        own: whether this process counts, too.

    Attributes:
        resident: as a monitor of the system shows it, MB: a page that several of them share counts in each.
        apart: with each page counted once, MB (Linux's proportional set size; elsewhere without any that is shared).
    """

    def __init__(self, own: bool = False) -> None:
        self.own, self.resident, self.apart = own, 0.0, 0.0
        self._over, self._thread = threading.Event(), threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.05):
            resident = apart = 0
            for process in (*((me,) if self.own else ()), *me.children(recursive=True)):
                try:
                    held = process.memory_full_info()
                except psutil.Error:  # it has just ended
                    continue
                resident, apart = resident + held.rss, apart + getattr(held, "pss", held.uss)
            self.resident, self.apart = max(self.resident, resident / 1e6), max(self.apart, apart / 1e6)

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


def put_into_the_cache(text: Path) -> None:
    """Put a local copy of a pinned text where prepare finds it, so that it need not be downloaded."""
    place = cache_folder() / "downloads" / sha256_of(text)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copy(text, place)


def machine() -> str:
    """One line about the machine that a table was measured on."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"{model}, {os.cpu_count()} cores, {kernels}{gpu}; Python {platform.python_version()}, torch {torch.__version__}"


def table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [header, tuple("---" if not index else "---:" for index in range(len(header))), *rows]
    return "\n".join(
        "| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in line) + " |" for line in lines
    )
