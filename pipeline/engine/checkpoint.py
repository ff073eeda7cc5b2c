"""Progress, which is all state that training changes, and its checkpoints.

A checkpoint is one file whose name contains its checksum, written to a temporary name and renamed; the newest two are
kept, and if one is damaged the one before it is used. Checkpoints are not DVC outs: DVC deletes outs before a stage
starts, and an interrupted run must find its own. Their folder is named after the identity of the run, so that no other
experiment resumes from them.
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
from pipeline.artifacts.paths import exclusive_lock, private_folder
from pipeline.artifacts.writing import write_bytes
from pipeline.engine.optimizers.base import Optimizer
from pipeline.engine.runtime.company import Company
from pipeline.engine.runtime.runtime import Scaler
from pipeline.networks.weights import weights_as_bytes
from pipeline.params.errors import UserError

CHECKPOINTS_KEPT = 2  # per run: the newest may be damaged
HELD = 64 << 20  # bytes of weights that are kept in memory until a checkpoint refers to them
UNFINISHED_DAYS = 14  # after which the checkpoints of an interrupted run are deleted


@dataclass
class Progress:
    """All state that training changes. Everything else is a pure function of the step.

    Attributes:
        model, optimizer, scaler: the weights, and what updates them.
        step: optimizer steps done.
        targets: targets trained on so far.
        skipped: steps that were skipped because float16 overflowed.
        curve, validations: rows of the logs so far.
        recent: (loss, gradient norm, whether it was clipped) of each step since the last row.
        snapshots: file names of the snapshots so far.
        updates: by the step of a snapshot, ‖ΔW‖ / ‖W‖ of each parameter in the step after it (see engine/update_norms.py).
        good: file name of the newest weights to go back to, should the training diverge, as of the last checkpoint; '' if there
            are none yet.
        stopped: why early stopping ended the training, in words; '' if it did not.
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
        """Whether early stopping ended the training."""
        return bool(self.stopped)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and optimizer state by name."""
        weights = {f"model.{name}": weight.detach() for name, weight in self.model.named_parameters()}
        return weights | {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state_dict().items()}

    def numbers(self) -> dict[str, Any]:
        """Everything else, as JSON."""
        return {
            "step": self.step,
            "targets": self.targets,
            "skipped": self.skipped,
            "curve": self.curve,
            "validations": self.validations,
            "recent": [[float(number) for number in row] for row in self.recent],
            "snapshots": self.snapshots,
            "updates": {str(step): norms for step, norms in self.updates.items()},
            "good": self.good,
            "stopped": self.stopped,
            "scale": self.scaler.scale,
            "finite_steps": self.scaler.finite_steps,
        }

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Load what `tensors` and `numbers` gave."""
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                weight.copy_(tensors[f"model.{name}"])
        self.optimizer.load_state_dict({name[10:]: tensor for name, tensor in tensors.items() if name.startswith("optimizer.")})
        self.step, self.targets, self.skipped = numbers["step"], numbers["targets"], numbers["skipped"]
        self.good, self.stopped = numbers["good"], numbers["stopped"]
        self.curve, self.validations = numbers["curve"], numbers["validations"]
        self.recent = [(row[0], row[1], row[2]) for row in numbers["recent"]]
        self.snapshots = numbers["snapshots"]
        self.updates = {int(step): norms for step, norms in numbers["updates"].items()}
        self.scaler.scale, self.scaler.finite_steps = numbers["scale"], numbers["finite_steps"]


