"""Probes: each reading agrees with another way to compute it, and reading changes nothing."""

from __future__ import annotations

import copy
import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import yaml
from small import knobs
from subjects import TEXT, leave_model, runtime, small_subject, subject
from torch import Tensor

from pipeline import probe
from pipeline.artifacts.paths import PROBE_METRICS, READINGS
from pipeline.artifacts.reading import read_json
from pipeline.inference.threads import threads_of_torch
from pipeline.inference.trained import TrainedModel, open_snapshots
from pipeline.networks.attention import Attention
from pipeline.params.errors import UserError
from pipeline.params.names import names_in
from pipeline.probes.attention.maps import attention_maps, label
from pipeline.probes.gradients.gradient_norm import gradient_norm
from pipeline.probes.signal.activation_rms import activation_rms
from pipeline.probes.summary import as_metrics
from pipeline.probes.table import PROBES, readings_of
from pipeline.readings import STEP, About, Reading, load_all, over_training, save
from pipeline.tokenizers.byte import ByteTokenizer

pytestmark = pytest.mark.shapes

TABLES = {
    "activation": names_in("networks/activations.py:ACTIVATIONS"),
    "residual": names_in("networks/residuals.py:RESIDUALS"),
    "position": names_in("networks/positions.py:POSITIONS"),
    "attention": names_in("networks/attention.py:ATTENTIONS"),
    "norm": names_in("networks/norms.py:NORMS"),
    "embedding_mixer": names_in("networks/mixers.py:MIXERS"),
    "init": names_in("networks/inits.py:INITS"),
}
# So many networks that every entry of every table is in one, beside others than in the next.
KINDS: list[dict[str, object]] = [
    {f"model__{knob}": names[place % len(names)] for knob, names in TABLES.items()}
    for place in range(max(map(len, TABLES.values())))
]
KINDS += [
    {"model__tie_embeddings": True, "model__bias": True},
    {"model__residual": "parallel", "model__position": "alibi", "model__kv_heads": 1},
    {"model__qk_norm": True, "model__attention_softcap": 5.0, "model__embedding_mixer": "convolution"},
]


def named(changes: dict[str, object]) -> str:
    return " ".join(map(str, changes.values()))


# Networks that tell classes, with the readings that make no sense for them.
LANGUAGE_ALONE = {"previous_token", "induction", "loss_by_position", "sample_quality", "copied_length"}
OF_IMAGES = {"filters", "feature_maps", "saliency"}
OF_ATTENTION = {"attention", "attention_entropy", "attention_logit", "attention_sink"}
OF_LAYERS = {"activation_rms", "effective_rank", "saturation", "dead_units"}
OTHERS: dict[str, tuple[dict[str, object], set[str]]] = {
    "classifier": ({"task__kind": "classify"}, OF_IMAGES),
    "causal classifier": ({"task__kind": "classify", "model__causal": True, "model__pooling": "last"}, OF_IMAGES),
    "classifier with a place of its own": ({"task__kind": "classify", "model__pooling": "first"}, OF_IMAGES),
    "classifier that looks near by": ({"task__kind": "classify", "model__attention": "window"}, OF_IMAGES),
    "cnn": ({"task__kind": "vision", "model__network": "cnn"}, OF_ATTENTION),
    "cnn with batch norm": ({"task__kind": "vision", "model__norm": "batch", "model__downsample": "stride"}, OF_ATTENTION),
    "mlp": ({"task__kind": "vision", "model__network": "mlp"}, {*OF_ATTENTION, "feature_maps"}),
    "mlp with batch norm": (
        {"task__kind": "vision", "model__network": "mlp", "model__norm": "batch"},
        {*OF_ATTENTION, "feature_maps"},
    ),
    "vision transformer": ({"task__kind": "vision", "model__network": "transformer", "model__pooling": "first"}, set()),
    "linear": ({"task__kind": "vision", "model__network": "linear"}, {*OF_ATTENTION, *OF_LAYERS, "feature_maps"}),
}


def asked(folder: Path, **changes: object) -> TrainedModel:
    """A subject that every question of the table which makes sense for it has an answer for."""
    made = small_subject(folder, **{"model__activation": "tanh", **changes})
    updates = {name: 0.01 for name, _ in made.model.named_parameters()}
    return replace(made, sharpness_iterations=2, updates=updates, grammar="sums")


