"""The card of an exported model: scores and data stand on it only where they are of the model's own run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded import SCORES, leave_recorded_run, record, set_knobs, write
from sealing import sealed

from pipeline.corpus.sources.table import LABELLED_TEXTS, TEXTS
from pipeline.lab.export.hub_card import LANGUAGES, REMEDIES, gaps, licence
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
    told = card(WRITER, MADE_BY)
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
    told = card(WRITER, MADE_BY)
    assert (LOSS in told, NAME in told) == (scores, data)
    assert ("There were none when this was exported" in told) != scores


# ----------------------------------------------------------------------------------------------- its head, read by the hub


WRITER = "library_name: transformers\npipeline_tag: text-generation\ntags:\n- rally\n---\n\n# plays\n"
PLAYS = {"name": "shakespeare", "source": "a library", "licence": "public domain"}
MEASURED = {"test_bits_per_byte": 2.345678901, "bits_per_byte": 2.3, "loss": 1.25, "margin": 0.1, "accuracy": float("inf")}


def head_of(text: str) -> dict[str, Any]:
    """What the hub's own library reads of a card."""
    hub = pytest.importorskip("huggingface_hub")
    return dict(hub.ModelCard(text).data.to_dict())


def leave(lab: Path, data: dict[str, Any], scores: dict[str, Any] = MEASURED) -> None:
    write(lab, SCORES, json.dumps({key: value for key, value in scores.items() if math.isfinite(value)}))
    write(lab, "data/raw/card.json", json.dumps(data))
    sealed(lab)
    record(lab)


def test_the_hub_reads_licence_language_scores_and_a_prompt(lab: Path) -> None:
    leave(lab, PLAYS)
    text = card(WRITER, MADE_BY, "plays", ["ROMEO:", "never shown"])
    head = head_of(text)
    index = head.pop("model-index")
    assert head == {
        "license": "other",
        "license_name": "public-domain",
        "language": "en",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["rally"],
        "widget": [{"text": "ROMEO:"}],
    }
    assert [(one["name"], len(one["results"])) for one in index] == [("plays", 2)]
    (test, validation) = index[0]["results"]
    assert test["dataset"] == {"name": "shakespeare", "type": "shakespeare", "split": "test"}
    assert {one["type"]: one["value"] for one in test["metrics"]} == {"bits_per_byte": 2.34568, "margin": 0.1}
    assert {one["type"]: one["value"] for one in validation["metrics"]} == {"bits_per_byte": 2.3, "loss": 1.25}
    assert is_exported_text(text) and list(gaps(text)) == []


def is_exported_text(text: str) -> bool:
    return "\n- rally\n" in text


def test_a_set_of_the_hub_is_named_as_there(lab: Path) -> None:
    source = f"the data set owner/tales of the Hugging Face hub, tales.jsonl at {'0' * 40}"
    leave(lab, {"name": "hub", "source": source, "licence": "not known to us: see the data set's own card"})
    text = card(WRITER, MADE_BY, "tales")
    head = head_of(text)
    assert (head["datasets"], head["license"]) == (["owner/tales"], "unknown")
    assert head["model-index"][0]["results"][0]["dataset"]["type"] == "owner/tales"
    assert list(gaps(text)) == [
        "README.md: license: is not known; write that of your data there, by the hub's name for it, or choose one"
    ]


def test_without_scores_the_gap_is_named_with_its_remedy(lab: Path) -> None:
    leave(lab, PLAYS, {})
    text = card(WRITER, MADE_BY, "plays")
    assert "model-index" not in head_of(text)
    assert list(gaps(text)) == [
        "README.md: model-index: there is none; `dvc repro evaluate` measures scores; then export again"
    ]


@pytest.mark.parametrize("key", REMEDIES)
def test_every_gap_has_a_remedy(key: str) -> None:
    assert f"README.md: {key}: there is none; {REMEDIES[key]}" in gaps(f"---\n{WRITER}")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("MIT (the package)", "mit"),
        ("CC BY-SA 3.0", "cc-by-sa-3.0"),
        ("CC0-1.0", "cc0-1.0"),
        ("markov: CC0-1.0; dyck: CC0-1.0", "cc0-1.0"),
        ("shakespeare: public domain; dyck: CC0-1.0", "other"),
        ("CC BY-SA 3.0 and GFDL (Wikipedia)", "other"),
        ("the user's own: not known to us", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_licence_has_the_hubs_name_or_is_called_other(words: str, name: str) -> None:
    said = licence(words)
    assert said["license"] == name
    assert ("license_name" in said) == (name == "other")


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_language_is_of_a_data_set_that_is_there(name: str) -> None:
    assert name in {*TEXTS, *LABELLED_TEXTS}
    assert re.fullmatch("[a-z]{2}|multilingual", str(LANGUAGES[name]))


def test_a_model_that_was_trained_on_names_the_one_it_began_with(lab: Path, tmp_path: Path) -> None:
    leave(lab, PLAYS)
    downloaded = tmp_path / "hub/models--owner--base/snapshots/0123"
    downloaded.mkdir(parents=True)
    write(lab, "models/saved/config.json", json.dumps({"_name_or_path": "owner/saved"}))
    write(lab, "models/ours/config.json", json.dumps({"_name_or_path": "/somewhere/else"}))
    for folder, base in (
        (downloaded, "owner/base"),
        ("models/saved", "owner/saved"),
        ("models/ours", None),
        ("models/none", None),
    ):
        text = card(WRITER, MADE_BY | {"train": {"init_from": str(folder)}}, "plays")
        head = head_of(text)
        assert (head.get("base_model"), head.get("base_model_relation")) == (base, base and "finetune")
        assert f"It began with the weights of `{folder}`." in text


@pytest.mark.parametrize("words", ["yes: no", "- a", "# c", "a\n---\nb", "'\"", "é🂡", "null"])
def test_no_prompt_or_name_breaks_the_head(words: str, lab: Path) -> None:
    leave(lab, PLAYS | {"name": words})
    head = head_of(card(WRITER, MADE_BY, words, [words]))
    assert head["widget"] == [{"text": words}]
    assert head["model-index"][0]["name"] == words
