"""Memory that `rally budget` predicts for a GPU, compared with what a training really takes.

    python -m benchmarks.memory        thirty configurations on the local GPU; it takes some minutes

Each is predicted (a step on fake tensors), then trained for some steps on random ids and measured with
torch.cuda.max_memory_allocated. The last column counts: nothing that is predicted to fit may run out of memory.
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import torch

from benchmarks.bench import TOP, machine, table
from pipeline.lab.budget.fake_step import fake_step
from pipeline.lab.budget.fit import card
from pipeline.lab.budget.timing import measure
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape

# (depth, width, heads, length, batch) of five sizes, from tiny to one that fills a large card.
SHAPES = ((4, 128, 4, 128, 32), (6, 384, 6, 256, 64), (8, 512, 8, 512, 32), (12, 768, 12, 1024, 16), (16, 1024, 16, 1024, 32))
WAYS: dict[str, dict[str, Any]] = {
    "float32": {"train.precision": "float32"},
    "bfloat16": {},
    "chunked loss": {"runtime.loss_chunk_size": 1024},
    "activation checkpointing": {"runtime.activation_checkpointing": "block"},
    "8-bit AdamW": {"train.optimizer": "adamw", "train.state_8bit": True},
    "two micro-batches": {"train.accumulation_steps": 2},
}
VOCABULARY = 8192


def knobs_of(shape: tuple[int, int, int, int, int], way: dict[str, Any]) -> Params:
    """A configuration of the grid."""
    sizes = dict(
        zip(("model.depth", "model.width", "model.heads", "model.context_length", "train.batch_size"), shape, strict=True)
    )
    common = {"runtime.device": "cuda", "runtime.compile": False, "train.precision": "bfloat16", "train.validation_points": 0}
    return parse(Params, with_knobs(read_sections(TOP / "params.yaml"), common | sizes | way))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.memory: needs a CUDA GPU, and there is none here")
    room = torch.cuda.get_device_properties(0).total_memory
    rows: list[tuple[object, ...]] = []
    for shape, (name, way) in itertools.product(SHAPES, WAYS.items()):
        params = knobs_of(shape, way)
        device = card(room / 2**30, params.train.precision)
        step = fake_step(params, Shape(VOCABULARY), precision=device.precision, on_card=True)
        fits = device.needed(step.bytes, step.saved) <= room
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            measure(params, Shape(VOCABULARY))
            found = torch.cuda.max_memory_allocated()
            kept = "yes" if fits else "too cautious: it fitted"
        except UserError:
            found, kept = 0, "NO: it ran out of memory" if fits else "yes"
        ratio = f"{step.bytes / found:.3f}" if found else "-"
        sizes = "×".join(map(str, shape))
        rows.append((sizes, name, f"{step.bytes / 2**20:,.0f}", f"{found / 2**20:,.0f}", ratio, "yes" if fits else "no", kept))
        print(rows[-1], flush=True)
    header = (
        "depth×width×heads×length×batch",
        "variant",
        "predicted, MiB",
        "measured, MiB",
        "ratio",
        "predicted to fit",
        "correct",
    )
    print(f"\n{machine()}; a vocabulary of {VOCABULARY:,}\n\n{table(header, rows)}")


if __name__ == "__main__":
    main()
