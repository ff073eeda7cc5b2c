"""Comparing variants: rulings, what is refused, what would tell, and how often it is wrong."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.stats
from jaxtyping import Float
from seeded import KNOBS, variant

from pipeline.lab.comparison.comparable import line_of
from pipeline.lab.comparison.compare import compare
from pipeline.lab.comparison.comparison import Comparison, Difference, Ruling
from pipeline.lab.comparison.more_seeds import shared_knobs
from pipeline.lab.comparison.shown import as_json, lines_of
from pipeline.lab.experiments.records import Group
from pipeline.lab.statistics.differences import evidence, holm, lent
from pipeline.lab.statistics.intervals import quantile
from pipeline.params.errors import UserError

DRAWS = 100  # of each kind; `python tests/test_compare.py 2000` prints the rates of more
DECIDED = (Ruling.BETTER, Ruling.WORSE)
LOW, HIGH = [2.10, 2.11, 2.12, 2.11, 2.10], [2.30, 2.31, 2.29, 2.33, 2.30]
Scores = Float[np.ndarray, "variants seeds"]


def only(comparison: Comparison) -> Difference:
    (one,) = comparison.differences
    return one


def two(first: Group, second: Group, metric: str | None = None, among: tuple[Group, ...] = ()) -> Difference:
    return only(compare([first, second], metric, among=among))


# ------------------------------------------------------------------------------------------------------------ how often wrong


@dataclass(frozen=True)
class Planted:
    """Variants of which the first ones are compared, and the others only known.

    Attributes:
        spreads: the standard deviation of a seed in each, drawn anew each time if it is a function.
        seeds: of each.
        gap: what is added to the second, in standard deviations of a seed.
        r: how seeds correlate over variants.
        least: the power that is asked for; of equal arms None.
        most: the rate at which equal arms may be called different, where it is known to be more than 5 %.
        looked: after so many seeds they are compared for the first time; after all where that was undecided.
    """

    compared: int
    spreads: tuple[float, ...] | Callable[[np.random.Generator], tuple[float, ...]]
    seeds: tuple[int, ...]
    gap: float = 0.0
    r: float = 0.0
    least: float | None = None
    most: float = 0.05
    looked: int = 0


def factors(count: int, power: float) -> Callable[[np.random.Generator], tuple[float, ...]]:
    """Spreads that differ from variant to variant; a standard deviation of their logarithm is `power`."""
    return lambda rng: tuple(np.exp(power * rng.normal(size=count)))


PLANTED = {
    "2 equal": Planted(2, (1, 1), (5, 5)),
    "2 equal, 3 and 8 seeds": Planted(2, (1, 1), (3, 8)),
    "2 equal, one spreads 3 times as much": Planted(2, (3, 1), (5, 5), most=0.06),
    "2 equal, r = 0.8": Planted(2, (1, 1), (5, 5), r=0.8),
    "2 equal, 4 others": Planted(2, (1,) * 6, (5,) * 6),
    "2 equal, 4 others, r = 0.8": Planted(2, (1,) * 6, (5,) * 6, r=0.8),
    "2 equal, 4 others, unequal n": Planted(2, (1,) * 6, (3, 8, 5, 3, 2, 4)),
    "2 equal, 4 others, spreads of 1 to 2": Planted(2, factors(6, 0.35), (5,) * 6),
    "2 equal, 4 others, spreads of 1 to 4": Planted(2, factors(6, 0.7), (5,) * 6),
    "2 equal, 4 others that spread 2/3 as much": Planted(2, (1.5, 1.5, 1, 1, 1, 1), (5,) * 6, most=0.07),
    "2 equal, after 3 seeds and after 8": Planted(2, (1, 1), (8, 8), most=0.08, looked=3),
    "3 equal, any": Planted(3, (1,) * 3, (5,) * 3),
    "6 equal, any": Planted(6, (1,) * 6, (5,) * 6),
    "6 equal, any, r = 0.8": Planted(6, (1,) * 6, (5,) * 6, r=0.8),
    "2 apart": Planted(2, (1, 1), (5, 5), 2.0, least=0.74),
    "2 apart, 6 seeds": Planted(2, (1, 1), (6, 6), 2.0, least=0.8),
    "2 apart, 2 others": Planted(2, (1,) * 4, (5,) * 4, 2.0, least=0.8),
    "2 apart, 4 others": Planted(2, (1,) * 6, (5,) * 6, 2.0, least=0.8),
    "2 apart, 4 others, r = 0.5": Planted(2, (1,) * 6, (5,) * 6, 2.0, 0.5, least=0.8),
}


def drawn(planted: Planted, rng: np.random.Generator) -> list[Group]:
    spreads = planted.spreads(rng) if callable(planted.spreads) else planted.spreads
    common = rng.normal(size=max(planted.seeds))
    groups = []
    for place, (spread, seeds) in enumerate(zip(spreads, planted.seeds, strict=True)):
        noise = math.sqrt(planted.r) * common[:seeds] + math.sqrt(1 - planted.r) * rng.normal(size=seeds)
        groups.append(variant(f"v{place}", 10.0 + spread * noise + planted.gap * (place == 1), model__depth=place))
    return groups


def is_called_different(planted: Planted, rng: np.random.Generator) -> bool:
    groups = drawn(planted, rng)
    looks = [
        [variant(group.name, group.array("bits_per_byte")[:seeds], **_depth(group)) for group in groups] if seeds else groups
        for seeds in ([planted.looked, 0] if planted.looked else [0])
    ]
    found = [compare(some[: planted.compared], among=some) for some in looks]
    return any(one.ruling in DECIDED for look in found for one in look.differences)


def _depth(group: Group) -> dict[str, Any]:
    return {"model__depth": group.knobs["model.depth"]}


def rates(draws: int) -> dict[str, float]:
    """How often variants were called different."""
    found = {}
    for place, (name, planted) in enumerate(PLANTED.items()):
        rng = np.random.default_rng(place)
        found[name] = sum(is_called_different(planted, rng) for _ in range(draws)) / draws
    return found


@pytest.fixture(scope="module")
def called_different() -> dict[str, float]:
    return rates(DRAWS)


@pytest.mark.parametrize("name", [name for name, planted in PLANTED.items() if planted.least is None])
def test_equal_variants_are_called_different_in_at_most_five_percent(name: str, called_different: dict[str, float]) -> None:
    # What is wrong in exactly 5 % would be seen more often than this in one of a thousand tests.
    most = float(scipy.stats.binom.ppf(0.999, DRAWS, PLANTED[name].most)) / DRAWS
    assert called_different[name] <= most


def test_over_all_kinds_equal_variants_are_called_different_in_at_most_five_percent(called_different: dict[str, float]) -> None:
    kinds = [called_different[name] for name, planted in PLANTED.items() if planted.least is None and planted.most == 0.05]
    draws = len(kinds) * DRAWS
    assert np.mean(kinds) <= float(scipy.stats.binom.ppf(0.999, draws, 0.05)) / draws


@pytest.mark.parametrize("name", [name for name, planted in PLANTED.items() if planted.least is not None])
def test_a_difference_of_two_standard_deviations_is_found(name: str, called_different: dict[str, float]) -> None:
    least = float(scipy.stats.binom.ppf(0.001, DRAWS, PLANTED[name].least)) / DRAWS
    assert called_different[name] >= least
    assert not called_different[name] < 5 * called_different["2 equal"]


def test_without_a_correction_one_of_three_pairs_is_called_different_too_often() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2000, 3, 5))
    p = np.stack([scipy.stats.ttest_ind(values[:, i], values[:, j], axis=1).pvalue for i, j in ((0, 1), (0, 2), (1, 2))])
    assert (p.min(axis=0) < 0.05).mean() > 0.09


# ------------------------------------------------------------------------------------------------------------- the statistics


def test_without_others_and_without_pairs_it_is_welchs_test() -> None:
    first, second = {1: 1.0, 2: 2.0, 3: 4.0}, {4: 3.0, 5: 5.0, 6: 9.0, 7: 8.0}
    found = evidence(first, second)
    assert found is not None
    told = scipy.stats.ttest_ind(list(second.values()), list(first.values()), equal_var=False)
    assert found.p == pytest.approx(told.pvalue)
    assert found.interval() == pytest.approx((told.confidence_interval().low, 6.25 - 7 / 3, told.confidence_interval().high))


def test_pairs_are_compared_by_the_common_seeds_alone_where_they_are_earned() -> None:
    first = {1: 1.0, 2: 2.0, 3: 4.0, 4: 3.0, 5: 2.5}
    second = {seed: value + 0.1 + 0.01 * (-1) ** seed for seed, value in first.items()} | {9: 50.0}
    found = evidence(first, second)
    assert found is not None and found.pairing.is_earned
    told = scipy.stats.ttest_rel([second[seed] for seed in first], list(first.values()))
    assert found.p == pytest.approx(told.pvalue)
    assert found.gap == pytest.approx(0.098)
    assert found.seeds == (5, 5)


def test_the_probability_is_that_of_the_t_posterior() -> None:
    found = evidence(dict(enumerate(LOW)), dict(enumerate(HIGH, 10)))
    assert found is not None
    assert found.probability(minimizes=True) == pytest.approx(found.p / 2)
    assert found.probability(minimizes=False) == pytest.approx(1 - found.p / 2)
    first, second = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2.0, 3.0, 5.0, 5.0, 6.0])
    near = evidence(dict(enumerate(first)), dict(enumerate(second, 10)))
    assert near is not None
    rng = np.random.default_rng(0)
    spread = np.sqrt(4 * (first.var(ddof=1) + second.var(ddof=1)) / rng.chisquare(8, size=200_000))  # of both alike
    means = [row.mean() + spread / np.sqrt(5) * rng.normal(size=200_000) for row in (first, second)]
    assert near.probability(minimizes=False) == pytest.approx((means[1] > means[0]).mean(), abs=0.005)


def test_others_lend_at_most_what_the_arms_have_and_nothing_to_arms_that_are_noisier() -> None:
    rng = np.random.default_rng(0)
    others = [rng.normal(size=5) for _ in range(20)]
    weight, spread, count = lent(1.0, 8, others)
    assert (weight, count) == (8.0, 20)
    assert spread == pytest.approx(1.0, rel=0.3)
    assert lent(9.0, 8, others) == (0.0, 0.0, 0)
    assert lent(1.0, 8, others[:1]) == (0.0, 0.0, 0)
    wild = [row * 10.0**place for place, row in enumerate(others)]
    assert lent(1.0, 8, wild)[0] < 1


def test_holms_correction_and_the_levels_of_its_intervals() -> None:
    found = holm([0.04, 0.001, 0.02, 0.5])
    assert [round(p, 6) for p, _ in found] == [0.08, 0.004, 0.06, 0.5]
    assert [level for _, level in found] == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])
    assert holm([0.03]) == [(0.03, 0.05)]


def test_an_interval_excludes_zero_exactly_where_the_ruling_is_decided() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        groups = [variant(f"v{place}", rng.normal(size=4) + place, model__depth=place) for place in range(4)]
        for one in compare(groups).differences:
            assert one.gap is not None
            assert (one.gap.low > 0 or one.gap.high < 0) == (one.ruling in DECIDED)


@pytest.mark.parametrize("gap", [0.5, 1.0, 1.5, 2.0])
def test_the_number_of_seeds_that_would_tell_has_eighty_percent_power(gap: float) -> None:
    row = np.array([-1.2649110640673518, -0.6324555320336759, 0.0, 0.6324555320336759, 1.2649110640673518])  # spread 1
    found = evidence(dict(enumerate(row)), dict(enumerate(row[[2, 0, 4, 1, 3]] + gap)))
    assert found is not None and not found.pairing.is_earned
    n = found.needed()
    if n is None:
        assert gap == 0.5
        return

    def power(n: int) -> float:
        shift, bound = gap / math.sqrt(2 / n), quantile(2 * n - 2, 0.05)
        return float(scipy.stats.nct.sf(bound, 2 * n - 2, shift) + scipy.stats.nct.cdf(-bound, 2 * n - 2, shift))

    assert power(n) == pytest.approx(0.8, abs=0.05) or n == 6


# ------------------------------------------------------------------------------------------------------------------ rulings


def test_less_loss_is_better_and_more_accuracy() -> None:
    first, second = variant("a", HIGH), variant("b", LOW, train__lr=0.01)
    assert two(first, second).ruling is Ruling.BETTER
    assert two(second, first).ruling is Ruling.WORSE
    assert two(first, second).better == pytest.approx(1.0, abs=1e-3)
    assert two(first, second).knobs == {"train.lr": (0.03, 0.01)}
    sharp = [
        variant(name, values, "accuracy", task__kind="vision", model__depth=place)
        for place, (name, values) in enumerate((("a", LOW), ("b", HIGH)))
    ]
    found = compare(sharp)
    assert (found.metric, found.minimizes, only(found).ruling) == ("accuracy", False, Ruling.BETTER)


def test_an_undecided_difference_says_how_many_seeds_would_tell_and_queues_them() -> None:
    first = variant("a", {1: 2.10, 2: 2.20, 3: 2.15})
    second = variant("b", {1: 2.22, 2: 2.12, 4: 2.25}, train__lr=0.01, train__optimizer="adamw")
    one = only(compare([first, second], base=KNOBS))
    assert one.ruling is Ruling.UNDECIDED
    assert one.needed is not None and one.needed > 3 and one.visible is not None and one.visible > 0.1
    ours, theirs = one.command.splitlines()
    seeds = ",".join(str(seed) for seed in range(4, one.needed + 1))
    assert ours == f"./run dvc exp run --queue -n a-seeds4to{one.needed} -S seed={seeds}"
    others = ",".join(str(seed) for seed in (3, *range(5, one.needed + 1)))
    assert theirs == (
        f"./run dvc exp run --queue -n b-seeds3to{one.needed} -S train.lr=0.01 -S train.optimizer=adamw -S seed={others}"
    )
    assert f"{one.needed - 3} more seeds each would tell" in one.reason


def test_a_difference_that_no_reasonable_number_of_seeds_would_tell_queues_nothing() -> None:
    one = two(variant("a", [1.0, 2.0, 3.0]), variant("b", [2.01, 3.0, 1.0], train__lr=0.01))
    assert (one.ruling, one.needed, one.command) == (Ruling.UNDECIDED, None, "")
    assert "more than 30 seeds" in one.reason


def test_one_seed_each_says_nothing_of_noise() -> None:
    one = only(compare([variant("a", [2.0]), variant("b", [1.0, 1.1], train__lr=0.01)], base=KNOBS))
    assert (one.ruling, one.needed, one.p) == (Ruling.UNDECIDED, 3, None)
    assert one.command.splitlines() == [
        "./run dvc exp run --queue -n a-seeds2to3 -S seed=2,3",
        "./run dvc exp run --queue -n b-seed3 -S train.lr=0.01 -S seed=3",
    ]


def test_seeds_that_wait_are_not_queued_again() -> None:
    waiting = variant("b", {1: 1.0}, waits=[2, 3], train__lr=0.01)
    one = only(compare([variant("a", [2.0, 2.1, 2.2]), waiting], base=KNOBS))
    assert (one.ruling, one.needed, one.command) == (Ruling.UNDECIDED, 3, "")


def test_of_variants_with_diverged_seeds_the_rest_does_not_win() -> None:
    first, second = variant("a", HIGH), variant("b", LOW, diverged=[7], train__lr=0.3)
    one = two(first, second)
    assert one.ruling is Ruling.UNDECIDED
    assert "1 of 6 seeds of b diverged" in one.reason
    assert two(variant("a", LOW), variant("b", HIGH, diverged=[7], train__lr=0.3)).ruling is Ruling.WORSE
    none = two(first, variant("b", {}, diverged=[1, 2], train__lr=0.3))
    assert (none.ruling, none.reason) == (Ruling.NOT_COMPARABLE, "b has no bits_per_byte: its training diverged")


# ---------------------------------------------------------------------------------------------------------- not comparable


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"task__kind": "classify"}, "other tasks: task.kind language and classify"),
        ({"prepare__dataset": "dyck"}, "other data: prepare.dataset markov and dyck"),
        ({"prepare__seed": 4}, "another draw of the data: prepare.seed 3 and 4"),
        ({"prepare__alphabet_size": 8}, ""),
        ({"prepare__max_examples": 100}, ""),
        ({"model__depth": 4}, ""),
    ],
)
def test_other_tasks_and_data_are_not_compared(knobs: dict[str, Any], reason: str) -> None:
    one = two(variant("a", HIGH), variant("b", LOW, **knobs))
    assert (one.ruling, one.reason) == ((Ruling.NOT_COMPARABLE, reason) if reason else (Ruling.BETTER, ""))


def test_with_other_tokens_losses_are_not_compared_but_bits_per_byte_are() -> None:
    first = variant("a", HIGH, also={"loss": 1.5})
    second = variant("b", LOW, also={"loss": 3.0}, tokenize__kind="bpe")
    one = two(first, second, "loss")
    assert one.ruling is Ruling.NOT_COMPARABLE
    assert one.reason.startswith("loss is per token, and a token is ")
    found = compare([first, second])
    assert (found.metric, only(found).ruling) == ("bits_per_byte", Ruling.BETTER)
    assert any("losses per token do not compare" in note for note in found.notes)


def test_where_bytes_per_token_are_not_known_the_knobs_of_the_tokenizer_decide() -> None:
    first, second = variant("a", HIGH, "loss"), variant("b", LOW, "loss", tokenize__kind="bpe")
    assert two(first, second).reason == (
        "loss is per token, and the tokenizers differ in tokenize.kind; bits_per_byte can be compared"
    )


def tuned(*rates: float, gap: float, optimizer: str = "muon") -> list[Group]:
    """A line of learning rates with its best at the second."""
    return [
        variant(
            f"{optimizer}{rate}",
            np.array(LOW) + gap + 0.2 * abs(place - 1),
            train__lr=rate,
            train__optimizer=optimizer,
        )
        for place, rate in enumerate(rates)
    ]


def test_equal_scores_need_no_number_of_seeds() -> None:
    same = {1: 1.0, 2: 1.0, 3: 1.0}
    found = evidence(same, same)
    assert found is not None and found.needed() is None


def test_a_command_names_every_knob_in_which_experiments_differ_whatever_params_yaml_holds() -> None:
    groups = [variant("main", [1.0], train__weight_decay=0.1), variant("decay", [1.1], train__weight_decay=0.3)]
    found = compare(groups, among=groups)
    (one,) = found.differences
    ours, theirs = one.command.splitlines()
    assert "train.weight_decay=0.1" in ours and "train.weight_decay=0.3" in theirs
    assert "train.lr" not in one.command, "all experiments share it"
    without = [*groups[0].experiments, *variant("older", [1.0]).experiments]
    assert shared_knobs(without)["train.weight_decay"] is None, "an older commit has no such knob"


def test_a_variant_of_an_older_commit_may_lack_the_knob() -> None:
    older = variant("older", [1.0, 1.1])
    older = Group(older.experiments, {name: value for name, value in older.knobs.items() if name != "train.lr"})
    assert line_of(older, "train.lr", [variant("new", [1.0, 1.2], train__lr=0.1)], "bits_per_byte") == {}


def test_a_tuned_arm_is_not_better_than_one_that_was_not_tuned() -> None:
    muon = tuned(0.01, 0.03, 0.1, gap=0.0)
    (adamw,) = tuned(0.03, gap=0.0, optimizer="adamw")  # by .2 worse at this rate
    one = only(compare([adamw, muon[1]], among=muon, base=KNOBS))
    assert one.ruling is Ruling.NOT_COMPARABLE
    assert one.gap is not None
    assert "train.lr was tried at 3 values for muon0.03, which has the best of them, and at 1 for adamw0.03" in one.reason
    assert one.command == ("./run dvc exp run --queue -n adamw0-03-lr0-01to0-1 -S train.optimizer=adamw -S train.lr=0.01,0.1")


def test_unequal_tuning_is_not_named_where_it_does_not_explain_the_lead() -> None:
    muon = tuned(0.01, 0.03, 0.1, gap=0.0)
    (winner,) = tuned(0.03, gap=-0.6, optimizer="adamw")
    assert only(compare([winner, muon[1]], among=muon)).ruling is Ruling.WORSE, "the one that was not tuned is better"
    (loser,) = tuned(0.03, gap=0.6, optimizer="adamw")
    assert only(compare([loser, muon[0]], among=muon)).ruling is Ruling.BETTER, "not the best of its line"
    assert only(compare([muon[0], muon[1]], among=muon)).ruling is Ruling.BETTER, "the question is the rate"
    equal = tuned(0.01, 0.03, 0.1, gap=0.6, optimizer="adamw")
    assert only(compare([equal[1], muon[1]], among=[*muon, *equal])).ruling is Ruling.BETTER, "both were tuned"


# ------------------------------------------------------------------------------------------------------------ pairs and output


def test_pairs_that_differ_in_one_knob_the_smaller_number_first() -> None:
    groups = [
        variant("a", LOW, train__lr=0.1),
        variant("b", HIGH, train__lr=0.01),
        variant("c", HIGH, train__lr=0.01, model__depth=6),
        variant("d", {}, waits=[1], train__lr=0.3),
    ]
    found = compare(groups, pairs="one knob")
    assert [(one.first.name, one.second.name) for one in found.differences] == [("b", "a"), ("b", "c")]
    assert any(note == "d: left out, it has no bits_per_byte: it is queued" for note in found.notes)


def test_settings_of_the_machine_are_named_only_where_nothing_else_differs() -> None:
    first = variant("a", LOW)
    assert two(first, variant("b", HIGH, runtime__threads=2, train__lr=0.1)).knobs == {"train.lr": (0.03, 0.1)}
    assert two(first, variant("b", HIGH, runtime__threads=2)).knobs == {"runtime.threads": (1, 2)}


def test_fewer_than_two_variants_and_unknown_scores_are_refused() -> None:
    with pytest.raises(UserError, match="1 variant to compare, and it needs two"):
        compare([variant("a", LOW)])
    with pytest.raises(UserError, match="--metric acuracy: there is no such score"):
        compare([variant("a", LOW), variant("b", HIGH, train__lr=1.0)], "acuracy")
    with pytest.raises(UserError, match="nothing to compare has scores"):
        compare([variant("a", {}, waits=[1]), variant("b", {}, waits=[1], train__lr=1.0)])


def test_the_terminal_says_all_of_a_difference_in_eighty_columns() -> None:
    first, second = variant("base", HIGH), variant("slower-but-much-longer-name", LOW, train__lr=0.01)
    lines = list(lines_of(compare([first, second, variant("third", [2.1, 2.4, 2.2], train__lr=0.1)])))
    text = "\n".join(lines)
    assert max(len(line) for line in lines if "./run" not in line) <= 80
    for part in (
        "base → slower-but-much-longer-name",
        "train.lr 0.03 → 0.01",
        "2.306 (5 seeds) → 2.108 (5 seeds)",
        "slower-but-much-longer-name is better",
        "P(third is better) = ",
        "more seeds",
        "in 4 of 5 comparisons",
        "(Holm)",
    ):
        assert part in text


def test_json_can_be_read_by_programs_and_has_no_infinities() -> None:
    found = as_json(compare([variant("a", [2.0]), variant("b", [1.0, 1.1], train__lr=0.01), variant("c", LOW, train__lr=1.0)]))
    read = json.loads(json.dumps(found, allow_nan=False))
    assert read["differences"][0]["ruling"] == "undecided"
    assert read["variants"][1] == {"name": "b", "experiments": ["b", "b-seed2"], "scores": {"1": 1.0, "2": 1.1}}


if __name__ == "__main__":
    print(json.dumps(rates(int(sys.argv[1])), indent=2))
