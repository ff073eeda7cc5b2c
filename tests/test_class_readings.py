"""What the probes read of networks that tell classes, of padded texts and of images, each held to another way to compute it."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from subjects import CLASSES, EXAMPLES, IMAGE, small_subject
from torch import Tensor, nn

from pipeline.inference.trained import TrainedModel
from pipeline.networks.convolution import as_map
from pipeline.probes.attention.entropy import attention_entropy
from pipeline.probes.attention.logit import attention_logit
from pipeline.probes.attention.maps import attention_maps
from pipeline.probes.attention.sink import attention_sink
from pipeline.probes.gradients.gradient_norm import gradient_norm
from pipeline.probes.gradients.update_ratio import update_ratio
from pipeline.probes.passes.held_out import held_out
from pipeline.probes.prediction.embeddings import embeddings
from pipeline.probes.prediction.saliency import saliency
from pipeline.probes.signal.activation_rms import activation_rms
from pipeline.probes.signal.dead_units import dead_units
from pipeline.probes.signal.feature_maps import feature_maps
from pipeline.probes.signal.filters import filters
from pipeline.readings import Reading
from pipeline.tasks.vision import Vision

pytestmark = pytest.mark.shapes

VISION = {"task__kind": "vision"}
CLASSIFY = {"task__kind": "classify"}


def numbers(reading: Reading | None) -> dict[str, float]:
    assert reading is not None
    return {str(name): line[0] for name, line in zip(reading.axes[0].ticks, reading.values, strict=True)}


# -------------------------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("reading", [activation_rms, attention_entropy, attention_sink, attention_logit, dead_units])
def test_padding_has_no_part_in_a_reading(tmp_path: Path, reading: object, pooling: str) -> None:
    made = small_subject(tmp_path, **CLASSIFY, model__pooling=pooling, model__activation="relu", model__context_length=40)
    batch = made.batch
    assert (batch.inputs < 0).any(), "there is padding"
    wider = replace(made)
    padded = replace(batch, inputs=F.pad(batch.inputs, (0, 5), value=-1))
    wider.__dict__["batch"] = padded
    assert numbers(reading(wider)) == pytest.approx(numbers(reading(made)), rel=1e-3)  # type: ignore[operator]


def test_heads_that_look_to_both_sides_are_measured_by_all_that_they_see(tmp_path: Path) -> None:
    made = small_subject(tmp_path, **CLASSIFY, model__embedding_mixer="none", model__position="none", model__norm="none")
    entropies, sinks = [], []
    for ids in made.batch.inputs:
        x = made.model.embedding(ids[ids >= 0])
        q, k, _ = (x @ made.model.blocks[0].attention.project.weight.T).double().chunk(3, dim=-1)
        maps = (q[:, :8] @ k[:, :8].T / 8**0.5).softmax(dim=-1)
        others = maps[:, 1:] / maps[:, 1:].sum(dim=-1, keepdim=True)
        entropies.append(-(others * others.log()).sum(dim=-1) / math.log(others.shape[1]))
        sinks.append(maps[1:, 0])
    assert numbers(attention_entropy(made))["1.1"] == pytest.approx(torch.cat(entropies).mean().item(), rel=1e-3)
    assert numbers(attention_sink(made))["1.1"] == pytest.approx(torch.cat(sinks).mean().item(), rel=1e-3)


def test_the_attention_of_a_text_has_a_place_for_the_pooling_where_there_is_one(tmp_path: Path) -> None:
    made = small_subject(tmp_path, **CLASSIFY, model__pooling="first")
    reading = attention_maps(made)
    assert reading is not None
    assert list(reading.axes[3].ticks) == ["●", *"the␣cat␣sat∎"]
    assert np.allclose(np.array(reading.values).sum(axis=-1), 1, atol=2e-3)
    assert np.triu(np.array(reading.values)[0, 0], 1).any(), "it looks to both sides"


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_the_attention_of_an_image_says_how_much_each_patch_is_looked_at(tmp_path: Path, pooling: str) -> None:
    made = small_subject(tmp_path, **VISION, model__network="transformer", model__pooling=pooling)
    reading = attention_maps(made)
    assert reading is not None
    seen: list[Tensor] = []
    attention = made.model.blocks[1].attention
    attention.register_forward_pre_hook(lambda module, given: seen.append(module.maps(given[0], given[1])))
    made.model(made.batch.inputs[:1])
    wanted = seen[0][0, :, 0, 1:] if pooling == "first" else seen[0][0].mean(dim=1)
    assert np.array(reading.values[1]) == pytest.approx(wanted.detach().numpy().reshape(2, 3, 3), abs=1e-3)


# ---------------------------------------------------------------------------------------------------------- the weights


def test_running_means_and_frozen_weights_have_no_gradient_and_no_update(tmp_path: Path) -> None:
    made = small_subject(tmp_path, **VISION, model__norm="batch")
    made = replace(made, updates={name: 9.0 if "mean" in name or "variance" in name else 0.5 for name in named(made)})
    made.model.blocks[0].requires_grad_(False)
    assert set(numbers(update_ratio(made)).values()) == {0.5}
    assert list(numbers(update_ratio(made))) == ["patches", "block 2", "head"] == list(numbers(gradient_norm(made)))


def named(made: TrainedModel) -> list[str]:
    return [name for name, _ in made.model.named_parameters()]


def test_layers_are_called_what_they_are(tmp_path: Path) -> None:
    names = {
        "cnn": ["patches", "block 1", "block 2"],
        "transformer": ["patches", "block 1", "block 2"],
        "mlp": ["pixels", "layer 1", "layer 2"],
    }
    for network, wanted in names.items():
        made = small_subject(
            tmp_path / network, **VISION, model__network=network, model__norm="layer", model__downsample="stride"
        )
        assert list(numbers(activation_rms(made))) == wanted
        assert {*numbers(gradient_norm(made))} == {*wanted, "head"} - {"pixels"}, network


def test_the_features_behind_a_layer_of_an_mlp_are_those_of_the_formula(tmp_path: Path) -> None:
    made = small_subject(tmp_path, **VISION, model__network="mlp", model__norm="none", model__activation="relu")
    x = made.batch.inputs.flatten(1)
    wanted = {"pixels": float(x.square().mean().sqrt())}
    with torch.no_grad():
        for number, layer in enumerate(made.model.layers, start=1):
            x = (x @ layer.weight.T).clamp(min=0)
            wanted[f"layer {number}"] = float(x.square().mean().sqrt())
    assert numbers(activation_rms(made)) == pytest.approx(wanted, rel=1e-3)
    assert numbers(dead_units(made))["layer 2"] == pytest.approx(float((x == 0).all(dim=0).float().mean()), abs=0.1)


# ---------------------------------------------------------------------------------------------------------- of an image


def flat(reading: Reading) -> np.ndarray:
    """The maps of a reading one after another, those that are there."""
    found = np.array(reading.values, dtype=float)
    found = found.reshape(-1, *found.shape[2:])
    return found[~np.isnan(found).all(axis=(1, 2))]


@pytest.mark.parametrize("network", ["linear", "mlp", "transformer"])
def test_filters_are_rows_of_the_first_matrix(tmp_path: Path, network: str) -> None:
    made = small_subject(tmp_path, **VISION, model__network=network)
    reading = filters(made)
    assert reading is not None
    first = {"linear": "head.weight", "mlp": "layers.0.weight", "transformer": "patches.map.weight"}[network]
    rows = made.model.get_parameter(first).detach().numpy()
    size = (2, 2) if network == "transformer" else IMAGE[:2]
    if network != "linear":
        rows = rows[np.argsort(-np.linalg.norm(rows, axis=1), kind="stable")]
    wanted = rows / np.abs(rows).max(axis=1, keepdims=True)
    assert flat(reading) == pytest.approx(wanted.reshape(-1, *size)[:32], abs=1e-3)


def test_the_filters_of_a_cnn_are_what_its_first_convolution_answers_to_single_pixels(tmp_path: Path) -> None:
    made = small_subject(tmp_path, **VISION, model__kernel_size=3, model__patch_size=2)
    reading = filters(made)
    assert reading is not None
    model, wide = made.model, 6
    answers = np.zeros((16, wide, wide))
    for y in range(wide):
        for x in range(wide):
            pixel = torch.zeros(1, 6, 6, 1)
            pixel[0, y, x] = 1.0
            convolution = copy.copy(model.blocks[0].convolution)
            convolution.size = (3, 3)
            with torch.no_grad():
                answers[:, y, x] = convolution(model.patches(pixel))[0, 4].numpy()  # the place in the middle
    answers = answers[np.argsort(-np.linalg.norm(answers.reshape(16, -1), axis=1), kind="stable")]
    assert flat(reading) == pytest.approx(answers / np.abs(answers).max(axis=(1, 2), keepdims=True), abs=1e-3)


def test_feature_maps_are_the_features_behind_each_block_where_they_stand(tmp_path: Path) -> None:
    made = small_subject(tmp_path, **VISION, model__norm="none")
    reading = feature_maps(made)
    assert reading is not None
    assert list(reading.axes[0].ticks) == [f"{image} {name}" for image in "AB" for name in ("patches", "block 1", "block 2")]
    with torch.no_grad():
        x = made.model.patches(made.batch.inputs[:2])
        x = made.model.blocks[0](x, None)
    maps = as_map(x, (3, 3)).numpy()
    most = np.sort(np.argsort(-maps.var(axis=(0, 2, 3)))[:8])
    scale = np.abs(made.model.blocks[0](made.model.patches(made.batch.inputs[:2]), None).detach().numpy()).max()
    assert np.array(reading.values[1]) == pytest.approx(maps[0, most] / scale, abs=1e-3)
    assert np.array(reading.values[4]) == pytest.approx(maps[1, most] / scale, abs=1e-3)
    small = np.array(reading.values[2])
    assert (small[:, 0] == small[:, 1]).all(), "behind it 2 x 2 places were left, of which each is drawn where it lies"


def test_saliency_is_how_much_less_sure_a_little_more_light_makes_the_model(tmp_path: Path) -> None:
    made = small_subject(tmp_path, **VISION, model__network="mlp", model__activation="gelu")
    reading, task = saliency(made), made.task
    assert reading is not None
    assert isinstance(task, Vision)
    images, labels = task.images("validation")
    batch = task.batch("validation", np.arange(EXAMPLES))
    with torch.no_grad():
        losses = -made.model(batch.inputs).log_softmax(dim=1)
    said, of_class = losses.argmin(dim=1), losses[torch.arange(EXAMPLES), batch.targets]
    wrong = [place for place in of_class.argsort(descending=True).tolist() if said[place] != labels[place]]
    assert list(reading.axes[0].ticks) == [f"{CLASSES[labels[place]]} as {CLASSES[said[place]]}" for place in wrong[:6]]
    worst = wrong[0]
    model = copy.deepcopy(made.model).double()
    image, slopes, little = batch.inputs[worst].double(), np.zeros(IMAGE[:2]), 1e-5
    for y, x in np.ndindex(*IMAGE[:2]):
        sides = []
        for by in (little, -little):
            other = image.clone()
            other[y, x] += by
            sides.append(-model(other[None]).log_softmax(dim=1)[0, said[worst]].item())
        slopes[y, x] = abs(sides[0] - sides[1]) / (2 * little)
    shown, found = np.array(reading.values[0])
    assert found == pytest.approx(slopes / slopes.max(), abs=2e-3)
    pixels = images[worst, :, :, 0].astype(float)
    assert shown == pytest.approx((pixels - pixels.min()) / (pixels.max() - pixels.min()), abs=1e-3)


def test_a_model_without_mistakes_has_no_saliency_of_them(tmp_path: Path) -> None:
    made = small_subject(tmp_path, **VISION, model__network="linear")
    with torch.no_grad():
        made.model.head.weight.zero_()
        for label in range(3):
            made.model.head.weight[label].unflatten(0, (6, 5))[2 * label] = 1.0
    assert held_out(made).worst(6).tolist() == []
    assert saliency(made) is None


@pytest.mark.parametrize("kind", [VISION, CLASSIFY], ids=["vision", "classify"])
def test_embeddings_are_the_directions_in_which_what_the_head_reads_differs_most(
    tmp_path: Path, kind: dict[str, object]
) -> None:
    made = small_subject(tmp_path, **kind)
    reading = embeddings(made)
    assert reading is not None
    head = made.model.head
    assert isinstance(head, nn.Linear)
    read: list[Tensor] = []
    head.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    batch = made.task.batch("validation", np.arange(EXAMPLES))
    with torch.no_grad():
        made.model(batch.inputs)
    features = read[0].numpy().astype(float)
    centred = features - features.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    shares = sizes**2 / (sizes**2).sum()
    assert f"({shares[0] + shares[1]:.0%} of the variance)" in reading.says
    assert list(reading.axes[0].ticks) == list(CLASSES)
    for label, points in enumerate(reading.values):
        wanted = (centred @ directions[:2].T)[batch.targets.numpy() == label]
        found = np.array([point for point in points if point[0] is not None], dtype=float)
        assert np.abs(found) == pytest.approx(np.abs(wanted), rel=1e-2, abs=1e-3)  # a direction may be turned round


def test_what_is_read_once_is_read_of_the_last_snapshot(tmp_path: Path) -> None:
    from pipeline.probes.table import PROBES, readings_of

    made = small_subject(tmp_path, **VISION)
    once = {name for name, probe in PROBES.items() if not probe.whole_training}
    assert not once & readings_of([replace(made, is_last=False)]).keys()
    assert {"filters", "feature_maps", "embeddings"} <= readings_of([replace(made, is_last=False), made]).keys()
