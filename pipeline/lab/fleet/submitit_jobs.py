"""Engines of submitit: jobs of a Slurm cluster, and of this machine.

submitit's local executor starts all jobs at once and calls a killed one finished; both are seen to here (submitit 1.5.4).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from pipeline.lab.fleet.base import Engine, Needs, Outcome, command, options
from pipeline.params.errors import UserError, check_packages
from pipeline.params.machine import cores

if TYPE_CHECKING:
    from submitit import Job

MINUTES = 60  # that Slurm is asked for; sbatch's SBATCH_TIMELIMIT overrides it
MOST_JOBS = 100  # of one grid in Slurm's queue
GRACE = 30.0  # seconds after which a job that left the queue without a result is lost: shared folders are slow
LONGEST = 60 * 24 * 365  # minutes of a local job, which submitit would end


class Jobs(Engine):
    """Jobs of submitit, each of which is one process."""

    name: ClassVar[str]

    def __init__(self, address: str, needs: Needs, folder: Path) -> None:
        if address and self.name != "slurm":
            raise UserError(f"--on {self.name}:{address}: {self.name} has no address; use --on {self.name}")
        check_packages(f"--on {self.name}", "slurm", "submitit")
        import submitit

        self.folder, self.command = folder.resolve(), command()
        self.executor = self.connect(submitit, address, needs)

    @abstractmethod
    def connect(self, submitit: Any, address: str, needs: Needs) -> Any:
        """submitit's executor; sets at_once."""

    @abstractmethod
    def gone(self, job: Job[Any]) -> bool:
        """Whether a job without a result has ended."""

    def start(self, tasks: Sequence[str]) -> list[Job[Any]]:
        with self.executor.batch():  # on Slurm one array
            return [self.executor.submit(subprocess.run, self.command, **options(task)) for task in tasks]

    def ended(self, handles: Sequence[Job[Any]]) -> list[tuple[Job[Any], Outcome]]:
        ended = []
        for job in handles:
            gone = self.gone(job)  # asked first: a result that came in between counts
            if job.paths.result_pickle.exists():
                ended.append((job, self._outcome(job)))
            elif gone:
                ended.append((job, Outcome(None, log=_last_line(job.stderr()))))
        return ended

    def _outcome(self, job: Job[Any]) -> Outcome:
        import submitit

        try:
            done = job.result()
        except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
            lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("---")]
            return Outcome(1, log=next((line for line in lines if "Error: " in line), lines[0]))
        return Outcome(done.returncode, done.stdout, _last_line(job.stderr()))

    def close(self, *, keep_logs: bool = False) -> None:
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)


class LocalJobs(Jobs):
    """Jobs on this machine, not more at once than there are cores; with cards, not more than cards, each with its own."""

    name = "submitit"

    def connect(self, submitit: Any, address: str, needs: Needs) -> Any:
        self.cards = _cards() if needs.card else []
        self.at_once = needs.at_once or max(cores() // needs.cores, 1)
        if self.cards:
            self.at_once = min(self.at_once, len(self.cards)) if needs.at_once else len(self.cards)
        self.places: dict[str, int] = {}
        executor = submitit.LocalExecutor(self.folder)
        executor.update_parameters(timeout_min=LONGEST)
        return executor

    def start(self, tasks: Sequence[str]) -> list[Job[Any]]:
        jobs = []
        for task in tasks:
            if self.cards:
                place = next(at for at in range(self.at_once) if at not in self.places.values())
                self.executor.update_parameters(gpus_per_node=1, visible_gpus=(self.cards[place],))
            # A terminal's Ctrl-C would reach these processes too, and submitit's would end with a traceback.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            try:
                jobs += super().start([task])
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if self.cards:
                self.places[jobs[-1].job_id] = place
        return jobs

    def ended(self, handles: Sequence[Job[Any]]) -> list[tuple[Job[Any], Outcome]]:
        ended = super().ended([job for job in handles if self.gone(job)])
        for job, _ in ended:
            self.places.pop(job.job_id, None)
        return ended

    def gone(self, job: Job[Any]) -> bool:
        return job.done()

    def cancel(self, handles: Sequence[Job[Any]]) -> None:
        trees = [process for job in handles for process in _tree(int(job.job_id))]
        for process in trees:  # job.cancel sends SIGINT, which is blocked in them
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(trees, timeout=5)


class SlurmJobs(Jobs):
    """Jobs of a Slurm cluster whose machines share this folder. sbatch's own variables (SBATCH_ACCOUNT, …) hold."""

    name = "slurm"
    pause = 1.0

    def connect(self, submitit: Any, address: str, needs: Needs) -> Any:
        if missing := [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]:
            raise UserError(
                f"--on slurm: there is no {missing[0]} here; start it on a machine of the cluster, or use --on submitit"
            )
        self.at_once = needs.at_once or MOST_JOBS
        self.queue, self.looked, self.left = set[str](), 0.0, dict[str, float]()
        executor = submitit.SlurmExecutor(self.folder)
        parameters: dict[str, Any] = {"job_name": "rally", "time": MINUTES, "cpus_per_task": needs.cores}
        if address:
            parameters["partition"] = address
        if needs.card:
            parameters["gpus_per_node"] = 1
        executor.update_parameters(**parameters)
        return executor

    def start(self, tasks: Sequence[str]) -> list[Job[Any]]:
        jobs = super().start(tasks)
        self.queue |= {job.job_id for job in jobs}
        return jobs

    def gone(self, job: Job[Any]) -> bool:
        """Whether it is no longer in Slurm's queue, which works without accounting (sacct), for GRACE seconds."""
        if time.monotonic() - self.looked > 5:
            words = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
            done = subprocess.run(words, capture_output=True, text=True)
            self.looked = time.monotonic()
            if done.returncode == 0:
                self.queue = set(done.stdout.split())
        if job.job_id in self.queue:
            self.left.pop(job.job_id, None)
            return False
        return time.monotonic() - self.left.setdefault(job.job_id, time.monotonic()) > GRACE

    def cancel(self, handles: Sequence[Job[Any]]) -> None:
        for job in handles:
            job.cancel(check=False)


def _cards() -> list[int]:
    """The cards that this process may use."""
    import torch

    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen and all(word.strip().isdecimal() for word in seen.split(",")):
        return [int(word) for word in seen.split(",")]
    return list(range(torch.cuda.device_count()))


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return []


def _last_line(text: str | None) -> str:
    return next((line.strip() for line in reversed((text or "").splitlines()) if line.strip()), "")
