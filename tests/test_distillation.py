"""Distillation: the loss is the formula, nothing with weight 0, and the student learns better with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import VOCABULARY, StopAfter, knobs, same, started, write_tokens
from test_hugging_face_model import leave, params_of

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import NONE
from pipeline.artifacts.writing import write_json
from pipeline.engine.loop import fit
from pipeline.engine.pretrained.transfer import load_teacher
from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import GPT
from pipeline.networks.weights import save_weights
from pipeline.params.errors import UserError
from pipeline.tasks.base import IGNORED, Batch, Shape
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.objective import PLAIN, Objective, Teacher

pytestmark = pytest.mark.shapes

NOISE = DropoutState(seed=1, step=3, progress=0.25, rows=slice(0, 4), batch=4)


def a_network(seed: int, **changes: object) -> GPT:
    return GPT(
        knobs(model__init="fan_in", model__position="none", **changes).model, VOCABULARY, torch.Generator().manual_seed(seed)
    ).double()


def a_batch(length: int = 12) -> Batch:
    ids = torch.randint(VOCABULARY, (4, length + 1), generator=torch.Generator().manual_seed(5))
    targets = ids[:, 1:].clone()
    targets[1, 3:] = IGNORED
    return Batch(ids[:, :-1], targets)


def slopes(student: GPT, objective: Objective) -> list[torch.Tensor]:
    """The gradient of what is followed."""
    task = LanguageModelling(Path(), student.knobs, Shape(VOCABULARY), objective)
    return list(torch.autograd.grad(task.loss(student, a_batch(), NOISE).minimized, list(student.parameters())))


def norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.cat([tensor.flatten() for tensor in tensors]).norm())


def apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    return norm([a - b for a, b in zip(one, other, strict=True)]) / norm(other)


@pytest.mark.parametrize("chunk", [0, 5])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_taught_alone_the_gradient_is_that_of_the_cross_entropy_to_the_softened_teacher(temperature: float, chunk: int) -> None:
    student, teacher = a_network(0), a_network(1, model__width=32, model__depth=1).requires_grad_(False)
    found = slopes(student, Objective(loss_chunk=chunk, teacher=Teacher(teacher, 1.0, temperature)))
    batch = a_batch()
    counted = batch.targets != IGNORED
    wanted = (teacher(batch.inputs)[counted] / temperature).exp()
    wanted = wanted / wanted.sum(1, keepdim=True)
    said = student(batch.inputs)[counted] / temperature
    # Of the KL divergence, only the cross-entropy between the two hangs on the student.
    crossed = -(wanted * (said - said.exp().sum(1, keepdim=True).log())).sum() * temperature**2
    assert apart(found, list(torch.autograd.grad(crossed, list(student.parameters())))) < 1e-12


@pytest.mark.parametrize("chunk", [0, 5])
def test_a_weight_between_is_a_mean_of_the_two(chunk: int) -> None:
    student, teacher = a_network(0), a_network(1).requires_grad_(False)
    text, taught, mixed = (
        slopes(student, Objective(loss_chunk=chunk, teacher=Teacher(teacher, weight, 2.0))) for weight in (0.0, 1.0, 0.3)
    )
    assert apart(text, slopes(student, PLAIN)) < 1e-12
    assert apart(mixed, [0.7 * one + 0.3 * other for one, other in zip(text, taught, strict=True)]) < 1e-12


def test_who_says_what_its_teacher_says_has_nothing_to_learn_from_it() -> None:
    student = a_network(0)
    found = slopes(student, Objective(teacher=Teacher(a_network(0).requires_grad_(False), 1.0, 2.0)))
    assert norm(found) < 1e-12 * norm(slopes(student, PLAIN))


def test_outside_training_the_teacher_is_not_asked_and_what_is_shown_is_the_plain_loss() -> None:
    student, teacher = a_network(0), a_network(1).requires_grad_(False)
    plain = LanguageModelling(Path(), student.knobs, Shape(VOCABULARY))
    taught = LanguageModelling(Path(), student.knobs, Shape(VOCABULARY), Objective(teacher=Teacher(teacher, 0.5, 2.0)))
    for dropout_state in (None, NOISE):
        ours, theirs = (task.loss(student, a_batch(), dropout_state) for task in (taught, plain))
        assert torch.equal(ours.total.detach(), theirs.total.detach()) and torch.equal(ours.count, theirs.count)
        assert (ours.objective is None) == (dropout_state is None)


# ------------------------------------------------------------------------------------------------------------ from a folder


def leave_teacher(folder: Path, tokens: Path, steps: int = 25) -> Path:
    """A models/trained folder of a small model that has learned the tokens."""
    params = knobs(train__steps=steps, train__batch_size=8, model__width=32, model__embedding_mixer="none")
    progress, task, runtime = started(params, tokens)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    sha256 = save_weights(progress.model, folder / "model.safetensors")
    tokenizer = sha256_of(tokens / "tokenizer.json")
    about = {"vocabulary": VOCABULARY, "tokenizer": tokenizer, "step": steps, "sha256": sha256, "task": "language"}
    write_json(folder / "model.json", about | {"model": params.model.model_dump()})
    return folder


def test_a_weight_of_nothing_is_a_training_without_a_teacher_bit_by_bit(tmp_path: Path) -> None:
    teacher = leave_teacher(tmp_path / "teacher", write_tokens(tmp_path / "tokens"), steps=2)
    ended = []
    for changes in ({}, {"train__teacher": str(teacher), "train__distill_weight": 0.0}):
        params = knobs(**changes)
        progress, task, runtime = started(params, tmp_path / "tokens")
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
        ended.append(progress)
    assert same(ended[0].tensors(), ended[1].tensors())


@pytest.mark.parametrize(("accumulation", "precision"), [(1, "float32"), (4, "bfloat16")])
def test_a_student_learns_from_its_teacher_alone(accumulation: int, precision: str, tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens")
    teacher = leave_teacher(tmp_path / "teacher", tokens)
    params = knobs(
        train__teacher=str(teacher),
        train__distill_weight=1.0,
        train__accumulation_steps=accumulation,
        train__precision=precision,
        train__steps=25,
        train__batch_size=8,
        model__depth=1,
    )
    progress, task, runtime = started(params, tokens)
    batch = task.batch("train", torch.arange(8).numpy() * 9)
    dropout_state = DropoutState(seed=1, step=3, progress=0.25, rows=slice(0, 8), batch=8)
    before = float(task.loss(progress.model, batch, dropout_state).minimized.detach())
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert float(task.loss(progress.model, batch, dropout_state).minimized.detach()) < 0.25 * before
    # It has never followed the text, and yet has learned it: what the teacher knew it knows.
    assert progress.validations[-1]["loss"] < 0.5 * progress.validations[0]["loss"] or progress.validations[-1]["loss"] < 0.8


def test_a_teacher_of_hugging_faces_says_what_it_says_there(tmp_path: Path) -> None:
    made = leave(tmp_path, "llama")
    student = params_of(made, model__width=32, model__norm="layer", model__context_length=5).model
    network = load_teacher(tmp_path / "theirs", "language", student, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")
    ids = torch.randint(made.tokenizer.vocabulary, (2, 5), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network(ids), made.model(ids).detach(), rtol=0, atol=1e-5)
    assert not network.training and not any(weight.requires_grad for weight in network.parameters())
    longer = student.model_copy(update={"context_length": 13})
    with pytest.raises(UserError, match=r"^model\.context_length: 13 is longer than that of train\.teacher; use at most 12$"):
        load_teacher(tmp_path / "theirs", "language", longer, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")
    with pytest.raises(UserError, match=r"^train\.teacher: .* has a vocabulary of 16, but data/tokens has 17$"):
        load_teacher(tmp_path / "theirs", "language", student, Shape(17), tmp_path / "data/tokens")


def test_no_teacher_is_what_stands_in_params_yaml() -> None:
    assert Path(knobs().train.teacher) == Path(knobs().train.init_from) == Path(knobs().tokenize.path) == NONE
