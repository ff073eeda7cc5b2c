"""Optimizer state on the CPU changes no update, and in 8 bits changes updates little."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import StopAfter, knobs, same, started
from test_optimizers import OWN, Named, all_of, furthest

from pipeline.engine.loop import fit
from pipeline.engine.optimizers.base import GroupedOptimizer, Optimizer
from pipeline.engine.optimizers.state_storage import CpuState, Float32State, Int8State, quantization_levels
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.params.schema import Params

pytestmark = pytest.mark.shapes

SHAPES = {"embedding.weight": (70, 64), "blocks.0.attention.project.weight": (96, 64), "blocks.0.norms.0.weight": (64,)}


def optimizer(name: str, *, state_8bit: bool) -> GroupedOptimizer:
    train = knobs(train__epsilon=1e-8, train__state_8bit=state_8bit, train__precondition_frequency=2).train
    generator = torch.Generator().manual_seed(0)
    weights = {key: torch.nn.Parameter(torch.randn(shape, generator=generator)) for key, shape in SHAPES.items()}
    made = OPTIMIZERS[name](weights, train, {})
    assert isinstance(made, GroupedOptimizer)
    return made


def stepped(made: Optimizer, steps: int, seed: int = 1) -> Named:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for weight in all_of(made).values():
            weight.grad = torch.randn(weight.shape, generator=generator)
        made.step(0.01)
    return all_of(made)


def sent_away(kept: Float32State) -> Float32State:
    """As if the weight were on a card: memory is fetched, worked on and brought back, here from the CPU to the CPU."""
    if isinstance(kept, Int8State):
        kept.codes, kept.scales = CpuState(kept.codes.tensor), CpuState(kept.scales.tensor)
        return kept
    return CpuState(kept.tensor)


@pytest.mark.parametrize("state_8bit", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_a_memory_that_comes_from_afar_and_goes_again_changes_no_update(name: str, state_8bit: bool) -> None:
    beside, away = optimizer(name, state_8bit=state_8bit), optimizer(name, state_8bit=state_8bit)
    for part in (away, *([away.rest] if hasattr(away, "rest") else [])):
        for group in part.groups:
            for memory in group.state.values():
                memory[:] = [sent_away(kept) for kept in memory]
            assert len(group.per_weight()) == len(group.weights), "more than one weight's memory would be fetched at once"
    assert furthest(stepped(beside, 5), stepped(away, 5)) == 0
    assert same(beside.state_dict(), away.state_dict())


def test_offload_where_all_is_on_the_cpu_changes_nothing(tmp_path: Path) -> None:
    ends = []
    for offload in (False, True):
        params = knobs(runtime={**knobs().runtime.model_dump(), "offload_optimizer": offload})
        progress, task, runtime = started(params, tmp_path)
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
        ends.append(progress.tensors())
    assert same(*ends)


@pytest.mark.parametrize("name", OWN)
def test_what_is_in_8_bits_comes_back_from_a_checkpoint_bit_by_bit(name: str) -> None:
    once, twice = optimizer(name, state_8bit=True), optimizer(name, state_8bit=True)
    assert any(memory.dtype == torch.uint8 for memory in once.state_dict().values()), "nothing is kept in 8 bits"
    stepped(once, 3)
    twice.load_state_dict({key: memory.clone() for key, memory in once.state_dict().items()})
    with torch.no_grad():
        for own, other in zip(all_of(once).values(), all_of(twice).values(), strict=True):
            other.copy_(own)
    assert furthest(stepped(once, 2, seed=5), stepped(twice, 2, seed=5)) == 0


def bytes_of(made: Optimizer) -> int:
    return sum(memory.numel() * memory.element_size() for memory in made.state_dict().values())


def test_adamw_in_8_bits_remembers_little_more_than_a_quarter() -> None:
    assert bytes_of(optimizer("adamw", state_8bit=True)) < 0.28 * bytes_of(optimizer("adamw", state_8bit=False))


def wide(**changes: object) -> Params:
    """A network with matrices that are worth 8 bits."""
    return knobs(
        model__width=64,
        model__depth=1,
        train__steps=30,
        train__optimizer="adamw",
        train__lr=0.003,
        train__epsilon=1e-8,
        **changes,
    )


def test_adamw_in_8_bits_learns_as_well(tmp_path: Path) -> None:
    losses = []
    for state_8bit in (False, True):
        params = wide(train__state_8bit=state_8bit)
        progress, task, runtime = started(params, tmp_path)
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
        losses.append([row["loss"] for row in progress.validations])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], abs=0.01)


@pytest.mark.parametrize(("signed", "count"), [(True, 256), (False, 255)])
def test_levels_reach_down_seven_powers_of_ten_and_only_with_a_sign_to_0(signed: bool, count: int) -> None:
    known = quantization_levels(signed)
    assert len(known) == count
    assert known[-1] == 1
    assert (known == 0).sum() == signed
    assert float(known[known > 0].min()) == pytest.approx(5.5e-7 if signed else 3.25e-7)
    assert [int(((known > 10.0**-p) & (known < 10.0 ** (1 - p))).sum()) for p in (1, 2, 7)] == (
        [64, 32, 1] if signed else [128, 64, 2]
    )


@pytest.mark.parametrize("signed", [True, False])
def test_a_number_in_8_bits_is_off_by_half_a_step_of_its_power_of_ten_at_most(signed: bool) -> None:
    numbers = torch.rand(70, 64, generator=torch.Generator().manual_seed(0)).pow(6)  # of many sizes
    numbers *= torch.randn(70, 64, generator=torch.Generator().manual_seed(1)).sign() if signed else 1
    found = Int8State(numbers, signed).read()
    before, after = (tensor.flatten()[: 17 * 256].view(17, 256) for tensor in (numbers, found))
    largest = before.abs().amax(dim=1, keepdim=True)
    relative, off = before / largest, (after - before) / largest
    power = relative.abs().clamp(min=1e-7).log10().ceil().clamp(min=-6)
    steps = 2 ** (6 + power) if signed else 2 ** (7 + power)
    assert (off.abs() <= 0.501 * 0.9 * 10**power / steps + 1e-7).all()
    assert (found.sign() == numbers.sign()).all() or signed


def test_one_large_number_spoils_its_block_only() -> None:
    numbers = torch.full((64, 64), 1e-3)
    spoiled = numbers.clone()
    spoiled[0, 0] = 1e6
    off = (Int8State(spoiled, signed=True).read() - spoiled).flatten().abs() / 1e-3
    assert off[1:256].min() > 0.9
    assert off[256:].max() < 1e-6


def test_a_memory_of_nothing_stays_nothing_and_a_small_one_stays_as_it_is() -> None:
    for signed in (True, False):
        assert not Int8State(torch.zeros(64, 64), signed).read().any()
    assert "mean.blocks.0.norms.0.weight" in optimizer("adamw", state_8bit=True).state_dict()
