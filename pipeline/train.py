"""The stage train: data/tokens -> models/trained, metrics/train.csv, validation.csv, train.json, sanity.json."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from pipeline import identity
from pipeline.artifacts import checksums, paths, reading, writing
from pipeline.params.entry_point import entry_point
from pipeline.params.load import load
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.engine.checkpoint import Progress
    from pipeline.engine.recorder import TrainingRecorder


@entry_point
def main() -> None:
    """Train the model that params.yaml describes, from where an interrupted run of the same stopped."""
    parent = os.getppid()  # before torch's two seconds, in which it may be killed
    params = load()
    wanted = "image" if params.task.kind == "vision" else "vocabulary"
    meta = reading.read_json(paths.meta_of(paths.TOKENS), wanted)
    reads = reading.made_for(paths.TOKENS)  # before the first step, for a damaged tokenizer is refused

    from pipeline.engine.checkpoint import Checkpoints
    from pipeline.engine.display import display
    from pipeline.engine.loop import Interrupted, fit
    from pipeline.engine.recorder import TrainingRecorder
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.engine.sanity import formatted, numbers_at_start
    from pipeline.engine.setup import build_training

    train = params.train
    runtime = Runtime(params.runtime, train.precision)
    described = params.model_dump(include={"seed", "task", "model", "train"}) | {"precision": runtime.precision}
    run = identity.identity("train", described)
    progress, task = build_training(params.seed, params.task.kind, params.model, train, paths.TOKENS, runtime)
    with runtime.enough_memory():  # before a checkpoint is restored, so that a resumed run finds what an unbroken one did
        sanity = numbers_at_start(progress.model, task, drawn=train.init_from == str(paths.NONE))
    writing.write_json(paths.SANITY, sanity)
    with Checkpoints(run) as checkpoints:
        resumed = checkpoints.restore(progress)
        shown = display(params.runtime.progress, train.steps, progress.step, progress.targets, task.unit)
        if runtime.tuned:
            shown.say(f"as `rally autotune` found it fastest: {runtime}")
        for line in formatted(sanity):
            shown.say(line)
        if resumed:
            shown.say(f"going on from the checkpoint at step {progress.step:,} of {train.steps:,}")
        journal = TrainingRecorder(train, task, checkpoints, shown, params.runtime.checkpoint_seconds, parent)
        first, start = progress.step, time.perf_counter()
        try:
            with runtime.enough_memory():
                fit(progress, task, train, params.seed, runtime, journal)
        except Interrupted:
            checkpoints.save(progress)
            shown.say(f"stopped and saved at step {progress.step:,} of {train.steps:,}; the same command goes on from here")
            sys.exit(128 + (journal.signal or 0))
        finally:
            shown.close()
        if progress.stopped:
            shown.say(f"given up at step {progress.step:,} of {train.steps:,}: {progress.stopped}")
        # What it took is no result (the same run takes another time elsewhere), so it stands in no out.
        took = {"seconds": time.perf_counter() - start, "steps": progress.step - first, "precision": runtime.precision}
        writing.write_json(paths.private("timings") / f"{run}.json", took)
        checkpoints.save(progress)
        _publish(params, meta, reads, progress, journal)
        checkpoints.keep_only()


def _publish(params: Params, meta: dict[str, Any], reads: str, progress: Progress, journal: TrainingRecorder) -> None:
    from pipeline.networks.weights import save_weights
    from pipeline.tasks.base import Shape

    with progress.optimizer.eval_weights():
        sha256 = save_weights(progress.model, paths.MODEL.with_suffix(".safetensors"))
    made_by = params.model_dump(include={"seed", "model", "train"})
    about = made_by | {"task": params.task.kind, "tokenizer": reads} | Shape.of(meta).as_json()
    writing.write_json(paths.MODEL.with_suffix(".json"), about | {"step": progress.step, "sha256": sha256})
    journal.publish_snapshots(progress)
    if progress.stopped and progress.good:
        journal.publish_good(progress, about)
    journal.write_curves(progress)
    checksums.seal("train")


if __name__ == "__main__":
    main()
