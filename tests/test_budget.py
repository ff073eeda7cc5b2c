"""What a training takes, said before it runs: from what, and whether it fits."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small import knobs, write_tokens
from subjects import TEXT, leave_images, leave_texts

from pipeline.artifacts.checksums import seal
from pipeline.artifacts.paths import TOKENS, meta_of
from pipeline.artifacts.writing import write_json
from pipeline.corpus.sources.table import IMAGES, LABELLED_TEXTS
from pipeline.lab.budget import report as budget_page
from pipeline.lab.budget.estimate import estimate
from pipeline.lab.budget.fit import CARDS, CHANGES, GIB, Device, card, changes_to_fit, with_changes
from pipeline.lab.budget.timing import STEPS, StepTime, measure
from pipeline.lab.stand_ins.data_shape import CLASSES, PICTURES, Data, data_of
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape
from pipeline.tokenizers.char import CharTokenizer

TOP = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose text has not been tokenized."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    shutil.copytree(TOP / "studies", tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tokenized(kind: str) -> None:
    write_tokens(TOKENS)
    write_json(meta_of(TOKENS), {"kind": kind, "vocabulary": 11, "tokens": {"train": 400}})
    seal("tokenize")


# -------------------------------------------------------------------------------------------------------------- the data


def told(data: Data) -> tuple[int, int | None, str]:
    return data.vocabulary, data.amount, data.known


def test_the_tokens_that_are_there_are_counted_if_they_are_those_of_the_run(project: Path) -> None:
    tokenized("bpe")
    assert told(data_of(load())) == (11, 400, "data/tokens")
    for knob, other in (("prepare.dataset", "markov"), ("tokenize.vocab_size", 300)):
        turned = with_changes(load(), {knob: other})
        assert told(data_of(turned)) == (turned.tokenize.vocab_size, None, "tokenize.vocab_size")
    tokenized("char")  # and params.yaml was edited since
    assert data_of(load()).amount is None


def test_tokens_of_knobs_that_were_turned_since_are_none_of_the_run(project: Path) -> None:
    tokenized("bpe")
    ran = {name: {"cmd": name, "params": {"params.yaml": load().model_dump()}} for name in ("prepare", "tokenize")}
    ran["tokenize"]["deps"], ran["prepare"]["outs"] = [{"path": "data/raw", "md5": "1"}], [{"path": "data/raw", "md5": "1"}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": ran}))
    assert data_of(load()).known == "data/tokens"
    for stage, section, knob, value in (
        ("tokenize", "tokenize", "vocab_size", 700),
        ("prepare", "prepare", "generated_chars", 7),
    ):
        turned: Any = copy.deepcopy(ran)
        turned[stage]["params"]["params.yaml"][section][knob] = value
        Path("dvc.lock").write_text(yaml.safe_dump({"stages": turned}))
        assert data_of(load()).known == "tokenize.vocab_size"


def test_a_vocabulary_that_nobody_knows_yet_is_asked_for_in_one_line(project: Path) -> None:
    characters = with_changes(load(), {"tokenize.kind": "char"})
    with pytest.raises(UserError, match=r"\Atokenize\.kind: the vocabulary size of 'char' depends on the text; [^\n]*\Z"):
        data_of(characters)
    assert data_of(characters, 65).vocabulary == 65
    assert data_of(with_changes(load(), {"tokenize.kind": "byte"})).vocabulary == 257


CLASSIFY = {"task.kind": "classify", "prepare.dataset": "sentiment"}
VISION = {"task.kind": "vision", "prepare.dataset": "mnist_5k"}


def test_of_images_and_texts_with_classes_that_nobody_has_prepared_the_shape_is_known(project: Path) -> None:
    images = data_of(with_changes(load(), VISION))
    assert (images.shape.image, len(images.shape.classes), images.amount, images.known) == (
        *((28, 28, 1), 10),
        *(None, "prepare.dataset"),
    )
    texts = data_of(with_changes(load(), CLASSIFY | {"prepare.classes": 3}))
    assert (texts.vocabulary, len(texts.shape.classes), texts.sizes) == (2048, 3, None)
    own = with_changes(load(), VISION | {"prepare.dataset": "file"})
    with pytest.raises(
        UserError, match=r"\Aprepare\.dataset: the image size of 'file' is unknown until it is prepared; run `dvc"
    ):
        data_of(own)


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_said_of_images_beforehand_is_said_of_a_data_set_that_there_is(name: str) -> None:
    assert name in IMAGES


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_said_of_classes_beforehand_is_said_of_a_data_set_that_there_is(name: str) -> None:
    assert name in LABELLED_TEXTS


def test_texts_and_images_that_are_there_are_counted_one_by_one(project: Path) -> None:
    def turned(**changes: str) -> Params:
        knobs = yaml.safe_load(Path("params.yaml").read_text()) | {}
        for name, value in changes.items():
            section, _, knob = name.partition("__")
            knobs[section][knob] = value
        Path("params.yaml").write_text(yaml.safe_dump(knobs))
        return load()

    params = turned(task__kind="classify", prepare__dataset="dyck", tokenize__kind="char")
    leave_texts(TOKENS, CharTokenizer.learn([TEXT], 0, has_end=True))
    write_json(meta_of(TOKENS), json.loads(meta_of(TOKENS).read_text()) | {"kind": "char"})
    seal("tokenize")
    texts = data_of(params)
    assert texts.sizes is not None
    assert (texts.amount, len(texts.sizes), texts.known, len(texts.shape.classes)) == (40, 40, "data/tokens", 3)
    assert int(texts.sizes.sum()) == len(np.load(TOKENS / "train.npy"))
    shutil.rmtree(TOKENS)
    params = turned(task__kind="vision", prepare__dataset="digits")
    leave_images(TOKENS)
    write_json(meta_of(TOKENS), json.loads(meta_of(TOKENS).read_text()) | {"examples": {"train": 40}})
    seal("tokenize")
    assert (data_of(params).amount, data_of(params).shape.image) == (40, (6, 5, 1))


def test_the_page_speaks_of_images_where_there_are_images(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turned = {"model.norm": "batch", "train.batch_size": 20, "train.steps": 50, "train.validation_points": 0}
    params = with_changes(load(), VISION | turned)
    budget = estimate(params, replace(data_of(params), amount=500), for_card=12, clock=False)
    assert (budget.unit, budget.amount, budget.epochs) == ("example", 1000, 2)
    assert budget.flops_per_target * 20 == budget.flops_per_step
    budget_page.show(budget, as_json=False)
    shown = capsys.readouterr().out
    of_images = ("an image", "20 images at once", "28 x 28 x 1 numbers: one of 10 classes")
    for words in (*of_images, "2.0 times the data", "not trained"):
        assert words in " ".join(shown.split())
    assert not {"tokens", "sequences", "vocabulary"} & set(shown.split())
    said = budget.as_json()
    assert (said["examples"], said["classes"], said["image"]) == (1000, 10, [28, 28, 1])
    assert not {"tokens", "tokens_per_parameter", "tokens_per_parameter_advised", "vocabulary"} & set(said)


def test_tokens_per_parameter_stand_beside_what_fits_advise(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenized("bpe")
    budget = estimate(load(), data_of(load()), for_card=12, clock=False)
    said = budget.as_json()["tokens_per_parameter_advised"]
    assert said["interval_80"][0] < said["median"] < said["interval_80"][1]
    assert said["by"] == "published fits, far below their smallest run"
    budget_page.show(budget, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{budget.amount / budget.parameters:.1f} per parameter" in shown
    assert "say published fits, far below their smallest run" in shown


@pytest.mark.parametrize(("length", "read"), [(16, 16), (64, 30)])
def test_of_a_text_that_is_longer_than_the_context_no_more_is_counted(
    length: int, read: int, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = with_changes(load(), CLASSIFY | {"model.context_length": length, "model.depth": 1, "train.steps": 10})
    texts = Data(Shape(50, ("a", "b")), 51, "data/tokens", np.array([8, 30]))
    budget_page.show(estimate(params, texts, clock=False), as_json=False)
    assert f"of {read} tokens, the longest that is read: one of 2 classes" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_short_texts_are_less_work_than_the_longest_and_are_measured_as_they_are(project: Path) -> None:
    params = with_changes(load(), CLASSIFY | {"train.batch_size": 2, "model.depth": 1, "model.width": 16, "train.steps": 400})
    sizes = np.array([8] * 50 + [64])
    budget = estimate(params, Data(Shape(50, ("a", "b")), 51, "data/tokens", sizes), clock=False)
    chance = 1 - (50 / 51) ** 2  # that one of the two is the long one
    assert budget.mean_step.work == pytest.approx(chance + (1 - chance) / 8, rel=0.2)
    assert budget.mean_step.targets == 1
    whole = estimate(params, Data(Shape(50, ("a", "b")), 51, "data/tokens"), clock=False)
    assert budget.step.flops["forward"] < 0.6 * whole.step.flops["forward"]
    assert measure(params, Shape(50, ("a", "b")), sizes).steps == STEPS


# ----------------------------------------------------------------------------------------------------------- does it fit


def test_what_a_device_holds_beside_the_tensors_is_counted_in() -> None:
    assert card(12, "auto").needed(10 * GIB, saved=GIB) == 13 * GIB
    assert card(12, "auto").needed(0, saved=0) == 2 * GIB
    memory = Device("memory", 16 * GIB, False, "float32")
    assert memory.needed(10 * GIB, saved=GIB) == 12 * GIB
    assert memory.needed(GIB, saved=10 * GIB) == 34 * GIB, "a checkpoint is made in memory"


def excess_of(sizes: dict[str, Callable[[Params], float]], room: float) -> Callable[[Params], int]:
    """Made-up arithmetic: how large a training is, as the product of what some knobs do to it."""

    def excess(params: Params) -> int:
        size = 1000.0
        for effect in sizes.values():
            size *= effect(params)
        return round(size - room)

    return excess


HALVES = {
    "train.precision": lambda params: 0.6 if params.train.precision == "bfloat16" else 1.0,
    "train.accumulation_steps": lambda params: 1 / params.train.accumulation_steps,
}


@pytest.mark.parametrize(
    ("room", "changes"),
    [
        (1000, {}),
        (700, {"train.precision": "bfloat16"}),
        (400, {"train.precision": "bfloat16", "train.accumulation_steps": 2}),
        (260, {"train.accumulation_steps": 4}),  # which does it alone, so that the rest may stay as it is
        (100, None),
    ],
)
def test_the_cheapest_changes_that_make_it_fit_are_found(room: int, changes: dict[str, object] | None) -> None:
    params = knobs(train__precision="float32", train__batch_size=4, train__accumulation_steps=1)
    found = {} if room >= 1000 else changes_to_fit(params, excess_of(HALVES, room))
    assert found == changes


def test_every_change_turns_a_knob_that_there_is() -> None:
    params = knobs(train__precision="float32", train__batch_size=64, model__context_length=512, model__window=5)
    images = with_changes(params, {"task.kind": "vision", "prepare.dataset": "digits"})
    assert [change.knob for change in CHANGES if not change.values(images)] == ["runtime.loss_chunk_size"]
    for change in CHANGES:
        values = change.values(params)
        assert values, change.knob
        for value in values:
            assert with_changes(params, {change.knob: value}) != params


@pytest.mark.slow
def test_a_training_that_does_not_fit_is_shown_with_what_would_make_it_fit(capsys: pytest.CaptureFixture[str]) -> None:
    params = knobs(
        model__width=64, model__context_length=512, train__batch_size=128, model__window=5, train__precision="bfloat16"
    )
    budget = estimate(params, Data(Shape(8_000), 10_000, "data/tokens"), for_card=3, clock=False)
    cards = [verdict.device.memory for verdict in budget.verdicts if verdict.device.on_card]
    assert cards == [3 * GIB, *(gib * GIB for gib in CARDS)]
    assert not budget.verdicts[0].fits
    assert budget.changes
    assert budget.changed
    assert budget.target.needed(budget.changed.bytes, budget.changed.saved) <= 3 * GIB
    budget_page.show(budget, as_json=False)
    shown = capsys.readouterr().out
    assert "does not fit" in shown
    for knob, value in budget.changes.items():
        assert f"-S {knob}={value} " in shown
    nothing_helps = replace(budget, changes=None, changed=None)
    budget_page.show(nothing_helps, as_json=False)
    assert "No known change makes it fit" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------------- the time


def test_the_whole_time_is_that_of_all_steps_and_validations() -> None:
    train = knobs(train__steps=1000, train__validation_points=10).train
    assert StepTime(step=0.5, steps=20, validation=2.0, peak=None).total(train) == 520


def test_the_pace_is_that_of_twenty_steps_of_the_training_itself() -> None:
    pace = measure(knobs(), Shape(11))
    assert pace.steps == STEPS == 20
    assert 0 < pace.step < 10
    assert 0 < pace.validation < 10
    assert pace.peak is None
    assert measure(knobs(train__validation_points=0), Shape(11)).validation < pace.validation


def test_work_is_counted_over_the_whole_training() -> None:
    params = knobs(train__steps=100, train__batch_size=4, model__context_length=12, train__validation_points=0)
    budget = estimate(params, Data(Shape(11), 600, "data/tokens"), clock=False)
    assert budget.amount == 100 * 4 * 12
    assert budget.epochs == 8
    assert budget.flops == 100 * budget.flops_per_step
    assert budget.flops_per_target * 4 * 12 == budget.flops_per_step
    params = with_changes(params, {"train.validation_points": 3, "train.validation_examples": 8})
    validated = replace(budget, params=params)
    assert validated.flops - budget.flops == 3 * 2 * budget.step.flops["forward"]


# ----------------------------------------------------------------------------------------------------------- the command


def rally(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {str(TOP)!r}); from pipeline.lab.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_a_program_can_read_the_budget_of_a_study_with_a_knob_turned(project: Path) -> None:
    done = rally("budget", "nanogpt-cpu", "-S", "model.depth=1", "--vocabulary", "65", "--no-measure", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["parameters"] == sum(said["parameters_by_part"].values())
    assert said["tokens"] == 2000 * 12 * 64
    assert said["bytes_at_peak"] == sum(said["bytes_at_peak_by_part"].values())
    assert said["fits"]["8 GB card"] is True
    assert said["changes_to_fit"] == {}
    assert said["measured"] is None


def test_a_wrong_knob_is_refused_before_anything_is_reckoned(project: Path) -> None:
    done = rally("budget", "-S", "model.heads=5")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "model.heads: 5 does not divide width 128; use 4\n")
