"""The Python entry: docs/python.md runs as it stands, and every function gives what it says, from any folder of a project."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sealing import sealed
from subjects import leave_model, runtime, small_subject, subject

from pipeline.artifacts.paths import MODEL, READINGS
from pipeline.inference.trained import TrainedModel, open_snapshots
from pipeline.lab.look.activations import record_pass
from pipeline.lab.notebook import activations, draw, load_model, reading, saved_readings
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.probes.table import PROBES, readings_of
from pipeline.readings import save

TOP = Path(__file__).parents[1]
STEPS = (0, 3, 7)


def trained(folder: Path, made: TrainedModel) -> Path:
    """A project with this model and the readings of its training."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, folder)
    leave_model(folder, made, STEPS)
    with contextlib.chdir(folder):
        probe = load().probe
        for found in readings_of(
            open_snapshots(MODEL.parent, runtime(), sequences=probe.sequences, toy_text=probe.toy_text)
        ).values():
            save(found, READINGS)
    return sealed(folder)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writer")
    return trained(folder, subject(folder))


@pytest.fixture
def inside(writer: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder deep in the project, which stays the working directory."""
    here = writer / "notes" / "deep"
    here.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(here)
    yield here
    assert Path.cwd() == here


def test_the_page_runs_as_it_stands(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (TOP / "docs/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    said = capsys.readouterr().out
    assert "torch.Size([1, 2, 11, 11])" in said and saved_readings()["effective_rank"].says in said
    assert "blocks.0.attention.q (1, 2, 11, 8)" in said
    assert {path.name for path in inside.glob("*.png")} == {"gradient_norm.png", "early.png"}


def test_activations_are_those_of_rally_look(inside: Path) -> None:
    model = load_model()
    seen = activations(model, "the cat")
    ids = [int(token) for token in model.tokenizer.encode("the cat")]
    looked = {one.name: one for one in record_pass(model.model, ids, model.runtime).activations}
    assert list(seen) == list(looked)
    for name, tensor in seen.items():
        assert tuple(tensor.shape) == looked[name].shape
        there = tensor[torch.isfinite(tensor)].double()
        assert float(there.mean()) == pytest.approx(looked[name].mean, abs=1e-6)
    assert all(torch.equal(tensor, activations(model, ids)[name]) for name, tensor in seen.items())


def test_a_model_is_that_of_its_step(inside: Path) -> None:
    last, early = load_model(), load_model(step=3)
    assert (last.step, early.step) == (7, 3)
    for (name, weight), (_, other) in zip(last.model.named_parameters(), early.model.named_parameters(), strict=True):
        assert torch.allclose(weight * 2 / 3, other), name
    assert activations(early, 0)["head"].shape == (1, 12, early.tokenizer.vocabulary)


@pytest.mark.parametrize("name", ["effective_rank", "gradient_norm", "attention", "update_ratio"])
def test_a_reading_is_that_of_the_training_at_its_step(name: str, inside: Path) -> None:
    saved = saved_readings()[name]
    now = reading(load_model(step=7), name)
    if not PROBES[name].whole_training:
        assert (now.says, now.values) == (saved.says, saved.values)
    elif saved.form == "heat":
        assert [line[-1] for line in saved.values] == [line[-1] for line in now.values]
    assert isinstance(draw(now), Figure)


def test_a_model_is_read_from_another_working_directory(inside: Path, tmp_path: Path) -> None:
    model = load_model()
    with contextlib.chdir(tmp_path):
        assert activations(model, 1)["probabilities"].sum(dim=-1) == pytest.approx(torch.ones(1, 12))
        assert reading(model, "loss_by_position").values
        with pytest.raises(UserError, match="not inside a Rally project"):
            load_model()


@pytest.mark.parametrize(
    ("example", "line"),
    [
        ("the Cat", "example: the tokenizer lacks 'C', which occurs in 'the Cat'; leave it out"),
        ("", "example: is empty; at least one token is needed"),
        ("the cat sat on", "example: 14 tokens; the model's context holds 12"),
        ([1, 99], r"example: there is no token 99; ids are 0 \.\. \d+"),
        (10_000, r"example: there is no 10,000; validation examples are 0 \.\. \d+"),
        (-1, r"example: there is no -1; validation examples are 0 \.\. \d+"),
    ],
)
def test_an_example_that_cannot_be_used_is_one_clear_line(example: str | int | list[int], line: str, inside: Path) -> None:
    with pytest.raises(UserError, match=f"^{line}$"):
        activations(load_model(), example)


def test_a_step_and_a_reading_that_are_not_there_are_named_with_those_that_are(inside: Path) -> None:
    with pytest.raises(UserError, match="there is no snapshot of step 5; there are 0, 3, 7"):
        load_model(step=5)
    with pytest.raises(UserError, match=r"there is no 'efective_rank'\. Did you mean 'effective_rank'"):
        reading(load_model(), "efective_rank")
    with pytest.raises(UserError, match="filters does not apply to this model"):
        reading(load_model(), "filters")


@pytest.mark.parametrize(
    ("kind", "network"), [("classify", "cnn"), ("vision", "cnn"), ("vision", "mlp"), ("vision", "transformer")]
)
def test_a_classifier_is_run_on_validation_examples_and_batches(
    kind: str, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained(tmp_path, small_subject(tmp_path, task__kind=kind, model__network=network)))
    model = load_model()
    first, both = activations(model, 0), activations(model, model.batch.inputs[:2])
    assert first["head"].shape == (1, 3)
    assert first["probabilities"].sum() == pytest.approx(1.0)
    assert both["head"].shape == (2, 3)
    with torch.no_grad():
        assert torch.equal(model.model(model.batch.inputs[:2]), both["head"])
    assert np.isfinite(reading(model, "gradient_norm").values).all()
    if kind == "vision":
        with pytest.raises(UserError, match="this model reads images"):
            activations(model, "the cat")
    else:
        end = activations(model, "the cat")["embedding"].shape[1] - len("the cat")
        assert end == 1, "the end that every text has"
