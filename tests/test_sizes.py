"""What the texts of studies say that a size takes is what `rally budget` says of it now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.lab.budget.estimate import ASSUMED_FLOPS, Budget, Verdict, cached_fake_steps
from pipeline.lab.budget.fit import GIB, Device, card, with_changes
from pipeline.lab.budget.report import clock
from pipeline.lab.stand_ins.data_shape import Data
from pipeline.lab.studies.entries import Entry, read_entries
from pipeline.params.load import load
from pipeline.params.yaml12 import read_yaml
from pipeline.tasks.base import Shape

TOP = Path(__file__).parents[1]
SIZES = {name: Entry(**entry) for name, entry in read_yaml(TOP / "studies/sizes.yaml").items()}
BUDGETED = SIZES | {"nanogpt-gpu": read_entries(TOP / "studies")["nanogpt-gpu"]}


def budget_of(entry: Entry) -> Budget:
    """On a card where the text speaks of one, else on a CPU in float32, which every CPU has."""
    gib = next((gib for gib in (12, 24) if f"{gib} GB card" in entry.costs), None)
    target = card(gib, "bfloat16") if gib else Device("a CPU", 2 * GIB, False, "float32")
    knobs = with_changes(load(TOP / "params.yaml"), dict(entry.set) | ({} if gib else {"train.precision": "float32"}))
    data = Data(Shape(knobs.tokenize.vocab_size if knobs.tokenize.kind == "bpe" else 65), None, "tokenize.vocab_size")
    step = cached_fake_steps(data)(knobs, target)
    return Budget(knobs, data, target, step, [Verdict(target, target.needed(step.bytes, step.saved))], {}, None, None)


def forecast(parameters: int, tokens: int) -> float:
    """Nats per token of TinyStories, as the head of sizes.yaml has it."""
    return 0.46 + 135 * parameters**-0.347 + 606 * tokens**-0.367


@pytest.mark.parametrize("name", BUDGETED)
def test_the_text_of_a_size_says_what_the_budget_says(name: str) -> None:
    entry = BUDGETED[name]
    budget = budget_of(entry)
    tokens = f"{budget.amount:,} tokens ({budget.amount / budget.parameters:.0f} per parameter)"
    speed = re.search(r"at ([0-9]+) ([GT])FLOP/s", entry.costs)
    assert speed
    flops_a_second = int(speed[1]) * {"G": 1e9, "T": 1e12}[speed[2]]
    assert flops_a_second == ASSUMED_FLOPS or not budget.target.on_card
    assert entry.costs.startswith(f"{budget.parameters:,} parameters, {tokens}, ")
    assert f" at the peak of a step, {clock(budget.flops / flops_a_second)} {speed[0]}" in entry.costs
    memory = re.search(r"([0-9.]+) ([MG])B at the peak", entry.costs)
    assert memory
    assert budget.step.bytes == pytest.approx(float(memory[1]) * {"M": 2**20, "G": GIB}[memory[2]], rel=0.05)
    assert budget.verdicts[0].fits
    assert "measured" in entry.reaches
    if entry.set["prepare.dataset"] == "tinystories":
        assert f"{forecast(budget.parameters, budget.amount):.2f} nats per token" in entry.reaches


def test_every_size_is_larger_than_the_one_before() -> None:
    entries = read_entries(TOP / "studies")
    assert set(SIZES) <= set(entries)
    counts = [int(entry.costs.split()[0].replace(",", "")) for entry in SIZES.values()]
    assert counts == sorted(counts)
    assert counts[0] < 1e5
    assert 5e7 < counts[-1] < 5.5e7
