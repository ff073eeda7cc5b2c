"""What the seeds of a study are worth: draws of the data, pairs, ranges, rounds, fresh seeds, and controls that can fail."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from small import TOP

from pipeline.lab.statistics.intervals import deviation_interval, difference, pairing, share_interval, wilson
from pipeline.lab.studies import entries, grid, seeds
from pipeline.lab.studies.claims.base import Status
from pipeline.lab.studies.claims.results import Axis, Basis, Results, chosen_on_other_seeds, flat_part
from pipeline.lab.studies.claims.table import CLAIMS
from pipeline.params.errors import UserError
from pipeline.params.parse import parse
from pipeline.params.yaml12 import read_yaml

RNG = np.random.default_rng(0)
PARTS: dict[str, Any] = {
    "vary": {"arm": {"plain": {"model.norm": "layer"}, "bare": {"model.norm": "none"}}, "train.lr": [0.001, 0.01, 0.1]},
    "seeds": [1, 2, 3],
    "measure": "train_loss",
    "check": [{"at_most": {"value": 9.0}}],
}


def judged(claim: str, arguments: dict[str, Any], results: Results) -> Any:
    return parse(CLAIMS[claim], arguments).judge(results)


# ------------------------------------------------------------------------------------------------------------ intervals


def test_the_interval_of_a_difference_is_welchs_and_in_pairs_students() -> None:
    one, other = RNG.normal(size=6), 3 * RNG.normal(size=6)
    found = difference(one, other, paired=False)
    wanted = scipy.stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    np.testing.assert_allclose((found.low, found.high), wanted)
    paired = difference(one, other, paired=True)
    np.testing.assert_allclose((paired.low, paired.high), scipy.stats.ttest_rel(one, other).confidence_interval())


def test_the_intervals_of_shares_are_those_of_scipy() -> None:
    for count, n in ((0, 5), (3, 7), (5, 5), (40, 90)):
        exact = scipy.stats.binomtest(count, n).proportion_ci(0.95, "exact")
        np.testing.assert_allclose((share_interval(count, n).low, share_interval(count, n).high), exact, atol=1e-12)
        score = scipy.stats.binomtest(count, n).proportion_ci(0.95, "wilson")
        np.testing.assert_allclose((wilson(count / n, n).low, wilson(count / n, n).high), score, atol=1e-12)


def test_the_interval_of_a_deviation_holds_it_in_ninety_five_percent() -> None:
    found = [deviation_interval(values) for values in RNG.normal(size=(2000, 4))]
    assert np.mean([one.low <= 1 <= one.high for one in found]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("values", "about"),
    [
        ([0.001, 0.0065, 0.0002], {"low": 0.0}),
        ([0.02, 0.001, 0.3], {"low": 0.0, "high": 1.0}),
        ([1.0, 0.99, 1.0], {"low": 0.0, "high": 1.0}),
        ([1.0, 1.0, 1.0], {"low": 0.0, "high": 1.0, "held_out": 512}),
        ([0.0, 0.0, 0.5], {"low": 0.0}),
    ],
)
def test_an_interval_lies_where_the_measure_can_lie(values: list[float], about: dict[str, Any]) -> None:
    results = Results((), np.array(values), **about)
    spread = results.interval(results.values)
    assert results.low <= spread.low <= spread.mean <= spread.high <= results.high


def test_a_share_on_one_sample_has_the_error_of_that_sample_too() -> None:
    values = np.array([0.948, 0.95, 0.946])
    own, shared = (Results((), values, low=0.0, high=1.0, held_out=count).interval(values) for count in (0, 1000))
    assert shared.low < own.low < own.high < shared.high
    score = wilson(shared.mean, 1000)
    assert shared.high - shared.mean == pytest.approx(math.hypot(own.high - own.mean, score.high - score.mean))


def test_seeds_are_compared_in_pairs_only_where_they_correlate() -> None:
    common = RNG.normal(size=(1, 6))
    alike, apart = common + 0.1 * RNG.normal(size=(5, 6)), RNG.normal(size=(5, 6))
    assert pairing(alike).is_earned
    assert pairing(alike).r == pytest.approx(np.corrcoef(alike)[np.triu_indices(5, 1)].mean())
    assert not pairing(apart).is_earned
    assert not pairing(np.stack([common[0], -common[0]])).is_earned
    assert pairing(np.ones((3, 4))) == (0.0, False)
    assert pairing(np.array([[1.0, 2.0, math.inf]] * 2)) == (0.0, False)


# ----------------------------------------------------------------------------------------------------- best, each by itself


def test_the_seed_that_judges_a_place_did_not_choose_it() -> None:
    values = np.array([[0.0, 5.0, 5.0], [1.0, 1.0, 1.0]])
    places, judging = chosen_on_other_seeds(values)
    assert places == [1, 1, 1]  # the mean of all would have been 3.3 and 1; without the first seed 5 and 1
    assert list(judging) == [1.0, 1.0, 1.0]
    assert chosen_on_other_seeds(np.array([[2.0], [1.0]]))[0] == [1]


def test_the_flat_part_has_what_may_be_the_best_and_not_what_is_seen_to_be_worse() -> None:
    means = np.array([5.0, 1.02, 1.0, 1.01, 5.0, math.inf])
    values = means[:, None] + 0.05 * RNG.normal(size=(6, 5))
    results = Results((Axis("train.lr", (1, 2, 3, 4, 5, 6)),), values)
    assert flat_part(results, values, results.pairing) == [1, 2, 3]


def test_an_arm_whose_best_is_at_the_edge_can_be_better_but_not_worse() -> None:
    rates = Axis("train.lr", (0.01, 0.02, 0.04, 0.08))
    falling, valley = np.array([4.0, 3.0, 2.0, 1.0]), np.array([4.0, 2.5, 2.0, 4.0])
    noise = 0.01 * RNG.normal(size=(2, 4, 4))
    values = np.stack([falling, valley])[:, :, None] + noise
    results = Results((Axis("arm", ("falling", "valley")), rates), values)
    arguments = {"arm": "arm", "better": "falling", "worse": "valley"}
    assert judged("best_below", {**arguments, "by": 0.5}, results).status is Status.HELD
    assert judged("best_below", {**arguments, "by": 1.5}, results).status is Status.EXTEND
    swapped = {"arm": "arm", "better": "valley", "worse": "falling", "by": -2.0}
    verdict = judged("best_below", swapped, results)
    assert verdict.status is Status.EXTEND
    assert "of falling may lie beyond the grid" in verdict.sentence


def test_an_interval_that_is_clear_of_the_bound_and_decides_nothing_says_why() -> None:
    steady, scattered = 0.01 * RNG.normal(size=4), np.array([-0.9, 0.9, -0.9, 0.9])
    better = [4.0 + steady, 1.0 + steady, 1.5 + steady, 4.0 + steady]
    worse = [4.0 + steady, 1.5 + steady, 2.0 + scattered, 4.0 + steady]  # the third may be its best
    results = Results((Axis("arm", ("a", "b")), Axis("train.lr", (0.01, 0.02, 0.04, 0.08))), np.array([better, worse]))
    verdict = judged("best_below", {"arm": "arm", "better": "a", "worse": "b", "by": 0.4}, results)
    assert verdict.status is Status.UNDECIDED
    assert verdict.effect.low > 0.4
    assert "against every place that may be the best of b" in verdict.sentence


@pytest.mark.parametrize(
    ("claim", "given"), [("best_below", {"arm": "arm", "better": "a", "worse": "b"}), ("fell_off", {"above": 1.0})]
)
def test_a_claim_with_two_kinds_of_bound_wants_one_of_them(claim: str, given: dict[str, Any]) -> None:
    kinds = {"best_below": ({"by": 0.1}, {"factor": 2}), "fell_off": ({"at_most": 0.1}, {"at_least": 0.2})}[claim]
    for more in ({}, {**kinds[0], **kinds[1]}):
        with pytest.raises(UserError, match="needs one of"):
            parse(CLAIMS[claim], {**given, **more})
    for more in kinds:
        parse(CLAIMS[claim], {**given, **more})


# --------------------------------------------------------------------------------------------------------------- rounds


def test_an_undecided_claim_says_how_many_seeds_would_decide_it() -> None:
    values = 1.9 + 0.2 * np.array([[-1.0, 0.0, 1.0]])
    verdict = judged("at_most", {"value": 2.0}, Results((Axis("arm", ("a",)),), values))
    assert verdict.status is Status.UNDECIDED
    half = [scipy.stats.t.ppf(1 - 0.025 / 2, n - 1) * 0.2 / n**0.5 for n in range(2, 101)]
    assert verdict.needed == 2 + int(np.argmax(np.array(half) <= 0.1))
    hopeless = judged("at_most", {"value": 1.9}, Results((Axis("arm", ("a",)),), values))
    assert (hopeless.status, hopeless.needed) == (Status.UNDECIDED, None)


def test_a_second_round_has_wider_intervals_and_says_so() -> None:
    values = 1.9 + 0.05 * RNG.normal(size=(1, 8))
    once = Results((Axis("arm", ("a",)),), values, basis=Basis(1, "one", "seen"))
    twice = replace(once, basis=replace(once.basis, rounds=2))
    one, two = once.interval(values[0]), twice.interval(values[0])
    assert two.low < one.low < one.high < two.high
    assert "8 seeds, one draw of the data" in judged("at_most", {"value": 2.0}, once).found
    found = judged("at_most", {"value": 2.0}, twice).found
    assert "8 seeds in two rounds, one draw of the data" in found
    assert "97.5 % CI" in found


def test_a_claim_that_held_says_on_which_seeds() -> None:
    results = Results((Axis("arm", ("a",)),), np.array([[1.0, 1.01, 0.99]]))
    titles = {
        standing: judged("at_most", {"value": 2.0}, replace(results, basis=Basis(1, "none", standing))).title
        for standing in ("", "seen", "fresh")
    }
    assert titles == {"": "held", "seen": "held, on the seeds it was made with", "fresh": "confirmed on fresh seeds"}


def test_seeds_are_added_in_rounds_and_fresh_ones_were_never_seen() -> None:
    sweep = grid.read_sweep(PARTS | {"seen": [1, 2, 3, 7]})
    assert sweep.basis == Basis(1, "seed", "seen")
    more = seeds.with_seeds(sweep, ["4-6", "8,10"])
    assert more.seeds == (1, 2, 3, 4, 5, 6, 8, 10)
    assert more.basis.rounds == 3
    fresh = seeds.with_seeds(sweep, fresh=True)
    assert (fresh.seeds, fresh.basis) == ((8, 9, 10), Basis(1, "seed", "fresh"))
    assert seeds.deciding_command("own", sweep, 5) == "rally play own --seeds 8-9"
    assert seeds.deciding_command("own", seeds.with_seeds(fresh, ["11"]), 5) == "rally play own --fresh --seeds 11 --seeds 12"
    assert grid.read_sweep(PARTS).basis.standing == ""
    assert grid.read_sweep(PARTS | {"seen": [9]}).basis.standing == "fresh"


@pytest.mark.parametrize("text", ["", "a", "4-", "5-4", "4,4", "3-5"])
def test_a_round_that_is_no_list_of_new_seeds_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--seeds"):
        seeds.with_seeds(grid.read_sweep(PARTS), [text])


# ------------------------------------------------------------------------------------------------------------------ data


@pytest.mark.parametrize(
    ("parts", "drawn"),
    [({}, [1, 2, 3]), ({"draws": "one"}, [3, 3, 3]), ({"vary": {"prepare.seed": [5]}}, [5, 5, 5])],
)
def test_every_seed_draws_its_own_data_unless_the_study_says_otherwise(parts: dict[str, Any], drawn: list[int]) -> None:
    base = read_yaml(TOP / "params.yaml")
    base["prepare"]["seed"] = 3
    sweep = grid.read_sweep(PARTS | {"vary": {"train.lr": [0.01]}} | parts)
    assert [variant.params.prepare.seed for variant in sweep.variants(base)] == drawn
    assert [variant.params.seed for variant in sweep.variants(base)] == [1, 2, 3]
    assert sweep.basis.draws == ("seed" if not parts else "one")


# -------------------------------------------------------------------------------------------------------------- controls

PLAIN, BARE = {"where": {"arm": "plain"}}, {"where": {"arm": "bare"}}
IMPLIED: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("the negation", [{"at_least": {"value": 2.0, **BARE}}], {"at_most": {"value": 1.0, **BARE}}),
    ("at the bound", [{"at_least": {"value": 2.0, **BARE}}], {"at_most": {"value": 2.0, **BARE}}),
    (
        "two claims together",
        [
            {"exceeds": {"arm": "arm", "more": "bare", "less": "plain", "by": 0.5}},
            {"at_most": {"value": 9.0}},
            {"at_least": {"value": 0.5, **PLAIN}},
        ],
        {"at_most": {"value": 0.9, **BARE}},
    ),
    (
        "a difference",
        [{"exceeds": {"arm": "arm", "more": "bare", "less": "plain", "by": 0.5}}],
        {"differs_at_most": {"arm": "arm", "more": "plain", "less": "bare", "by": 0.2}},
    ),
    ("the best of a line", [{"at_least": {"value": 2.0, **BARE}}], {"best_at_most": {"value": 1.0, **BARE}}),
    ("how far the best moves", [{"optimum_moves_at_least": {"factor": 4}}], {"optimum_moves_at_most": {"factor": 2}}),
    (
        "where the best lies",
        [{"optimum_lies_between": {"low": 0.01, "high": 0.02, "ends_worse_by": 1}}],
        {"optimum_moves_at_least": {"factor": 4}},
    ),
    (
        "the better arm",
        [{"best_below": {"arm": "arm", "better": "plain", "worse": "bare", "by": 0.1}}],
        {"best_below": {"arm": "arm", "better": "bare", "worse": "plain", "factor": 1.1}},
    ),
    (
        "the share of lost seeds",
        [{"fell_off": {"above": 3.0, "at_least": 0.5, **BARE}}],
        {"fell_off": {"above": 3.0, "at_most": 0.1, **BARE}},
    ),
]


def with_control(claims: list[dict[str, Any]], control: dict[str, Any]) -> dict[str, Any]:
    [(name, arguments)] = control.items()
    return PARTS | {"check": [*claims, {name: {**arguments, "control": True}}]}


def entry_with(sweep: grid.Sweep) -> entries.Entry:
    return entries.Entry("a question", {}, "nothing", "nothing", "none", sweep=sweep)


@pytest.mark.parametrize(("claims", "control"), [row[1:] for row in IMPLIED], ids=[row[0] for row in IMPLIED])
def test_a_control_that_the_claims_exclude_is_refused_with_the_claim_that_does(
    claims: list[dict[str, Any]], control: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as caught:
        entries.find_entry("own", {"own": entry_with(grid.read_sweep(with_control(claims, control)))})
    [problem] = caught.value.problems
    assert problem.startswith(f"studies: own: check: the control {next(iter(control))} (")
    assert f"cannot hold where {next(iter(claims[0]))} (" in problem


@pytest.mark.parametrize(
    ("claims", "control"),
    [
        ([{"at_least": {"value": 2.0, **BARE}}], {"at_least": {"value": 2.0, **PLAIN}}),
        ([{"at_most": {"value": 0.0, **BARE}}], {"at_most": {"value": 0.0, **PLAIN}}),
        ([{"at_most": {"value": 1.0, **BARE}}], {"exceeds": {"arm": "arm", "more": "bare", "less": "plain", "by": 0.5}}),
        ([{"optimum_moves_at_most": {"factor": 2}}], {"optimum_lies_between": {"low": 0.01, "high": 0.02, "ends_worse_by": 1}}),
        ([{"at_most": {"value": 1.0, "where": {"train.lr": 0.1}}}], {"best_at_most": {"value": 0.5}}),
    ],
)
def test_a_control_that_could_hold_is_a_control(claims: list[dict[str, Any]], control: dict[str, Any]) -> None:
    own = entry_with(grid.read_sweep(with_control(claims, control)))
    assert entries.find_entry("own", {"own": own}) is own


def test_no_study_has_a_control_that_its_claims_imply() -> None:
    read = entries.read_entries(TOP / entries.FOLDER)
    sweeps = [entries.find_entry(name, read).sweep for name in read]  # which refuses them
    assert sum(claim.control for sweep in sweeps if sweep for _, claim in sweep.claims) > 10
