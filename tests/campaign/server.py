"""A process that has imported the whole pipeline, and forks a child for each command: a trial then costs what the command does.

Run as a program it is the server, which answers a line of JSON with a line of JSON; imported, it starts one and asks it. A
child begins as a fresh process does but for its imports: nothing of Rally's has run in the parent, no thread has been started.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import pkgutil
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TOP = Path(__file__).parent.parent.parent
KILL, TEAR, FAIL, FULL = 1, 2, 3, 4  # as in shim.c


@dataclass
class Job:
    """A command that is to be run, and what is to happen to it.

    Attributes:
        main: a stage ("pipeline.train"), or "module:function", which is called with `words`.
        folder: where it stands.
        at, action, error: at which file operation the shim does what, with which errno.
        seconds: after which it is ended; memory: bytes that it may take beyond what its imports took; size: of any file.
    """

    main: str
    folder: str
    words: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    at: int = 0
    action: int = 0
    error: int = 0
    trace: str = ""
    seconds: int = 120
    memory: int = 0
    size: int = 0


@dataclass
class Ended:
    """How it ended: the exit status (below 0: of which signal it died), and all that it said."""

    status: int
    said: str
    seconds: float

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL

    @property
    def refused(self) -> bool:
        """In words: some lines, status 2."""
        return self.status == 2 and bool(self.said.strip()) and not self.crashed

    @property
    def crashed(self) -> bool:
        return "Traceback (most recent call last)" in self.said or self.status not in (0, 1, 2, 130, 143, -signal.SIGALRM)

    @property
    def hung(self) -> bool:
        return self.status == -signal.SIGALRM or "MemoryError" in self.said


class Server:
    """A server of one's own, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], scratch: Path) -> None:
        self.process, self.scratch = process, scratch

    def run(self, job: Job) -> Ended:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(asdict(job)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the server has died"
        found = json.loads(answer)
        return Ended(**found)

    def operations(self, job: Job) -> list[str]:
        """Run it undisturbed; the name of each file operation, the first of them number 1."""
        job.trace = str(self.scratch / "trace")
        done = self.run(job)
        assert done.status == 0, done.said
        return [line.split(" ", 1)[1] for line in Path(job.trace).read_text(errors="replace").splitlines()]


def missing() -> str:
    """Why kills and errors cannot be put to a file operation here; "" where they can."""
    if sys.platform != "linux":
        return "LD_PRELOAD is Linux's"
    return "" if shutil.which("cc") else "there is no C compiler (cc)"


@contextlib.contextmanager
def serving(*, shim: bool = True) -> Iterator[Server]:
    """A server while the block runs."""
    with tempfile.TemporaryDirectory(prefix="rally-campaign-") as folder:
        scratch = Path(folder)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TOP}:{TOP / 'tests'}", "PYTHONHASHSEED": "0"}
        if shim:
            library = scratch / "shim.so"
            source = Path(__file__).with_name("shim.c")
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
            environment["LD_PRELOAD"] = str(library)
        command = [sys.executable, "-m", "campaign.server"]
        process = subprocess.Popen(
            command, cwd=scratch, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            yield Server(process, scratch)
        finally:
            assert process.stdin
            process.stdin.close()  # which it takes for its end
            process.wait(60)


# ----------------------------------------------------------------------------------------------------------- the process


def _import_all() -> None:
    import pipeline

    names = [found.name for found in pkgutil.walk_packages(pipeline.__path__, "pipeline.")]
    for name in (*names, "sklearn.linear_model", "sklearn.neighbors", "sklearn.feature_extraction.text"):
        importlib.import_module(name)


def _child(job: Job, output: int) -> int:
    """What the child does; its exit status."""
    os.chdir(job.folder)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    os.environ.pop("LD_PRELOAD", None)  # not for what the command starts
    os.environ |= {"DVC_ROOT": job.folder, "RALLY_CACHE": f"{job.folder}/cache", **job.environment}
    signal.alarm(job.seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if job.memory:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + job.memory,) * 2)
    if job.size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.size,) * 2)
    module, _, function = job.main.partition(":")
    main = getattr(importlib.import_module(module), function or "main")
    sys.argv = [module, *job.words]
    if job.action or job.trace:
        arm = ctypes.CDLL(None).rally_arm
        arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
        arm(job.folder.encode(), job.at, job.action, job.error, job.trace.encode() or None)
    try:
        main(*(job.words if function and function != "main" else ()))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever an import prints is no answer
    _import_all()
    for line in requests:
        job, start = Job(**json.loads(line)), time.monotonic()
        hear, speak = os.pipe()  # no file, for the size of files may be what is limited
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = _child(job, speak)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)
        os.close(speak)
        with os.fdopen(hear, "rb") as pipe:
            said = pipe.read().decode(errors="replace")
        _, ended = os.waitpid(pid, 0)
        status = os.waitstatus_to_exitcode(ended)
        found: dict[str, Any] = {"status": status, "said": said, "seconds": time.monotonic() - start}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
