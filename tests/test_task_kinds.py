"""Every kind of task: every table entry learns, and runtime settings do not change results."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import BATCH_NORM, KINDS, StopAfter, assert_resumes, knobs, same, started
from test_knob_tables import AT_ITS_RATE, FAMILIES, KNOBS
from test_update_norms import Walking

from pipeline.engine.early_stopping import ABOVE_UNIFORM
from pipeline.engine.loop import fit, train_step
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.sampler import SAMPLINGS, batch_of
from pipeline.networks.convolution import DOWNSAMPLES
from pipeline.networks.image_norms import IMAGE_NORMS
from pipeline.networks.images import NETWORKS
from pipeline.networks.pooling import POOLINGS
from pipeline.params.schema import Params
from pipeline.tasks.table import TASKS

pytestmark = pytest.mark.shapes

CLASSIFY, VISION = KINDS["classify"], KINDS["vision"]
OF_IMAGES = ("activation", "norm", "residual", "init", "dropout_schedule")  # families that a CNN has
ENTRIES = [
    *(("classify", family, name) for family, table in (FAMILIES | {"pooling": POOLINGS}).items() for name in table),
    *(("classify", "knob", name) for name in KNOBS if name != "tie_embeddings"),
    *(("vision", family, name) for family in OF_IMAGES for name in FAMILIES[family]),
    *(("vision", "norm", name) for name in IMAGE_NORMS),
    *(("vision", "downsample", name) for name in DOWNSAMPLES),
    *(("vision", "network", name) for name in NETWORKS),
    *(("vision", "pooling", name) for name in POOLINGS if name != "first"),  # a place of its own is the transformer's
]


def entry(kind: str, family: str, name: str, **more: Any) -> Params:
    """Small knobs of a kind with one entry of one family, the weights drawn."""
    changes: dict[str, Any] = {"model__init": "fan_in", "model__bias": True}
    changes |= {f"model__{knob}": value for knob, value in (KNOBS[name] if family == "knob" else {family: name}).items()}
    if family == "dropout_schedule":
        changes |= {"model__dropout": 0.25, "model__stochastic_depth": 0.25}
    return knobs(**KINDS[kind] | changes | more)


@pytest.mark.parametrize(("kind", "family", "name"), ENTRIES)
def test_every_weight_of_every_entry_moves_within_a_few_steps(kind: str, family: str, name: str, tmp_path: Path) -> None:
    params = entry(kind, family, name)
    progress, task, runtime = started(params, tmp_path)
    before = {name: weight.detach().clone() for name, weight in progress.model.named_parameters()}
    for _ in range(3):
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    assert [name for name, weight in progress.model.named_parameters() if torch.equal(weight, before[name])] == []
    assert all(math.isfinite(float(loss)) for loss, _, _ in progress.recent)


RECIPES: dict[str, dict[str, Any]] = {
    "texts": CLASSIFY,
    "texts, looking back": CLASSIFY | {"model__causal": True, "model__pooling": "last", "train__length_start": 0.5},
    "texts, in epochs": CLASSIFY | {"train__sampling": "epochs", "model__dropout": 0.2, "train__class_weights": "balanced"},
    "images": VISION | {"train__sampling": "epochs", "train__label_smoothing": 0.1},
    "images, batch norm": BATCH_NORM | {"train__loss": "mse"},
    "images, varied": VISION | {"train__shift": 1, "train__flip": True, "train__cutout": 2, "train__mixup": 0.3},
    "images, a transformer": VISION | {"model__network": "transformer", "model__pooling": "first", "train__ema": 0.8},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_learns_and_an_interrupted_run_ends_where_an_unbroken_one_does(recipe: str, tmp_path: Path) -> None:
    assert_learns_and_resumes(knobs(**RECIPES[recipe], train__batch_size=8, train__validation_examples=20), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classify", "vision"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_moves_networks_of_every_kind_and_resumes(optimizer: str, kind: str, tmp_path: Path) -> None:
    recipe = {"train__optimizer": optimizer, "train__epsilon": 1e-8, "train__steps": 20, "train__batch_size": 8}
    params = knobs(**KINDS[kind] | recipe | AT_ITS_RATE.get(optimizer, {"train__lr": 0.02}))
    assert_learns_and_resumes(params, tmp_path)


def assert_learns_and_resumes(params: Params, tmp_path: Path) -> None:
    unbroken, task = assert_resumes(params, tmp_path)
    assert unbroken.validations[-1]["loss"] < task.uniform_loss - 0.02
    assert unbroken.targets == params.train.steps * params.train.batch_size


WAYS: dict[str, dict[str, Any]] = {
    "16 x 2": {"train__accumulation_steps": 2},
    "1 x 32": {"train__accumulation_steps": 32},
    "at most so many tokens": {"runtime__micro_batch_tokens": 40},
    "checkpointing": {"runtime__activation_checkpointing": "block"},
    "selective": {"runtime__activation_checkpointing": "selective"},
}
FOLLOWED: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"model__dropout": 0.2, "model__stochastic_depth": 0.2},
    "weighed, smoothed, z-loss": {"train__class_weights": "balanced", "train__label_smoothing": 0.1, "train__z_loss": 1e-3},
    "squares": {"train__loss": "mse"},
}


def gradient(folder: Path, **changes: Any) -> torch.Tensor:
    """That of a step over 32 examples, all weights behind one another."""
    params = knobs(
        **{"train__batch_size": 32, "train__optimizer": "sgd", "model__init": "fan_in", "model__bias": True} | changes
    )
    progress, task, runtime = started(params, folder)
    if params.task.kind == "classify":  # pixels are given in float32
        progress.model.double()
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    return torch.cat([weight.grad.flatten() for weight in progress.model.parameters() if weight.grad is not None])


@pytest.mark.parametrize("followed", FOLLOWED)
@pytest.mark.parametrize("kind", ["classify", "vision"])
def test_a_batch_has_the_same_gradient_in_every_way_of_fitting_it_into_memory(kind: str, followed: str, tmp_path: Path) -> None:
    recipe = KINDS[kind] | FOLLOWED[followed]
    whole = gradient(tmp_path, **recipe)
    for way in WAYS.values():
        fitted = gradient(tmp_path, **recipe | way)
        assert (fitted - whole).norm() < (1e-12 if kind == "classify" else 1e-5) * whole.norm()


@pytest.mark.parametrize("recipe", ["texts", "images, varied", "images, batch norm"])
def test_reading_ahead_and_measuring_change_no_bit_of_a_training(recipe: str, tmp_path: Path) -> None:
    ends = []
    for ahead, callback in ((0, StopAfter()), (2, StopAfter()), (0, Walking({0, 6}, 12))):
        params = knobs(**RECIPES[recipe], runtime__prefetch=ahead)
        progress, task, runtime = started(params, tmp_path)
        fit(progress, task, params.train, params.seed, runtime, callback)
        ends.append(progress)
    assert all(same(ends[0].tensors(), other.tensors()) for other in ends[1:])
    moving = {name for name, weight in ends[2].model.named_parameters() if weight.requires_grad}
    assert ends[2].updates[6].keys() == moving


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("draw", SAMPLINGS)
def test_which_examples_a_step_sees_hangs_on_seed_and_step_alone(kind: str, draw: str, tmp_path: Path) -> None:
    if kind == "language" and draw != "with_replacement":
        return  # refused: windows of a text overlap
    params = knobs(**KINDS[kind], train__sampling=draw, train__batch_size=30)
    _, task, _ = started(params, tmp_path)
    _, again, _ = started(params, tmp_path)
    one, other, next_one = (batch_of(some, params.train, 3, step) for some, step in ((task, 5), (again, 5), (task, 6)))
    assert torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)
    assert one.inputs.shape != next_one.inputs.shape or not torch.equal(one.inputs, next_one.inputs)


# --------------------------------------------------------------------------------------------------------- given up or not


def unequal(folder: Path, params: Params) -> None:
    """Of every ten training examples nine of one class, and labels that say nothing of what they stand beside."""
    started(params, folder)
    generator = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        labels = np.load(folder / f"{split}.labels.npy")
        np.save(folder / f"{split}.labels.npy", generator.choice(3, len(labels), p=[0.9, 0.05, 0.05]).astype(labels.dtype))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_a_training_on_unequal_classes_that_learns_little_is_let_be(weights: str, loss: str, tmp_path: Path) -> None:
    """Whoever weighs rare classes up, or follows squares, has a larger plain loss; at its best it still is none above ln K."""
    recipe = {"train__class_weights": weights, "train__loss": loss, "train__lr": 0.003, "train__optimizer": "adamw"}
    params = knobs(**CLASSIFY | recipe, train__steps=40, train__log_points=40, train__sampling="epochs")
    unequal(tmp_path, params)
    progress, task, runtime = started(params, tmp_path)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert (progress.stopped, progress.step) == ("", 40)


@pytest.mark.parametrize("kind", ["classify", "vision"])
def test_a_training_that_says_confidently_what_is_wrong_is_given_up(kind: str, tmp_path: Path) -> None:
    runs_away = {"optimizer": "sgd", "momentum": 0.0, "lr": 100.0, "schedule": "constant", "weight_decay": 0.0}
    turned = {f"train__{knob}": value for knob, value in runs_away.items()}
    params = knobs(**KINDS[kind] | turned, train__steps=60, train__log_points=60)
    progress, task, runtime = started(params, tmp_path)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert (progress.stopped, progress.diverged) == (ABOVE_UNIFORM, True)
    assert progress.step < 60
