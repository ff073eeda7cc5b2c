"""Small trainings of every optimizer and kind of task, by one of several processes; it prints the SHA-256 of each.

`python train_together.py FOLDER` with the variables of `pipeline/processes.py`; without them it trains alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from small import KINDS, WRITERS, StopAfter, knobs

from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.runtime.company import Company
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import build_training
from pipeline.processes import ONLY, place_in

SLOTS, STEPS = 8, 4
COMMON: dict[str, Any] = {"train__slots": SLOTS, "train__batch_size": 16, "train__steps": STEPS, "model__dropout": 0.1}

CASES: dict[str, dict[str, Any]] = {optimizer: {"train__optimizer": optimizer} for optimizer in OPTIMIZERS}
CASES |= KINDS
CASES |= {
    "classes that weigh alike, in epochs": {
        **KINDS["classify"],
        "train__sampling": "epochs",
        "train__class_weights": "balanced",
    },
    "mixed and shifted images": {**KINDS["vision"], "train__mixup": 0.2, "train__shift": 1},
    "images in patches": {**KINDS["vision"], "model__network": "transformer", "train__optimizer": "adamw"},
    "micro-batches of one": {"train__accumulation_steps": 16},
    "batches that grow from one example": {"train__batch_start": 0.05, "train__batch_growth": 1.0},
    "sequences that grow": {"train__length_start": 0.5, "train__length_keeps": "tokens"},
    "a curriculum": {"train__curriculum": "easy_first"},
    "clipped, averaged": {"train__grad_clip": 0.1, "train__ema": 0.9},
    "state in 8 bits": {"train__state_8bit": True, "model__width": 64},
    "logits in chunks, blocks computed again": {
        "runtime__loss_chunk_size": 8,
        "runtime__activation_checkpointing": "block",
    },
    "half precision": {"train__precision": "bfloat16"},
    "half precision, the loss scaled": {"train__precision": "float16"},
    "other losses": {**KINDS["vision"], "train__loss": "mse", "train__optimizer": "sgd"},
    "smoothed targets, at documents": {"train__windows": "documents", "train__label_smoothing": 0.1, "train__z_loss": 1e-3},
    "deeper": {"model__depth": 3, "train__weight_decay": 0.1},
    "soap that turns its axes": {"train__optimizer": "soap", "train__precondition_frequency": 1},
}


def digest(progress: Progress) -> str:
    """Of everything that a checkpoint keeps."""
    found = hashlib.sha256(json.dumps(progress.numbers(), sort_keys=True).encode())
    for name, tensor in sorted(progress.tensors().items()):
        found.update(name.encode() + tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def main(folder: Path) -> None:
    company = Company(place_in(os.environ) or ONLY, torch.device("cpu"))
    for name, case in CASES.items():
        params = knobs(**COMMON | case)
        runtime = Runtime(params.runtime, params.train.precision if params.train.precision != "auto" else "float32")
        runtime.company = company
        data = folder / params.task.kind
        progress, task = build_training(params.seed, params.task.kind, params.model, params.train, data, runtime)
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
        print(f"{name}: {digest(progress)}", flush=True)
    company.close()


def write_data(folder: Path) -> None:
    """The data of all kinds."""
    for kind, write in WRITERS.items():
        write(folder / kind)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
