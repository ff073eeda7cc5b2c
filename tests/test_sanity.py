"""The sanity checks before the first step: every network passes, every planted fault is found, and nothing is left behind."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from sealing import sealed
from small import TOP, knobs, same, started, write_tokens
from subjects import small_subject
from test_knob_tables import KNOBS, VARIANTS
from torch import Tensor, nn

from pipeline.engine.loop import train_step
from pipeline.engine.sanity import formatted, numbers_at_start, problems
from pipeline.lab.sanity import check as soundness
from pipeline.lab.sanity.overfit import LEARNED, losses_on_one_batch
from pipeline.networks.attention import Attention, KVCache
from pipeline.networks.image_norms import IMAGE_NORMS
from pipeline.networks.images import NETWORKS
from pipeline.networks.inits import INITS
from pipeline.networks.mixers import Bigrams
from pipeline.networks.norms import NORMS
from pipeline.networks.pooling import POOLINGS
from pipeline.networks.positions import RotaryPosition
from pipeline.networks.transformer import Block
from pipeline.tasks.base import Batch, Shape
from pipeline.tasks.lm import LanguageModelling

pytestmark = pytest.mark.shapes


def at_start(folder: Path, **changes: Any) -> dict[str, float]:
    """The numbers of a fresh network."""
    progress, task, _ = started(knobs(**changes), folder)
    return numbers_at_start(progress.model, task)


def found(folder: Path, **changes: Any) -> str:
    """What is wrong with a fresh network, in words."""
    return "; ".join(problems(at_start(folder, **changes)))


# --------------------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize(("family", "name"), VARIANTS)
def test_every_network_of_ours_is_sound(family: str, name: str, tmp_path: Path) -> None:
    changes = KNOBS[name] if family == "knob" else {family: name}
    numbers = at_start(tmp_path, **{f"model__{knob}": value for knob, value in changes.items()})
    assert problems(numbers) == []
    assert numbers["future"] == numbers["across_batch"] == 0 < numbers["present"]
    assert numbers["cache_difference"] < 2e-6 * max(1, numbers["largest_logit"])
    [line] = formatted(numbers)
    assert line.startswith(f"sound: loss at the start {numbers['loss']:.3f} (uniform {math.log(11):.3f}), causal, no leak")


@pytest.mark.parametrize("init", INITS)
def test_a_loss_at_the_start_is_uniform_but_for_the_spread_of_its_logits(init: str, tmp_path: Path) -> None:
    numbers = at_start(tmp_path, model__init=init, model__width=64, model__heads=4)
    assert abs(numbers["start_excess"]) <= max(0.03, 3 * numbers["start_chance"])
    assert numbers["start_chance"] == pytest.approx(math.sqrt(numbers["logit_variance"] / 11), rel=1e-4)


def test_the_loss_and_its_parts_are_what_they_are_called(tmp_path: Path) -> None:
    params = knobs(model__init="fan_in")
    progress, task, _ = started(params, tmp_path)
    numbers = numbers_at_start(progress.model, task)
    examples = 1024 // 12
    rows = np.arange(examples) * task.size("train") // examples
    batch = task.batch("train", rows)
    with torch.no_grad():
        logits = progress.model(batch.inputs).double()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
    assert numbers["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert numbers["logit_variance"] == pytest.approx(float(logits.var(-1, correction=0).mean()), rel=0.1)  # of a quarter
    excess = numbers["loss"] - math.log(11) - numbers["logit_variance"] / 2
    assert numbers["start_excess"] == pytest.approx(excess, abs=1e-5)


class Pairs(nn.Sequential):
    """A network that is not a GPT: the next token depends on the current token alone."""

    def forward(self, ids: Tensor, dropout_state: object = None) -> Tensor:
        return super().forward(ids)


def test_a_network_of_another_kind_leaves_out_what_it_has_not(tmp_path: Path) -> None:
    _, task, _ = started(knobs(), tmp_path)
    network = Pairs(nn.Embedding(11, 8), nn.Linear(8, 11))
    numbers = numbers_at_start(network, task)
    assert set(numbers) == {"loss", "uniform", "logit_variance", "start_excess", "start_chance"}
    assert formatted(numbers)[0].endswith(f"(uniform {math.log(11):.3f})")


def test_of_weights_that_were_given_the_loss_is_not_judged(tmp_path: Path) -> None:
    progress, task, _ = started(knobs(model__init="fan_in", model__width=128), tmp_path)
    with torch.no_grad():
        for weight in progress.model.parameters():
            weight *= 10
    assert "too large" in problems(numbers_at_start(progress.model, task))[0]
    given = numbers_at_start(progress.model, task, drawn=False)
    assert "start_excess" not in given
    assert problems(given) == []


# ---------------------------------------------------------------------------------------------- classifiers


@pytest.mark.parametrize("norm", [*NORMS, *IMAGE_NORMS])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_over_images_is_sound(network: str, norm: str, tmp_path: Path) -> None:
    norm = norm if network in ("cnn", "mlp") or norm not in IMAGE_NORMS else "layer"
    numbers = of_kind(tmp_path, "vision", model__network=network, model__norm=norm)
    assert problems(numbers) == []
    assert numbers["across_batch"] == 0 < numbers["present"]
    assert "future" not in numbers
    assert formatted(numbers)[0].endswith(f"(uniform {math.log(3):.3f}), no leak over the batch")


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("causal", [True, False])
def test_every_classifier_is_sound(causal: bool, pooling: str, tmp_path: Path) -> None:
    pooling = "last" if causal and pooling == "first" else pooling
    numbers = of_kind(tmp_path, "classify", model__causal=causal, model__pooling=pooling)
    assert problems(numbers) == []
    assert numbers["across_batch"] == 0 < numbers["present"]
    assert numbers.get("future") == (0 if causal else None)
    assert numbers["padding_difference"] < 1e-5
    assert "no leak over the batch, padding changes nothing" in formatted(numbers)[0]


def of_kind(folder: Path, kind: str, **changes: Any) -> dict[str, float]:
    """The numbers of a fresh network over texts or images of three classes, one of them more frequent."""
    made = small_subject(folder, task__kind=kind, model__context_length=40, model__init="gpt2", **changes)
    return numbers_at_start(made.task.build(torch.Generator().manual_seed(0)), made.task)


def test_chance_is_larger_where_one_class_prevails(tmp_path: Path) -> None:
    numbers = of_kind(tmp_path, "vision")
    labels = np.load(tmp_path / "data/tokens/train.labels.npy")
    shares = np.bincount(labels) / len(labels)
    assert numbers["start_chance"] == pytest.approx(math.sqrt(numbers["logit_variance"] * (shares**2).sum()), rel=0.02)


def test_padding_that_counts_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POOLINGS["mean"], "forward", lambda self, x, real: x.mean(dim=1))
    assert "look at the padding mask and at pooling" in "; ".join(problems(of_kind(tmp_path, "classify")))


def test_a_classifier_that_looks_ahead_though_it_may_not_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attention, "visible", with_mask_of(100))
    monkeypatch.setattr(Attention, "sees_every_key", lambda self, keys: False)
    assert "look at the causal mask" in "; ".join(problems(of_kind(tmp_path, "classify", model__causal=True)))


@pytest.mark.parametrize("kind", ["classify", "vision"])
def test_what_mixes_the_examples_of_a_batch_is_seen_where_classes_are_told(kind: str, tmp_path: Path) -> None:
    made = small_subject(tmp_path, task__kind=kind)
    made.model.head.register_forward_hook(lambda module, inputs, output: output - output.mean(dim=0))
    assert "look for an operation over the batch axis" in "; ".join(problems(numbers_at_start(made.model, made.task)))


# ------------------------------------------------------------------------------------------------------------- breaches


def with_mask_of(shift: int) -> Callable[..., Tensor]:
    def visible(self: Attention, queries: int, keys: int, device: torch.device) -> Tensor:
        place = torch.arange(keys - queries, keys, device=device)[:, None]
        return torch.arange(keys, device=device) <= place + shift

    return visible


@pytest.mark.parametrize("init", ["gpt2", "zero_output"])
@pytest.mark.parametrize("shift", [1, 100])
def test_a_mask_that_shows_what_comes_is_seen(shift: int, init: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attention, "visible", with_mask_of(shift))
    monkeypatch.setattr(Attention, "sees_every_key", lambda self, keys: False)
    assert "look at the causal mask" in found(tmp_path, model__init=init)


def test_a_mixer_that_looks_up_ids_to_come_is_seen_though_no_gradient_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Bigrams, ids: Tensor, x: Tensor) -> Tensor:
        return x + self.weight[self.rows(ids, ids.roll(-1, dims=1))]

    monkeypatch.setattr(Bigrams, "forward", forward)
    assert "look at the causal mask" in found(tmp_path, model__embedding_mixer="bigrams")


def test_what_mixes_the_examples_of_a_batch_is_seen(tmp_path: Path) -> None:
    progress, task, _ = started(knobs(), tmp_path)
    block = next(module for module in progress.model.modules() if isinstance(module, Block))
    block.register_forward_hook(lambda module, inputs, output: output - output.mean(dim=0))
    assert "look for an operation over the batch axis" in "; ".join(problems(numbers_at_start(progress.model, task)))


def test_a_network_that_passes_nothing_on_is_seen(tmp_path: Path) -> None:
    progress, task, _ = started(knobs(), tmp_path)
    block = next(module for module in progress.model.modules() if isinstance(module, Block))
    block.register_forward_hook(lambda module, inputs, output: output.detach() * 0)
    assert "look for a layer whose output is constant" in "; ".join(problems(numbers_at_start(progress.model, task)))


def test_a_cache_that_forgets_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extend = KVCache.extend

    def forgetting(self: KVCache, layer: int, k: Tensor, v: Tensor) -> Any:
        self.length -= min(self.length, 1)
        return extend(self, layer, k, v)

    monkeypatch.setattr(KVCache, "extend", forgetting)
    assert "cached decoding differs" in found(tmp_path)


def test_positions_that_begin_anew_after_a_cache_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rotate = RotaryPosition.rotate
    monkeypatch.setattr(RotaryPosition, "rotate", lambda self, x, start: rotate(self, x, 0))
    assert "cached decoding differs" in found(tmp_path, model__position="rotary")


def test_weights_that_are_drawn_too_large_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpt2 = INITS["gpt2"]

    def ten_times(weight: Tensor, *more: Any) -> None:
        gpt2(weight, *more)
        weight *= 10

    monkeypatch.setitem(INITS, "gpt2", ten_times)
    assert "the logits are too large" in found(tmp_path, model__init="gpt2", model__width=128)


class Told(LanguageModelling):
    """A task whose targets stand among their own inputs."""

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        whole = super().batch(split, rows, length)
        return replace(whole, targets=whole.inputs)


def test_what_is_known_before_it_was_learned_is_seen(tmp_path: Path) -> None:
    model = knobs(
        model__tie_embeddings=True, model__init="gpt2", model__width=128
    ).model  # tied: its first guess is what it has just read
    folder = write_tokens(tmp_path, tokens=4000, vocabulary=200)
    for task, seen in ((Told(folder, model, Shape(200)), True), (LanguageModelling(folder, model, Shape(200)), False)):
        network = task.build(torch.Generator().manual_seed(0))
        assert ("better than uniform before training" in "; ".join(problems(numbers_at_start(network, task)))) is seen


def test_a_loss_that_is_no_number_is_said_and_left_out(tmp_path: Path) -> None:
    progress, task, _ = started(knobs(), tmp_path)
    with torch.no_grad():
        progress.model.get_parameter("embedding.weight").fill_(math.inf)
    numbers = numbers_at_start(progress.model, task)
    assert all(map(math.isfinite, numbers.values()))
    assert formatted(numbers)[0].startswith("not sound: the loss at the start is not a number")


# ------------------------------------------------------------------------------------------------------ nothing is changed


@pytest.mark.parametrize("changes", [{}, {"model__dropout": 0.3}, {"runtime__activation_checkpointing": "block"}], ids=str)
def test_a_training_that_was_looked_at_is_the_same_training(changes: dict[str, Any], tmp_path: Path) -> None:
    params = knobs(**changes)
    ends = []
    for looks in (False, True):
        progress, task, runtime = started(params, tmp_path)
        for _ in range(3):
            if looks:
                before, state = gradients(progress.model), torch.get_rng_state()
                numbers_at_start(progress.model, task)
                assert torch.equal(torch.get_rng_state(), state)
                assert same(gradients(progress.model), before)
            train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        ends.append(progress.tensors())
    assert same(*ends)


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}


def test_blocks_run_as_they_are_written_while_they_are_looked_at_and_as_wrapped_again_after_it(tmp_path: Path) -> None:
    progress, task, _ = started(knobs(runtime__activation_checkpointing="block"), tmp_path)
    blocks = [module for module in progress.model.modules() if isinstance(module, Block)]
    wrapped, called = [block.forward for block in blocks], []
    for block in blocks:
        way = block.forward

        def counted(*arguments: Any, way: Any = way) -> Tensor:
            called.append(way)
            return way(*arguments)

        counted.__wrapped__ = way  # type: ignore[attr-defined]
        block.forward = counted  # type: ignore[method-assign]
    numbers_at_start(progress.model, task)
    assert called == []
    assert [block.forward.__wrapped__ for block in blocks] == wrapped


# ------------------------------------------------------------------------------------------------------------- by hand


def told(params: Any) -> tuple[bool, str]:
    """Whether one batch was memorized, and the message."""
    console = Console(file=io.StringIO(), width=100)
    learned = soundness.overfit(params, console)
    return learned, console.file.getvalue()  # type: ignore[attr-defined]


def test_one_batch_is_memorized_or_reported_as_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("EXAMPLES", {"language": 4}), ("LENGTH", 16), ("LABELS", 17), ("STEPS", 60)):
        monkeypatch.setattr(soundness, name, size)
    adamw = {"train__optimizer": "adamw", "train__warmup_ratio": 0.0, "train__precision": "float32", "model__width": 64}
    learned, said_of_it = told(knobs(**adamw, train__lr=0.01))
    assert learned
    assert "\nlearned: one batch of 4 sequences of 16 random labels, in " in said_of_it
    learned, said_of_it = told(knobs(**adamw, train__lr=1e-6))
    assert not learned
    assert "not learned: one batch of 4 sequences of 16 random labels; after 60 steps the loss is 2.8" in said_of_it


@pytest.mark.parametrize(
    ("kind", "dataset", "what"),
    [
        ("classify", "sentiment", "32 random texts of 64 tokens, each of one of 2 classes, drawn at random"),
        ("vision", "digits", "32 random images, each of one of 10 classes, drawn at random"),
    ],
)
def test_a_classifier_memorizes_one_batch_and_not_labels_that_change_in_every_step(
    kind: str, dataset: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_bytes((TOP / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(soundness, "EXAMPLES", {kind: 32})
    adamw = {"train__optimizer": "adamw", "train__lr": 0.01, "train__precision": "float32"}
    params = knobs(**adamw, model__width=32, task__kind=kind, prepare__dataset=dataset)
    learned, said_of_it = told(params)
    assert learned
    assert f"learned: one batch of {what}, in " in " ".join(said_of_it.split())
    others = list(losses_on_one_batch(params, 32, 64, 10, 60, fresh=True))
    assert min(others) > 0.6 * math.log(10) > 20 * LEARNED


def test_a_curve_in_the_terminal_falls_with_the_loss() -> None:
    assert "".join(soundness.bars([8.0, 4.0, 2.0, 1.0, 0.0])) == "█▅▃▂▁"
    assert len(list(soundness.bars([1.0] * 500))) == soundness.WIDTH
    assert list(soundness.bars([math.nan])) == []


@pytest.mark.parametrize(("mask", "status"), [("right", True), ("wrong", False)])
def test_a_network_is_looked_at_by_hand_as_a_training_looks_at_it(
    mask: str, status: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mask == "wrong":
        monkeypatch.setattr(Attention, "visible", with_mask_of(1))
        monkeypatch.setattr(Attention, "sees_every_key", lambda self, keys: False)
    write_tokens(tmp_path / "data/tokens")
    sealed(tmp_path)
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=100)
    assert soundness.at_start(knobs(), console) is status
    said_of_it = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("look at the causal mask" in said_of_it) is not status
    assert "cache_difference" in said_of_it
