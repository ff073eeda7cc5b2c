"""What the stage evaluate says of a classifier: all of a split, whatever the batch; its mistakes as they are."""

from __future__ import annotations

import base64
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from classified import NAMES, SIZES, classifier, leave_classifier
from small import TOP, knobs

from pipeline import evaluate
from pipeline.artifacts.paths import EVALUATION, MISTAKES, SAMPLES, cache_folder, images_of, labels_of
from pipeline.evaluation import mistakes, scores
from pipeline.evaluation.class_metrics import ClassPredictions, ClassScore
from pipeline.evaluation.class_scores import class_ranking, class_summary, examples_shared, predictions_of
from pipeline.lab.chat import SamplingOptions, write
from pipeline.params.errors import UserError

pytestmark = pytest.mark.shapes

KINDS = ("classify", "vision")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cells", [3000, 2**30])
def test_every_example_is_scored_once_whatever_the_batch(
    tmp_path: Path, kind: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, done = classifier(tmp_path, kind), list[int]()
    one_by_one = []
    with torch.no_grad():
        for row in range(SIZES["test"]):
            logits = made.model(made.task.batch("test", np.array([row])).inputs).double()
            one_by_one.append(logits.log_softmax(-1)[0].numpy())
    monkeypatch.setattr(scores, "CELLS", cells)
    found = predictions_of(made, "test", done.append)
    assert np.abs(found.log_probabilities - np.array(one_by_one)).max() < 1e-4
    assert found.labels.tolist() == np.load(labels_of(tmp_path / "data/tokens", "test")).tolist()
    assert sum(done) == SIZES["test"]


# ----------------------------------------------------------------------------------------------------------- mistakes


def answers(shares: list[list[float]], labels: list[int]) -> ClassPredictions:
    return ClassPredictions(np.log(np.array(shares)), np.array(labels))


TOLD = answers([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.55, 0.45], [0.99, 0.01]], [1, 1, 0, 0, 0])


def test_the_surest_of_the_wrong_come_first_then_the_least_sure_of_the_right() -> None:
    found = mistakes.worst(TOLD, 10)
    assert [(one.index, one.wrong) for one in found] == [(0, True), (2, True), (3, False), (1, False), (4, False)]
    assert (found[0].true, found[0].predicted) == (1, 0)
    assert (found[0].probability, found[0].of_true) == pytest.approx((0.9, 0.1))
    assert mistakes.worst(TOLD, 1) == found[:1]
    assert mistakes.worst(TOLD, 0) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_and_the_file_show_the_examples_themselves(tmp_path: Path, kind: str) -> None:
    made = classifier(tmp_path, kind)
    raw, told = tmp_path / "data/raw", predictions_of(made, "validation")
    worst = mistakes.worst(told, 7)
    page, content = mistakes.page(told, worst, NAMES, raw), mistakes.as_json(worst, NAMES, raw)
    assert page.count("\n### ") == len(content["mistakes"]) == 7
    assert "**" not in page
    for one, row in zip(worst, content["mistakes"], strict=True):
        assert (row["truth"], row["said"]) == (NAMES[one.true], NAMES[one.predicted])
        if kind == "vision":
            image = np.load(images_of(raw, "validation"))[one.index]
            assert base64.b64decode(row["pixels"]) == image.tobytes()
            assert content["image"] == [6, 6, 1]
        else:
            assert row["text"] in (raw / "validation.txt").read_text(encoding="utf-8")
            assert row["text"] in page
            assert row["text"].split()[-1] == str(one.index)


def test_a_picture_in_characters_is_as_dark_as_its_pixels_and_never_wider_than_a_page() -> None:
    image = np.zeros((200, 90, 3), np.uint8)
    image[:, 45:] = 255
    lines = mistakes._blocks(image).splitlines()
    assert max(map(len, lines)) <= 2 * mistakes.ACROSS
    assert set(lines) == {" " * lines[0].count(" ") + "█" * lines[0].count("█")}


# -------------------------------------------------------------------------------------------------------- the summary

OTHERS = [ClassScore("majority", "test", 0.3), ClassScore("logistic", "test", 0.5), ClassScore("logistic", "validation", 0.9)]


