"""Which knob mattered: planted shares are recovered, and noise and confounded designs are refused. Interactions likewise."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from jaxtyping import Float
from seeded import variant

from pipeline.lab.comparison.importance import TREES, importance
from pipeline.lab.comparison.interactions import interactions
from pipeline.lab.experiments.records import Group

DRAWS = 2  # `python tests/test_importance.py 100` prints the rates of more
SHARES = {"train.lr": 0.7, "train.optimizer": 0.2, "model.depth": 0.1}
RATES, OPTIMIZERS, DEPTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), ("adamw", "lion", "muon", "sgd", "soap"), (2, 4, 6, 8)
Column = Float[np.ndarray, " rows"]


def rows(score: Column, **knobs: Sequence[object]) -> list[Group]:
    """A variant for each score; a seed moves it little."""
    return [
        variant(f"v{place}", [value, value], **{name: values[place] for name, values in knobs.items()})  # type: ignore[arg-type]
        for place, value in enumerate(score)
    ]


def scaled(values: Column) -> Column:
    return (values - values.mean()) / values.std()


def planted(rng: np.random.Generator, noise: float = 0.1, *, is_grid: bool = True) -> list[Group]:
    """120 variants whose score is moved to 70, 20 and 10 % by three knobs, and to `noise` by nothing that is known."""
    cells = list(itertools.product(range(len(RATES)), range(len(OPTIMIZERS)), range(len(DEPTHS))))
    if not is_grid:
        cells = [tuple(rng.integers(0, [len(RATES), len(OPTIMIZERS), len(DEPTHS)])) for _ in cells]
    rate, optimizer, depth = np.array(cells).T
    lead = rng.permutation(len(OPTIMIZERS)).astype(float)
    parts = zip(SHARES.values(), (np.abs(rate - 3.2), lead[optimizer], depth.astype(float)), strict=True)
    score = sum(np.sqrt(share) * scaled(part) for share, part in parts)
    score = np.sqrt(1 - noise) * scaled(np.asarray(score)) + np.sqrt(noise) * rng.normal(size=len(cells))
    return rows(
        score,
        train__lr=[RATES[place] for place in rate],
        train__optimizer=[OPTIMIZERS[place] for place in optimizer],
        model__depth=[DEPTHS[place] for place in depth],
    )


def noise_alone(rng: np.random.Generator) -> list[Group]:
    count = int(rng.choice([30, 60, 120]))
    return rows(
        rng.normal(size=count),
        train__lr=list(10.0 ** rng.uniform(-4, -1, size=count)),
        train__optimizer=[OPTIMIZERS[place] for place in rng.integers(0, 3, size=count)],
        model__depth=[int(depth) for depth in rng.integers(2, 9, size=count)],
    )


def farthest(groups: list[Group]) -> float:
    """By how much the share that is farthest from the planted one misses it; refused = 1."""
    found = importance(groups, "bits_per_byte")
    return max(abs(found.shares[name].mean - share) for name, share in SHARES.items()) if found.shares else 1.0


def rates(draws: int, *, with_random: bool = True) -> dict[str, float]:
    """How often planted shares are found, and noise is refused."""
    missed = {"a grid": [farthest(planted(np.random.default_rng(draw))) for draw in range(draws)]}
    if with_random:
        missed["random"] = [farthest(planted(np.random.default_rng(draw), is_grid=False)) for draw in range(draws)]
    refused = [bool(importance(noise_alone(np.random.default_rng(draw)), "bits_per_byte").refused) for draw in range(draws)]
    found = {
        f"70/20/10 within {points} points, {name}": float(np.mean([one <= points / 100 for one in some]))
        for name, some in missed.items()
        for points in (10, 15)
    }
    return {**found, "noise refused": float(np.mean(refused))}


@pytest.mark.slow
def test_planted_shares_are_recovered_and_noise_is_refused() -> None:
    found = rates(DRAWS, with_random=False)
    assert found["70/20/10 within 10 points, a grid"] == 1.0
    assert found["noise refused"] == 1.0


def test_shares_sum_to_one_the_largest_first_and_pairs_have_what_knobs_have_only_together() -> None:
    cells = list(itertools.product(range(4), range(4), range(3)))
    one, other, third = np.array(cells, dtype=float).T
    score = scaled(one) * scaled(other) + 0.7 * scaled(third)
    found = importance(
        rows(score, train__lr=list(one + 1), model__depth=other.astype(int).tolist(), train__momentum=list(third)),
        "bits_per_byte",
    )
    assert found.refused == ""
    assert sum(share.mean for share in found.shares.values()) == pytest.approx(1.0)
    means = [share.mean for share in found.shares.values()]
    assert means == sorted(means, reverse=True)
    assert all(share.low <= share.mean <= share.high for share in found.shares.values())
    assert next(iter(found.pairs)) == ("model.depth", "train.lr")
    assert (
        found.pairs["model.depth", "train.lr"]
        > 0.4
        > 0.1
        > max(share for names, share in found.pairs.items() if names != ("model.depth", "train.lr"))
    )


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (rows(np.arange(3.0), train__lr=[1.0, 2.0, 3.0]), "one knob varies: shares are of two or more"),
        (
            rows(np.arange(9.0), train__lr=[1.0, 2.0, 3.0] * 3, model__depth=[2] * 3 + [3] * 3 + [4] * 3),
            "9 variants of 2 knobs (model.depth, train.lr): 20 are needed, 10 for each knob",
        ),
        (
            rows(np.arange(20.0), train__lr=list(np.arange(1.0, 21.0)), model__depth=list(range(1, 21))),
            "was never varied alone, but together with",
        ),
        (
            rows(np.ones(24), train__lr=[1.0, 2.0, 3.0] * 8, model__depth=np.repeat([1, 2, 4, 5], 6).tolist()),
            "all variants have the same bits_per_byte",
        ),
    ],
)
def test_what_cannot_be_known_is_refused_with_the_reason(groups: list[Group], reason: str) -> None:
    found = importance(groups, "bits_per_byte")
    assert reason in found.refused
    assert not found.shares


def test_a_random_search_in_which_no_knob_varies_alone_is_not_refused() -> None:
    rng = np.random.default_rng(0)
    rate, momentum = rng.uniform(-4, -1, size=40), rng.uniform(0.5, 0.99, size=40)
    found = importance(rows(np.abs(rate + 2), train__lr=list(10.0**rate), train__momentum=list(momentum)), "bits_per_byte")
    assert found.refused == ""
    assert found.shares["train.lr"].mean > 0.9
    assert TREES == 300


# --------------------------------------------------------------------------------------------------------------- interactions


def surface(bests: dict[int, int], noise: float, rng: np.random.Generator, slope: float = 0.1) -> list[Group]:
    """Lines of five rates at several depths, each with its best at another place; five seeds each."""
    return [
        variant(
            f"d{depth}r{place}",
            slope * abs(place - best) + noise * rng.normal(size=5),
            model__depth=depth,
            train__lr=RATES[place],
        )
        for depth, best in bests.items()
        for place in range(5)
    ]


def test_a_best_rate_that_moves_by_two_steps_with_the_depth_is_named() -> None:
    (found,) = interactions(surface({2: 3, 8: 1}, 0.02, np.random.default_rng(0)), "bits_per_byte")
    assert (found.tuned, found.changed) == ("train.lr", "model.depth")
    assert found.best == {2: 0.03, 8: 0.003}


def test_a_best_rate_that_moves_by_one_step_is_not() -> None:
    assert interactions(surface({2: 3, 8: 2}, 0.001, np.random.default_rng(0)), "bits_per_byte") == []


def test_best_rates_that_move_by_noise_alone_are_named_in_at_most_five_percent() -> None:
    rng = np.random.default_rng(0)
    found = [interactions(surface({2: 2, 8: 2}, 0.1, rng, slope), "bits_per_byte") for slope in (0.0, 0.02) for _ in range(20)]
    assert sum(map(bool, found)) <= 2


def test_the_best_of_an_accuracy_is_the_largest() -> None:
    rng = np.random.default_rng(0)
    groups = [
        variant(
            f"d{depth}r{place}", -abs(place - best) + 0.05 * rng.normal(size=5), "accuracy", model__depth=depth, train__lr=rate
        )
        for depth, best in ((2, 3), (8, 0))
        for place, rate in enumerate(RATES[:4])
    ]
    (found,) = interactions(groups, "accuracy")
    assert found.best == {2: 0.03, 8: 0.001}


if __name__ == "__main__":
    print(json.dumps(rates(int(sys.argv[1]), with_random="a grid" not in sys.argv), indent=2))
