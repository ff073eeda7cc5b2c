"""The stage train: data/tokens -> models/trained, metrics/train.csv, validation.csv, train.json, sanity.json."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file (an editor's Run button): start again as dvc.yaml does
    os.chdir(Path(__file__).absolute().parents[1])
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.train", *sys.argv[1:]])

import time
from typing import TYPE_CHECKING, Any

from pipeline import identity
from pipeline.artifacts import checksums, paths, reading, writing
from pipeline.params.entry_point import entry_point
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.schema import Params
from pipeline.processes import Crew, ProcessLost, started

if TYPE_CHECKING:
    from pipeline.engine.checkpoint import Progress
    from pipeline.engine.recorder import TrainingRecorder
    from pipeline.engine.runtime.runtime import Runtime


@entry_point
def main() -> None:
    """Train the model that params.yaml describes, resuming an interrupted run of the same identity."""
    parent = os.getppid()  # before torch is imported, during which the parent may be killed
    params = load()
    wanted = "image" if params.task.kind == "vision" else "vocabulary"
    meta = reading.read_json(paths.meta_of(paths.TOKENS), wanted)
    input_sha256 = reading.input_sha256(paths.TOKENS)  # before the first step, because a damaged tokenizer is an error
    with started(params.runtime.processes, params.train.slots) as crew:
        try:
            _train(params, meta, input_sha256, parent, crew)
        except ProcessLost as lost:
            why = crew.lost(wait=True) or str(lost)
            raise UserError(f"train: {why}; the same command resumes from the last checkpoint") from None


def _train(params: Params, meta: dict[str, Any], input_sha256: str, parent: int, crew: Crew) -> None:
    from pipeline.engine.runtime.runtime import Runtime

    runtime = Runtime(params.runtime, params.train.precision, params.train.slots, crew)
    with contextlib.closing(runtime.company):
        _train_on(runtime, params, meta, input_sha256, parent)


def _train_on(runtime: Runtime, params: Params, meta: dict[str, Any], input_sha256: str, parent: int) -> None:
    from pipeline.engine.checkpoint import Checkpoints, compare_start, share_state
    from pipeline.engine.display import display
    from pipeline.engine.loop import Interrupted
    from pipeline.engine.recorder import Follower, TrainingRecorder
    from pipeline.engine.sanity import formatted, numbers_at_start
    from pipeline.engine.setup import build_training, fit_together

    train = params.train
    described = params.model_dump(include={"seed", "task", "model", "train"}) | {"precision": runtime.precision}
    run = identity.run_identity("train", described)
    progress, task = build_training(params.seed, params.task.kind, params.model, train, paths.TOKENS, runtime)
    compare_start(progress, run, runtime.company)
    if runtime.company.rank:  # the first process alone writes
        share_state(progress, runtime.company)
        with contextlib.suppress(Interrupted), runtime.enough_memory():
            fit_together(progress, task, params.model, train, params.seed, runtime, Follower())
        return
    with runtime.enough_memory():  # before a checkpoint is restored, so that a resumed run finds the same
        sanity = numbers_at_start(progress.model, task, drawn=train.init_from == str(paths.NONE))
    writing.write_json(paths.SANITY, sanity)
    with Checkpoints(run) as checkpoints:
        resumed = checkpoints.restore(progress)
        share_state(progress, runtime.company)
        shown = display(params.runtime.progress, train.steps, progress.step, progress.targets, task.unit)
        if runtime.tuned:
            shown.say(f"tuned by `rally autotune`: {runtime}")
        for line in formatted(sanity):
            shown.say(line)
        if resumed:
            shown.say(f"resuming from the checkpoint at step {progress.step:,} of {train.steps:,}")
        recorder = TrainingRecorder(train, task, checkpoints, shown, params.runtime.checkpoint_seconds, parent)
        first, start = progress.step, time.perf_counter()
        try:
            with runtime.enough_memory():
                fit_together(progress, task, params.model, train, params.seed, runtime, recorder)
        except Interrupted:
            checkpoints.save(progress)
            shown.say(f"interrupted and saved at step {progress.step:,} of {train.steps:,}; the same command resumes")
            sys.exit(128 + (recorder.signal or signal.SIGTERM))  # which another process may have received
        except ProcessLost as lost:
            if lost.whole:
                checkpoints.save(progress)
            raise
        finally:
            shown.close()
        if progress.stopped:
            shown.say(f"stopped early at step {progress.step:,} of {train.steps:,}: {progress.stopped}")
        # The duration is not a result (it differs between machines), so it is not in any out.
        took = {"seconds": time.perf_counter() - start, "steps": progress.step - first, "precision": runtime.precision}
        writing.write_json(paths.private_folder("timings") / f"{run}.json", took)
        checkpoints.save(progress)
        _publish(params, meta, input_sha256, progress, recorder)
        checkpoints.delete_other_runs()


def _publish(params: Params, meta: dict[str, Any], input_sha256: str, progress: Progress, recorder: TrainingRecorder) -> None:
    from pipeline.networks.weights import save_weights
    from pipeline.tasks.base import Shape

    with progress.optimizer.eval_weights():
        sha256 = save_weights(progress.model, paths.MODEL.with_suffix(".safetensors"))
    made_by = params.model_dump(include={"seed", "model", "train"})
    about = made_by | {"task": params.task.kind, "tokenizer": input_sha256} | Shape.of(meta).as_json()
    writing.write_json(paths.MODEL.with_suffix(".json"), about | {"step": progress.step, "sha256": sha256})
    recorder.publish_snapshots(progress)
    if progress.stopped and progress.good:
        recorder.publish_good(progress, about)
    recorder.write_curves(progress)
    checksums.seal("train")


if __name__ == "__main__":
    main()