@pytest.mark.parametrize("changes", KINDS, ids=named)
def test_the_probes_read_every_kind_of_model_and_change_nothing(tmp_path: Path, changes: dict[str, object]) -> None:
    bounded = changes.get("model__activation", "tanh") in ("tanh", "sigmoid")
    compared = changes.get("model__attention") != "average"
    missing = {name for name, there in (("saturation", bounded), ("attention_logit", compared)) if not there}
    reads_and_changes_nothing(asked(tmp_path, **changes), {*missing, *OF_IMAGES, "embeddings"})


@pytest.mark.parametrize("kind", OTHERS)
def test_the_probes_read_what_makes_sense_for_a_network_that_tells_classes_and_change_nothing(
    tmp_path: Path, kind: str
) -> None:
    changes, missing = OTHERS[kind]
    reads_and_changes_nothing(asked(tmp_path, **changes), missing | LANGUAGE_ALONE)


def reads_and_changes_nothing(made: TrainedModel, missing: set[str]) -> None:
    weights = {key: weight.clone() for key, weight in made.model.state_dict().items()}
    flags = [(module.training, len(module._forward_hooks), len(module._forward_pre_hooks)) for module in made.model.modules()]
    kernels = [module.kernel for module in made.model.modules() if isinstance(module, Attention)]
    moved = [weight for weight in made.model.parameters() if weight.requires_grad]
    for weight in moved:
        weight.grad = torch.full_like(weight, 3.0)
    torch.manual_seed(4)
    state = torch.get_rng_state()

    readings = readings_of([made])
    again = readings_of([replace(made)])

    assert readings == again
    assert readings.keys() == PROBES.keys() - missing
    assert all(torch.equal(weight, weights[key]) for key, weight in made.model.state_dict().items())
    assert all(weight.requires_grad and weight.grad is not None and (weight.grad == 3).all() for weight in moved)
    assert sum(weight.requires_grad for weight in made.model.parameters()) == len(moved)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == 1
    assert kernels == [module.kernel for module in made.model.modules() if isinstance(module, Attention)]
    assert flags == [
        (module.training, len(module._forward_hooks), len(module._forward_pre_hooks)) for module in made.model.modules()
    ]


@pytest.mark.parametrize("name", PROBES)
def test_a_reading_is_complete(tmp_path: Path, name: str) -> None:
    kind = {"task__kind": "vision"} if name in OF_IMAGES else {"task__kind": "classify"} if name == "embeddings" else {}
    made, found = asked(tmp_path, **kind), PROBES[name]
    reading = found.read(made)
    assert reading is not None
    assert reading.name == name
    assert reading.about in get_args(About)
    assert reading.about != "other"
    assert "ealthy" in reading.says
    for word in ("Source: ", "Healthy", "Distrust"):
        assert word in (inspect.getdoc(found.read) or "")
    if found.whole_training:
        together = over_training([reading, reading])
        assert [axis.ticks for axis in together.axes if axis.name == STEP] == [[7, 7]]
    save(reading, tmp_path)
    assert json.loads((tmp_path / f"{name}.json").read_text())["name"] == name


def test_the_readings_of_a_model_that_diverged_can_be_saved_and_say_that_they_are_no_numbers(tmp_path: Path) -> None:
    made = asked(tmp_path)
    with torch.no_grad():
        made.model.blocks[0].attention.project.weight.fill_(torch.nan)
    for name, reading in readings_of([made]).items():
        save(reading, tmp_path)
        assert "null" in (tmp_path / f"{name}.json").read_text(), name


# --------------------------------------------------------------------------------------------------- checked by another way


def numbers(reading: Reading | None) -> dict[str, float]:
    """A reading of one snapshot: what stands at each layer, head or line."""
    assert reading is not None
    return {str(name): line[0] for name, line in zip(reading.axes[0].ticks, reading.values, strict=True)}


def test_activation_rms_is_that_of_the_stream_computed_step_by_step(tmp_path: Path) -> None:
    made = subject(
        tmp_path, model__embedding_mixer="smear", model__position="learned", model__norm="none", model__activation="relu"
    )
    weights = dict(made.model.named_parameters())
    ids = made.batch.inputs
    x = weights["embedding.weight"][ids]
    x[:, 1:] += weights["mixer.share"] * weights["embedding.weight"][ids[:, :-1]]
    x = x + weights["position.weight"][: ids.shape[1]]
    sizes = [x]
    for layer in range(2):
        x = x + attended(x, {key.removeprefix(f"blocks.{layer}.attention."): weight for key, weight in weights.items()})
        hidden = torch.einsum("btd,hd->bth", x, weights[f"blocks.{layer}.feed_forward.up.weight"]).clamp(min=0)
        x = x + torch.einsum("bth,dh->btd", hidden, weights[f"blocks.{layer}.feed_forward.down.weight"])
        sizes.append(x)
    wanted = {name: (x**2).mean().item() ** 0.5 for name, x in zip(("embedding", "block 1", "block 2"), sizes, strict=True)}
    assert numbers(activation_rms(made)) == pytest.approx(wanted, rel=1e-3)


