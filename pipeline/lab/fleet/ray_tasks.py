"""The engine Ray: tasks of a cluster that runs already. No torch.

A cluster is never started, and none is stopped: `ray stop` would end every cluster of this user on this machine.
"""

from __future__ import annotations

import logging
import re
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.lab.fleet.base import Engine, Needs, Outcome, command, options
from pipeline.params.errors import UserError, check_packages

MOST_TASKS = 200  # of one grid in Ray's queue
EXAMPLES = "ray://HOST:10001 (Ray's client port, from any machine) or ray:HOST:6379 (on a machine of the cluster)"


class RayTasks(Engine):
    """Tasks of Ray, each of which is one process on some machine of the cluster."""

    def __init__(self, address: str, needs: Needs, folder: Path) -> None:
        if not (found := re.fullmatch(r"(?://)?([\w.-]+):(\d{1,5})", address)):
            raise UserError(f"--on ray{':' * bool(address)}{address}: names no running cluster; use {EXAMPLES}")
        check_packages("--on ray", "ray", "ray")
        import ray

        if ray.is_initialized():
            raise UserError("--on ray: this process is connected to a cluster already")
        self.ray: Any = ray
        try:
            socket.create_connection((found[1], int(found[2])), timeout=10).close()
            target = address if not address.startswith("//") else f"ray:{address}"
            ray.init(address=target, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, OverflowError, ConnectionError, RuntimeError, ValueError) as error:
            said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(f"--on ray:{address}: no cluster of Ray answers as it should: {said}") from None
        self.at_once, self.command = needs.at_once or MOST_TASKS, command()
        # Ray would try a killed task again without saying so; Fleet counts for all engines.
        self.run = ray.remote(subprocess.run).options(
            name="rally", num_cpus=needs.cores, num_gpus=int(needs.card), max_retries=0
        )

    def start(self, tasks: Sequence[str]) -> list[Any]:
        return [self.run.remote(self.command, **options(task)) for task in tasks]

    def ended(self, handles: Sequence[Any]) -> list[tuple[Any, Outcome]]:
        ready, _ = self.ray.wait(list(handles), num_returns=len(handles), timeout=0)
        return [(handle, self._outcome(handle)) for handle in ready]

    def _outcome(self, handle: Any) -> Outcome:
        try:
            done = self.ray.get(handle)
        except self.ray.exceptions.RayTaskError as error:  # the process could not be started
            return Outcome(1, log=str(error).strip().splitlines()[-1])
        except self.ray.exceptions.RayError as error:  # its worker, or the machine, is gone
            return Outcome(None, log=str(error).strip().splitlines()[0])
        return Outcome(done.returncode, done.stdout)

    def cancel(self, handles: Sequence[Any]) -> None:
        for handle in handles:
            # By force: the gentle way waits for the process that the task waits for. That ends when its parent is gone.
            self.ray.cancel(handle, force=True)
        self.ray.wait(list(handles), num_returns=len(handles), timeout=10)

    def close(self, *, keep_logs: bool = False) -> None:
        self.ray.shutdown()  # of this connection
