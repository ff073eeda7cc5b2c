"""Scores: the whole split, every token once, told in units that compare; and models that cannot be opened are refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small import TOP, knobs
from subjects import leave_data, leave_model, machine, runtime, subject

from pipeline import evaluate
from pipeline.artifacts.checksums import seal_folder
from pipeline.artifacts.paths import EVALUATION, SAMPLES, cache_folder
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.evaluation import scores
from pipeline.evaluation.baselines import Score
from pipeline.evaluation.scores import batch_size, ranking, score, summary
from pipeline.inference.trained import TrainedModel, open_model
from pipeline.params.errors import UserError
from pipeline.tokenizers.byte import ByteTokenizer
from pipeline.tokenizers.char import CharTokenizer


def by_hand(made: TrainedModel, split: str) -> tuple[float, int, int]:
    """(nats, tokens, tokens guessed right) of a split, one window of 12 after the other."""
    ids = torch.from_numpy(made.task.ids(split).astype(np.int64))
    nats, correct = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, 12):
            window = ids[start : start + 13]
            told = made.model(window[None, :-1])[0].double().log_softmax(-1)
            nats -= float(told[torch.arange(len(window) - 1), window[1:]].sum())
            correct += int((told.argmax(-1) == window[1:]).sum())
    return nats, len(ids) - 1, correct


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("cells", [1, 1000, 2**30])
def test_every_token_of_a_split_is_scored_once_whatever_the_batch(
    tmp_path: Path, split: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "CELLS", cells)
    made = subject(tmp_path)
    nats, tokens, correct = by_hand(made, split)
    assert (tokens - 1) % 12 != 11, "the last window is to be a short one"
    found = score(made, split, size=77)
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert (found.tokens, found.correct, found.bytes) == (tokens, correct, 77)


def test_rows_that_are_looked_up_make_no_batch_smaller_but_a_tied_head_does(tmp_path: Path) -> None:
    # A table of 8,192 trigrams is as large as many layers, but a pass reads only the rows of its own tokens.
    plain = batch_size(subject(tmp_path / "plain"))
    ngrams = {"model__embedding_mixer": "ngrams", "model__position": "learned"}
    assert batch_size(subject(tmp_path / "ngrams", **ngrams)) == plain
    many = ByteTokenizer(has_end=True)  # more logits than any layer has features
    sizes = [batch_size(subject(tmp_path / f"tied-{tied}", many, model__tie_embeddings=tied)) for tied in (False, True)]
    assert sizes[0] == sizes[1] < plain


def test_a_model_that_knows_nothing_pays_for_every_token_the_same(tmp_path: Path) -> None:
    made = subject(tmp_path)
    with torch.no_grad():
        made.model.head.weight.zero_()
    found = score(made, "test", size=100)
    assert found.loss == pytest.approx(math.log(made.tokenizer.vocabulary), rel=1e-6)
    assert found.bits_per_byte == pytest.approx(math.log2(made.tokenizer.vocabulary) * found.tokens / 100, rel=1e-6)


def test_a_model_that_knows_what_follows_is_always_right(tmp_path: Path) -> None:
    made = machine(tmp_path, {0: 1, 1: 2, 2: 0}, CharTokenizer("abc", has_end=False), "abc" * 100)
    found = score(made, "validation", size=149)
    assert found.accuracy == 1
    assert found.bits_per_byte == pytest.approx(0, abs=1e-9)


def test_progress_adds_up_to_nearly_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "CELLS", 1)
    steps: list[int] = []
    score(subject(tmp_path), "test", 10_000, steps.append)
    assert len(steps) > 10
    assert sum(steps) == pytest.approx(10_000, rel=0.01)


# ---------------------------------------------------------------------------------------------------------- the summary

MODEL = [Score("model", "validation", 200.0, 100, 90, 45), Score("model", "test", 210.0, 100, 90, 45)]
OTHERS = [
    Score("unigram", "validation", 300.0, 100, 90, 20),
    Score("unigram", "test", 310.0, 100, 90, 20),
    Score("xz -9", "validation", 190.0, 100),
    Score("xz -9", "test", 205.0, 100),
]


def test_the_summary_says_by_how_much_the_model_beats_the_best_baseline() -> None:
    content = summary(MODEL, OTHERS, [])
    bits = 100 * math.log(2)
    assert content["margin"] == pytest.approx((205 - 210) / bits, rel=1e-4)
    assert content["test_bits_per_byte"] == pytest.approx(210 / bits, rel=1e-5)
    assert (content["loss"], content["accuracy"]) == (pytest.approx(200 / 90, rel=1e-5), 0.5)
    assert content.keys() == {"loss", "bits_per_byte", "accuracy", "test_bits_per_byte", "margin", "scores"}
    assert [(row["name"], row["split"]) for row in content["scores"]] == [(s.name, s.split) for s in (*MODEL, *OTHERS)]


def test_where_the_entropy_is_known_the_summary_says_how_far_above_it_the_model_is() -> None:
    content = summary(MODEL, OTHERS, [Score("entropy", "validation", 180.0, 100, 90), Score("entropy", "test", 180.0, 100, 90)])
    assert content["above_entropy"] == pytest.approx(20 / 90, rel=1e-5)
    assert content["scores"][-1]["name"] == "entropy"
    assert content["margin"] < 0, "nobody can beat the entropy, so it is no baseline"


def test_the_standings_tell_each_split_from_the_best_on() -> None:
    validation, test = ranking([*MODEL, *OTHERS])
    assert validation.startswith("bits per byte, validation: ") and test.startswith("bits per byte, test: ")
    bits = [float(part.split()[-1]) for part in validation.partition(": ")[2].split(", ")]
    assert bits == sorted(bits) and len(bits) == 1 + sum(score.split == "validation" for score in OTHERS)


def test_where_test_is_validation_every_score_on_it_says_so() -> None:
    noted = {(row["split"], row.get("note", "")) for row in summary(MODEL, OTHERS, [], test_is_validation=True)["scores"]}
    assert all(("the validation split again" in note) == (split == "test") for split, note in noted)


def test_the_summary_of_a_model_that_diverged_is_json_that_dvc_can_read(tmp_path: Path) -> None:
    lost = [Score("model", split, math.nan, 100, 90) for split in ("validation", "test")]
    content = summary(lost, OTHERS, [])
    assert "loss" not in content
    write_json(tmp_path / "evaluate.json", content)


# ------------------------------------------------------------------------------------------------------ opening a model


def test_an_opened_model_says_what_the_saved_one_said(tmp_path: Path) -> None:
    made = subject(tmp_path)
    leave_model(tmp_path, made)
    opened = open_model(tmp_path / "models/trained", runtime(), tokens=tmp_path / "data/tokens")
    ids = torch.arange(10)[None]
    assert torch.equal(opened.model(ids), made.model(ids))
    assert opened.step == 7


def edited(**changes: object) -> Callable[[Path], None]:
    def edit(models: Path) -> None:
        content = read_json(models / "model.json")
        write_json(models / "model.json", {name: value for name, value in (content | changes).items() if value is not None})
        seal_folder(models)

    return edit


def shorten(models: Path) -> None:
    file = models / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])


def flip(models: Path) -> None:
    file = models / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def foreign(models: Path) -> None:
    (models / "model.safetensors").unlink()
    shutil.copy(min((models / "snapshots").glob("*.safetensors")), models / "model.safetensors")


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (shutil.rmtree, r"model\.json: not found; run `dvc repro` to create it"),
    "no weights": (lambda models: (models / "model.safetensors").unlink(), r"model\.safetensors: not found"),
    "weights cut short": (shorten, r"model\.safetensors: is damaged"),
    "one bit": (flip, r"model\.safetensors: is damaged"),
    "another step's weights": (foreign, r"model\.safetensors: is damaged"),
    "no json": (lambda models: (models / "model.json").write_text("{"), r"model\.json: is damaged"),
    "a list": (lambda models: (models / "model.json").write_text("[]"), r"model\.json: is damaged"),
    "no checksum": (edited(sha256=None), r"model\.json: is damaged"),
    "another task": (edited(task="chess"), r"model\.json: task: there is no 'chess'"),
    "other tokens": (edited(tokenizer="0" * 64), r"tokenizer\.json: is not the one that the model was trained with"),
    "another network": (edited(model=knobs(model__depth=1).model.model_dump()), "the weights do not match the network"),
    "an unknown knob": (edited(model=knobs().model.model_dump() | {"spin": 1}), r"model\.spin: there is no such knob"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    leave_model(tmp_path, subject(tmp_path))
    break_it, message = BROKEN[name]
    break_it(tmp_path / "models/trained")
    with pytest.raises(UserError, match=message) as refused:
        open_model(tmp_path / "models/trained", runtime(), tokens=tmp_path / "data/tokens")
    assert "\n" not in str(refused.value)


# ------------------------------------------------------------------------------------------------------------- the door


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, data and a model, in which we stand."""
    values = knobs(evaluate__sample_tokens=20, evaluate__prompts=["the"]).model_dump()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    shutil.copy(TOP / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_stage_leaves_the_same_bytes_each_time_with_and_without_cache(project: Path) -> None:
    leave_model(project, subject(project))
    left = []
    for _ in range(2):
        evaluate.main()
        left.append((EVALUATION.read_bytes(), SAMPLES.read_bytes()))
        EVALUATION.unlink()
    shutil.rmtree(cache_folder() / "baselines")
    evaluate.main()
    assert left[0] == left[1] == (EVALUATION.read_bytes(), SAMPLES.read_bytes())
    content = json.loads(left[0][0])
    assert {row["name"] for row in content["scores"]} >= {"model", "uniform", "unigram", "bigram", "xz -9"}
    assert {row["split"] for row in content["scores"]} == {"validation", "test"}


def test_the_stage_scores_a_model_that_diverged(project: Path) -> None:
    made = subject(project)
    with torch.no_grad():
        made.model.head.weight.fill_(torch.nan)
    leave_model(project, made)
    evaluate.main()
    assert "loss" not in json.loads(EVALUATION.read_text())
    assert "diverged" in SAMPLES.read_text()


def test_the_stage_without_a_model_says_so_and_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_data(project, CharTokenizer("abc", has_end=False), "abc" * 50)
    with pytest.raises(SystemExit) as ended:
        evaluate.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == ["models/trained/model.json: not found; run `dvc repro` to create it"]
    assert not (project / "metrics").exists()