def attention_by_hand(x: Tensor, project: Tensor, heads: int = 2) -> tuple[Tensor, Tensor]:
    """(probabilities [B, H, T, T], values [B, T, H, d]) of softmax attention without positions."""
    q, k, v = torch.einsum("btd,ed->bte", x, project).chunk(3, dim=-1)
    q, k, v = (part.unflatten(-1, (heads, -1)) for part in (q, k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
    future = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
    scores = scores.exp().masked_fill(future, 0)
    return scores / scores.sum(-1, keepdim=True), v


def attended(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    probabilities, v = attention_by_hand(x, weights["project.weight"])
    mixed = torch.einsum("bhqk,bkhd->bqhd", probabilities, v).flatten(2)
    return torch.einsum("btd,ed->bte", mixed, weights["output.weight"])


def test_attention_maps_are_those_of_the_formula(tmp_path: Path) -> None:
    made = subject(tmp_path, model__embedding_mixer="none", model__position="none", model__norm="none")
    reading = attention_maps(made)
    ids = torch.from_numpy(made.tokenizer.encode("the cat sat"))[None]
    x = made.model.embedding(ids)
    with torch.no_grad():
        for layer, block in enumerate(made.model.blocks):
            wanted, _ = attention_by_hand(x, block.attention.project.weight)
            torch.testing.assert_close(torch.tensor(reading.values[layer]), wanted[0], atol=1e-4, rtol=1e-3)
            x = block(x, made.model.position, None, None)
    assert list(reading.axes[2].ticks) == list("the␣cat␣sat") == list(reading.axes[3].ticks)


@pytest.mark.parametrize("position", ["rotary", "learned", "sinusoidal", "alibi", "none"])
@pytest.mark.parametrize("attention", ["full", "window", "average"])
def test_attention_maps_are_what_the_layer_mixes_its_values_by(tmp_path: Path, position: str, attention: str) -> None:
    made = subject(tmp_path, model__position=position, model__attention=attention)
    maps = torch.tensor(attention_maps(made).values)
    ids = torch.from_numpy(made.tokenizer.encode("the cat sat"))[None]
    seen: list[tuple[Tensor, Tensor]] = []
    for block in made.model.blocks:
        block.attention.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        made.model(ids)
        for layer, (x, output) in enumerate(seen):
            module = made.model.blocks[layer].attention
            values = module.project(x)[0, :, -16:].unflatten(-1, (2, -1))
            mixed = torch.einsum("hqk,khd->qhd", maps[layer], values).flatten(1)
            torch.testing.assert_close(module.output(mixed), output[0], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:-1]), atol=1e-3, rtol=0)
    assert (maps.triu(1) == 0).all()


def test_gradient_norms_are_those_that_backward_leaves(tmp_path: Path) -> None:
    made = subject(tmp_path, model__position="learned", model__norm="layer", model__bias=True)
    model = copy.deepcopy(made.model)
    logits = model(made.batch.inputs)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), made.batch.targets.flatten(), ignore_index=-1).backward()
    parts = {
        "embedding": [model.embedding, model.mixer, model.position],
        "block 1": [model.blocks[0]],
        "block 2": [model.blocks[1]],
        "head": [model.final_norm, model.head],
    }
    wanted = {
        name: sum(float(weight.grad.square().sum()) for part in modules for weight in part.parameters()) ** 0.5
        for name, modules in parts.items()
    }
    assert numbers(gradient_norm(made)) == pytest.approx(wanted, rel=1e-3)


def test_the_gradient_of_a_head_of_zeros_is_the_closed_form(tmp_path: Path) -> None:
    made = subject(tmp_path)
    with torch.no_grad():
        made.model.head.weight.zero_()
        features = made.model.features(made.batch.inputs).flatten(0, 1)
    found = numbers(gradient_norm(made))
    vocabulary, targets = made.tokenizer.vocabulary, made.batch.targets.flatten()
    error = 1 / vocabulary - torch.nn.functional.one_hot(targets, vocabulary)
    assert found["head"] == pytest.approx(float((error.T @ features / len(targets)).norm()), rel=1e-3)
    assert {layer: norm for layer, norm in found.items() if layer != "head"} == {"embedding": 0, "block 1": 0, "block 2": 0}


