"""How a classifier looks: its pictures, its page, its headline, in the units of its kind."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from plotted_run import HOSTILE, change, classified, leave_classified

from pipeline.artifacts.paths import EVALUATION, MISTAKES
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.figures.charts import loss
from pipeline.figures.classes import numbers
from pipeline.figures.classes.pictures import class_pictures
from pipeline.figures.headline import headline
from pipeline.figures.heatmap_png import picture_uri
from pipeline.figures.pictures import pictures
from pipeline.figures.report import page
from pipeline.figures.run import Run, read_run
from pipeline.figures.style import png
from pipeline.params.yaml12 import read_yaml

ROOT = Path(__file__).parent.parent
IMAGES = {"texts": (), "grey": (6, 6, 1), "colours": (4, 4, 3), "curves": (1, 40, 1)}


@pytest.fixture
def knobs() -> dict[str, Any]:
    values = read_yaml(ROOT / "params.yaml")
    sections = {section: values[section] for section in values if section not in ("seed", "plot", "runtime")}
    return {**sections, "task": {"kind": "vision"}, "prepare": {**sections["prepare"], "dataset": "digits"}}


@pytest.fixture(params=IMAGES)
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    leave_classified(tmp_path, IMAGES[request.param])
    monkeypatch.chdir(tmp_path)
    return read_run()


def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **evaluation: Any) -> Run:
    leave_classified(tmp_path)
    change(tmp_path / EVALUATION, **evaluation)
    monkeypatch.chdir(tmp_path)
    return read_run()


def test_a_classifier_has_its_pictures_and_they_are_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one(tmp_path, monkeypatch)
    drawn = pictures(dataclasses.replace(run, readings=()), 40)
    assert drawn.keys() == {
        "doctor",
        "loss",
        "updates",
        "scores",
        "accuracy",
        "reliability",
        "confusion",
        "classes",
        "mistakes",
    }
    assert png(class_pictures(run)["confusion"](), 40) == drawn["confusion"]
    for name, picture in drawn.items():
        assert imread(io.BytesIO(picture)).std() > 0.01, name


def test_the_mistakes_of_every_kind_are_drawn(run: Run) -> None:
    assert imread(io.BytesIO(png(class_pictures(run)["mistakes"](), 40))).std() > 0.01


def test_the_page_shows_every_mistake_and_all_that_was_counted(run: Run, knobs: dict[str, Any]) -> None:
    shown = page(run, knobs)
    told = run.mistakes["mistakes"]
    for row in told:
        assert row.get("text", row["truth"]) in shown
    if run.mistakes["image"]:
        assert shown.count("an example of ") == len(told)
    for word in ("macro F1", "calibration error", "Reliability diagram, test split", "Confusion matrix, test split", "Wilson"):
        assert word in shown
    assert "bits per byte" not in shown.lower()
    assert "nats per token" not in shown


def test_losses_are_per_example_and_shown_with_the_accuracy_of_baselines(run: Run) -> None:
    assert loss(run).y == "loss (nats per example)"
    assert {"logistic", "majority"} == {name for name, _ in loss(run).levels}
    chart = numbers.accuracy(run)
    assert chart.lines[0].y[-1] == run.validation["accuracy"][-1]
    assert ("logistic", 0.8) in chart.levels


@pytest.mark.parametrize(
    ("right", "words", "good"),
    [
        (
            0.9,
            "90.0 % accuracy on the test split (95 % interval: 87.0 … 93.0 %): better than the logistic baseline (80.0 %)"
            " by 10.0 points.",
            True,
        ),
        (0.82, "better than the logistic baseline (80.0 %) by 2.0 points. The difference may be chance", True),
        (0.8, "equal to the logistic baseline", False),
        (0.5, "worse than the logistic baseline (80.0 %) by 30.0 points", False),
    ],
)
def test_the_headline_names_accuracy_beside_its_best_baseline_with_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knobs: dict[str, Any], right: float, words: str, good: bool
) -> None:
    told = headline(one(tmp_path, monkeypatch, **classified(("ham", "spam"), right)), knobs)
    assert words in told.verdict
    assert told.good is good
    assert ("accuracy, logistic", "80.0 %") in told.numbers


@pytest.mark.parametrize("network", ["cnn", "mlp", "transformer", "linear"])
def test_the_headline_describes_the_network_by_the_knobs_that_it_has(run: Run, knobs: dict[str, Any], network: str) -> None:
    said = headline(run, {**knobs, "model": {**knobs["model"], "network": network}}).sentences[0]
    assert ("heads" in said, "kernels" in said, "linear" in said) == (
        network == "transformer",
        network == "cnn",
        network == "linear",
    )
    assert "examples with" not in said
    assert "tokens" not in said


def test_very_many_classes_are_a_map_and_few_are_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knobs: dict[str, Any]
) -> None:
    few = page(one(tmp_path / "few", monkeypatch), knobs)
    names = [f"class {number}" for number in range(97)]
    leave_classified(tmp_path / "many", names=names)
    monkeypatch.chdir(tmp_path / "many")
    run = read_run()
    many = page(run, knobs)
    assert ('class="confusion"' in few, 'class="confusion"' in many) == (True, False)
    assert 'data-grid="confusion-matrix"' in many
    assert png(class_pictures(run)["confusion"](), 40)


def test_bins_of_few_examples_are_left_out_and_one_alone_is_no_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one(tmp_path, monkeypatch)
    chart = numbers.reliability(run)
    assert chart is not None
    assert list(chart.lines[0].x) == [0.7, 0.99]
    assert numbers.reliability(one(tmp_path, monkeypatch, reliability={"test": [[0.7, 0.6, 3], [0.9, 1.0, 90]]})) is None


def test_a_classifier_that_diverged_is_drawn_with_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knobs: dict[str, Any]
) -> None:
    leave_classified(tmp_path)
    content = classified(("ham", "spam"))
    scores = [row for row in content["scores"] if row["name"] != "model"]  # type: ignore[attr-defined]
    lost = [{"name": "model", "split": split} for split in ("validation", "test")]
    kept = {"classes": content["classes"], "scores": [*lost, *scores], "confusion": {}, "per_class": [], "reliability": {}}
    write_json(tmp_path / EVALUATION, kept)
    change(tmp_path / MISTAKES, mistakes=[])
    monkeypatch.chdir(tmp_path)
    run = read_run()
    assert "no score" in headline(run, knobs).verdict
    assert "sets how many are kept" in page(run, knobs)
    assert class_pictures(run).keys() == {"accuracy"}


def test_hostile_names_and_texts_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knobs: dict[str, Any]) -> None:
    leave_classified(tmp_path, names=(HOSTILE, "spam"))
    told = read_json(tmp_path / MISTAKES)["mistakes"]
    change(tmp_path / MISTAKES, mistakes=[{**row, "text": HOSTILE} for row in told])
    monkeypatch.chdir(tmp_path)
    run = read_run()
    shown = page(run, knobs)
    assert shown.count("<script") == page(one(tmp_path / "tame", monkeypatch), knobs).count("<script")
    assert "<img src=x" not in shown
    assert png(class_pictures(run)["mistakes"](), 40)


def test_a_text_in_letters_that_the_pictures_lack_warns_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    leave_classified(tmp_path, names=("日本語", "عربى"))
    told = read_json(tmp_path / MISTAKES)["mistakes"]
    change(tmp_path / MISTAKES, mistakes=[{**row, "text": "日本語 😀 $x$"} for row in told])
    monkeypatch.chdir(tmp_path)
    for figure in class_pictures(read_run()).values():
        assert png(figure(), 30)
    assert [str(warning.message) for warning in recwarn] == []


def test_a_picture_on_the_page_has_the_pixels_of_the_example() -> None:
    image = np.random.default_rng(0).integers(0, 256, size=(5, 7, 3)).astype(np.uint8)
    content = base64.b64decode(picture_uri(image).split(",")[1])
    assert np.array_equal(np.rint(imread(io.BytesIO(content)) * 255).astype(np.uint8), image)


def test_an_image_is_seen_in_its_greys_or_colours_and_a_row_of_pixels_as_a_curve() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert np.array_equal(numbers.visible(grey)[..., 2], grey[..., 0])
    colours = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert numbers.visible(colours) is colours
    row = np.array([[[0], [255], [128]]], np.uint8)
    assert numbers.visible(row)[..., 0].tolist() == [[0, 255, 0], [0, 0, 255], [255, 0, 0]]
