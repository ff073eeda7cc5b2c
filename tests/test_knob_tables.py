"""Every entry of every table of networks keeps the contract of its table."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from small import VOCABULARY, assert_resumes, knobs, same, started
from torch import Tensor

from pipeline.engine.loop import train_step, validate
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.schedules import SCHEDULES, learning_rate
from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.attention import ATTENTIONS
from pipeline.networks.dropout import DROPOUT_SCHEDULES, DropoutState
from pipeline.networks.inits import INITS
from pipeline.networks.mixers import MIXERS
from pipeline.networks.norms import NORMS
from pipeline.networks.positions import POSITIONS
from pipeline.networks.residuals import RESIDUALS
from pipeline.networks.transformer import GPT
from pipeline.params.schema import Params
from pipeline.params.training import Train

FAMILIES = {
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "embedding_mixer": MIXERS,
    "position": POSITIONS,
    "attention": ATTENTIONS,
    "residual": RESIDUALS,
    "init": INITS,
    "dropout_schedule": DROPOUT_SCHEDULES,
}
# What stands in no table, and keeps the same contract.
KNOBS: dict[str, dict[str, Any]] = {
    "kv_heads": {"kv_heads": 1},
    "qk_norm": {"qk_norm": True},
    "attention_softcap": {"attention_softcap": 2.0},
    "stochastic_depth": {"stochastic_depth": 0.5},
    "base_width": {"init": "mup", "base_width": 4},
    "rotary_base": {"rotary_base": 100.0},
    "rotary_share": {"rotary_share": 0.5},
    "tie_embeddings": {"tie_embeddings": True},
}
VARIANTS = [(family, name) for family, table in FAMILIES.items() for name in table] + [("knob", name) for name in KNOBS]


def variant(family: str, name: str, **more: object) -> Params:
    """Small knobs with one entry of one family. Weights are drawn, not zero, so that every path carries something."""
    changes: dict[str, Any] = {"model__init": "fan_in", "model__bias": True}
    changes |= {f"model__{knob}": value for knob, value in (KNOBS[name] if family == "knob" else {family: name}).items()}
    if family == "dropout_schedule":
        changes |= {"model__dropout": 0.25, "model__stochastic_depth": 0.25}
    return knobs(**changes | more)


# Adafactor moves a matrix by a share of its size: it wants another rate, and weights that do not start at 0.
AT_ITS_RATE: dict[str, dict[str, object]] = {"adafactor": {"train__lr": 0.5, "model__init": "fan_in"}}


def a_model(params: Params) -> GPT:
    torch.manual_seed(0)
    model = GPT(params.model, VOCABULARY, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():  # what starts at 0 (gains of rezero, outputs) would hide a leak behind it
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def some_ids(batch: int, length: int) -> Tensor:
    return torch.randint(VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(1))


def logits_and_inputs(model: GPT, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the embeddings that they were made from, which can be differentiated by."""
    seen: list[Tensor] = []

    def keep(module: torch.nn.Module, arguments: object, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[0]

    hook = model.embedding.register_forward_hook(keep)
    logits = model(ids)
    hook.remove()
    return logits, seen[0]


@pytest.mark.parametrize(("family", "name"), VARIANTS)
def test_no_position_sees_the_future_and_no_example_another(family: str, name: str) -> None:
    model = a_model(variant(family, name))
    logits, inputs = logits_and_inputs(model, some_ids(3, 12))
    logits[1, 6].square().sum().backward()
    assert inputs.grad is not None
    assert inputs.grad[1, 7:].abs().max() == 0
    assert inputs.grad[[0, 2]].abs().max() == 0
    assert inputs.grad[1, 6].abs().max() > 0
    if (family, name) != ("attention", "window"):
        assert inputs.grad[1, 0].abs().max() > 0, "the first token is out of sight"


@pytest.mark.parametrize(("family", "name"), VARIANTS)
def test_another_id_changes_nothing_before_it_and_nothing_in_another_example(family: str, name: str) -> None:
    assert_causal(a_model(variant(family, name)))


def assert_causal(model: GPT) -> None:
    """As the gradient says, but of the ids themselves, which a mixer may look at."""
    ids = some_ids(3, 12)
    other = ids.clone()
    other[1, 7] = (other[1, 7] + 1) % VOCABULARY
    with torch.inference_mode():
        changed = (model(other) - model(ids)).abs().amax(dim=-1)
    assert changed[1, :7].max() == changed[0].max() == changed[2].max() == 0
    assert changed[1, 7] > 0


@pytest.mark.parametrize(("family", "name"), VARIANTS)
def test_decoding_with_a_cache_is_the_full_forward(family: str, name: str) -> None:
    assert_decodes(a_model(variant(family, name)))


def assert_decodes(model: GPT) -> None:
    ids = some_ids(2, 12)
    with torch.inference_mode():
        full = model(ids)
        cache = model.new_cache(2)
        pieces = [model(ids[:, start:end], cache=cache) for start, end in ((0, 4), (4, 5), (5, 9), (9, 10), (10, 11), (11, 12))]
    assert cache.length == 12
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("family", "name"), VARIANTS)
def test_every_weight_gets_a_gradient(family: str, name: str) -> None:
    assert_all_learn(a_model(variant(family, name)))