class Checkpoints:
    """The folder of one run's checkpoints, locked for one process at a time.

    Args:
        run: the identity of the run.
        say: prints a line for the user.
    """

    def __init__(self, run: str, say: Any = print) -> None:
        self.folder, self.say = private_folder("checkpoints") / run, say
        self.held: tuple[int, dict[str, Tensor]] | None = None  # the good weights that are not written yet, and their step
        waiting = "another process is training this run; waiting for it, to use its result"
        self.lock = exclusive_lock(self.folder / "lock", lambda: say(waiting))

    def __enter__(self) -> Checkpoints:
        self.lock.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.lock.__exit__(*error)

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, and delete all but the newest two."""
        if self.held:
            step, weights = self.held
            progress.good, self.held = self._write(self.good, step, weights_as_bytes(weights)), None
        metadata = {"numbers": json.dumps(progress.numbers())}
        self._write(self.folder, progress.step, safetensors.torch.save(progress.tensors(), metadata))
        newest_first = self._newest_first()
        for old in newest_first[CHECKPOINTS_KEPT:]:
            old.unlink()
        # Each checkpoint refers to the newest good weights before it, so older ones than the oldest checkpoint's are unused.
        oldest = step_of(newest_first[:CHECKPOINTS_KEPT][-1].name)
        before = sorted(path for path in self.good.glob("*.safetensors") if step_of(path.name) <= oldest)
        for path in before[:-1]:
            path.unlink()

    def save_snapshot(self, progress: Progress) -> None:
        """Save the evaluation weights of this step; once, although a resumed run may pass this step again.

        Saved beside the checkpoints and not in models/trained, which DVC deletes before a run is resumed.
        """
        name = self._write_weights(self.snapshots, progress)
        if name not in progress.snapshots:
            progress.snapshots.append(name)

    def save_good(self, progress: Progress) -> None:
        """Save the weights as those to go back to, should the training diverge later.

        Small ones are written with the next checkpoint only, because most of them are replaced before it.
        """
        with progress.optimizer.eval_weights():
            weights = {name: weight.detach() for name, weight in progress.model.named_parameters()}
            if sum(weight.nbytes for weight in weights.values()) > HELD:
                progress.good = self._write(self.good, progress.step, weights_as_bytes(weights))
            else:
                self.held = progress.step, {name: weight.to("cpu", copy=True) for name, weight in weights.items()}

    def restore(self, progress: Progress) -> bool:
        """Load the newest checkpoint that is intact, with all of its snapshots; whether there was one."""
        for path in self._newest_first():
            if problem := self._problem(path):
                self.say(f"the checkpoint {path.name} {problem}; using the one before it")
                path.unlink()
                continue
            progress.restore(safetensors.torch.load_file(path), _numbers(path))
            return True
        return False

    def _problem(self, path: Path) -> str:
        if not _is_intact(path):
            return "is damaged (its checksum does not match)"
        try:
            numbers = _numbers(path)
        except (SafetensorError, KeyError, TypeError, ValueError):  # intact, but not written by this version
            return "is not a checkpoint of this version"
        wanted = [self.snapshots / name for name in numbers["snapshots"]]
        wanted += [self.good / numbers["good"]] if numbers["good"] else []
        lost = [file for file in wanted if not _is_intact(file)]
        return f"needs {lost[0].name}, which is missing or damaged" if lost else ""

    @property
    def snapshots(self) -> Path:
        return self.folder / "snapshots"

    @property
    def good(self) -> Path:
        return self.folder / "good"

    def _write_weights(self, folder: Path, progress: Progress) -> str:
        with progress.optimizer.eval_weights():
            return self._write(folder, progress.step, weights_as_bytes(dict(progress.model.named_parameters())))

    @staticmethod
    def _write(folder: Path, step: int, content: bytes) -> str:
        name = f"step-{step:09d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
        write_bytes(folder / name, content)
        return name

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step-*-*.safetensors"), reverse=True)

    def delete_other_runs(self, finished: int = 4) -> None:
        """Delete checkpoints of other runs once this one has finished: of finished ones all but the last few, and of old
        interrupted ones.

        The run's own checkpoint stays: should DVC be killed before it has cached the outs, the same command restores them.
        """
        (self.folder / "finished").touch()
        used = {run: last for run in private_folder("checkpoints").iterdir() if (last := _last_used(run))}
        newest_first = sorted(used, key=lambda run: used[run], reverse=True)
        done = [run for run in newest_first if (run / "finished").exists()]
        abandoned = [run for run in newest_first if run not in done and time.time() - used[run] > UNFINISHED_DAYS * 86400]
        for run in done[finished:] + abandoned:
            shutil.rmtree(run, ignore_errors=True)


def compare_start(progress: Progress, run: str, company: Company) -> None:
    """Compare what all processes of a training start from.

    Args:
        run: the identity of the run.

    Raises:
        UserError: one of them would train something else.
    """
    if company.size > 1:
        company.agree("code, data or parameters", run)
        company.agree("number of threads (runtime.threads)", str(torch.get_num_threads()))
        company.agree("initial weights", hashlib.sha256(weights_as_bytes(dict(progress.model.named_parameters()))).hexdigest())


def share_state(progress: Progress, company: Company) -> None:
    """Give all processes of a training the state of the first, which may have restored a checkpoint."""
    if company.size > 1:
        numbers = company.from_first(json.dumps(progress.numbers()).encode())
        tensors = company.from_first(safetensors.torch.save(progress.tensors()) if company.rank == 0 else b"")
        if company.rank:
            progress.restore(safetensors.torch.load(tensors), json.loads(numbers))


def step_of(name: str) -> int:
    """The step in the name of a file of weights."""
    return int(name.split("-")[1])


def read_weights(path: Path) -> bytes:
    """The content of a file of weights beside the checkpoints.

    Raises:
        UserError: it is missing or damaged.
    """
    if not _is_intact(path):
        raise UserError(
            f"{path}: missing, or damaged (its checksum does not match); the same command resumes from an earlier checkpoint"
        )
    return path.read_bytes()


def _is_intact(path: Path) -> bool:
    """Whether a file exists and has the checksum that is in its name."""
    return path.exists() and sha256_of(path)[:16] == path.stem.rsplit("-", 1)[1]


def _numbers(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        numbers: dict[str, Any] = json.loads(file.metadata()["numbers"])
    return numbers


def _last_used(run: Path) -> float:
    """When a run's folder was last written to; 0 if another process has just deleted it."""
    try:
        return run.stat().st_mtime
    except FileNotFoundError:
        return 0.0
