"""The card of an exported model: scores and data stand on it only where they are of the model's own run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from recorded import SCORES, leave_recorded_run, record, set_knobs, write
from sealing import sealed

from pipeline.lab.export.model_card import card

MADE_BY = {"seed": 1, "model": {"depth": 1}, "train": {"lr": 0.1}, "step": 7}
NAME, LOSS = "name: the plays", "| 1.25 |"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    leave_recorded_run(tmp_path)
    write(tmp_path, SCORES, '{"loss": 1.25}')
    write(tmp_path, "data/raw/card.json", '{"name": "the plays"}')
    sealed(tmp_path)
    record(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "change", [lambda lab: None, lambda lab: set_knobs(lab, seed=2), lambda lab: (lab / "dvc.lock").unlink()]
)
def test_what_is_of_the_models_own_run_stands_on_its_card(lab: Path, change: Callable[[Path], None]) -> None:
    """Also where the knobs were turned since, and where nothing speaks against it."""
    change(lab)
    told = card("about", MADE_BY)
    assert NAME in told
    assert LOSS in told


def _other_model(lab: Path) -> None:
    write(lab, "models/trained/model.bin", "others")


def _other_scores(lab: Path) -> None:
    write(lab, SCORES, '{"loss": 1.25, "by": "hand"}')


def _trained_alone(lab: Path) -> None:
    _other_model(lab)
    record(lab, "prepare", "train")


def _other_data(lab: Path) -> None:
    write(lab, "data/raw/card.json", '{"name": "the plays", "size": 3}')


@pytest.mark.parametrize(
    ("change", "scores", "data"),
    [(_other_model, False, False), (_other_scores, False, True), (_trained_alone, False, True), (_other_data, True, False)],
)
def test_what_is_of_another_run_does_not(lab: Path, change: Callable[[Path], None], scores: bool, data: bool) -> None:
    change(lab)
    told = card("about", MADE_BY)
    assert (LOSS in told, NAME in told) == (scores, data)
    assert ("There were none when this was exported" in told) != scores
