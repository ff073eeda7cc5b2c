"""An exported classifier tells the classes that it tells here: as a class of transformers, or as an ONNX file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sealing import sealed
from small import TOP, knobs
from subjects import CLASSES, leave_images, leave_model, runtime, small_subject
from test_export import a_model_of
from typer.testing import CliRunner

from pipeline.artifacts.paths import CARD, EVALUATION
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES
from pipeline.inference.trained import TrainedModel
from pipeline.lab.cli import app
from pipeline.lab.export import onnx_model
from pipeline.lab.export import transformers_vit as vision_transformer
from pipeline.lab.export.export import export
from pipeline.lab.export.transformers_text import stock_architecture, write
from pipeline.lab.export.transformers_vit import SUPPORTED, unsupported_knobs
from pipeline.lab.fine_tuning import fine_tuning_command
from pipeline.networks.convolution import DOWNSAMPLES
from pipeline.networks.image_norms import IMAGE_NORMS
from pipeline.networks.images import NETWORKS
from pipeline.networks.pooling import POOLINGS
from pipeline.networks.positions import POSITIONS
from pipeline.params.errors import UserError
from pipeline.tasks.base import Shape
from pipeline.tasks.vision import Vision

transformers = pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

LAST = {"task__kind": "classify", "model__causal": True, "model__pooling": "last", "model__bias": False}


def a_classifier(folder: Path, name: str, **changes: Any) -> TrainedModel:
    """One that an architecture holds."""
    return small_subject(folder, **a_model_of(name) | LAST | changes)


# ---------------------------------------------------------------------------------------------------------- transformers


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_causal_classifier_is_one_of_the_library_s_with_the_same_logits(name: str, tmp_path: Path) -> None:
    made = a_classifier(tmp_path / "made", name)
    assert stock_architecture(made.task.model, classifies=True) == (name, ARCHITECTURES[name])  # type: ignore[attr-defined]
    write(tmp_path / "given", made, name, ARCHITECTURES[name])
    opened = transformers.AutoModelForSequenceClassification
    model, found = opened.from_pretrained(tmp_path / "given", output_loading_info=True)
    assert not any(found.values()), "a weight is missing, unknown or of another shape"
    assert tuple(model.config.id2label.values()) == CLASSES
    for rows in ([0], [1, 2, 3], range(20)):  # texts of different lengths, so that there is padding
        ids = made.task.batch("validation", np.array(rows)).inputs
        padded = ids.masked_fill(ids < 0, made.tokenizer.vocabulary)
        with torch.inference_mode():
            ours = made.model(ids)
            theirs = model.eval()(padded, attention_mask=(ids >= 0).long()).logits
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)
    assert float(ours.std()) > 0.1 and (ids < 0).any()


def test_the_tokenizer_that_goes_with_it_puts_the_end_behind_each_text_and_pads_with_a_token_of_its_own(tmp_path: Path) -> None:
    made = a_classifier(tmp_path / "made", "llama")
    write(tmp_path / "given", made, "llama", ARCHITECTURES["llama"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "given")
    short, long = tokenizer(["a cat", "a cat sat"], padding=True)["input_ids"]
    end, padding = made.tokenizer.end, made.tokenizer.vocabulary
    assert long == [*made.tokenizer.encode("a cat sat").tolist(), end]
    assert short == [*made.tokenizer.encode("a cat").tolist(), end, *[padding] * 4]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "given").eval()
    with torch.inference_mode():
        told = model(**tokenizer(["a cat", "a cat sat"], padding=True, return_tensors="pt")).logits
        alone = made.model(torch.tensor([short[:-4]]))
    torch.testing.assert_close(told[:1], alone, rtol=0, atol=1e-4)


def test_what_keeps_a_classifier_from_being_one_of_the_library_s_is_named_by_its_knob() -> None:
    plain = {"model__embedding_mixer": "none", "model__bias": True, "task__kind": "classify", "prepare__dataset": "dyck"}
    with pytest.raises(UserError) as refused:
        stock_architecture(knobs(**plain).model, classifies=True)
    assert sorted(line.split(":")[0] for line in refused.value.problems) == ["model.bias", "model.causal", "model.pooling"]
    assert (
        "model.pooling: 'mean' is not supported by transformers' sequence classification; use 'last'" in refused.value.problems
    )


# ---------------------------------------------------------------------------------------------------- Vision Transformer


def a_vision_transformer(**changes: Any) -> dict[str, Any]:
    held = {f"model__{knob}": values[0] for knob, values in SUPPORTED.items()}
    return {"task__kind": "vision", "model__patch_size": 1} | held | changes


@pytest.mark.parametrize("knob", SUPPORTED)
def test_a_transformer_over_images_is_the_library_s_with_the_same_logits(knob: str, tmp_path: Path) -> None:
    for number, value in enumerate(SUPPORTED[knob]):
        made = small_subject(tmp_path / f"{number}", **a_vision_transformer(**{f"model__{knob}": value}))
        assert isinstance(made.task, Vision) and list(unsupported_knobs(made.task.model, made.task.shape.image)) == []
        (folder := tmp_path / f"{number}/given").mkdir()
        vision_transformer.write(folder, made)
        opened = transformers.AutoModelForImageClassification
        model, found = opened.from_pretrained(folder, output_loading_info=True)
        assert not any(found.values()), "a weight is missing, unknown or of another shape"
        scale = json.loads((folder / "preprocessor_config.json").read_text())
        pixels = torch.from_numpy(np.array(made.task.images("validation")[0][:5])).permute(0, 3, 1, 2)
        theirs = (pixels * scale["rescale_factor"] - scale["image_mean"][0]) / scale["image_std"][0]
        with torch.inference_mode():
            ours = made.model(made.task.batch("validation", np.arange(5)).inputs)
            torch.testing.assert_close(model.eval()(theirs).logits, ours, rtol=0, atol=1e-4)
        assert float(ours.std()) > 0.03


def test_patches_of_several_pixels_and_channels_are_laid_out_as_the_library_s(tmp_path: Path) -> None:
    folder = leave_images(tmp_path / "tokens")
    images = np.random.default_rng(0).integers(0, 255, (4, 6, 9, 3)).astype(np.uint8)
    changes = a_vision_transformer(model__patch_size=3, model__bias=True, model__position="learned")
    params, meta = knobs(prepare__dataset="digits", **changes), folder / "meta.json"
    write_json(meta, read_json(meta) | {"image": [6, 9, 3], "mean": [3.0] * 3, "deviation": [9.0] * 3})
    task = Vision(folder, params.model, Shape.of(read_json(folder / "meta.json")))
    model = task.build(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())) * 0.3)
    (given := tmp_path / "given").mkdir()
    vision_transformer.write(given, TrainedModel(model, task, None, runtime(), step=7))
    theirs = transformers.AutoModelForImageClassification.from_pretrained(given).eval()
    with torch.inference_mode():
        ours = model(inputs := task.standardised(images))
        torch.testing.assert_close(theirs(inputs.permute(0, 3, 1, 2)).logits, ours, rtol=0, atol=1e-4)


def test_a_patch_that_does_not_divide_the_image_has_no_place() -> None:
    model = knobs(prepare__dataset="digits", **a_vision_transformer(model__patch_size=4)).model
    assert list(unsupported_knobs(model, (6, 5, 1))) == ["patch_size"]
    assert list(unsupported_knobs(model, (8, 4, 1))) == []


# ------------------------------------------------------------------------------------------------------------------ ONNX

VISION, TEXTS = {"task__kind": "vision"}, {"task__kind": "classify"}
QUICK: dict[str, dict[str, Any]] = {
    "a linear map": VISION | {"model__network": "linear"},
    "an MLP with batch norm": VISION | {"model__network": "mlp", "model__norm": "batch"},
}
SLOW: dict[str, dict[str, Any]] = {
    **{f"network {name}": VISION | {"model__network": name} for name in NETWORKS},
    **{f"norm {name} of a CNN": VISION | {"model__norm": name} for name in IMAGE_NORMS},
    **{f"shrink {name}": VISION | {"model__downsample": name} for name in DOWNSAMPLES},
    **{f"pooling {name}": TEXTS | {"model__pooling": name} for name in POOLINGS},
    **{f"position {name}": TEXTS | {"model__position": name} for name in POSITIONS},
    "much else": TEXTS | {"model__norm": "rms", "model__embedding_mixer": "ngrams", "model__attention": "window"},
    "causal": TEXTS | {"model__causal": True, "model__kv_heads": 1, "model__qk_norm": True},
}


def apart(folder: Path, changes: dict[str, Any]) -> float:
    """How far what onnxruntime computes from an exported file is from ours, over more batches than the export itself tries."""
    made = small_subject(folder / "made", **changes)
    (folder / "given").mkdir(parents=True, exist_ok=True)
    onnx_model.write(folder / "given", made)
    content = (folder / "given/model.onnx").read_bytes()
    network, inputs = onnx_model._inference_network(made)
    assert float(network(inputs[0]).std()) > 0.01, "a hundred times what they may be apart"
    if made.text_tokenizer is not None:
        generator = torch.Generator().manual_seed(3)
        for rows, places in ((1, 1), (2, 12), (17, 5), (3, 9)):
            ids = torch.randint(made.tokenizer.vocabulary, (rows, places), generator=generator)
            inputs.append(ids.masked_fill(torch.arange(places) > torch.arange(rows)[:, None], -1))
    return onnx_model.largest_difference(content, network, inputs)


@pytest.mark.parametrize("name", QUICK)
def test_an_onnx_file_tells_what_the_network_tells(name: str, tmp_path: Path) -> None:
    assert apart(tmp_path, QUICK[name]) < 1e-4


@pytest.mark.slow
def test_whatever_network_it_is_an_onnx_file_tells_the_same(tmp_path: Path) -> None:
    """In a process of its own: what checks shapes and types while tests run cannot be exported, which has symbols for sizes."""
    program = (
        "import json, pathlib, sys\nfrom test_export_classes import SLOW, apart\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "print(json.dumps({name: apart(folder / name, changes) for name, changes in SLOW.items()}))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TOP), str(TOP / "tests"), os.environ.get("PYTHONPATH", "")])}
    words = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == SLOW.keys()
    assert {name: far for name, far in found.items() if not far < 1e-4} == {}


def test_a_file_that_tells_something_else_is_seen(tmp_path: Path) -> None:
    made = small_subject(tmp_path / "made", **QUICK["a linear map"])
    network, inputs = onnx_model._inference_network(made)
    content = onnx_model.exported(network, inputs[0], "images")
    assert onnx_model.largest_difference(content, network, inputs) < 1e-4
    with torch.no_grad():
        made.model.get_parameter("head.bias").add_(0.01)
    assert onnx_model.largest_difference(content, network, inputs) == pytest.approx(0.01, rel=0.01)


# -------------------------------------------------------------------------------------------------------------- the verb


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> TrainedModel:
    """A project with a trained classifier, in which a test stands."""
    made = small_subject(folder, **changes)
    leave_model(folder, made)
    for name in ("params.yaml", "dvc.yaml"):
        (folder / name).write_bytes((TOP / name).read_bytes())
    monkeypatch.chdir(folder)
    return made


def test_images_are_exported_with_their_classes_and_a_card_of_their_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trained(tmp_path, monkeypatch, **QUICK["a linear map"])
    write_json(CARD, {"name": "numerals", "source": "a library", "licence": "free to all"})
    write_json(EVALUATION, {"test_accuracy": 0.98765, "accuracy": 0.9, "classes": list(CLASSES), "scores": []})
    sealed(Path())
    assert "ONNX" in export(Path("given"))
    assert {path.name for path in Path("given").iterdir()} == {"classes.json", "model.onnx", "README.md"}
    assert json.loads(Path("given/classes.json").read_text()) == {"classes": [*CLASSES], "image": [6, 5, 1], "input": "images"}
    card = Path("given/README.md").read_text()
    for words in ("# given", "| accuracy, test | 0.9877 |", "a library", "The licence is that of the images"):
        assert words in card
    example = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert example
    told: list[list[str]] = []
    exec(example[1].replace("print(", "told("), {"told": told.append})  # what the card shows is what works
    zero = (torch.zeros(1, 6, 5, 1) - 50) / 50
    assert told == [[CLASSES[int(made.model(zero).argmax())]]]
    with pytest.raises(UserError, match=r"^given: holds an ONNX file, which cannot be trained; use a copy of models/trained$"):
        fine_tuning_command(Path("given"))


def test_a_classifier_that_the_library_holds_goes_there_unless_it_is_asked_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path, monkeypatch, **a_model_of("nemotron") | LAST)
    assert export(Path("given")) == "a NemotronForSequenceClassification, with its tokenizer and a card"
    assert "AutoModelForSequenceClassification" in Path("given/README.md").read_text()
    with pytest.raises(
        UserError, match=r"^given: holds an exported classifier, which cannot be imported; use a copy of models/trained$"
    ):
        fine_tuning_command(Path("given"))


def test_asked_for_what_cannot_be_it_says_so_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path, monkeypatch, **QUICK["a linear map"])
    done = CliRunner().invoke(app, ["export", "given", "--to", "transformers"])
    assert isinstance(done.exception, UserError)
    lines = {line.split(":")[0]: line for line in done.exception.problems}
    assert lines.keys() == {"model.network", "model.pooling", "model.position", "model.patch_size"}
    wanted = "model.network: 'linear' is not supported by transformers' ViTForImageClassification; use 'transformer'"
    assert lines["model.network"] == wanted
    assert lines["model.patch_size"].endswith("2 is not supported by transformers' ViTForImageClassification; use 1")
    monkeypatch.setattr(onnx_model, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(UserError, match=r"^--to onnx: needs the package no_such_package; `pip install -c constraints\.txt"):
        export(Path("given"))
    assert not Path("given").exists()