def assert_all_learn(model: GPT) -> None:
    model(some_ids(4, 12)).square().sum().backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert untouched == []


@pytest.mark.parametrize("seed", range(60))
def test_any_entries_go_together(seed: int) -> None:
    """One of each family, drawn at random: sixty draws meet nearly every pair."""
    draw = random.Random(seed)
    chosen: dict[str, Any] = {family: draw.choice(list(table)) for family, table in FAMILIES.items()}
    chosen |= {"tie_embeddings": draw.random() < 0.5, "bias": draw.random() < 0.5, "dropout": 0.1, "base_width": 8}
    if chosen["attention"] != "average":
        chosen |= {
            "kv_heads": draw.choice([0, 1, 2]),
            "qk_norm": draw.random() < 0.5,
            "attention_softcap": draw.choice([0.0, 3.0]),
        }
    if chosen["residual"] != "none":
        chosen |= {"stochastic_depth": draw.choice([0.0, 0.2])}
    model = a_model(knobs(model__heads=4, **{f"model__{knob}": value for knob, value in chosen.items()}))
    assert_causal(model)
    assert_decodes(model)
    assert_all_learn(model)
    noise = DropoutState(seed=3, step=8, progress=0.7, rows=slice(0, 2), batch=2)
    assert model(some_ids(2, 12), noise).isfinite().all()


@pytest.mark.parametrize(("family", "name"), [*VARIANTS, *(("optimizer", name) for name in OPTIMIZERS)])
def test_it_learns_and_an_interrupted_run_ends_where_an_unbroken_one_does(family: str, name: str, tmp_path: Path) -> None:
    params = (
        knobs(train__optimizer=name, train__epsilon=1e-8, **AT_ITS_RATE.get(name, {"train__lr": 0.02}))
        if family == "optimizer"
        else variant(family, name)
    )
    fresh, task, runtime = started(params, tmp_path)
    before = validate(fresh, task, params.train, runtime, lambda: False)
    unbroken, _ = assert_resumes(params, tmp_path)
    assert unbroken.validations[-1]["loss"] < before[0] - 0.05


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("residual", RESIDUALS)
@pytest.mark.parametrize("init", INITS)
def test_from_any_start_every_weight_moves_within_a_few_steps(init: str, residual: str, tied: bool, tmp_path: Path) -> None:
    params = knobs(model__init=init, model__residual=residual, model__tie_embeddings=tied, model__bias=True)
    progress, task, runtime = started(params, tmp_path)
    before = {name: weight.detach().clone() for name, weight in progress.model.named_parameters()}
    for _ in range(4):
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    assert [name for name, weight in progress.model.named_parameters() if torch.equal(weight, before[name])] == []


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("init", INITS)
def test_the_first_prediction_is_uniform_but_for_the_noise_of_the_draw(init: str, tied: bool) -> None:
    params = knobs(model__init=init, model__tie_embeddings=tied, model__width=64, model__heads=4)
    model = GPT(params.model, 65, torch.Generator().manual_seed(0))
    ids = torch.randint(65, (64, 13), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits = model(ids[:, :-1])
    loss = float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))
    assert math.log(65) - 0.05 < loss < math.log(65) + 1


