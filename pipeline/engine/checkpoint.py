"""Progress, which is all that training changes, and the checkpoints that keep it safe.

A checkpoint is one file whose name carries its checksum, so that the rename that makes it appear makes it whole; the
newest two are kept, and one that is damaged falls back to the one before it. Checkpoints are no DVC out: DVC
deletes outs before a stage starts, and an interrupted run must find its own. They lie under the identity of the run,
so that no other experiment can take them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import alone, private
from pipeline.artifacts.writing import write_bytes
from pipeline.engine.optimizers.base import Optimizer
from pipeline.engine.runtime.runtime import Scaler
from pipeline.networks.weights import weights_as_bytes
from pipeline.params.errors import UserError

CHECKPOINTS_KEPT = 2  # checkpoints of a run: the newest may be damaged
UNFINISHED_DAYS = 14  # after which a run that nobody went on with is forgotten


@dataclass
class Progress:
    """All that training changes. Whatever is not here is a pure function of the step.

    Attributes:
        model, optimizer, scaler: the weights, and what moves them.
        step, tokens: updates done, and targets learned from.
        skipped: those of the updates that were left out because float16 overflowed.
        curve, validations: rows of the logs so far.
        recent: loss, gradient norm and whether it was clipped, of each step since the last row.
        snapshots: the files of the snapshots so far, beside the checkpoints.
        updates: of a snapshot's step, ‖ΔW‖ / ‖W‖ of each parameter in the step after it (see engine/update_norms.py).
        good: the file of the newest weights that one would go back to, should the training be given up; none yet: ''.
        stopped: why the training was given up before its last step, in words; '' where it was not.
    """

    model: nn.Module
    optimizer: Optimizer
    scaler: Scaler
    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    recent: list[tuple[Tensor | float, Tensor | float, Tensor | float]] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    updates: dict[int, dict[str, float]] = field(default_factory=dict)
    targets: int = 0
    skipped: int = 0
    good: str = ""
    stopped: str = ""

    @property
    def diverged(self) -> bool:
        """Whether the training was given up."""
        return bool(self.stopped)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and the optimizer's memory by name."""
        weights = {f"model.{name}": weight.detach() for name, weight in self.model.named_parameters()}
        return weights | {f"optimizer.{name}": memory for name, memory in self.optimizer.state().items()}

    def numbers(self) -> dict[str, Any]:
        """Everything else, as JSON holds it."""
        return {
            "step": self.step,
            "targets": self.targets,
            "skipped": self.skipped,
            "curve": self.curve,
            "validations": self.validations,
            "recent": [[float(number) for number in row] for row in self.recent],
            "snapshots": self.snapshots,
            "updates": {str(step): moved for step, moved in self.updates.items()},
            "good": self.good,
            "stopped": self.stopped,
            "scale": self.scaler.scale,
            "finite_steps": self.scaler.finite_steps,
        }

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Become what was saved."""
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                weight.copy_(tensors[f"model.{name}"])
        self.optimizer.load({name[10:]: tensor for name, tensor in tensors.items() if name.startswith("optimizer.")})
        self.step, self.targets, self.skipped = numbers["step"], numbers["targets"], numbers["skipped"]
        self.good, self.stopped = numbers["good"], numbers["stopped"]
        self.curve, self.validations = numbers["curve"], numbers["validations"]
        self.recent = [(row[0], row[1], row[2]) for row in numbers["recent"]]
        self.snapshots = numbers["snapshots"]
        self.updates = {int(step): moved for step, moved in numbers["updates"].items()}
        self.scaler.scale, self.scaler.finite_steps = numbers["scale"], numbers["finite_steps"]


class Checkpoints:
    """The folder of one run's checkpoints, which one process at a time may use.

    Args:
        run: the identity of the run.
        say: takes one line for the user.
    """

    def __init__(self, run: str, say: Any = print) -> None:
        self.folder, self.say = private("checkpoints") / run, say
        others = "another process trains this very run; waiting for it, to take over its result"
        self.lock = alone(self.folder / "lock", lambda: say(others))

    def __enter__(self) -> Checkpoints:
        self.lock.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.lock.__exit__(*error)

    def save(self, progress: Progress) -> None:
        """Keep the progress; older checkpoints than the newest two go."""
        metadata = {"numbers": json.dumps(progress.numbers())}
        self._write(self.folder, progress.step, safetensors.torch.save(progress.tensors(), metadata))
        newest_first = self._newest_first()
        for old in newest_first[CHECKPOINTS_KEPT:]:
            old.unlink()
        # A checkpoint goes back to the newest good weights before it: older ones than those of the oldest are nobody's.
        oldest = step_of(newest_first[:CHECKPOINTS_KEPT][-1].name)
        before = sorted(path for path in self.good.glob("*.safetensors") if step_of(path.name) <= oldest)
        for path in before[:-1]:
            path.unlink()

    def keep_snapshot(self, progress: Progress) -> None:
        """Keep the weights as one would use them at this step; once, though an interrupted run comes by here again.

        Beside the checkpoints, not in the out: what DVC deletes before a run must not be lost to its second half.
        """
        name = self._write_weights(self.snapshots, progress)
        if name not in progress.snapshots:
            progress.snapshots.append(name)

    def keep_good(self, progress: Progress) -> None:
        """Keep the weights as those to go back to, should the training be given up later."""
        progress.good = self._write_weights(self.good, progress)

    def restore(self, progress: Progress) -> bool:
        """Go on from the newest checkpoint that is whole, with all the snapshots before it; whether there was one."""
        for path in self._newest_first():
            if problem := self._problem(path):
                self.say(f"the checkpoint {path.name} {problem}; going back to the one before it")
                path.unlink()
                continue
            progress.restore(safetensors.torch.load_file(path), _numbers(path))
            return True
        return False

    def _problem(self, path: Path) -> str:
        if not _is_whole(path):
            return "is damaged (its checksum differs)"
        try:
            numbers = _numbers(path)
        except (SafetensorError, KeyError, TypeError, ValueError):  # whole, and nothing that we wrote
            return "is no checkpoint of ours"
        wanted = [self.snapshots / name for name in numbers["snapshots"]]
        wanted += [self.good / numbers["good"]] if numbers["good"] else []
        lost = [file for file in wanted if not _is_whole(file)]
        return f"lacks a whole {lost[0].name} of the snapshots before it" if lost else ""

    @property
    def snapshots(self) -> Path:
        return self.folder / "snapshots"

    @property
    def good(self) -> Path:
        return self.folder / "good"

    def _write_weights(self, folder: Path, progress: Progress) -> str:
        with progress.optimizer.eval_weights():
            return self._write(folder, progress.step, weights_as_bytes(progress.model))

    @staticmethod
    def _write(folder: Path, step: int, content: bytes) -> str:
        name = f"step-{step:09d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
        write_bytes(folder / name, content)
        return name

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step-*-*.safetensors"), reverse=True)

    def keep_only(self, finished: int = 4) -> None:
        """Forget other runs, now that this one has succeeded: all but the last few that finished, and those long abandoned.

        The run's own checkpoint stays: should DVC be killed before it has taken the outs in, the same command makes
        them from it at once.
        """
        (self.folder / "finished").touch()
        used = {run: last for run in private("checkpoints").iterdir() if (last := _last_used(run))}
        newest_first = sorted(used, key=lambda run: used[run], reverse=True)
        done = [run for run in newest_first if (run / "finished").exists()]
        abandoned = [run for run in newest_first if run not in done and time.time() - used[run] > UNFINISHED_DAYS * 86400]
        for run in done[finished:] + abandoned:
            shutil.rmtree(run, ignore_errors=True)


def step_of(name: str) -> int:
    """The step at which a file of weights was kept, by its name."""
    return int(name.split("-")[1])


def read_weights(path: Path) -> bytes:
    """The content of a file of weights that lies beside the checkpoints.

    Raises:
        UserError: it is damaged or lost.
    """
    if not _is_whole(path):
        raise UserError(f"{path}: is damaged (its checksum differs); the same command goes on from a checkpoint before it")
    return path.read_bytes()


def _is_whole(path: Path) -> bool:
    """Whether a file is there and has the checksum that its name carries."""
    return path.exists() and sha256_of(path)[:16] == path.stem.rsplit("-", 1)[1]


def _numbers(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        numbers: dict[str, Any] = json.loads(file.metadata()["numbers"])
    return numbers


def _last_used(run: Path) -> float:
    """When a run's folder was last written to; 0 where another process, which has just finished, has removed it."""
    try:
        return run.stat().st_mtime
    except FileNotFoundError:
        return 0.0
