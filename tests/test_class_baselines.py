"""The baselines of a classifier: fitted on the training split alone, as strong as scikit-learn makes them, measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from classified import leave_images, leave_texts
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier

from pipeline.artifacts.paths import images_of
from pipeline.evaluation import class_baselines as baselines
from pipeline.evaluation.class_baselines import class_baselines, labels, majority, texts

pytestmark = pytest.mark.shapes


@pytest.fixture
def said() -> list[str]:
    return []


def test_of_texts_words_tell_what_the_majority_cannot(tmp_path: Path, said: list[str]) -> None:
    leave_texts(tmp_path)
    scores = {(s.name, s.split): s for s in class_baselines(3, 5, said.append, tmp_path, tmp_path / "cache")}
    assert {name for name, _ in scores} == {"majority", "logistic"}
    assert scores["logistic", "test"].accuracy > 0.9 > 0.6 > scores["majority", "test"].accuracy
    assert "TF-IDF" in scores["logistic", "test"].note


def test_the_majority_is_scikit_learns_prior(tmp_path: Path) -> None:
    leave_texts(tmp_path)
    train, test = labels(tmp_path, "train"), labels(tmp_path, "test")
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((len(train), 1)), train)
    blank = np.zeros((len(test), 1))
    (found,) = [score for score in majority(tmp_path, 3) if score.split == "test"]
    assert found.accuracy == dummy.score(blank, test)
    assert found.loss == pytest.approx(log_loss(test, dummy.predict_proba(blank), labels=range(3)), abs=1e-12)


def test_of_images_there_are_neighbours_too_and_they_are_those_of_the_raw_pixels(tmp_path: Path, said: list[str]) -> None:
    leave_images(tmp_path)
    scores = {(s.name, s.split): s for s in class_baselines(3, 4, said.append, tmp_path, tmp_path / "cache")}
    assert {name for name, _ in scores} == {"majority", "logistic", "neighbours"}
    pixels = {split: np.load(images_of(tmp_path, split)).reshape(-1, 36).astype(float) for split in ("train", "test")}
    reference = KNeighborsClassifier(4).fit(pixels["train"], labels(tmp_path, "train"))
    assert scores["neighbours", "test"].accuracy == reference.score(pixels["test"], labels(tmp_path, "test"))
    assert scores["logistic", "test"].accuracy > scores["majority", "test"].accuracy
    assert scores["neighbours", "test"].loss is None


def test_a_second_time_they_come_from_the_cache_and_other_data_or_neighbours_are_measured(
    tmp_path: Path, said: list[str]
) -> None:
    leave_images(tmp_path / "raw")

    def measured(neighbours: int) -> list[baselines.ClassScore]:
        return class_baselines(3, neighbours, said.append, tmp_path / "raw", tmp_path / "cache")

    first = measured(3)
    assert (measured(3), len(said)) == (first, 1)
    assert measured(1) != first
    shuffled = np.load(images_of(tmp_path / "raw", "train"))[::-1]
    np.save(images_of(tmp_path / "raw", "train"), shuffled)
    assert measured(3) != first
    assert len(said) == 3


def test_a_class_that_training_lacks_is_impossible_and_one_class_alone_leaves_the_majority(tmp_path: Path) -> None:
    leave_images(tmp_path / "two", missing=(2,))
    told = {(s.name, s.split): s for s in class_baselines(3, 3, lambda line: None, tmp_path / "two", tmp_path / "cache")}
    assert told["logistic", "test"].loss is None
    assert told["logistic", "test"].accuracy > 0.4
    leave_images(tmp_path / "one", missing=(1, 2))
    alone = class_baselines(3, 3, lambda line: None, tmp_path / "one", tmp_path / "cache")
    assert {score.name for score in alone} == {"majority", "neighbours"}


def test_of_very_many_examples_a_part_is_read_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_texts(tmp_path)
    monkeypatch.setattr(baselines, "EXAMPLES", 50)
    told = class_baselines(3, 5, lambda line: None, tmp_path, tmp_path / "cache")
    assert {score.note for score in told if score.name == "logistic" and "fitted on 50 of the 240" not in score.note} == set()
    monkeypatch.setattr(baselines, "CHARACTERS", 3)
    whole = (tmp_path / "test.txt").read_text(encoding="utf-8")
    assert [len(text) for text in texts(tmp_path, "test", [0, 5])] == [3, 3]
    assert next(texts(tmp_path, "test")) == whole[:3]


def test_of_very_many_images_the_nearest_are_sought_among_a_part_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_images(tmp_path)
    pixels = {split: np.load(images_of(tmp_path, split)).reshape(-1, 36).astype(float) for split in ("train", "test")}
    count = len(pixels["train"])
    monkeypatch.setattr(baselines, "NEIGHBOUR_PIXELS", 20 * 36)
    told = class_baselines(3, 5, lambda line: None, tmp_path, tmp_path / "cache")
    (found,) = (score for score in told if (score.name, score.split) == ("neighbours", "test"))
    kept = np.arange(20) * count // 20
    reference = KNeighborsClassifier(5).fit(pixels["train"][kept], labels(tmp_path, "train")[kept])
    assert found.accuracy == reference.score(pixels["test"], labels(tmp_path, "test"))
    assert found.note == f"the 5 nearest by pixels, fitted on 20 of the {count} training examples"


def test_a_fit_that_is_cut_off_says_so_in_its_note_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    leave_images(tmp_path)
    monkeypatch.setattr(baselines, "ITERATIONS", 2)
    told = class_baselines(3, 3, lambda line: None, tmp_path, tmp_path / "cache")
    assert {"stopped after 2 iterations" in score.note for score in told if score.name == "logistic"} == {True}
    assert len(recwarn) == 0
