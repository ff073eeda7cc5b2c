"""Learning-rate schedules have the values that their sources give, at points that tell them apart."""

from __future__ import annotations

import pytest
from small import knobs

from pipeline.engine.schedules import learning_rate


def rates(name: str, places: list[float], **changes: float) -> list[float]:
    shares = {"warmup_ratio": 0.0, "cooldown_ratio": 0.5, "min_lr_ratio": 0.0} | changes
    train = knobs(train__schedule=name, train__lr=2.0, **{f"train__{knob}": share for knob, share in shares.items()}).train
    return [learning_rate(place, train) for place in places]


def test_linear_falls_by_as_much_every_step() -> None:
    assert rates("linear", [0, 0.25, 0.5, 0.75], min_lr_ratio=0.1) == pytest.approx([2.0, 1.55, 1.1, 0.65])
    assert rates("linear", [0.1, 0.2, 0.6], warmup_ratio=0.2) == pytest.approx([1.0, 2.0, 1.0])


def test_cosine_is_half_way_at_half_time() -> None:
    assert rates("cosine", [0, 0.5, 0.25]) == pytest.approx([2.0, 1.0, 1.0 + 0.5**0.5])


def test_trapezoid_stays_and_then_falls_straight() -> None:
    assert rates("trapezoid", [0, 0.4, 0.5, 0.75, 0.9], warmup_ratio=0.1) == pytest.approx([0.0, 2.0, 2.0, 1.0, 0.4])


def test_one_cycle_goes_down_as_it_came_up_and_then_far_below() -> None:
    assert rates("one_cycle", [0, 0.2, 0.4, 0.6, 0.8, 0.9], warmup_ratio=0.4) == pytest.approx([0.0, 1.0, 2.0, 1.1, 0.2, 0.1])


def test_inverse_sqrt_halves_when_the_steps_are_four_times_as_many() -> None:
    assert rates("inverse_sqrt", [0.05, 0.1, 0.4, 0.9], warmup_ratio=0.1) == pytest.approx([1.0, 2.0, 1.0, 2 / 3])


def test_exponential_climbs_by_the_same_factor_every_step() -> None:
    assert rates("exponential", [0, 0.25, 0.5, 0.75], min_lr_ratio=1e-4) == pytest.approx([2e-4, 2e-3, 2e-2, 2e-1])