# ------------------------------------------------------------------------------------------------- what a model is shown


def test_the_fixed_batch_is_spread_over_the_validation_split_and_has_no_padding(tmp_path: Path) -> None:
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 400))
    made = subject(tmp_path, text=text)
    starts = [text.find(made.tokenizer.decode(row.tolist())) for row in made.batch.inputs]
    assert starts == [0, 48, 96, 144]  # of the 17 windows of 12 in 200 characters, the last of them short
    assert (made.batch.targets >= 0).all()
    assert made.batch is made.batch
    all_of_it = replace(made, sequences=99).batch
    assert len(all_of_it.inputs) == 16
    assert (all_of_it.targets >= 0).all()


@pytest.mark.parametrize("toy", ["", "ÄÖÜ", "the cat sat on the mat, on and on"])
def test_any_toy_text_gives_maps(tmp_path: Path, toy: str) -> None:
    made = replace(subject(tmp_path), toy_text=toy)
    ticks = attention_maps(made).axes[2].ticks
    assert list(ticks) == list((toy if toy.startswith("the") else TEXT)[:12].replace(" ", "␣"))


def test_parts_of_characters_have_labels_of_their_own() -> None:
    labels = {b"a": "a", b" the": "␣the", b"\n": "⏎", b"\t": "⇥", b"\xc3": "\\xc3", "é".encode(): "é", b"": "∎"}
    assert {token: label(token) for token in labels} == labels


# ------------------------------------------------------------------------------------------------------------- the door


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, data and a trained model, in which we stand."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(knobs(probe__sequences=4, probe__toy_text="the cat").model_dump()))
    monkeypatch.chdir(tmp_path)
    return leave_model(tmp_path, subject(tmp_path))


def test_the_stage_leaves_every_reading_over_all_snapshots_and_the_same_bytes_on_any_number_of_threads(project: Path) -> None:
    probe.main()
    left = {file.name: file.read_bytes() for file in READINGS.iterdir()}
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["runtime"]["threads"] = 3 if torch.get_num_threads() == 1 else 1
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    with threads_of_torch(1):
        probe.main()
    assert left == {file.name: file.read_bytes() for file in READINGS.iterdir()}
    readings = {reading.name: reading for reading in load_all()}
    unasked = {"saturation", "sharpness", "embeddings", *OF_IMAGES}  # relu2 has one end; the rest was not asked or is no text's
    assert readings.keys() == PROBES.keys() - unasked
    for name in readings.keys() - {"attention"}:
        [along] = [place for place, axis in enumerate(readings[name].axes) if axis.name == STEP]
        assert readings[name].axes[along].ticks == [0, 3, 7]
        if name not in ("dead_units", "update_ratio", "sample_quality", "copied_length"):
            columns = np.moveaxis(np.array(readings[name].values, float), along, 0)
            assert len({column.tobytes() for column in columns}) == 3, f"{name}: each snapshot has weights of its own"
    assert readings["attention"].values == attention_maps(last(project)).values
    assert read_json(PROBE_METRICS) == {"readings": as_metrics(readings)}


def last(project: Path) -> TrainedModel:
    return [*open_snapshots(project / "models/trained", runtime(), sequences=4, toy_text="the cat")][-1]


def test_a_damaged_snapshot_is_refused_and_nothing_is_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "models/trained/snapshots/step-000000003.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SystemExit) as ended:
        probe.main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "step-000000003.safetensors: is damaged" in line
    assert not (project / "metrics").exists()


@pytest.mark.parametrize("content", ['{"snapshots": []}', '{"snapshots": [1]}', "[]", '{"snapshots": [{"step": 1}]}'])
def test_a_list_that_names_no_snapshots_is_refused(project: Path, content: str) -> None:
    (project / "models/trained/snapshots/snapshots.json").write_text(content)
    with pytest.raises(UserError, match=r"snapshots\.json: is (no list of snapshots|damaged)"):
        last(project)


def test_subjects_of_other_tokenizers_have_readable_ticks(tmp_path: Path) -> None:
    made = replace(subject(tmp_path, ByteTokenizer(has_end=True), "né\n" * 80), toy_text="né")
    assert list(attention_maps(made).axes[2].ticks) == ["n", "\\xc3", "\\xa9"]