def test_the_summary_says_by_how_much_the_model_beats_the_best_baseline_on_the_test_split() -> None:
    content = class_summary({"validation": TOLD, "test": TOLD}, OTHERS, ["no", "yes"])
    assert content["margin"] == pytest.approx(0.6 - 0.5)
    assert (content["accuracy"], content["test_accuracy"]) == (0.6, 0.6)
    assert content["loss"] == pytest.approx(TOLD.loss, rel=1e-5)
    assert content["confusion"]["test"] == [[2, 1], [1, 1]]
    assert [(row["class"], row["split"], row["count"]) for row in content["per_class"][:2]] == [
        ("no", "validation", 3),
        ("yes", "validation", 2),
    ]
    assert {row["note"] for row in content["scores"] if "note" in row} == set()
    again = class_summary({"validation": TOLD, "test": TOLD}, OTHERS, ["no", "yes"], test_is_validation=True)
    assert {"again" in row.get("note", "") for row in again["scores"] if row["split"] == "test"} == {True}


def test_of_very_many_classes_the_pairs_are_left_out() -> None:
    many = ClassPredictions(np.log(np.full((4, 200), 1 / 200)), np.arange(4))
    content = class_summary({"validation": many, "test": many}, OTHERS, [str(one) for one in range(200)])
    assert content["confusion"] == {}
    assert len(content["per_class"]) == 400


def test_the_standings_tell_each_split_from_the_best_on() -> None:
    lines = class_ranking([ClassScore.of("model", "test", TOLD), *OTHERS])
    test = [line.split()[0] for line in lines[lines.index(next(x for x in lines if x.startswith("test"))) :]]
    assert test == ["test", "model", "logistic", "majority"]


# ------------------------------------------------------------------------------------------------------------ the door


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A folder with params.yaml, data and a classifier, in which we stand."""

    def made(kind: str, spoil: bool = False) -> Path:
        subject = classifier(tmp_path, kind)
        if spoil:
            with torch.no_grad():
                next(iter(subject.model.parameters())).fill_(math.nan)
        leave_classifier(tmp_path, subject, kind)
        values = knobs(task={"kind": kind}, prepare__dataset="digits" if kind == "vision" else "dyck").model_dump()
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
        shutil.copy(TOP / "dvc.yaml", tmp_path)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_stage_leaves_the_same_bytes_each_time_with_and_without_cache(
    project: Callable[[str], Path], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project(kind)
    left = []
    for again in range(3):
        if again == 2:
            shutil.rmtree(cache_folder() / "baselines")
        evaluate.main()
        left.append([path.read_bytes() for path in (EVALUATION, SAMPLES, MISTAKES)])
    assert left[0] == left[1] == left[2]
    content = json.loads(EVALUATION.read_text())
    wanted = {"model", "majority", "logistic"} | ({"neighbours"} if kind == "vision" else set())
    assert {row["name"] for row in content["scores"]} == wanted
    assert np.array(content["confusion"]["test"]).sum() == SIZES["test"]
    assert content["accuracy"] == pytest.approx(np.trace(content["confusion"]["validation"]) / SIZES["validation"], abs=1e-5)
    assert content["splits"] == [{"split": "validation", "overlap": 0.0}, {"split": "test", "overlap": 0.0}]
    assert len(json.loads(MISTAKES.read_text())["mistakes"]) == 24
    assert "macro F1" in capsys.readouterr().out


def test_a_classifier_that_diverged_has_no_figures_and_says_so(project: Callable[..., Path]) -> None:
    project("vision", spoil=True)
    evaluate.main()
    content = json.loads(EVALUATION.read_text())
    assert not {"loss", "accuracy", "margin"} & content.keys()
    assert content["scores"][0] == {"name": "model", "split": "validation"}
    assert "diverged" in SAMPLES.read_text()
    assert json.loads(MISTAKES.read_text())["mistakes"] == []


def test_examples_that_were_trained_on_are_counted(tmp_path: Path) -> None:
    raw = tmp_path / "data/raw"
    classifier(tmp_path, "vision")
    images = np.load(images_of(raw, "test"))
    images[:9] = np.load(images_of(raw, "train"))[:9]
    np.save(images_of(raw, "test"), images)
    assert examples_shared(raw)[1] == {"split": "test", "overlap": 0.1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_that_is_asked_for_text_is_refused_in_one_line(project: Callable[..., Path], kind: str) -> None:
    project(kind)
    with pytest.raises(UserError, match=rf"^task\.kind: a model of kind {kind} is a classifier and writes no text") as refused:
        write(SamplingOptions(tokens=5, temperature=0.0, top_k=0, top_p=1.0, seed=1), "the")
    assert "\n" not in str(refused.value)
