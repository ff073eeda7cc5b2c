"""`rally look` at what tells classes: an image or a text, its classes, what the answer hangs on; and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from browser import CHROMIUM, Browser
from PIL import Image
from rich.console import Console
from sealing import sealed
from small import knobs
from subjects import CLASSES, IMAGE, OF_KIND, leave_model, small_subject
from test_look_page import Parsed

from pipeline.artifacts.reading import input_sha256, read_json
from pipeline.artifacts.writing import write_json
from pipeline.lab.cli import main
from pipeline.lab.look import classifier_html as look_class_page
from pipeline.lab.look import classifier_terminal as look_class_text
from pipeline.lab.look.classifier import ClassifierPass
from pipeline.lab.look.forward_pass import look
from pipeline.lab.look.request import Request
from pipeline.params.errors import UserError

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
NETWORKS: dict[str, dict[str, Any]] = {
    "cnn": {"task__kind": "vision", "model__network": "cnn"},
    "mlp": {"task__kind": "vision", "model__network": "mlp"},
    "vision transformer": {"task__kind": "vision", "model__network": "transformer", "model__pooling": "first"},
    "linear": {"task__kind": "vision", "model__network": "linear"},
    "classifier": {"task__kind": "classify"},
    "classifier with a place of its own": {"task__kind": "classify", "model__pooling": "first"},
}


def leave(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """A trained model of some kind with its data and its knobs, in a folder in which we then stand."""
    made = small_subject(folder, **changes)
    leave_model(folder, made)
    params = knobs(**(OF_KIND[changes["task__kind"]] | changes | {"probe__toy_text": "the cat sat"}))
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))
    monkeypatch.chdir(folder)


def test_the_name_of_a_class_does_nothing_to_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["linear"])
    for file in (Path("models/trained/model.json"), Path("data/tokens/meta.json")):
        write_json(file, read_json(file) | {"classes": ["\x1b[31mred", "green\x9b", "blue\x07"]})
    sealed(tmp_path)
    about = Path("models/trained/model.json")
    write_json(about, read_json(about) | {"tokenizer": input_sha256(Path("data/tokens"))})
    sealed(tmp_path)
    told = seen(image="0")
    assert told.classes == ("␛[31mred", "green�", "blue␇")
    assert not {"\x1b", "\x9b", "\x07"} & {*written(told)}


def seen(**asked: Any) -> ClassifierPass:
    told = look(Request(**asked))
    assert isinstance(told, ClassifierPass)
    return told


def written(told: ClassifierPass, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width)
    look_class_text.show(told, console, (1, 1) if told.maps.size else None)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_that_tells_classes_is_looked_at(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS[name])
    told = seen()
    assert told.network == "after step 7"
    assert told.probabilities.sum() == pytest.approx(1)
    assert sorted(told.ranked(), key=lambda one: -one[1]) == told.ranked()
    assert {name for name, _ in told.ranked()} == set(CLASSES)
    assert told.saliency.max() == pytest.approx(1)
    assert bool(told.maps.size) == ("transformer" in name or "classifier" in name)
    text, page = written(told), Parsed(look_class_page.page(told, (1, 1)))
    for name_of_class in CLASSES:
        assert name_of_class in text
        assert name_of_class in page.text
    assert page.scripts == []
    images = [attributes["src"] for element, attributes in page.elements if element == "img"]
    assert all(source is not None and source.startswith("data:image/png") for source in images)


def test_what_is_said_of_an_image_is_what_the_network_says_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["cnn"])
    made = small_subject(tmp_path / "again", **NETWORKS["cnn"])
    told = seen(image="5")
    with torch.no_grad():
        wanted = made.model(made.task.batch("validation", np.array([5])).inputs)[0].softmax(dim=0)
    assert told.probabilities == pytest.approx(wanted.numpy(), rel=1e-4)
    assert told.truth == int(np.load("data/tokens/validation.labels.npy")[5])
    assert told.example == "validation image 5"
    assert [layer.name for layer in told.layers] == ["patches", "block 1", "block 2"]
    assert "validation image 5, class " in written(told)


def test_an_image_in_a_file_is_looked_at_as_if_it_were_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["cnn"])
    pixels = np.load("data/tokens/validation.images.npy")[5]
    Image.fromarray(pixels[..., 0]).save("five.png")
    Image.fromarray(np.repeat(pixels, 3, axis=2)).save("in_colour.png")
    for file in ("five.png", "in_colour.png"):
        told = seen(image=file)
        assert told.probabilities == pytest.approx(seen(image="5").probabilities, rel=1e-5)
        assert told.truth is None


def test_what_is_said_of_a_text_is_what_the_network_says_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["classifier"])
    made = small_subject(tmp_path / "again", **NETWORKS["classifier"])
    told = seen(prompt="a cat")
    with torch.no_grad():
        ids = torch.tensor([[*made.tokenizer.encode("a cat"), made.tokenizer.end]])
        wanted = made.model(ids)[0].softmax(dim=0)
    assert told.probabilities == pytest.approx(wanted.numpy(), rel=1e-4)
    assert told.words == list("a␣cat∎"), "with the end that every text has"
    assert told.maps.shape == (2, 2, 6, 6)
    assert (told.maps[0, 0][np.triu_indices(6, 1)] > 0).all(), "it looks to both sides"
    assert seen().words == list("the␣cat␣sat∎"), "without a prompt it is the toy text"
    assert [*seen(ids="3 1").words, "∎"] == seen(prompt=made.tokenizer.decode(np.array([3, 1]))).words


def test_the_heads_of_a_place_of_its_own_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["classifier with a place of its own"])
    told = seen(prompt="a cat")
    assert told.positions == ["●", *"a␣cat∎"]
    assert "● " in written(told)


@pytest.mark.parametrize("kind", ["vision", "classify"])
def test_a_fresh_network_is_looked_at_before_any_training(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, task__kind=kind)
    assert "at initialization (seed" in seen(untrained=True).network
    assert len(seen(knobs=("model.depth=1",)).layers) == 2
    shutil.rmtree("models/trained")
    assert "no trained model here" in seen().notes[0]
    shutil.rmtree("data/tokens")
    with pytest.raises(UserError, match="no data of kind"):
        look(Request(untrained=True))


def test_a_snapshot_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["cnn"])
    assert seen(step="3").network == "after step 3"
    with pytest.raises(UserError, match="there is no snapshot of step 4"):
        look(Request(step="4"))


REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "a text for what looks at images": ("vision", {"prompt": "a"}, "--prompt: this network reads images; use --image"),
    "ids for what looks at images": ("vision", {"ids": "1"}, "--ids: this network reads images; use --image"),
    "an image for what reads text": ("classify", {"image": "0"}, "--image: this network reads text; use --prompt"),
    "an image beyond the last": ("vision", {"image": "40"}, "--image: there is no 40; validation images are 0 .. 39"),
    "a file that is not there": (
        "vision",
        {"image": "no.png"},
        "--image: 'no.png' is neither the number .* nor a file",
    ),
    "a file that is no image": ("vision", {"image": "params.yaml"}, "params.yaml: is not an image"),
    "an image of another size": ("vision", {"image": "large.png"}, "large.png is 9 x 9 pixels.*reads 5 x 6 pixels, grey"),
    "a text that nobody can read": ("classify", {"prompt": "ÄÖ"}, "--prompt: 'ÄÖ' has no character"),
    "a vocabulary": ("classify", {"ids": "1", "vocabulary": "9"}, "--vocabulary: is for language models"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_looked_at_is_refused_in_a_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, asked, says = REFUSED[name]
    leave(tmp_path, monkeypatch, task__kind=kind)
    Image.new("L", (9, 9)).save("large.png")
    with pytest.raises(UserError, match=says) as refused:
        look(Request(**{knob: int(value) if knob == "vocabulary" else value for knob, value in asked.items()}))  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_an_image_and_a_text_at_once_are_refused() -> None:
    with pytest.raises(UserError, match="--image: cannot be combined with --prompt or --ids"):
        Request(prompt="a", image="1")


def test_a_head_is_refused_where_nothing_attends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["cnn"])
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.setattr("sys.argv", ["rally", "look", "--head", "1.1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--head: this network has no attention" in capsys.readouterr().err


def test_hostile_classes_and_words_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["classifier"])
    told = replace(seen(), classes=("<x-evil>", "</style><x-evil>", "&amp;"), words=["<x-evil>"] * 12, notes=["<x-evil>"])
    page = Parsed(look_class_page.page(told))
    assert not any(element == "x-evil" for element, _ in page.elements)
    assert "</style><x-evil>" in page.text


def test_a_network_that_broke_is_shown_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["cnn"])
    told = seen()
    broken = replace(told, probabilities=np.full(3, np.nan), saliency=np.full(IMAGE[:2], np.nan))
    assert "nan" in written(broken)
    assert "–" in Parsed(look_class_page.page(broken)).text


@in_a_browser
def test_the_page_shows_the_image_its_saliency_and_every_feature_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, monkeypatch, **NETWORKS["cnn"])
    look_class_page.write(tmp_path / "look.html", seen(image="5"))
    with Browser(tmp_path / "look.html", script=False) as browser:
        assert browser.see("[...document.querySelectorAll('.pair img')].map(image => image.naturalWidth)") == [5, 5]
        assert browser.see("document.querySelectorAll('#choices tbody tr').length") == 3
        sides = browser.see("[...document.querySelectorAll('.features img')].map(image => image.naturalWidth)")
        assert sides == [3] * 16 + [2] * 8 or not sides, sides
        bars = browser.see("[...document.querySelectorAll('.bar i')].map(bar => bar.getBoundingClientRect().width)")
        assert bars == sorted(bars, reverse=True)
        assert browser.see("document.documentElement.scrollWidth <= innerWidth")
