"""A step rehearsed without data against what torch's own counters say of the real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import SMALL, knobs
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from pipeline.artifacts.writing import write_json
from pipeline.engine.block_execution import ACTIVATION_CHECKPOINTING
from pipeline.engine.loop import train_step
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import make_objective, untrained_state
from pipeline.lab.budget.fake_step import fake_step
from pipeline.lab.stand_ins.dummy_task import BatchMaker, DummyTask
from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.attention import ATTENTIONS, set_attention_kernel
from pipeline.networks.convolution import DOWNSAMPLES
from pipeline.networks.dropout import DROPOUT_SCHEDULES, DropoutState
from pipeline.networks.image_norms import IMAGE_NORMS
from pipeline.networks.images import NETWORKS
from pipeline.networks.inits import INITS
from pipeline.networks.mixers import MIXERS
from pipeline.networks.norms import NORMS
from pipeline.networks.pooling import POOLINGS
from pipeline.networks.positions import POSITIONS
from pipeline.networks.residuals import RESIDUALS
from pipeline.networks.transformer import GPT
from pipeline.params.schema import Params
from pipeline.tasks.base import Batch, Loss, Parts, Shape
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.objective import Objective

FAMILIES = {
    "model__activation": ACTIVATIONS,
    "model__norm": NORMS,
    "model__embedding_mixer": MIXERS,
    "model__position": POSITIONS,
    "model__attention": ATTENTIONS,
    "model__residual": RESIDUALS,
    "model__init": INITS,
    "model__dropout_schedule": DROPOUT_SCHEDULES,
    "train__optimizer": OPTIMIZERS,
}
ENTRIES = [(family, name) for family, table in FAMILIES.items() for name in table]

GPT2 = {
    "model__activation": "gelu",
    "model__norm": "layer",
    "model__embedding_mixer": "none",
    "model__position": "learned",
    "model__mlp_ratio": 4.0,
    "model__bias": True,
    "train__optimizer": "adamw",
}


def shape(depth: int, width: int, heads: int, length: int, batch: int, **more: Any) -> dict[str, Any]:
    sizes = {"depth": depth, "width": width, "heads": heads, "context_length": length}
    return {f"model__{name}": size for name, size in sizes.items()} | {"train__batch_size": batch} | more


# (knobs, vocabulary, precision)
GRID: dict[str, tuple[dict[str, Any], int, str]] = {
    "the default's kind": (shape(2, 64, 4, 32, 8), 256, "float32"),
    "the default's kind in bfloat16": (shape(2, 64, 4, 32, 8), 256, "bfloat16"),
    "one layer": (shape(1, 64, 4, 32, 8), 65, "float32"),
    "four layers": (shape(4, 32, 4, 32, 8), 65, "float32"),
    "wide": (shape(1, 512, 8, 16, 4), 65, "float32"),
    "narrow": (shape(2, 16, 1, 64, 8), 65, "bfloat16"),
    "many heads": (shape(2, 64, 16, 32, 4), 65, "bfloat16"),
    "label smoothing and z-loss": (shape(1, 64, 4, 32, 8, train__label_smoothing=0.1, train__z_loss=1e-4), 5_000, "float32"),
    "long": (shape(1, 32, 2, 512, 2), 65, "float32"),
    "long in bfloat16, scores written out": (shape(1, 32, 2, 512, 2), 65, "bfloat16"),
    "one example": (shape(2, 128, 4, 16, 1), 65, "float32"),
    "a large batch": (shape(1, 32, 2, 16, 256), 65, "float32"),
    "a large vocabulary": (shape(1, 64, 4, 32, 8), 20_000, "float32"),
    "a large vocabulary in bfloat16": (shape(1, 64, 4, 32, 8), 20_000, "bfloat16"),
    "a tiny vocabulary": (shape(2, 64, 4, 32, 8), 3, "float32"),
    "tied": (shape(1, 64, 4, 32, 8, model__tie_embeddings=True), 5_000, "float32"),
    "as GPT-2": (shape(2, 64, 4, 64, 8, **GPT2), 65, "float32"),
    "as GPT-2, tied, in bfloat16": (shape(2, 64, 4, 64, 8, **GPT2 | {"model__tie_embeddings": True}), 1_000, "bfloat16"),
    "swiglu and rms": (shape(2, 64, 4, 32, 8, model__activation="swiglu", model__norm="rms"), 65, "float32"),
    "dropout": (shape(2, 64, 4, 32, 8, model__dropout=0.2), 65, "float32"),
    "a window": (shape(2, 64, 4, 64, 8, model__attention="window", model__window=8), 65, "float32"),
    "accumulation": (shape(1, 64, 4, 32, 16, train__accumulation_steps=4), 65, "float32"),
    "accumulation of a large vocabulary": (shape(1, 64, 4, 32, 8, train__accumulation_steps=2), 5_000, "bfloat16"),
    "sgd, clipped": (shape(2, 64, 4, 32, 8, train__optimizer="sgd", train__grad_clip=1.0), 65, "float32"),
}


class Tracked(LanguageModelling):
    """Language modelling without content, for a MemTracker, which wants to be told of every micro-batch."""

    def __init__(self, params: Params, vocabulary: int, objective: Objective, tracker: MemTracker) -> None:
        super().__init__(Path(), params.model, Shape(vocabulary), objective)
        self.tracker = tracker

    def size(self, split: str) -> int:
        return 1

    def parts(self) -> Parts:
        return Parts(np.array([self.length + 1]), np.zeros(1), np.zeros(1, np.uint8))

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        ids = torch.zeros((len(rows), self.model.context_length + 1), dtype=torch.int64)
        return AllCount(ids[:, :-1], ids[:, 1:].clone())

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        self.tracker.reset_mod_stats()
        return super().loss(model, batch, dropout_state)


class AllCount(Batch):
    @property
    def count(self) -> int:
        return self.targets.numel()


def tracked_peak(params: Params, vocabulary: int, precision: str) -> int:
    """Bytes at the peak of a step, by torch's own tracker."""
    runtime, tracker = Runtime(params.runtime, precision), MemTracker()
    with FakeTensorMode():
        task = Tracked(params, vocabulary, make_objective(params.train, runtime), tracker)
        progress = untrained_state(params.seed, task, params.model, params.train, runtime)
        tracker.track_external(progress.model, *progress.optimizer.state_dict().values())
        with tracker:
            for _ in range(2):
                train_step(progress, task, params.train, params.seed, runtime, lambda: False)
                progress.recent.clear()
    return int(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])


