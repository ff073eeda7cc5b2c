"""What is kept of a training while it runs: curves, snapshots, checkpoints; and how it is stopped without loss."""

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

from pipeline.artifacts.paths import GOOD, MODEL, SNAPSHOTS, TRAIN_CURVE, TRAIN_METRICS, VALIDATION_CURVE, programs
from pipeline.artifacts.writing import write_bytes, write_json, write_text
from pipeline.engine.checkpoint import Checkpoints, Progress, read_weights, step_of
from pipeline.engine.display import Display
from pipeline.engine.early_stopping import is_good
from pipeline.engine.update_norms import UpdateNorms
from pipeline.params.training import Train
from pipeline.tasks.base import Task, Unit

CURVE_COLUMNS = ("step", "targets", "loss", "lr", "gradient_norm", "clipped")
VALIDATION_COLUMNS = ("step", "targets", "loss", "accuracy")
GOOD_CHECKS = 20  # times, evenly over the training, at which its weights are looked at as those to go back to
CURVES_SECONDS = 1.0  # how often the curves on disk follow a running training


class TrainingRecorder:
    """Keeps what happens in training, and hears when it is to stop.

    Ctrl-C and SIGTERM stop it after the micro-batch under way; so does the death of the DVC that started it (a killed
    DVC leaves its stages behind, and an orphan would train on unseen).

    Args:
        task: what is learned.
        parent: the process that started this one, asked for as early as can be.
    """

    def __init__(
        self, train: Train, task: Task, checkpoints: Checkpoints, display: Display, checkpoint_seconds: float, parent: int
    ) -> None:
        self.task, self.checkpoints, self.display = task, checkpoints, display
        self.checkpoint_seconds = checkpoint_seconds
        self.snapshots_due = snapshots_due(train)
        self.good_due = {round(share * train.steps / GOOD_CHECKS) for share in range(1, GOOD_CHECKS)}
        self.strides = UpdateNorms(self.snapshots_due, train.steps)
        self.curves_at, self.checkpoint_at = 0.0, time.monotonic()
        self.signal: int | None = None
        self.parent = parent if "DVC_STAGE" in os.environ else None
        if self.parent is not None and not _dvc_is_running():
            self.signal = signal.SIGHUP
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

    def interrupted(self) -> bool:
        if self.parent is not None and os.getppid() != self.parent:
            self.signal = signal.SIGHUP
        return self.signal is not None

    def on_step(self, progress: Progress) -> None:
        now = time.monotonic()
        self.strides.on_step(progress)
        if progress.step in self.snapshots_due or progress.diverged:
            self.checkpoints.keep_snapshot(progress)
        if progress.step in self.good_due and not progress.stopped and is_good(progress.curve, self.task.uniform_loss):
            self.checkpoints.keep_good(progress)
        if now - self.curves_at > CURVES_SECONDS:
            self.write_curves(progress)
            self.curves_at = time.monotonic()
        if now - self.checkpoint_at > self.checkpoint_seconds:
            self.checkpoints.save(progress)
            self.checkpoint_at = time.monotonic()
        last = progress.curve[-1]["loss"] if progress.curve else None
        held_out = progress.validations[-1] if progress.validations else None
        self.display.show(progress.step, progress.targets, last, held_out, progress.skipped)

    def write_curves(self, progress: Progress) -> None:
        """The curves so far, and the last row as the metrics that `dvc exp show` looks at while it runs."""
        dials = (name for row in progress.curve[:1] for name in row if name not in CURVE_COLUMNS)
        write_text(TRAIN_CURVE, _csv((*CURVE_COLUMNS, *dials), progress.curve))
        write_text(VALIDATION_CURVE, _csv(VALIDATION_COLUMNS, progress.validations))
        write_json(TRAIN_METRICS, metrics_of(progress, self.task.unit))

    def publish_snapshots(self, progress: Progress) -> None:
        """Copy the snapshots into the out, with a list of their steps, checksums and updates."""
        listed = []
        for name in progress.snapshots:
            step, file = step_of(name), name[: len("step-000000000")] + ".safetensors"
            content = read_weights(self.checkpoints.snapshots / name)
            write_bytes(SNAPSHOTS / file, content)
            updates = progress.updates.get(step, {})
            listed.append({"step": step, "file": file, "sha256": hashlib.sha256(content).hexdigest(), "updates": updates})
        write_json(SNAPSHOTS / "snapshots.json", {"snapshots": listed})

    def publish_good(self, progress: Progress, about: Mapping[str, Any]) -> None:
        """Leave the weights to go back to in a folder of their own, as `train.init_from` takes a copy of it.

        Args:
            about: what model.json says of every model of this training.
        """
        step, content = step_of(progress.good), read_weights(self.checkpoints.good / progress.good)
        write_bytes(GOOD / MODEL.with_suffix(".safetensors").name, content)
        sha256 = hashlib.sha256(content).hexdigest()
        write_json(GOOD / MODEL.with_suffix(".json").name, {**about, "step": step, "sha256": sha256})
        self.display.say(f"the weights of step {step:,}, before it went wrong, are in {GOOD}; a copy goes into train.init_from")


def snapshots_due(train: Train) -> set[int]:
    """The steps at which a training is kept for the probes."""
    return {round(share * train.steps) for share in train.snapshots}


def metrics_of(progress: Progress, unit: Unit) -> dict[str, Any]:
    """What metrics/train.json holds: of whole examples told, also how many of the held-out ones were told right."""
    loss = {"train_loss": progress.curve[-1]["loss"]} if progress.curve else {}
    if unit == "examples" and progress.validations:
        loss["validation_accuracy"] = progress.validations[-1]["accuracy"]
    skipped = {"skipped_steps": progress.skipped} if progress.scaler.enabled else {}
    stopped = {"stopped": progress.stopped} if progress.stopped else {}
    return {"step": progress.step, "diverged": progress.diverged, **stopped, **skipped, **loss}


def _dvc_is_running() -> bool:
    """Whether a DVC is among the ancestors of this process, which it started; it may have been killed before we knew it."""
    for ancestor in psutil.Process().parents():
        with contextlib.suppress(psutil.Error):  # it has just ended, or is nobody's whose words we may read
            if "dvc" in programs(ancestor.cmdline()):
                return True
    return False


def _csv(columns: tuple[str, ...], rows: list[dict[str, float]]) -> str:
    lines = (",".join(str(row[column]) for column in columns) for row in rows)
    return "\n".join((",".join(columns), *lines)) + "\n"
