"""Records a training while it runs (curves, snapshots, checkpoints), and stops it on signals without losing work."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import psutil

from pipeline.artifacts.paths import GOOD, MODEL, SNAPSHOTS, TRAIN_CURVE, TRAIN_METRICS, VALIDATION_CURVE, program_names
from pipeline.artifacts.writing import write_bytes, write_json, write_text
from pipeline.engine.checkpoint import Checkpoints, Progress, read_weights, step_of
from pipeline.engine.display import Display
from pipeline.engine.early_stopping import is_good
from pipeline.engine.update_norms import UpdateNorms
from pipeline.params.training import Train
from pipeline.tasks.base import Task, Unit

CURVE_COLUMNS = ("step", "targets", "loss", "lr", "gradient_norm", "clipped")
VALIDATION_COLUMNS = ("step", "targets", "loss", "accuracy")
GOOD_CHECKS = 20  # times, evenly over the training, at which its weights may be kept as those to go back to
CURVES_SECONDS = 1.0  # between two updates of the curves on disk


class Follower:
    """The step callback of every process but the first: it records nothing, and passes on a request to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

    def on_step(self, progress: Progress) -> None:
        if self.wants_weights(progress):
            self.keep_weights(progress)
        self.report(progress)

    def wants_weights(self, progress: Progress) -> bool:
        """Whether something is due at this step that reads weights."""
        return False

    def keep_weights(self, progress: Progress) -> None:
        """Do that."""

    def report(self, progress: Progress) -> None:
        """Do what is due at this step, and reads no weights."""

    def interrupted(self) -> bool:
        return self.signal is not None


class TrainingRecorder(Follower):
    """The step callback of the stage train: writes curves, snapshots and checkpoints, and reacts to signals.

    Ctrl-C and SIGTERM stop the training after the current micro-batch; so does the death of the DVC that started it (a
    killed DVC leaves its stages running, and an orphan would train on unnoticed).

    Args:
        checkpoint_seconds: between two checkpoints.
        parent: id of the parent process, read as early as possible.
    """

    def __init__(
        self, train: Train, task: Task, checkpoints: Checkpoints, display: Display, checkpoint_seconds: float, parent: int
    ) -> None:
        self.task, self.checkpoints, self.display = task, checkpoints, display
        self.checkpoint_seconds = checkpoint_seconds
        self.snapshots_due = snapshots_due(train)
        self.good_due = {round(share * train.steps / GOOD_CHECKS) for share in range(1, GOOD_CHECKS)}
        self.update_norms = UpdateNorms(self.snapshots_due, train.steps)
        self.curves_at, self.checkpoint_at = 0.0, time.monotonic()
        super().__init__()
        self.parent = parent if "DVC_STAGE" in os.environ else None
        if self.parent is not None and not _dvc_is_running():
            self.signal = signal.SIGHUP

    def interrupted(self) -> bool:
        if self.parent is not None and os.getppid() != self.parent:
            self.signal = signal.SIGHUP
        return super().interrupted()

    def wants_weights(self, progress: Progress) -> bool:
        listed = progress.step in self.snapshots_due | self.good_due or self.update_norms.wants_weights(progress)
        return listed or progress.diverged or self._checkpoint_is_due()

    def keep_weights(self, progress: Progress) -> None:
        self.update_norms.on_step(progress)
        if progress.step in self.snapshots_due or progress.diverged:
            self.checkpoints.save_snapshot(progress)
        if progress.step in self.good_due and not progress.stopped and is_good(progress.curve, self.task.uniform_loss):
            self.checkpoints.save_good(progress)
        if self._checkpoint_is_due():
            self.checkpoints.save(progress)
            self.checkpoint_at = time.monotonic()

    def _checkpoint_is_due(self) -> bool:
        return time.monotonic() - self.checkpoint_at > self.checkpoint_seconds

    def report(self, progress: Progress) -> None:
        if time.monotonic() - self.curves_at > CURVES_SECONDS:
            self.write_curves(progress)
            self.curves_at = time.monotonic()
        last = progress.curve[-1]["loss"] if progress.curve else None
        held_out = progress.validations[-1] if progress.validations else None
        self.display.show(progress.step, progress.targets, last, held_out, progress.skipped)

    def write_curves(self, progress: Progress) -> None:
        """Write the curves so far, and their last row as metrics, which `dvc exp show` reads during the run."""
        scheduled = (name for row in progress.curve[:1] for name in row if name not in CURVE_COLUMNS)
        write_text(TRAIN_CURVE, _csv((*CURVE_COLUMNS, *scheduled), progress.curve))
        write_text(VALIDATION_CURVE, _csv(VALIDATION_COLUMNS, progress.validations))
        write_json(TRAIN_METRICS, metrics_of(progress, self.task.unit))

    def publish_snapshots(self, progress: Progress) -> None:
        """Copy the snapshots into models/trained, with a list of their steps, checksums and update norms."""
        listed = []
        for name in progress.snapshots:
            step, file = step_of(name), name[: len("step-000000000")] + ".safetensors"
            content = read_weights(self.checkpoints.snapshots / name)
            write_bytes(SNAPSHOTS / file, content)
            updates = progress.updates.get(step, {})
            listed.append({"step": step, "file": file, "sha256": hashlib.sha256(content).hexdigest(), "updates": updates})
        write_json(SNAPSHOTS / "snapshots.json", {"snapshots": listed})

    def publish_good(self, progress: Progress, about: Mapping[str, Any]) -> None:
        """Write the last good weights to a folder of their own, a copy of which can be `train.init_from`.

        Args:
            about: the content of model.json, without step and checksum.
        """
        step, content = step_of(progress.good), read_weights(self.checkpoints.good / progress.good)
        write_bytes(GOOD / MODEL.with_suffix(".safetensors").name, content)
        sha256 = hashlib.sha256(content).hexdigest()
        write_json(GOOD / MODEL.with_suffix(".json").name, {**about, "step": step, "sha256": sha256})
        self.display.say(
            f"the weights of step {step:,}, before it diverged, are in {GOOD}; copy it to use it as train.init_from"
        )


def snapshots_due(train: Train) -> set[int]:
    """The steps at which snapshots are saved for the probes."""
    return {round(share * train.steps) for share in train.snapshots}


def metrics_of(progress: Progress, unit: Unit) -> dict[str, Any]:
    """The content of metrics/train.json; for classification with the validation accuracy."""
    loss = {"train_loss": progress.curve[-1]["loss"]} if progress.curve else {}
    if unit == "examples" and progress.validations:
        loss["validation_accuracy"] = progress.validations[-1]["accuracy"]
    skipped = {"skipped_steps": progress.skipped} if progress.scaler.enabled else {}
    stopped = {"stopped": progress.stopped} if progress.stopped else {}
    return {"step": progress.step, "diverged": progress.diverged, **stopped, **skipped, **loss}


def _dvc_is_running() -> bool:
    """Whether a DVC is among the ancestors of this process; it may have been killed before we knew its id."""
    for ancestor in psutil.Process().parents():
        with contextlib.suppress(psutil.Error):  # it has just ended, or belongs to another user
            if "dvc" in program_names(ancestor.cmdline()):
                return True
    return False


def _csv(columns: tuple[str, ...], rows: list[dict[str, float]]) -> str:
    lines = (",".join(str(row[column]) for column in columns) for row in rows)
    return "\n".join((",".join(columns), *lines)) + "\n"
