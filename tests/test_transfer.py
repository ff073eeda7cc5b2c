"""Transfer: a network starts from pretrained weights, learns from a teacher, and keeps frozen weights."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import BATCH_NORM, KINDS, WRITERS, StopAfter, assert_resumes, knobs, same, started, write_labelled
from test_hugging_face_model import leave, params_of
from test_update_norms import Walking

from pipeline.artifacts.checksums import seal_folder
from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import input_sha256, read_json
from pipeline.artifacts.writing import write_json
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit, train_step
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.pretrained.source import open_pretrained
from pipeline.engine.pretrained.transfer import NEW
from pipeline.networks.dropout import DropoutState
from pipeline.networks.mixers import MIXERS
from pipeline.networks.pooling import POOLINGS
from pipeline.networks.positions import POSITIONS
from pipeline.networks.weights import save_weights
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape
from pipeline.tokenizers.bpe import BpeTokenizer
from pipeline.tokenizers.byte import ByteTokenizer
from pipeline.tokenizers.char import CharTokenizer
from pipeline.tokenizers.from_file import FileTokenizer
from pipeline.tokenizers.table import load


def weights(progress: Progress) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in progress.model.named_parameters()}


def leave_trained(folder: Path, tokens: Path, params: Params) -> Progress:
    """A models/trained folder, as the stage train leaves it, of a training over the data in a folder."""
    progress, task, runtime = started(params, tokens)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    about = {
        "task": params.task.kind,
        "tokenizer": input_sha256(tokens),
        "model": params.model.model_dump(),
        "step": progress.step,
    }
    sha256 = save_weights(progress.model, folder / "model.safetensors")
    write_json(folder / "model.json", about | Shape.of(read_json(meta_of(tokens))).as_json() | {"sha256": sha256})
    return progress


def classifier(given: Path, **changes: Any) -> Params:
    return knobs(**KINDS["classify"] | {"train__init_from": str(given), "model__causal": True} | changes)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return write_labelled(tmp_path / "tokens")


# -------------------------------------------------------------------------------------------------------- to begin with


@pytest.mark.parametrize(
    "changes",
    [
        *({"model__embedding_mixer": name} for name in MIXERS),
        *({"model__position": name} for name in POSITIONS),
        {"model__norm": "layer", "model__bias": True},
    ],
)
def test_a_classifier_begins_with_the_blocks_of_a_language_model(changes: dict[str, Any], tokens: Path, tmp_path: Path) -> None:
    speaker = weights(leave_trained(tmp_path / "given", tokens, knobs(**changes)))
    progress, task, _ = started(classifier(tmp_path / "given", **changes), tokens)
    taken = {name for name in weights(progress) if not name.startswith(NEW)}
    assert taken == speaker.keys() - {"head.weight"}
    assert all(torch.equal(weights(progress)[name], speaker[name]) for name in taken)
    fresh, _, _ = started(classifier(Path("data/none"), **changes), tokens)
    assert torch.equal(weights(progress)["head.weight"], weights(fresh)["head.weight"])
    # Looking back only, it sees in a text what the language model sees there.
    ids = task.batch("train", np.arange(3)).inputs[:, :2]
    speaking, _, _ = started(knobs(**changes), tokens)
    speaking.model.load_state_dict(speaker)
    x = progress.model.features(progress.model.mixer(ids, progress.model.embedding(ids)), None, None)
    torch.testing.assert_close(x, speaking.model.features(ids))


@pytest.mark.parametrize("pooling", [name for name in POOLINGS if name != "first"])
@pytest.mark.parametrize("causal", [True, False])
def test_how_it_reads_and_pools_is_its_own_affair(pooling: str, causal: bool, tokens: Path, tmp_path: Path) -> None:
    leave_trained(tmp_path / "given", tokens, knobs(model__tie_embeddings=True))
    params = classifier(
        tmp_path / "given", model__pooling=pooling, model__causal=causal, model__context_length=9, model__dropout=0.1
    )
    progress, task, runtime = started(params, tokens)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert progress.validations[-1]["loss"] < task.uniform_loss


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_classifier_begins_with_a_language_model_of_hugging_faces(name: str, tmp_path: Path) -> None:
    made = leave(tmp_path, name)
    folder = tmp_path / "data/tokens"
    for split in ("train", "validation", "test"):
        ids = np.load(folder / f"{split}.npy")
        ids[9::10] = made.tokenizer.end
        np.save(folder / f"{split}.npy", ids)
        np.save(folder / f"{split}.labels.npy", (np.arange((ids == made.tokenizer.end).sum()) % 2).astype(np.uint16))
    meta = read_json(meta_of(folder))
    write_json(meta_of(folder), meta | {"classes": ["a", "b"], "end": made.tokenizer.end})
    seal_folder(folder)
    plain = {f"model__{knob}": value for knob, value in params_of(made).model.model_dump().items()}
    params = classifier(
        tmp_path / "theirs", **plain | {"model__tie_embeddings": False, "model__causal": False, "train__freeze": True}
    )
    progress, _, _ = started(params, folder)
    theirs = dict(made.model.named_parameters())
    for part, weight in weights(progress).items():
        if not part.startswith(NEW):
            torch.testing.assert_close(weight, theirs[part].detach(), rtol=0, atol=1e-6)


def test_a_classifier_begins_with_one_of_the_same_classes_with_head_and_all(tokens: Path, tmp_path: Path) -> None:
    first = leave_trained(
        tmp_path / "given", tokens, knobs(**KINDS["classify"], model__pooling="first", model__position="learned")
    )
    again = knobs(
        **KINDS["classify"], model__pooling="first", model__position="learned", train__init_from=str(tmp_path / "given")
    )
    progress, _, _ = started(again, tokens)
    assert same(weights(progress), weights(first))


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another width": ({}, {"model__width": 32}, r"model\.width: 32 differs from train\.init_from, .*; use 16"),
    "another mixer": (
        {},
        {"model__embedding_mixer": "none"},
        r"model\.embedding_mixer: \"none\" differs from .*; use 'smear'",
    ),
    "a place before those that were learned": (
        {"model__position": "learned"},
        {"model__position": "learned", "model__pooling": "first", "model__causal": False},
        r"model\.pooling: 'first' adds a position, which the learned positions of .* lack; use mean, last or attention",
    ),
    "a longer text than places": (
        {"model__position": "learned"},
        {"model__position": "learned", "model__context_length": 13},
        r"model\.context_length: 13 differs from train\.init_from, .*; use 12",
    ),
    "a classifier that pools otherwise": (
        KINDS["classify"],
        {"model__causal": "auto", "model__pooling": "last"},
        r"model\.pooling: \"last\" differs from train\.init_from, .*; use 'mean'",
    ),
    "nothing left to learn": (
        KINDS["classify"],
        {"model__causal": "auto", "train__freeze": True},
        r"train\.freeze: true leaves nothing to train, since train\.init_from gives every weight; use false",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_does_not_fit_is_one_line(why: str, tokens: Path, tmp_path: Path) -> None:
    made, wanted, line = REFUSED[why]
    leave_trained(tmp_path / "given", tokens, knobs(**made, train__steps=1))
    with pytest.raises(UserError, match=f"^{line}$"):
        started(classifier(tmp_path / "given", **wanted), tokens)


def test_other_classes_another_tokenizer_and_another_task_are_one_line_each(tokens: Path, tmp_path: Path) -> None:
    leave_trained(tmp_path / "given", tokens, knobs(**KINDS["classify"], train__steps=1))
    others = tmp_path / "others"
    shutil.copytree(tokens, others)
    write_json(meta_of(others), read_json(meta_of(others)) | {"classes": [*"abxyz"]})
    write_json(others / "tokenizer.json", {})
    with pytest.raises(UserError) as refused:
        started(classifier(tmp_path / "given", model__causal="auto"), others)
    classes, tokenizer = refused.value.problems
    assert re.fullmatch(r"train\.init_from: .* has the classes a, b, c \(3\), but data/tokens has a, b, x, … \(5\)", classes)
    assert re.match(r"train\.init_from: .* another tokenizer .* -S tokenize\.kind=file -S tokenize\.path=", tokenizer)
    with pytest.raises(UserError, match=r"was trained with task\.kind classify, which cannot initialize language$"):
        started(knobs(train__init_from=str(tmp_path / "given")), tokens)
    leave_trained(tmp_path / "seen", WRITERS["vision"](tmp_path / "images"), knobs(**KINDS["vision"], train__steps=1))
    with pytest.raises(UserError) as refused:
        started(classifier(tmp_path / "seen"), tokens)
    assert refused.value.problems[0].endswith("was trained with task.kind vision, which cannot initialize classify")


# --------------------------------------------------------------------------------------------------------------- frozen


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *(pytest.param({"train__optimizer": name, "train__epsilon": 1e-8}, marks=pytest.mark.slow) for name in OPTIMIZERS),
        {"train__ema": 0.9},
        {"train__grad_clip": 0.01},
        {"model__pooling": "attention", "train__accumulation_steps": 2},
        {"runtime__activation_checkpointing": "block", "model__dropout": 0.1},
    ],
)
def test_what_is_frozen_stays_bit_by_bit_and_what_is_new_learns(changes: dict[str, Any], tokens: Path, tmp_path: Path) -> None:
    leave_trained(tmp_path / "given", tokens, knobs())
    params = classifier(tmp_path / "given", train__freeze=True, **changes)
    progress, task, runtime = started(params, tokens)
    before, walking = weights(progress), Walking({0, 6}, params.train.steps)
    fit(progress, task, params.train, params.seed, runtime, walking)
    moved = {name for name, weight in weights(progress).items() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if name.startswith(NEW)}
    assert progress.updates[6].keys() == moved, "how far a step moves it is asked of what moves alone"
    assert not any("embedding" in name or "blocks" in name for name in progress.optimizer.state_dict())
    assert progress.validations[-1]["loss"] < task.uniform_loss


def test_a_frozen_training_resumes_bit_by_bit(tokens: Path, tmp_path: Path) -> None:
    leave_trained(tmp_path / "given", tokens, knobs())
    assert_resumes(classifier(tmp_path / "given", train__freeze=True, train__ema=0.5), tokens)


def test_freezing_without_a_start_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"^train\.freeze: true needs pretrained weights: set train\.init_from"):
        knobs(**KINDS["classify"], train__freeze=True)


# --------------------------------------------------------------------------------------------------------------- taught


@pytest.mark.parametrize("kind", [KINDS["classify"], KINDS["vision"], BATCH_NORM], ids=["classify", "vision", "batch norm"])
def test_a_classifier_teaches_a_smaller_one(kind: dict[str, Any], tmp_path: Path) -> None:
    data = WRITERS[kind["task__kind"]](tmp_path / "data")
    teacher = leave_trained(tmp_path / "given", data, knobs(**kind, train__steps=40, model__width=32))
    params = knobs(**kind, train__teacher=str(tmp_path / "given"), train__distill_weight=1.0, train__steps=40, model__depth=1)
    progress, task, runtime = started(params, data)
    batch = task.batch("train", np.arange(16))
    dropout_state = DropoutState(seed=1, step=3, progress=0.25, rows=slice(0, 16), batch=16)
    with torch.no_grad():
        before = task.loss(progress.model, batch, dropout_state)
        said = (teacher.model(batch.inputs) / 2).log_softmax(dim=-1)
        mine = (progress.model(batch.inputs, dropout_state) / 2).log_softmax(dim=-1)
        assert float(before.minimized) == pytest.approx(4 * float((said.exp() * (said - mine)).sum()), rel=1e-4)
        assert task.loss(progress.model, batch).objective is None
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    with torch.no_grad():
        assert float(task.loss(progress.model, batch, dropout_state).minimized) < 0.5 * float(before.minimized)
    assert progress.validations[-1]["accuracy"] > 0.5


def test_a_teacher_of_another_task_other_classes_or_other_images_is_one_line(tokens: Path, tmp_path: Path) -> None:
    leave_trained(tmp_path / "speaks", tokens, knobs(train__steps=1))
    with pytest.raises(
        UserError, match=r"^train\.teacher: .* was trained with task\.kind language; use one that was trained with classify$"
    ):
        started(knobs(**KINDS["classify"], train__teacher=str(tmp_path / "speaks")), tokens)
    images = WRITERS["vision"](tmp_path / "images")
    leave_trained(tmp_path / "sees", images, knobs(**KINDS["vision"], train__steps=1))
    write_json(meta_of(images), read_json(meta_of(images)) | {"classes": [*"abd"], "mean": [1.0]})
    with pytest.raises(UserError) as refused:
        started(knobs(**KINDS["vision"], train__teacher=str(tmp_path / "sees")), images)
    classes, scale = refused.value.problems
    assert "has the classes a, b, c (3)" in classes and "images with another size, scale or count" in scale


# ------------------------------------------------------------------------------------------------------ the same tokenizer

TEXT = "the cat sat on the mat; the dog sat on the cat.\n" * 4


@pytest.mark.parametrize("kind", [ByteTokenizer, CharTokenizer, BpeTokenizer])
def test_a_tokenizer_of_ours_is_read_from_its_file_as_what_it_is(
    kind: type[ByteTokenizer | CharTokenizer | BpeTokenizer], tmp_path: Path
) -> None:
    saved, again = tmp_path / "given/tokenizer.json", tmp_path / "again.json"
    saved.parent.mkdir()
    kind.learn([TEXT], 270, has_end=True).save(saved)
    for path in (saved, saved.parent):
        read = FileTokenizer.learn([], 0, True, path)
        assert isinstance(read, kind)
        read.save(again)
        assert again.read_bytes() == saved.read_bytes()
    assert load(again).encode(TEXT).tolist() == load(saved).encode(TEXT).tolist()


def test_a_tokenizer_of_one_document_has_no_end_for_several(tmp_path: Path) -> None:
    ByteTokenizer.learn([TEXT], 0, has_end=False).save(tmp_path / "tokenizer.json")
    with pytest.raises(
        UserError, match=r"^tokenize\.path: .* has no token for the end of a document, .* several documents needs one$"
    ):
        FileTokenizer.learn([], 0, True, tmp_path)
    assert FileTokenizer.learn([], 0, False, tmp_path).end is None


def test_a_model_says_what_kind_it_is(tokens: Path, tmp_path: Path) -> None:
    leave_trained(tmp_path / "given", tokens, knobs(**KINDS["classify"], train__steps=1))
    found = open_pretrained(tmp_path / "given")
    assert (found.kind, found.classes, found.vocabulary) == ("classify", ("a", "b", "c"), 11)


def test_only_what_learns_gets_a_gradient(tokens: Path, tmp_path: Path) -> None:
    leave_trained(tmp_path / "given", tokens, knobs())
    params = classifier(tmp_path / "given", train__freeze=True)
    progress, task, runtime = started(params, tokens)
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    assert {name for name, weight in progress.model.named_parameters() if weight.grad is not None} == {"head.weight"}
