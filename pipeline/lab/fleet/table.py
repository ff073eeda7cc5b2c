"""The table of engines: the words of --on, besides `pool`, the processes of this one."""

from __future__ import annotations

from pipeline.lab.fleet.base import Engine
from pipeline.lab.fleet.ray_tasks import RayTasks
from pipeline.lab.fleet.submitit_jobs import LocalJobs, SlurmJobs

POOL = "pool"

ENGINES: dict[str, type[Engine]] = {
    "submitit": LocalJobs,
    "slurm": SlurmJobs,
    "ray": RayTasks,
}
