"""The training loop: micro-batches add up, gradients are clipped, a loss that is not a number stops it, no hidden state."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small import KINDS, TOP, VOCABULARY, WRITERS, StopAfter, knobs, same, started, write_tokens

from pipeline.artifacts.checksums import seal
from pipeline.artifacts.paths import TRAIN_METRICS, meta_of
from pipeline.artifacts.reading import read_json
from pipeline.engine.display import display
from pipeline.engine.loop import fit, train_step, validate
from pipeline.engine.recorder import TrainingRecorder, metrics_of
from pipeline.engine.runtime.runtime import Runtime, Scaler
from pipeline.engine.sampler import rows_with_replacement
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.tasks.base import IGNORED, Shape, Task, Unit
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.table import TASKS

pytestmark = pytest.mark.shapes


def test_a_clipped_gradient_has_the_norm_of_the_limit_and_the_log_says_how_large_it_was(tmp_path: Path) -> None:
    params = knobs(train__grad_clip=0.01, train__optimizer="sgd", train__momentum=0.0, train__lr=1.0, train__weight_decay=0.0)
    progress, task, runtime = started(params, tmp_path)
    before = [weight.detach().clone() for weight in progress.model.parameters()]
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    moved = (
        sum(float((old - new.detach()).square().sum()) for old, new in zip(before, progress.model.parameters(), strict=True))
        ** 0.5
    )
    _, norm, clipped = progress.recent[0]
    assert moved == pytest.approx(0.01, rel=1e-3)
    assert float(norm) > 0.01
    assert float(clipped) == 1.0


def test_a_loss_that_is_no_number_ends_the_training_and_leaves_a_finite_log(tmp_path: Path) -> None:
    params = knobs(
        train__lr=100.0,
        train__optimizer="sgd",
        model__norm="none",
        model__init="fan_in",
        train__steps=40,
        train__log_points=40,
    )
    progress, task, runtime = started(params, tmp_path)
    with torch.no_grad():
        for weight in progress.model.parameters():
            weight *= 1e12
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert progress.diverged
    assert progress.step < 40
    assert all(np.isfinite(list(row.values())).all() for row in progress.curve)


def test_a_validation_loss_that_is_no_number_ends_the_training_too(tmp_path: Path) -> None:
    params = knobs(train__steps=12, train__log_points=1, train__validation_points=3, train__lr=1e-8)
    progress, task, runtime = started(params, tmp_path)
    ids = np.load(tmp_path / "validation.npy")
    missing = next(token for token in range(VOCABULARY) if token in ids)
    for _ in range(3):
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    with torch.no_grad():
        progress.model.embedding.weight[missing] = torch.nan
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert progress.diverged
    assert progress.validations == []
    assert progress.step == 4


def test_a_row_tells_the_length_of_the_gradients_that_have_one(tmp_path: Path) -> None:
    params = knobs(train__steps=4, train__log_points=1)
    alone, task, runtime = started(params, tmp_path)
    progress, _, _ = started(params, tmp_path)
    alone.step = progress.step = 3
    progress.recent = [(1.0, 2.0, 0.0), (1.0, float("inf"), 0.0), (1.0, 4.0, 0.0)]
    train_step(alone, task, params.train, params.seed, runtime, lambda: False)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    [row] = progress.curve
    assert row["gradient_norm"] == pytest.approx((2 + 4 + float(alone.recent[0][1])) / 3, rel=1e-5)


def test_validation_holds_no_more_sequences_at_once_than_training(tmp_path: Path) -> None:
    params = knobs(train__batch_size=8, train__accumulation_steps=4, train__validation_examples=8)
    progress, task, runtime = started(params, tmp_path)
    seen: list[int] = []
    progress.model.embedding.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    validate(progress, task, params.train, runtime, lambda: False)
    assert max(seen) == 2


def test_memory_that_runs_out_is_one_line_and_any_other_error_is_itself() -> None:
    runtime = Runtime(knobs().runtime)
    with (
        pytest.raises(UserError, match=r"train: the network and a batch need more memory .*accumulation"),
        runtime.enough_memory(),
    ):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shape"), runtime.enough_memory():
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_memory_that_runs_out_names_what_would_help_cheapest_first_and_nothing_that_is_turned_already() -> None:
    def help_for(**changes: object) -> str:
        with pytest.raises(UserError) as refused, Runtime(knobs(**changes).runtime).enough_memory():
            torch.empty(2**60)
        return str(refused.value).partition("cheapest first: ")[2]

    assert help_for() == (
        "a larger train.accumulation_steps, runtime.loss_chunk_size=1024, runtime.activation_checkpointing=selective,"
        " runtime.activation_checkpointing=block,"
        " a smaller train.batch_size, model.context_length, model.width or model.depth"
    )
    turned = {"runtime__micro_batch_tokens": 512, "runtime__loss_chunk_size": 256, "runtime__activation_checkpointing": "block"}
    assert help_for(**turned) == (
        "a smaller runtime.micro_batch_tokens, a smaller train.batch_size, model.context_length, model.width or model.depth"
    )


def test_rows_and_validations_fall_evenly_and_on_the_last_step(tmp_path: Path) -> None:
    params = knobs(train__steps=10, train__log_points=4, train__validation_points=3)
    progress, task, runtime = started(params, tmp_path)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert [row["step"] for row in progress.curve] == [3, 5, 8, 10]
    assert [row["step"] for row in progress.validations] == [4, 7, 10]
    assert progress.targets == 10 * 4 * 12


def test_a_row_is_the_mean_of_the_steps_since_the_row_before(tmp_path: Path) -> None:
    each, few = (knobs(train__log_points=points) for points in (12, 3))
    curves = []
    for params in (each, few):
        progress, task, runtime = started(params, tmp_path)
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
        curves.append([row["loss"] for row in progress.curve])
    means = np.array(curves[0]).reshape(3, 4).mean(axis=1)
    assert curves[1] == pytest.approx(list(means), rel=1e-4)


def test_the_examples_of_a_step_depend_on_seed_and_step_alone() -> None:
    assert (rows_with_replacement(3, 7, 64, 1000) == rows_with_replacement(3, 7, 64, 1000)).all()
    assert (rows_with_replacement(3, 7, 64, 1000) != rows_with_replacement(3, 8, 64, 1000)).any()
    assert (rows_with_replacement(3, 7, 64, 1000) != rows_with_replacement(4, 7, 64, 1000)).any()
    counts = np.bincount(np.concatenate([rows_with_replacement(0, step, 100, 10) for step in range(200)]), minlength=10)
    assert counts.min() > 1800


def test_validation_reads_the_same_examples_whatever_the_batch_and_changes_nothing(tmp_path: Path) -> None:
    params = knobs(model__dropout=0.3, model__init="fan_in", train__validation_examples=10**6)
    progress, task, runtime = started(params, tmp_path)
    weights = {name: tensor.clone() for name, tensor in progress.tensors().items()}
    losses = [
        validate(progress, task, knobs(train__batch_size=batch, train__validation_examples=10**6).train, runtime, lambda: False)
        for batch in (1, 3, 64)
    ]
    assert len({accuracy for _, accuracy in losses}) == 1
    assert [loss for loss, _ in losses] == pytest.approx([losses[0][0]] * 3, abs=1e-6)
    assert same(weights, progress.tensors())


def test_held_out_windows_predict_every_token_but_the_first_once(tmp_path: Path) -> None:
    params = knobs(model__context_length=12)
    write_tokens(tmp_path)
    task = LanguageModelling(tmp_path, params.model, Shape(VOCABULARY))
    ids = np.load(tmp_path / "test.npy")
    batch = task.batch("test", np.arange(task.size("test")))
    told = batch.targets.flatten()
    assert told[told != IGNORED].tolist() == ids[1:].tolist()
    assert (
        batch.inputs[:, 1:][batch.targets[:, :-1] != IGNORED] == batch.targets[:, :-1][batch.targets[:, :-1] != IGNORED]
    ).all()
    whole, parts = (
        task.loss(a_model(params), batch),
        [task.loss(a_model(params), batch.part(slice(i, i + 1))) for i in range(len(batch.inputs))],
    )
    assert float(whole.total.detach()) == pytest.approx(sum(float(part.total.detach()) for part in parts), rel=1e-5)
    assert int(whole.count) == len(ids) - 1 == sum(int(part.count) for part in parts)


def a_model(params: object) -> GPT:
    return GPT(params.model, VOCABULARY, torch.Generator().manual_seed(0))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_keeps_what_the_loop_counts_on(name: str, tmp_path: Path) -> None:
    meta = meta_of(WRITERS[name](tmp_path))
    task = TASKS[name](tmp_path, knobs(**KINDS[name]).model, Shape.of(read_json(meta)))
    assert isinstance(task, Task)
    model = task.build(torch.Generator().manual_seed(0))
    for split in ("train", "validation", "test"):
        batch = task.batch(split, np.array([0, task.size(split) - 1]))
        loss = task.loss(model, batch)
        assert int(loss.count) == batch.count > 0
        assert loss.correct is not None
        assert 0 <= int(loss.correct) <= batch.count
        assert float(loss.total.detach()) > 0


def test_training_windows_may_start_anywhere(tmp_path: Path) -> None:
    params = knobs()
    write_tokens(tmp_path)
    task = LanguageModelling(tmp_path, params.model, Shape(VOCABULARY))
    ids = np.load(tmp_path / "train.npy")
    last = task.size("train") - 1
    batch = task.batch("train", np.array([0, 5, last]))
    assert batch.inputs[1].tolist() == ids[5:17].tolist()
    assert batch.targets[2].tolist() == ids[-12:].tolist()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_gives_nearly_the_gradient_of_float32(precision: str, tmp_path: Path) -> None:
    found = []
    for name in ("float32", precision):
        params = knobs(train__precision=name, model__init="fan_in")
        progress, task, runtime = started(params, tmp_path)
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        found.append(torch.cat([weight.grad.flatten() for weight in progress.model.parameters() if weight.grad is not None]))
    assert torch.nn.functional.cosine_similarity(found[0], found[1], dim=0) > 0.999
    assert found[1].dtype == torch.float32


def test_the_scaler_skips_steps_that_overflow_and_tries_a_larger_scale_after_many_good_ones() -> None:
    scaler, model = Scaler(enabled=True), torch.nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[1.0, torch.inf]])
    before = scaler.scale
    assert not scaler.unscale(model)
    assert scaler.scale == before / 2
    for _ in range(Scaler.PATIENCE):
        model.weight.grad = torch.tensor([[scaler.scale, 2 * scaler.scale]])
        assert scaler.unscale(model)
    assert model.weight.grad.tolist() == [[1.0, 2.0]]
    assert scaler.scale == before


def test_every_step_that_float16_overflows_in_is_counted_and_moves_nothing(tmp_path: Path) -> None:
    params = knobs(train__precision="float16", model__init="fan_in")
    progress, task, runtime = started(params, tmp_path)
    progress.scaler.scale = 2.0**60
    before = {name: tensor.clone() for name, tensor in progress.tensors().items()}
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    assert (progress.step, progress.skipped) == (1, 1)
    assert same(progress.tensors(), before)
    while progress.skipped == progress.step:
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    assert progress.scaler.scale == 2.0 ** (60 - progress.skipped)
    assert progress.skipped == progress.step - 1
    assert not same(progress.tensors(), before)
    other, _, _ = started(params, tmp_path)
    other.restore({name: tensor.clone() for name, tensor in progress.tensors().items()}, progress.numbers())
    assert other.skipped == progress.skipped > 10


@pytest.mark.parametrize(("skipped", "said"), [(0, "loss 2.000  "), (3, "loss 2.000  3 skipped  ")])
def test_the_lines_say_how_many_steps_were_skipped(skipped: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    display("lines", 10, 0, 0, "tokens").show(1, 100, 2.0, None, skipped)
    assert f"step 1/10  {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("unit", "said"), [("tokens", "validation 1.500  "), ("examples", "validation 1.500  accuracy 81.2%  ")]
)
def test_of_whole_examples_the_lines_say_how_many_are_right(unit: Unit, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    display("lines", 10, 0, 0, unit).show(1, 100, 2.0, {"loss": 1.5, "accuracy": 0.812})
    line = capsys.readouterr().err
    assert f"loss 2.000  {said}" in line and f" {unit}/s  " in line


@pytest.mark.parametrize("kind", TASKS)
def test_the_metrics_of_whole_examples_hold_how_many_are_right(kind: str, tmp_path: Path) -> None:
    params = knobs(**KINDS[kind])
    progress, task, runtime = started(params, tmp_path)
    assert metrics_of(progress, task.unit) == {"step": 0, "diverged": False}
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    told = metrics_of(progress, task.unit).get("validation_accuracy")
    assert told == (None if kind == "language" else progress.validations[-1]["accuracy"])


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_metrics_of_a_float16_training_count_its_skipped_steps(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, task, _ = started(knobs(train__precision=precision), tmp_path / "tokens")
    progress.skipped = 2 if precision == "float16" else 0
    monkeypatch.chdir(tmp_path)
    journal = TrainingRecorder.__new__(TrainingRecorder)
    journal.task = task
    journal.write_curves(progress)
    seal("train")
    assert read_json(TRAIN_METRICS).get("skipped_steps") == (2 if precision == "float16" else None)


def test_a_runtime_asks_for_kernels_that_repeat_themselves_and_loads_no_compiler_for_it() -> None:
    script = (
        "import sys, torch, pipeline.engine.setup\nfrom pipeline.engine.runtime.runtime import Runtime\n"
        "from pipeline.params.load import load\n"
        "Runtime(load().runtime)\nprint(torch.are_deterministic_algorithms_enabled(), 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_an_ordinary_run_has_no_scaler_at_work() -> None:
    runtime = Runtime(knobs().runtime, "float32")
    assert runtime.scaler().scale == 1.0
    assert not runtime.scaler().enabled