@pytest.mark.parametrize(("family", "name"), VARIANTS)
def test_the_same_generator_gives_the_same_network(family: str, name: str) -> None:
    params = variant(family, name)
    one, other = (GPT(params.model, VOCABULARY, torch.Generator().manual_seed(5)) for _ in range(2))
    assert same(dict(one.named_parameters()), dict(other.named_parameters()))


def scheduled(name: str, **changes: float) -> Train:
    """Knobs under which a schedule has what it needs. The learning-rate finder climbs by itself: it takes no warm-up."""
    shares = {"warmup_ratio": 0.0 if name == CLIMBS else 0.25, "cooldown_ratio": 0.5, "min_lr_ratio": 0.2} | changes
    return knobs(train__schedule=name, train__lr=0.5, **{f"train__{knob}": share for knob, share in shares.items()}).train


CLIMBS = "exponential"  # the one that goes up, from the floor to the peak
STAYS_ABOVE = {"constant": 0.5, "inverse_sqrt": 0.3}  # who does not come down to the floor, and where it ends


@pytest.mark.parametrize("name", SCHEDULES)
def test_after_the_warm_up_a_schedule_goes_one_way_between_peak_and_floor(name: str) -> None:
    train = scheduled(name)
    first = round(100 * train.warmup_ratio)
    rates = [learning_rate(step / 100, train) for step in range(first, 100)]
    last = learning_rate(1 - 1e-9, train)
    if name == CLIMBS:
        rates.reverse()
        rates, last = [0.5, *rates], rates[-1]
    assert rates[0] == 0.5
    assert all(0.1 - 1e-12 <= later <= earlier <= 0.5 for earlier, later in pairwise(rates))
    assert last == pytest.approx(STAYS_ABOVE.get(name, 0.1))


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != CLIMBS])
def test_warm_up_climbs_from_nothing_to_the_peak(name: str) -> None:
    train = scheduled(name)
    assert [learning_rate(step / 100, train) for step in (0, 5, 10, 25)] == pytest.approx([0.0, 0.1, 0.2, 0.5])


@pytest.mark.parametrize("name", DROPOUT_SCHEDULES)
def test_a_dropout_schedule_is_a_share_of_the_rate(name: str) -> None:
    assert all(0 <= DROPOUT_SCHEDULES[name](step / 20) <= 1 for step in range(21))


@pytest.mark.parametrize("name", DROPOUT_SCHEDULES)
def test_dropout_is_the_same_for_a_batch_and_for_its_micro_batches(name: str) -> None:
    params = variant("dropout_schedule", name)
    model, ids = a_model(params), some_ids(6, 12)

    def noise(rows: slice) -> DropoutState:
        return DropoutState(seed=3, step=8, progress=0.7, rows=rows, batch=6)

    whole = model(ids, noise(slice(0, 6)))
    parts = [model(ids[rows], noise(rows)) for rows in (slice(0, 2), slice(2, 3), slice(3, 6))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-12)
    dropped = not torch.equal(whole, model(ids))
    assert dropped == (DROPOUT_SCHEDULES[name](0.7) > 0)


def test_the_deeper_a_branch_the_more_examples_skip_it_and_the_mean_stays() -> None:
    model = a_model(knobs(model__stochastic_depth=0.5, model__init="fan_in"))
    rates = [branch.rate for block in model.blocks for branch in block.stochastic_depths]
    assert rates == [0.125, 0.25, 0.375, 0.5]
    x = torch.ones(4000, 3, 2)
    left = model.blocks[1].stochastic_depths[1](x, DropoutState(seed=3, step=8, progress=0.7, rows=slice(0, 4000), batch=4000))
    assert set(left[:, 0, 0].tolist()) == {0.0, 2.0}
    assert torch.equal(left, left[:, :1, :1].expand_as(left))
    assert abs(float(left.mean()) - 1) < 0.05