def counted(params: Params, vocabulary: int) -> tuple[int, int]:
    """Parameters, and FLOPs of forward and backward by torch's own counter; on the meta device it counts attention too."""
    with torch.device("meta"):
        model = GPT(params.model, vocabulary, torch.Generator().manual_seed(0))
        ids = torch.zeros((params.train.batch_size, params.model.context_length), dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model(ids).sum().backward()
    return sum(weight.numel() for weight in model.parameters()), int(counter.get_total_flops())


def allocated_peak(params: Params, shape: int | Shape, precision: str, longest: int | None = None) -> int:
    """Bytes at the peak of a real step, as the allocator gave them out; of a language model, with so many tokens."""
    shape = Shape(shape) if isinstance(shape, int) else shape
    runtime = Runtime(params.runtime, precision)
    sizes = None if longest is None else np.array([longest // 2, longest])
    task = DummyTask(
        params,
        shape,
        make_objective(params.train, runtime),
        BatchMaker(1, sizes),
    )
    progress = untrained_state(params.seed, task, params.model, params.train, runtime)
    for step in (0, params.train.steps - 1):
        for weight in progress.model.parameters():
            weight.grad = None
        progress.step = step
        with profile(profile_memory=True) as profiler:
            train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        progress.recent.clear()
    held = [*progress.model.parameters(), *progress.model.buffers(), *progress.optimizer.state_dict().values()]
    changes = [event.nbytes() for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    return sum(tensor.nbytes for tensor in held) + int(np.cumsum(changes).max())


@pytest.mark.parametrize("name", GRID)
def test_parameters_and_flops_are_exact_and_memory_is_what_a_real_step_allocates(name: str) -> None:
    changes, vocabulary, precision = GRID[name]
    params = knobs(**changes)
    step = fake_step(params, Shape(vocabulary), precision=precision, on_card=False)
    assert (sum(step.parameters.values()), step.flops["forward"] + step.flops["backward"]) == counted(params, vocabulary)
    assert step.bytes == pytest.approx(allocated_peak(params, vocabulary, precision), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRID)
def test_memory_is_what_torchs_tracker_says(name: str) -> None:
    changes, vocabulary, precision = GRID[name]
    params = knobs(**changes)
    step = fake_step(params, Shape(vocabulary), precision=precision, on_card=False)
    assert step.bytes == pytest.approx(tracked_peak(params, vocabulary, precision), rel=0.05)


IMAGES, TEXTS = Shape(classes=tuple("0123456789"), image=(28, 28, 1)), Shape(200, ("bad", "good"))
VISION = {"task__kind": "vision", "prepare__dataset": "digits", "train__batch_size": 32, "model__width": 32}
CLASSIFY = {
    "task__kind": "classify",
    "prepare__dataset": "dyck",
    "train__batch_size": 32,
    "model__width": 32,
    "model__context_length": 64,
}

# (knobs, what there is to read, precision)
CLASSES: dict[str, tuple[dict[str, Any], Shape, str]] = {
    "the default's CNN": (VISION, IMAGES, "float32"),
    "the default's CNN in bfloat16": (VISION, IMAGES, "bfloat16"),
    "a CNN over a line": (VISION, Shape(classes=("a", "b", "c"), image=(1, 40, 1)), "float32"),
    "a CNN with dropout and biases": (VISION | {"model__dropout": 0.2, "model__bias": True}, IMAGES, "float32"),
    **{f"a CNN that shrinks by {name}": (VISION | {"model__downsample": name}, IMAGES, "float32") for name in DOWNSAMPLES},
    **{f"a CNN with {name} norm": (VISION | {"model__norm": name}, IMAGES, "float32") for name in IMAGE_NORMS},
    **{f"{name} over images": (VISION | {"model__network": name}, IMAGES, "float32") for name in NETWORKS},
    "an mlp with batch norm, blended": (
        VISION | {"model__network": "mlp", "model__norm": "batch", "train__mixup": 0.4},
        IMAGES,
        "float32",
    ),
    "texts in bfloat16": (CLASSIFY, TEXTS, "bfloat16"),
    "texts seen backwards only": (CLASSIFY | {"model__causal": True, "model__pooling": "last"}, TEXTS, "float32"),
    **{f"texts, pooling {name}": (CLASSIFY | {"model__pooling": name}, TEXTS, "float32") for name in POOLINGS},
}


def multiplied(params: Params, shape: Shape) -> tuple[int, int]:
    """Parameters that learn, and FLOPs of forward and backward by torch's own counter, which sees attention written out."""
    task = DummyTask(params, shape, Objective(), BatchMaker(1, np.array([40, params.model.context_length])))
    model = task.build(torch.Generator().manual_seed(0))
    set_attention_kernel(model, "eager")
    with FlopCounterMode(display=False) as counter:
        model(task.batch("train", np.arange(params.train.batch_size)).inputs).sum().backward()
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad), int(counter.get_total_flops())


@pytest.mark.parametrize("name", CLASSES)
def test_what_has_classes_is_counted_as_exactly_and_held_as_it_is_trained(name: str) -> None:
    changes, of, precision = CLASSES[name]
    params = knobs(**changes)
    step = fake_step(params, of, precision=precision, on_card=False)
    assert (sum(step.parameters.values()), step.flops["forward"] + step.flops["backward"]) == multiplied(params, of)
    assert step.bytes == pytest.approx(allocated_peak(params, of, precision, params.model.context_length), rel=0.05)
    assert step.peak["logits"] == 0


def test_running_means_are_kept_with_the_weights_and_are_no_parameters() -> None:
    plain, batch = (
        fake_step(knobs(**VISION, model__norm=name), IMAGES, precision="float32", on_card=False) for name in ("none", "batch")
    )
    depth, width = SMALL["model"]["depth"], 32
    norms = 2 * depth + 1
    assert (plain.fixed, batch.fixed) == (0, norms * 2 * width)
    assert sum(batch.parameters.values()) - sum(plain.parameters.values()) == norms * 2 * width
    assert batch.saved - batch.state == plain.saved - plain.state + 4 * norms * 4 * width


def test_texts_that_are_shorter_than_the_context_take_less() -> None:
    whole, short = (
        fake_step(knobs(**CLASSIFY), TEXTS, precision="float32", on_card=False, longest=longest) for longest in (None, 30)
    )
    assert short.flops["forward"] < 0.55 * whole.flops["forward"]
    assert short.bytes == pytest.approx(allocated_peak(knobs(**CLASSIFY), TEXTS, "float32", 30), rel=0.05)


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_every_entry_of_every_table_is_budgeted_as_it_is_trained(family: str, name: str) -> None:
    params = knobs(**shape(1, 32, 4, 16, 4), **{family: name}, model__dropout=0.2)
    step = fake_step(params, Shape(65), precision="float32", on_card=False)
    assert step.bytes == pytest.approx(allocated_peak(params, 65, "float32"), rel=0.05)


def test_a_loss_in_pieces_holds_the_logits_of_one_piece() -> None:
    whole, pieces = (
        (fake_step(params, Shape(20_000), precision="float32", on_card=False), allocated_peak(params, 20_000, "float32"))
        for params in (knobs(**shape(1, 64, 4, 32, 8, runtime__loss_chunk_size=chunk)) for chunk in (0, 32))
    )
    assert pieces[0].bytes == pytest.approx(pieces[1], rel=0.05)
    assert pieces[0].bytes < 0.7 * whole[0].bytes


def test_a_teacher_is_held_too(tmp_path: Path) -> None:
    teacher, student = (knobs(**shape(1, width, 4, 32, 8)) for width in (256, 16))
    write_json(
        tmp_path / "model.json",
        {"task": "language", "model": teacher.model.model_dump(), "vocabulary": 65, "tokenizer": "0" * 64, "sha256": "0" * 64},
    )
    taught = knobs(**shape(1, 16, 4, 32, 8), train__teacher=str(tmp_path), train__distill_weight=0.5)
    alone, with_it = (fake_step(params, Shape(65), precision="float32", on_card=False) for params in (student, taught))
    weights = 4 * sum(fake_step(teacher, Shape(65), precision="float32", on_card=False).parameters.values())
    assert with_it.bytes > alone.bytes + weights
    assert with_it.flops["forward"] > 5 * alone.flops["forward"]


def test_what_is_frozen_is_held_without_gradient_memory_or_way_back(tmp_path: Path) -> None:
    speaker = knobs(**shape(3, 64, 4, 32, 8))
    write_json(
        tmp_path / "model.json",
        {"task": "language", "model": speaker.model.model_dump(), "vocabulary": 200, "tokenizer": "0" * 64, "sha256": "0" * 64},
    )
    of = shape(3, 64, 4, 32, 8) | {"task__kind": "classify", "prepare__dataset": "dyck", "train__init_from": str(tmp_path)}
    thawed, frozen = (
        fake_step(knobs(**of, train__freeze=freeze), TEXTS, precision="float32", on_card=False) for freeze in (False, True)
    )
    assert frozen.parameters == {"head": thawed.parameters["head"]}
    assert frozen.fixed + sum(frozen.parameters.values()) == sum(thawed.parameters.values())
    assert frozen.flops["forward"] == thawed.flops["forward"]
    assert frozen.flops["backward"] < 0.01 * thawed.flops["backward"]
    assert frozen.bytes == pytest.approx(allocated_peak(knobs(**of, train__freeze=True), TEXTS, "float32", 32), rel=0.05)
    assert frozen.bytes < 0.5 * thawed.bytes


@pytest.mark.parametrize("kind", ACTIVATION_CHECKPOINTING)
def test_what_is_computed_again_is_counted_and_not_held(kind: str) -> None:
    params = knobs(**shape(3, 64, 4, 32, 8, runtime__activation_checkpointing=kind))
    whole = knobs(**shape(3, 64, 4, 32, 8))
    step, plain = (fake_step(each, Shape(65), precision="float32", on_card=False) for each in (params, whole))
    assert step.bytes == pytest.approx(allocated_peak(params, 65, "float32"), rel=0.05)
    assert step.flops["forward"] == plain.flops["forward"]
    again = (step.flops["backward"] - plain.flops["backward"]) / plain.flops["forward"]
    assert (step.bytes < plain.bytes) == (kind != "none")
    assert 0.5 < again <= 1 if kind == "block" else again < 0.1


def test_a_card_is_spared_the_scores_that_bfloat16_writes_out_on_a_cpu() -> None:
    params = knobs(**shape(1, 32, 2, 512, 2))
    on_cpu, on_card = (fake_step(params, Shape(65), precision="bfloat16", on_card=on_card).bytes for on_card in (False, True))
    assert on_card < on_cpu - 2 * 2 * 512 * 512


def test_a_forward_pass_of_gpt2_takes_the_published_flops() -> None:
    params = knobs(**shape(12, 768, 12, 1024, 1, **GPT2 | {"model__tie_embeddings": True, "model__bias": False}))
    step = fake_step(params, Shape(50_257), precision="float32", on_card=False)
    assert step.flops["forward"] == 291_648_307_200
    assert sum(step.parameters.values()) == 124_337_664
    closed = 1024 * (6 * step.multiplied + 12 * 12 * 768 * 1024)
    assert step.flops["forward"] + step.flops["backward"] == closed
