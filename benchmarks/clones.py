"""A clone of a commit in which DVC runs, and what each of its stages took."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import TOP, Took
from pipeline.artifacts.paths import cache_folder

# Imported by every Python at its start, as it stands on the PYTHONPATH.
NOTE = """
import atexit, json, os, sys, time
start, process = time.perf_counter(), os.getpid()
def note():
    words, spent = sys.orig_argv, os.times()
    stage = next((word[9:] for word in words if word.startswith("pipeline.")), "")
    if stage and os.getpid() == process:
        with open(os.environ["RALLY_NOTED"], "a") as file:
            print(json.dumps([stage, time.perf_counter() - start, sum(spent[:4])]), file=file)
atexit.register(note)
"""
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
THIS_PYTHON = Path(sys.executable)


def adopt_workers() -> None:
    """Let a worker that leaves its parent become a child of this process (on Linux), so that its times are counted."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True)
class Experiment:
    """What one command of DVC cost as a whole, and each stage that it ran."""

    whole: Took
    stages: dict[str, Took]

    @property
    def of_dvc(self) -> Took:
        """What the stages leave of the whole."""
        stages = self.stages.values()
        return Took(self.whole.wall - sum(took.wall for took in stages), self.whole.cpu - sum(took.cpu for took in stages))


class Clone:
    """A clone of a commit, and the Python that runs it.

    Args:
        folder: made if it is not there; next to it, files with the times of stages.
        environment: further variables of the environment.
    """

    def __init__(self, folder: Path, revision: str, python: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.python = folder, python
        self._noted = folder.parent / f"{folder.name}.jsonl"
        hook = folder.parent / "hook"
        hook.mkdir(parents=True, exist_ok=True)
        (hook / "sitecustomize.py").write_text(NOTE)
        path = os.pathsep.join((str(python.parent), os.environ.get("PATH", os.defpath)))
        self._environment = {**os.environ, "PATH": path, "PYTHONPATH": str(hook), "RALLY_NOTED": str(self._noted)}
        for name_of_git in ("AUTHOR", "COMMITTER"):
            self._environment |= {f"GIT_{name_of_git}_NAME": "rally", f"GIT_{name_of_git}_EMAIL": "rally@localhost"}
        self._environment |= environment or {}
        self._environment.pop("OMP_NUM_THREADS", None)  # a stage chooses its threads itself
        self.is_new = not folder.exists()
        if self.is_new:
            self.run("git", "clone", "-q", str(TOP), str(folder), cwd=TOP)
            self.run("git", "checkout", "-q", revision)

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """Run a command; returns its standard output.

        Raises:
            RuntimeError: its exit status is not 0.
        """
        done = subprocess.run(words, cwd=cwd or self.folder, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def dvc(self, *words: str) -> str:
        """Run a command of DVC; see `run`."""
        return self.run(str(self.python), "-m", "dvc", *words)

    def start_queue(self) -> None:
        """Start a worker of DVC's queue, which keeps the standard streams that it is given."""
        words = (str(self.python), "-m", "dvc", "queue", "start")
        subprocess.run(
            words, cwd=self.folder, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )

    def timed(self, experiment: Callable[[], object]) -> Experiment:
        """Wall-clock time until an experiment in this clone returns, CPU time of all processes that it leaves."""
        self._noted.write_text("")
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        experiment()
        wall = time.perf_counter() - start
        _wait_for_all()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        lines = [json.loads(line) for line in self._noted.read_text().splitlines()]
        return Experiment(Took(wall, cpu), {stage: Took(wall, cpu) for stage, wall, cpu in lines})


@contextlib.contextmanager
def fresh_clone(revision: str, python: Path) -> Iterator[Clone]:
    """A clone with an empty RALLY_CACHE but for downloads, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        cache, downloads = Path(folder, "cache"), cache_folder() / "downloads"
        cache.mkdir()
        if downloads.exists():
            shutil.copytree(downloads, cache / "downloads")
        yield Clone(Path(folder, "clone"), revision, python, {"RALLY_CACHE": str(cache)})


def overrides(*knobs: str) -> list[str]:
    """The options that turn some knobs (KNOB=VALUE) in a command."""
    return [word for knob in knobs for word in ("-S", knob)]


def _wait_for_all() -> None:
    """Wait for every child, also those whose own parent has ended, so that the times of all are counted."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return
