"""Progress, which is all that training changes, and the checkpoints that keep it safe.

A checkpoint is one file whose name carries its checksum, so that the rename that makes it appear makes it whole; the
newest two are kept, and one that is damaged falls back to the one before it. Checkpoints are no DVC out: DVC
deletes outs before a stage starts, and an interrupted run must find its own. They lie under the identity of the run,
so that no other experiment can take them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from pipeline.artifacts import private, sha256_of, write_bytes
from pipeline.engine.optimizers import Optimizer
from pipeline.engine.runtime import Scaler

KEPT = 2  # checkpoints of a run: the newest may be damaged
UNFINISHED_DAYS = 14  # after which a run that nobody went on with is forgotten


@dataclass
class Progress:
    """All that training changes. Whatever is not here is a pure function of the step.

    Attributes:
        model, optimizer, scaler: the weights, and what moves them.
        step, tokens: updates done, and targets learned from.
        curve, validations: rows of the logs so far.
        recent: loss, gradient norm and whether it was clipped, of each step since the last row.
        diverged: the loss stopped being a number, and the training with it.
    """

    model: nn.Module
    optimizer: Optimizer
    scaler: Scaler
    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    recent: list[tuple[Tensor | float, Tensor | float, Tensor | float]] = field(default_factory=list)
    tokens: int = 0
    diverged: bool = False

    def tensors(self) -> dict[str, Tensor]:
        """Weights and the optimizer's memory by name."""
        weights = {f"model.{name}": weight.detach() for name, weight in self.model.named_parameters()}
        return weights | {f"optimizer.{name}": memory for name, memory in self.optimizer.state().items()}

    def numbers(self) -> dict[str, Any]:
        """Everything else, as JSON holds it."""
        return {
            "step": self.step,
            "tokens": self.tokens,
            "curve": self.curve,
            "validations": self.validations,
            "recent": [[float(number) for number in row] for row in self.recent],
            "diverged": self.diverged,
            "scale": self.scaler.scale,
            "finite_steps": self.scaler.finite_steps,
        }

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Become what was saved."""
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                weight.copy_(tensors[f"model.{name}"])
        self.optimizer.load({name[10:]: tensor for name, tensor in tensors.items() if name.startswith("optimizer.")})
        self.step, self.tokens, self.diverged = numbers["step"], numbers["tokens"], numbers["diverged"]
        self.curve, self.validations = numbers["curve"], numbers["validations"]
        self.recent = [(row[0], row[1], row[2]) for row in numbers["recent"]]
        self.scaler.scale, self.scaler.finite_steps = numbers["scale"], numbers["finite_steps"]


class Checkpoints:
    """The folder of one run's checkpoints, which one process at a time may use.

    Args:
        run: the identity of the run.
        say: takes one line for the user.
    """

    def __init__(self, run: str, say: Any = print) -> None:
        self.folder, self.say = private("checkpoints") / run, say
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = (self.folder / "lock").open("w")

    def __enter__(self) -> Checkpoints:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.say("another process trains this very run; waiting for it, to take over its result")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *error: object) -> None:
        self.lock.close()

    def save(self, progress: Progress) -> None:
        """Keep the progress; older checkpoints than the newest two go."""
        metadata = {"numbers": json.dumps(progress.numbers())}
        content = safetensors.torch.save(progress.tensors(), metadata)
        checksum = hashlib.sha256(content).hexdigest()[:16]
        write_bytes(self.folder / f"step-{progress.step:09d}-{checksum}.safetensors", content)
        for old in self._newest_first()[KEPT:]:
            old.unlink()

    def restore(self, progress: Progress) -> bool:
        """Go on from the newest whole checkpoint; whether there was one."""
        for path in self._newest_first():
            if sha256_of(path)[:16] == path.stem.rsplit("-", 1)[1]:
                with safe_open(path, framework="pt") as file:
                    numbers = json.loads(file.metadata()["numbers"])
                progress.restore(safetensors.torch.load_file(path), numbers)
                return True
            self.say(f"the checkpoint {path.name} is damaged (its checksum differs); going back to the one before it")
            path.unlink()
        return False

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step-*-*.safetensors"), reverse=True)

    def keep_only(self, finished: int = 4) -> None:
        """Forget other runs, now that this one has succeeded: all but the last few that finished, and those long abandoned.

        The run's own checkpoint stays: should DVC be killed before it has taken the outs in, the same command makes
        them from it at once.
        """
        (self.folder / "finished").touch()
        others = sorted(private("checkpoints").iterdir(), key=lambda run: run.stat().st_mtime, reverse=True)
        done = [run for run in others if (run / "finished").exists()]
        abandoned = [run for run in others if run not in done and time.time() - run.stat().st_mtime > UNFINISHED_DAYS * 86400]
        for run in done[finished:] + abandoned:
            shutil.rmtree(run, ignore_errors=True)
