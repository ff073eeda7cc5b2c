"""Checked steps: 0 for sound trainings of many knobs, and each planted deviation is found in the part that it is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import KINDS, knobs, started
from torch import nn

from pipeline.conformance.checks import as_reading, check
from pipeline.conformance.plain_network import FUNCTIONS, logits
from pipeline.conformance.plain_training import SCHEDULES, PlainOptimizer, rate
from pipeline.conformance.recorded import RecordedLosses
from pipeline.conformance.steps import TARGETS
from pipeline.conformance.text import places
from pipeline.doctor.case import Case
from pipeline.doctor.causes.table import CAUSES
from pipeline.doctor.diagnose import Diagnosis, diagnose
from pipeline.doctor.signs.checked import CHECKED, RARE
from pipeline.engine.loop import fit
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.schedules import learning_rate
from pipeline.lab.faults.base import Training, wrap_method
from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.attention import ATTENTIONS
from pipeline.networks.inits import INITS
from pipeline.networks.norms import NORMS
from pipeline.networks.positions import POSITIONS
from pipeline.networks.residuals import RESIDUALS
from pipeline.tasks.base import IGNORED, Batch, Loss
from pipeline.tasks.lm import LanguageModelling

GPT = {"train__optimizer": "adamw", "train__lr": 0.003, "model__norm": "layer", "model__position": "learned"}
GPT |= {"model__init": "gpt2", "model__bias": True, "model__activation": "gelu", "train__epsilon": 1e-8}
LLAMA = GPT | {"model__norm": "rms", "model__position": "rotary", "model__init": "fan_in", "model__bias": False}
LLAMA |= {"model__activation": "swiglu", "model__kv_heads": 1, "train__grad_clip": 0.1, "train__accumulation_steps": 2}


def checked(folder: Path, inject: Callable[[Training], None] | None = None, **changes: Any) -> dict[str, float]:
    """The numbers of a small training, with something wrong in it if that is given."""
    params = knobs(**{"train__precision": "float32", "train__steps": 24, **changes})
    progress, task, runtime = started(params, folder)
    if inject:
        assert isinstance(task, LanguageModelling)
        inject(Training(params, progress, task))
    numbers, skipped = check(progress, task, params.model, params.train, params.seed, runtime)
    assert not any("Error" in line for line in skipped), skipped
    return numbers


def told(numbers: dict[str, float]) -> Diagnosis:
    return diagnose(Case(readings={"checked_steps": as_reading(numbers)}))


@pytest.mark.parametrize("size", [100, 1000, 10**6])
def test_windows_that_come_again_are_told_from_those_that_must_in_a_small_text(size: int) -> None:
    rng, batch = np.random.default_rng(1), 64
    few = rng.integers(0, size, 24)

    def again(drawn: Callable[[], np.ndarray]) -> float:
        return places({step: drawn().tolist() for step in range(24)}, 12, size)["again"]

    assert max(again(lambda: rng.integers(0, size, batch)) for _ in range(100)) < RARE.high
    assert again(lambda: rng.choice(few, batch)) > 2 * RARE.high


# ------------------------------------------------------------------------------------------------------------------ sound

SOUND: dict[str, dict[str, Any]] = {
    "house": {},
    "gpt": GPT,
    "llama": LLAMA,
    "neox": GPT | {"model__position": "rotary", "model__rotary_share": 0.5, "model__residual": "parallel_norms"},
    "many knobs": {
        "train__label_smoothing": 0.1,
        "train__z_loss": 1e-3,
        "train__ema": 0.9,
        "model__dropout": 0.2,
        "train__accumulation_steps": 4,
        "model__tie_embeddings": True,
        "model__attention_softcap": 5.0,
        "model__qk_norm": True,
        "train__schedule": "one_cycle",
        "train__warmup_ratio": 0.2,
        "model__embedding_mixer": "convolution",
    },
    "mup": {**GPT, "model__init": "mup", "model__base_width": 8},
    "length and batch grow": {"train__length_start": 0.7, "train__batch_start": 0.5},
    "texts": KINDS["classify"],
    "images": KINDS["vision"] | {"train__class_weights": "balanced", "train__loss": "mse"},
    "images, augmented": KINDS["vision"] | {"train__shift": 1, "train__mixup": 0.5},
    "batch norm": KINDS["vision"] | {"model__norm": "batch"},
    "vision transformer": KINDS["vision"] | {"model__network": "transformer"},
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_training_is_at_0_whatever_its_knobs(tmp_path: Path, name: str) -> None:
    numbers = checked(tmp_path, **SOUND[name])
    assert told(numbers).finding == "healthy", [sign for sign in told(numbers).signs if sign.status != "healthy"]
    assert len(numbers) > 8


def test_of_large_batches_some_examples_are_computed_at_a_time(tmp_path: Path) -> None:
    targets = list[int]()

    def watch(training: Training) -> None:
        training.network.register_forward_hook(lambda module, given, output: targets.append(output[..., 0].numel()))

    examples = 3 * TARGETS // 16
    changes = {"train__batch_size": examples, "model__context_length": 16, "model__dropout": 0.2, "train__snapshots": [0, 1]}
    numbers = checked(tmp_path, watch, **changes)
    assert max(targets) == TARGETS
    assert told(numbers).finding == "healthy", [sign for sign in told(numbers).signs if sign.status != "healthy"]


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        *(("activation", name) for name in ACTIVATIONS),
        *(("norm", name) for name in NORMS),
        *(("residual", name) for name in RESIDUALS),
        *(("position", name) for name in POSITIONS),
        *(("attention", name) for name in ATTENTIONS),
        *(("init", name) for name in INITS),
    ],
)
def test_the_plain_network_computes_what_every_entry_does(tmp_path: Path, knob: str, value: str) -> None:
    params = knobs(**{f"model__{knob}": value, "model__heads": 4, "model__bias": True, "train__precision": "float32"})
    progress, task, _ = started(params, tmp_path)
    from pipeline.conformance.network import initial_spread, moved_weights

    assert initial_spread(progress.model, params.model)["initial_spread"] == 0
    ids = task.batch("train", np.arange(3)).inputs
    with moved_weights(progress.model), torch.no_grad():
        weights = {name: weight.double() for name, weight in progress.model.named_parameters()}
        torch.testing.assert_close(progress.model(ids).double(), logits(weights, ids, params.model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_plain_activation_is_that_of_the_table(name: str) -> None:
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    torch.testing.assert_close(FUNCTIONS[name](x), ACTIVATIONS[name].function(x))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_is_its_closed_form(schedule: str) -> None:
    warm = 0.0 if schedule == "exponential" else 0.2
    train = knobs(train__schedule=schedule, train__warmup_ratio=warm, train__min_lr_ratio=0.1).train
    for step in range(20):
        assert rate(step / 20, train) == pytest.approx(learning_rate(step / 20, train), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_is_followed_or_its_updates_are_not_judged(tmp_path: Path, optimizer: str) -> None:
    numbers = checked(tmp_path, train__optimizer=optimizer, train__lr=0.01, train__weight_decay=0.1, train__nesterov=True)
    assert numbers.get("update", 0.0) < 3e-3
    assert told(numbers).finding == "healthy"


# ---------------------------------------------------------------------------------------------------------- planted deviations


def batches(change: Callable[[Batch], Batch]) -> Callable[[Training], None]:
    """Batches of every split are changed."""
    return lambda training: wrap_method(training.task, "batch", lambda batch: lambda *a, **k: change(batch(*a, **k)))


def gradients(change: Callable[[Any], object]) -> Callable[[Training], None]:
    """Gradients are changed after the backward pass."""

    def inject(training: Training) -> None:
        def wrap(unscale: Callable[..., bool]) -> Callable[..., bool]:
            def changed(model: nn.Module) -> bool:
                for weight in model.parameters():
                    if weight.grad is not None:
                        change(weight)
                return unscale(model)

            return changed

        wrap_method(training.progress.scaler, "unscale", wrap)

    return inject


def after_steps(change: Callable[[Training], None]) -> Callable[[Training], None]:
    """Something happens after every step of the optimizer."""

    def inject(training: Training) -> None:
        def wrap(step: Callable[[float], None]) -> Callable[[float], None]:
            def then(lr: float) -> None:
                step(lr)
                with torch.no_grad():
                    change(training)

            return then

        wrap_method(training.progress.optimizer, "step", wrap)

    return inject


def losses(change: Callable[[Loss], Loss]) -> Callable[[Training], None]:
    return lambda training: wrap_method(training.task, "loss", lambda loss: lambda *a, **k: change(loss(*a, **k)))


def _last_ignored(batch: Batch) -> Batch:
    targets = batch.targets.clone()
    targets[:, ::2] = IGNORED
    return Batch(batch.inputs, targets)


def _first_tenth(training: Training) -> None:
    wrap_method(
        training.task,
        "batch",
        lambda batch: lambda split, rows, length=None: batch(split, rows // 10 if split == "train" else rows, length),
    )


def _rate_twice(training: Training) -> None:
    wrap_method(training.progress.optimizer, "step", lambda step: lambda lr: step(2 * lr))


def _rate_from_half(training: Training) -> None:
    half = training.params.train.steps // 2
    wrap_method(
        training.progress.optimizer, "step", lambda step: lambda lr: step(lr / 3 if training.progress.step >= half else lr)
    )


def _attention(change: Callable[[Any], None]) -> Callable[[Training], None]:
    def inject(training: Training) -> None:
        for attention in training.attentions:
            change(attention)

    return inject


def _no_positions(training: Training) -> None:
    training.network.position.embed = lambda x, start: x  # type: ignore[method-assign]


def _norms_off(training: Training) -> None:
    training.blocks[0].norms[0].forward = lambda x: x


def _no_residual(training: Training) -> None:
    def forward(x: torch.Tensor, norms: Any, branches: Any) -> torch.Tensor:
        for norm, branch in zip(norms, branches, strict=True):
            x = branch.layer(norm(x))
        return x

    training.blocks[-1].residual.forward = forward  # type: ignore[method-assign]


def _other_activation(training: Training) -> None:
    training.blocks[0].feed_forward.activation = ACTIVATIONS["relu"]


def _constant_draw(training: Training) -> None:
    wrap_method(
        training.task,
        "batch",
        lambda batch: lambda split, rows, length=None: batch(split, rows % 7 if split == "train" else rows, length),
    )


def _validation_scaled(training: Training) -> None:
    training.progress.optimizer.averaged_weights = lambda: {  # type: ignore[method-assign]
        name: weight * 0.9 for name, weight in training.progress.optimizer.parameters.items()
    }


def _half_frozen(training: Training) -> None:
    kept = {name: weight.clone() for name, weight in training.network.named_parameters() if "feed_forward" in name}
    wrap_method(
        training.progress.optimizer,
        "step",
        lambda step: lambda lr: _put_back(training, kept, step(lr)),
    )


def _put_back(training: Training, kept: dict[str, torch.Tensor], _: None) -> None:
    for name, weight in training.network.named_parameters():
        if name in kept:
            weight.data.copy_(kept[name])


def _weights_of_a_third(training: Training) -> None:
    for weight in training.network.parameters():
        if weight.ndim > 1:
            weight.data.mul_(1 / 3)


def _hook(training: Training) -> None:
    training.blocks[0].feed_forward.up.weight.register_hook(lambda gradient: 0.5 * gradient)


def _decay(training: Training) -> None:
    for weight in training.network.parameters():
        weight.mul_(0.95)


def _other_text_from_half(training: Training) -> None:
    """From half of the training on, the windows are read backwards."""
    half = training.params.train.steps // 2

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def turned(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            late = training.progress.step >= half and split == "train"
            return Batch(whole.targets.flip(1), whole.inputs.flip(1)) if late else whole

        return turned

    wrap_method(training.task, "batch", wrap)


PLANTED: dict[str, tuple[Callable[[Training], None], str, str]] = {
    "targets one too early": (
        batches(lambda b: Batch(b.inputs, torch.cat((b.inputs[:, :1], b.targets[:, :-1]), 1))),
        "targets",
        "targets not shifted",
    ),
    "half of the targets ignored": (batches(_last_ignored), "targets", "batches not the stored text"),
    "windows reversed": (
        batches(lambda b: Batch(b.targets.clamp(min=0).flip(1), b.inputs.flip(1))),
        "inputs",
        "batches not the stored text",
    ),
    "a few windows again and again": (_constant_draw, "undrawn", "batches not the stored text"),
    "only the first tenth": (_first_tenth, "undrawn", "batches not the stored text"),
    "a loss of twice the size": (
        losses(lambda loss: Loss(2 * loss.total, loss.count, loss.correct)),
        "minimized",
        "loss not the cross-entropy of its targets",
    ),
    "gradients of a tenth": (gradients(lambda w: w.grad.mul_(0.1)), "gradient", "gradient not that of the loss"),
    "the wrong sign in vectors": (
        gradients(lambda w: w.grad.neg_() if w.ndim < 2 else w.grad),
        "gradient",
        "gradient not that of the loss",
    ),
    "a hook on a weight": (_hook, "backward", "gradient not that of the loss"),
    "twice the rate": (_rate_twice, "rate", "learning-rate schedule not followed"),
    "a third of the rate from half-way": (_rate_from_half, "late", "changed during training"),
    "other text from half-way": (_other_text_from_half, "late_batches", "changed during training"),
    "more decay than the knob's": (after_steps(_decay), "extra_decay", "update not that of the optimizer"),
    "layers that do not move": (_half_frozen, "still", "frozen layer"),
    "another weight is evaluated": (_validation_scaled, "average", "evaluation not of the trained model"),
    "no positions": (_no_positions, "embedding", "network not that of its knobs"),
    "a norm that does nothing": (_norms_off, "norm_missing", "no normalization"),
    "a block without residual": (_no_residual, "residual_missing", "no residual connections"),
    "another activation": (_other_activation, "feed_forward", "network not that of its knobs"),
    "scores not scaled": (
        _attention(lambda a: setattr(a, "scale", 1.0)),
        "attention_scale",
        "wrong attention scale",
    ),
    "initial weights of a third": (
        _weights_of_a_third,
        "initial_spread",
        "network not that of its knobs",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_deviation_is_found_where_it_is(tmp_path: Path, name: str) -> None:
    inject, number, cause = PLANTED[name]
    assert cause in CAUSES
    numbers = checked(tmp_path, inject, **GPT)
    assert numbers[number] > 0.02
    said = told(numbers)
    assert said.finding == "does not add up"
    assert cause in said.causes[:2], (said.causes, {key: value for key, value in numbers.items() if value > 1e-3})


# --------------------------------------------------------------------------------------------------- what was recorded


def test_what_a_training_recorded_is_what_its_weights_give(tmp_path: Path) -> None:
    params = knobs(train__precision="float32", train__log_points=24, train__steps=24, train__snapshots=[0.0, 0.5, 1.0], **GPT)
    progress, task, runtime = started(params, tmp_path)
    assert isinstance(task, LanguageModelling)
    weights: dict[int, dict[str, torch.Tensor]] = {}

    class Keep:
        def on_step(self, progress: Any) -> None:
            weights[progress.step] = {name: w.detach().clone() for name, w in progress.model.named_parameters()}

        def interrupted(self) -> bool:
            return False

    fit(progress, task, params.train, params.seed, runtime, Keep())

    def found(factor: float) -> dict[str, float]:
        curve, held_out = (
            [{**row, "loss": row["loss"] * factor} for row in rows] for rows in (progress.curve, progress.validations)
        )
        recorded = RecordedLosses(task, params.train, params.seed, curve, held_out)
        for step in (0, 12, 24):
            for name, weight in progress.model.named_parameters():
                weight.data.copy_(weights[step][name])
            recorded.see(progress.model, step)
        return recorded.numbers

    sound, wrong = found(1.0), found(1.3)
    assert sound["recorded_validation"] < 1e-4
    assert sound["recorded_loss"] < 0.08
    assert set(told(wrong).causes) == {"changed during training", "evaluation not of the trained model"}


def test_what_cannot_be_compared_is_skipped_with_a_reason(tmp_path: Path) -> None:
    params = knobs(train__optimizer="soap", model__embedding_mixer="ngrams")
    progress, task, runtime = started(params, tmp_path)
    numbers, skipped = check(progress, task, params.model, params.train, params.seed, runtime)
    assert "update" not in numbers
    assert "attention" not in numbers
    assert any("ngrams" in line for line in skipped)
    assert any("soap" in line for line in skipped)


def test_a_plain_optimizer_remembers_its_averages() -> None:
    train = knobs(train__optimizer="adamw", train__beta1=0.5, train__weight_decay=0.0).train
    plain, weight = PlainOptimizer(train, {}), {"x": torch.ones(1)}
    first = plain.changes(weight, {"x": torch.ones(1)}, 1.0)["x"]
    second = plain.changes(weight, {"x": -torch.ones(1)}, 1.0)["x"]
    assert float(first) == pytest.approx(-1.0)
    assert float(second) == pytest.approx(1 / 3)  # m = .5 · .5 − .5, over 1 − .25


def test_every_check_has_a_picture_and_the_case_reads_it() -> None:
    case = Case(readings={"checked_steps": as_reading({"loss": 0.25})})
    assert case.checked("loss") == 0.25
    assert case.checked("update") is None
    assert Case().checked("loss") is None
    assert {sign.picture for sign in CHECKED.values()} == {"checked_steps"}
