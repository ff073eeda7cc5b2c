"""The text classifier: padding has no effect, long texts are truncated, class weights are right."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from small import KINDS, VOCABULARY, StopAfter, knobs, started, write_labelled
from test_knob_tables import FAMILIES, KNOBS
from torch import Tensor

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import read_json
from pipeline.engine.curricula import CURRICULA
from pipeline.engine.loop import fit, train_step
from pipeline.engine.sampler import SAMPLINGS
from pipeline.networks.classifier import PADDING, Classifier
from pipeline.networks.dropout import DropoutState
from pipeline.networks.pooling import POOLINGS
from pipeline.params.errors import UserError
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape
from pipeline.tasks.classify import Classification
from pipeline.tasks.objective import Objective, class_weights

pytestmark = pytest.mark.shapes

LENGTH = 12
MIXING = ("attention", "position", "embedding_mixer", "norm")  # what looks, or could, at more than one place
OF_TEXTS: dict[str, Any] = {family: FAMILIES[family] for family in MIXING} | {"pooling": POOLINGS}
VARIANTS = [
    (family, name, causal)
    for causal in (False, True)
    for family, table in OF_TEXTS.items()
    for name in table
    if not (causal and name == "first")  # refused: it would see nothing
]
VARIANTS += [("knob", name, causal) for name in KNOBS if name != "tie_embeddings" for causal in (False, True)]
MORE = [*VARIANTS, *(("eager", name, False) for name in ("full", "window"))]


def chosen(family: str, name: str, causal: bool, **more: object) -> Params:
    """A small classifier with one entry of one family. Weights are drawn, not zero, so that every path carries something."""
    changes: dict[str, Any] = {"model__init": "fan_in", "model__bias": True, "model__causal": causal}
    family = "attention" if family == "eager" else family
    changes |= {f"model__{knob}": value for knob, value in (KNOBS[name] if family == "knob" else {family: name}).items()}
    return knobs(**KINDS["classify"] | changes | more)


def a_classifier(family: str, name: str, causal: bool) -> Classifier:
    params = chosen(family, name, causal)
    model = Classifier(params.model, VOCABULARY, 3, torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():  # what starts at 0 would hide a leak behind it
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    if family == "eager":
        for block in model.blocks:
            block.attention.kernel = "eager"
    return model


def padded(*sizes: int, width: int = LENGTH) -> Tensor:
    """Texts of so many ids, filled up to one width."""
    ids = torch.randint(VOCABULARY, (len(sizes), width), generator=torch.Generator().manual_seed(1))
    return ids.masked_fill(torch.arange(width) >= torch.tensor(sizes)[:, None], PADDING)


@pytest.mark.parametrize(("family", "name", "causal"), MORE)
def test_padding_changes_no_logit_and_no_gradient(family: str, name: str, causal: bool) -> None:
    model, sizes = a_classifier(family, name, causal), (5, 12, 1, 8)
    batch = padded(*sizes)
    together = model(batch)
    alone = torch.cat([model(batch[row : row + 1, :size]) for row, size in enumerate(sizes)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-10)
    weights = list(model.parameters())
    one, other = (torch.autograd.grad(logits.square().sum(), weights) for logits in (together, alone))
    for slope, wanted in zip(one, other, strict=True):
        torch.testing.assert_close(slope, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("family", "name", "causal"), VARIANTS)
def test_a_classifier_reads_every_place_of_its_text_and_of_no_other(family: str, name: str, causal: bool) -> None:
    model, seen = a_classifier(family, name, causal), []

    def keep(module: torch.nn.Module, arguments: object, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[0]

    model.embedding.register_forward_hook(keep)
    model(padded(4, 9, 12))[1].square().sum().backward()
    read = seen[0].grad.abs().amax(dim=-1) > 0
    assert not read[[0, 2]].any() and not read[1, 9:].any()
    assert read[1, :9].all() or name == "window", "a place of its own text is out of sight"


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("attention", FAMILIES["attention"])
def test_a_causal_classifier_sees_the_past_alone_and_another_both_sides(attention: str, causal: bool) -> None:
    model = a_classifier("attention", attention, causal)
    x = torch.randn(2, LENGTH, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)
    real = torch.arange(LENGTH) < torch.tensor([[LENGTH], [9]])
    for row, last in ((0, LENGTH), (1, 9)):
        [slope] = torch.autograd.grad(model.features(x, real, None)[row, 4].square().sum(), x)
        seen = slope.abs().amax(dim=-1)
        assert seen[1 - row].max() == 0 and not seen[row, last:].any()
        assert bool(seen[row, 5:last].any()) is not causal
        assert seen[row, 3] > 0


def test_last_reads_the_last_place_that_is_no_padding() -> None:
    x = torch.randn(3, 5, 4)
    real = torch.arange(5) < torch.tensor([[5], [1], [3]])
    pooled = POOLINGS["last"](knobs().model)(x, real)
    assert torch.equal(pooled, torch.stack((x[0, 4], x[1, 0], x[2, 2])))


def test_attention_pooling_begins_as_the_mean_and_learns_to_be_another() -> None:
    model = knobs(model__width=4).model
    x, real = torch.randn(3, 5, 4), torch.arange(5) < torch.tensor([[5], [1], [3]])
    pooling, mean = POOLINGS["attention"](model), POOLINGS["mean"](model)(x, real)
    torch.testing.assert_close(pooling(x, real), mean)
    assert torch.equal(mean[1], x[1, 0]) and torch.allclose(mean[2], x[2, :3].mean(0))
    pooling.query.data.fill_(3.0)
    assert not torch.allclose(pooling(x, real)[0], mean[0], atol=0.05)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_at_the_start_every_class_is_as_likely(pooling: str, tmp_path: Path) -> None:
    progress, task, _ = started(knobs(**KINDS["classify"], model__pooling=pooling), tmp_path)
    loss = task.loss(progress.model, task.batch("train", np.arange(20)))
    assert float(loss.total.detach()) / 20 == pytest.approx(math.log(3)) == pytest.approx(task.uniform_loss)


# ------------------------------------------------------------------------------------------------------------ of its texts


def a_task(folder: Path, **changes: object) -> Classification:
    params = knobs(**KINDS["classify"] | changes)
    return Classification(write_labelled(folder), params.model, Shape.of(read_json(meta_of(folder))))


def texts_of(folder: Path, split: str) -> list[list[int]]:
    ids, end = np.load(folder / f"{split}.npy"), VOCABULARY - 1
    return [text.tolist() for text in np.split(ids, np.flatnonzero(ids == end) + 1)[:-1]]


@pytest.mark.parametrize("length", [12, 64])
def test_of_a_text_longer_than_the_context_the_beginning_is_read_and_of_others_all(length: int, tmp_path: Path) -> None:
    task = a_task(tmp_path, model__context_length=length)
    for split in ("train", "validation", "test"):
        batch = task.batch(split, np.arange(task.size(split)))
        read = [row[row != PADDING].tolist() for row in batch.inputs]
        assert read == [text[:length] for text in texts_of(tmp_path, split)]
        assert batch.targets.tolist() == np.load(tmp_path / f"{split}.labels.npy").tolist()
        assert max(map(len, texts_of(tmp_path, split))) > 12


def test_a_batch_is_hardly_longer_than_its_longest_text(tmp_path: Path) -> None:
    task = a_task(tmp_path, model__context_length=64)
    sizes = np.array([len(text) for text in texts_of(tmp_path, "train")])
    shortest = np.argsort(sizes)[:4]
    assert sizes[shortest].max() <= 8 and task.batch("train", shortest).inputs.shape == (4, 8)
    assert task.batch("train", shortest, 3).inputs.shape == (4, 3)


def test_labels_of_other_texts_are_one_line(tmp_path: Path) -> None:
    task = a_task(tmp_path)
    np.save(tmp_path / "train.labels.npy", np.zeros(7, np.uint16))
    with pytest.raises(UserError, match=r"train\.labels\.npy: 7 labels for 60 texts; run `dvc repro` to create both again$"):
        task.size("train")


@pytest.mark.parametrize("curriculum", [name for name in CURRICULA if name != "none"])
def test_a_curriculum_opens_whole_texts(curriculum: str, tmp_path: Path) -> None:
    params = knobs(**KINDS["classify"], train__curriculum=curriculum, train__curriculum_start=0.2)
    progress, task, runtime = started(params, tmp_path)
    parts = task.parts()
    assert len(parts.sizes) == 60 and sorted(parts.difficulty) == list(range(60))
    some = task.subset(parts.difficulty < 10)
    assert some.size("train") == 10 and some.size("test") == task.size("test")
    read = some.batch("train", np.arange(10)).inputs
    assert torch.equal(read, task.batch("train", np.flatnonzero(parts.difficulty < 10)).inputs)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert progress.curve[0]["open"] < 1 == progress.curve[-1]["open"]


# ----------------------------------------------------------------------------------------------------- which examples, when


@pytest.mark.parametrize("name", SAMPLINGS)
def test_a_draw_is_a_pure_function_of_seed_and_step_and_as_often_each_example_in_the_long_run(name: str) -> None:
    draw = SAMPLINGS[name]
    assert (draw(3, 7, 64, 1000) == draw(3, 7, 64, 1000)).all()
    assert sorted(draw(3, 7, 64, 1000)) != sorted(draw(3, 8, 64, 1000))
    assert (draw(3, 7, 64, 1000) != draw(4, 7, 64, 1000)).any()
    for batch in (3, 100, 250):  # of ten examples: also where a batch is larger than the whole set
        rows = np.concatenate([draw(0, step, batch, 10) for step in range(20_000 // batch)])
        assert rows.dtype == np.int64 and rows.min() == 0 and rows.max() == 9
        assert np.bincount(rows).min() > 1800 - 3


def test_in_an_epoch_each_example_comes_once_and_every_epoch_has_another_order() -> None:
    epochs = np.concatenate([SAMPLINGS["epochs"](5, step, 7, 30) for step in range(30)]).reshape(7, 30)
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 7
    assert sorted(SAMPLINGS["epochs"](5, 3, 30, 30)) == list(range(30)), "a full batch is the whole set"
    assert set(np.bincount(SAMPLINGS["epochs"](5, 1, 75, 30))) == {2, 3}, "a batch of two sets and a half"


# ------------------------------------------------------------------------------------------------------- what is followed

NOISE = DropoutState(seed=1, step=3, progress=0.25, rows=slice(0, 4), batch=4)
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [1.0, 3.0, -2.0], [-1.0, 0.0, 4.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2, 1, 0])


def followed(**objective: Any) -> float:
    return float(Objective(**objective).loss(LOGITS, LABELS, training=True).minimized)


def test_an_example_costs_what_its_class_weighs() -> None:
    by_hand = 0.0
    for row, label in zip(LOGITS.tolist(), (0, 2, 1, 0), strict=True):
        by_hand -= (0.5, 2.0, 4.0)[label] * math.log(math.exp(row[label]) / sum(map(math.exp, row)))
    assert followed(class_weights=(0.5, 2.0, 4.0)) == pytest.approx(by_hand)


def test_balanced_weights_are_scikit_learns_and_one_on_average(tmp_path: Path) -> None:
    labels = np.load(write_labelled(tmp_path) / "train.labels.npy")
    assert np.bincount(labels).tolist() == [30, 20, 10]
    weights = class_weights(labels)
    assert weights == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    assert np.mean(np.array(weights)[labels]) == pytest.approx(1)
    assert class_weights(np.array([0, 0, 2])) == pytest.approx((0.75, 1.5, 1.5)), "a class without an example asks for nothing"


def test_balanced_a_rare_class_moves_the_weights_as_much_as_a_common_one(tmp_path: Path) -> None:
    plain, balanced = (
        knobs(**KINDS["classify"], train__class_weights=kind, train__sampling="epochs", train__batch_size=60, model__bias=True)
        for kind in ("none", "balanced")
    )
    slopes = []
    for params in (plain, balanced):
        progress, task, runtime = started(params, tmp_path)
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        slopes.append(progress.model.head.bias.grad)
    # All classes are as likely yet: the slope of a bias is its likelihood less its share of the examples.
    torch.testing.assert_close(slopes[0], torch.tensor([1 / 3 - 1 / 2, 0.0, 1 / 3 - 1 / 6]), rtol=0, atol=1e-6)
    torch.testing.assert_close(slopes[1], torch.zeros(3), rtol=0, atol=1e-6)


def test_smoothed_labels_and_squares_are_what_their_formulas_say() -> None:
    logs = LOGITS.log_softmax(dim=-1)
    told = torch.nn.functional.one_hot(LABELS, 3).double()
    assert followed(label_smoothing=0.3) == pytest.approx(float(-((0.7 * told + 0.1) * logs).sum()))
    assert followed(squared_error=True) == pytest.approx(float((LOGITS - told).square().mean(dim=1).sum()))
    weights = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64)
    weighed = (weights[LABELS] * (LOGITS - told).square().mean(dim=1)).sum()
    assert followed(squared_error=True, class_weights=(0.5, 2.0, 4.0)) == pytest.approx(float(weighed))


def test_what_is_shown_is_the_plain_loss_whatever_is_followed(tmp_path: Path) -> None:
    for kind in ("cross_entropy", "mse"):
        params = knobs(**KINDS["classify"], train__loss=kind, train__class_weights="balanced", train__label_smoothing=0.1)
        progress, task, _ = started(params, tmp_path)
        batch = task.batch("train", np.arange(4))
        loss, plain = (
            task.loss(progress.model, batch, NOISE),
            Objective().loss(progress.model(batch.inputs), batch.targets, True),
        )
        assert torch.equal(loss.total, plain.total.detach()) and not torch.equal(loss.minimized, loss.total)


def test_the_weights_of_the_classes_are_counted_in_the_training_split(tmp_path: Path) -> None:
    _, task, _ = started(knobs(**KINDS["classify"], train__class_weights="balanced"), tmp_path)
    labels = memory_mapped(tmp_path / "train.labels.npy")
    assert task.objective.class_weights == class_weights(labels)
