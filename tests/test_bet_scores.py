"""Scores of bets are lowest for who says what he believes; calibration of forecasters with a known spread."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.figures.style import png
from pipeline.lab.bets import scores
from pipeline.lab.bets.bet import Bet, place, read_bets, settle
from pipeline.lab.bets.calibration import Calibration, calibration, calibration_lines
from pipeline.lab.bets.ledger import problems
from pipeline.lab.bets.listing import bets_table
from pipeline.lab.bets.outcomes import Outcome, is_inside, scores_of
from pipeline.lab.bets.picture import distance, draw_calibration
from pipeline.lab.bets.question import Answer, ChoiceAnswer, NumberAnswer, OrderAnswer, Question, Target, YesNoAnswer
from pipeline.lab.statistics.share import Share

NORMAL = NormalDist()
TENTH = -NORMAL.inv_cdf(0.1)  # 1.2816: the half of an 80 % interval, in standard deviations
BELIEF = [NORMAL.inv_cdf((place + 0.5) / 401) for place in range(401)]  # what is believed of a number: a standard normal
chances = st.floats(0.01, 0.99)


# ------------------------------------------------------------------------------------------------------- scores are proper


def expected(score: object, *reports: float) -> float:
    """The mean of a score of a report, over what is believed."""
    assert callable(score)
    return float(np.mean([score(*reports, truth) for truth in BELIEF]))


@pytest.mark.parametrize(
    ("score", "honest"),
    [(scores.interval_score, (-TENTH, TENTH)), (scores.crps, (-TENTH, 0.0, TENTH))],
)
def test_a_score_of_an_interval_is_lowest_for_the_quantiles_that_are_believed(score: object, honest: tuple[float, ...]) -> None:
    best = expected(score, *honest)
    for end, away in itertools.product(range(len(honest)), (-1.0, -0.3, -0.1, -0.03, 0.03, 0.1, 0.3, 1.0)):
        other = tuple(value + away * (place == end) for place, value in enumerate(honest))
        assert expected(score, *other) > best
        assert expected(score, *(value * (1 + away) for value in honest)) > best


@given(belief=chances, said=chances)
def test_brier_and_log_scores_are_lowest_for_the_probability_that_is_believed(belief: float, said: float) -> None:
    def brier(report: float) -> float:
        return belief * scores.brier(report, outcome=True) + (1 - belief) * scores.brier(report, outcome=False)

    def log(report: float) -> float:
        return belief * scores.log_score(report) + (1 - belief) * scores.log_score(1 - report)

    for score in (brier, log):
        assert score(said) >= score(belief) - 1e-12
        assert abs(said - belief) < 0.01 or score(said) > score(belief)


@given(belief=st.lists(st.floats(0.01, 1), min_size=3, max_size=3), said=st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_the_brier_score_of_a_choice_is_lowest_for_the_probabilities_that_are_believed(
    belief: list[float], said: list[float]
) -> None:
    labels = "abc"
    believed, report = (dict(zip(labels, np.array(some) / sum(some), strict=True)) for some in (belief, said))

    def score(probabilities: dict[str, float]) -> float:
        return sum(believed[truth] * scores.brier_of_choice(probabilities, truth) for truth in labels)

    away = sum((report[label] - believed[label]) ** 2 for label in labels)
    assert score(report) - score(believed) == pytest.approx(away, abs=1e-9)


def test_the_kendall_distance_is_lowest_for_the_order_that_is_believed() -> None:
    believed = ("relu", "tanh", "sigmoid", "silu")
    every = list(itertools.permutations(believed))
    chance = {order: math.exp(-scores.kendall_distance(order, believed)) for order in every}  # of Mallows, 1957
    mean = {order: sum(chance[truth] * scores.kendall_distance(order, truth) for truth in every) for order in every}
    assert min(mean, key=lambda order: mean[order]) == believed
    assert sorted(mean.values())[1] > mean[believed]


def test_the_expected_distance_is_that_of_a_random_order() -> None:
    every = list(itertools.permutations("abcd"))
    assert np.mean([scores.kendall_distance(order, "abcd") for order in every]) == scores.expected_distance(4) == 3
    assert scores.kendall_distance("dcba", "abcd") == 6


def test_the_log_score_of_a_certain_error_is_finite() -> None:
    assert scores.log_score(0.0) == scores.log_score(0.01) == pytest.approx(math.log(100))
    assert scores.log_score(1.0) == scores.log_score(0.99) > 0


def test_known_values_of_the_scores() -> None:
    assert scores.interval_score(1, 2, 1.5) == 1
    assert scores.interval_score(1, 2, 2.5) == pytest.approx(1 + 10 * 0.5)
    assert scores.crps(2, 2, 2, 5) == pytest.approx(3), "of a number alone: the absolute error"
    assert scores.brier(0.7, outcome=True) == pytest.approx(0.09)
    assert scores.brier_of_choice({"a": 0.5, "b": 0.5}, "a") == pytest.approx(0.5)
    assert (scores.skill(0.5, 1.0), scores.skill(1.0, 1.0), scores.skill(1.0, 0.0)) == (0.5, 0.0, None)


# -------------------------------------------------------------------------------------------------------------- of a bet


LOSS = Question("?", "number", naive=2.0)
RATE = Question("?", "number", logarithmic=True, naive=0.01)


def test_a_number_is_scored_in_widths_of_the_truths_interval() -> None:
    answer = NumberAnswer(1.0, 1.5, 2.0)
    plain, _ = scores_of(LOSS, answer, Outcome(1.6)), None
    in_widths = scores_of(LOSS, answer, Outcome(1.6, (1.55, 1.75)))
    assert [one.name for one in plain] == ["CRPS", "interval"]
    for one, other in zip(plain, in_widths, strict=True):
        assert one.naive is not None and other.naive is not None
        assert (other.value, other.naive, other.scale) == pytest.approx((one.value / 0.2, one.naive / 0.2, one.scale / 0.2))


def test_a_number_that_spans_decades_is_scored_by_its_logarithm() -> None:
    for factor in (1.0, 10.0, 1000.0):
        [crps, _] = scores_of(RATE, NumberAnswer(0.001 * factor, 0.01 * factor, 0.1 * factor), Outcome(0.02 * factor))
        assert crps.value == pytest.approx(scores.crps(math.log(0.1), 0, math.log(10), math.log(2)))


def test_what_cannot_be_scored_has_no_score() -> None:
    assert scores_of(LOSS, NumberAnswer(1, 2, 3), Outcome(None)) == []
    assert scores_of(RATE, NumberAnswer(1, 2, 3), Outcome(-1.0)) == []
    assert not is_inside(NumberAnswer(1, 2, 3), Outcome(None))


def test_a_certain_number_is_inside_when_it_is_right() -> None:
    sure = NumberAnswer(0.1 + 0.2, 0.1 + 0.2, 0.1 + 0.2)
    assert is_inside(sure, Outcome(0.3))
    assert not is_inside(sure, Outcome(0.3001))


# ------------------------------------------------------------------------------------------------------------ calibration


def scored(question: Question, answer: Answer, truth: float | str | bool, who: str = "learner", late: bool = False) -> Bet:
    return Bet("", who, Target("", ""), question, answer, "2026-12-01T00:00:00Z", late, Outcome(truth))


def planted(width: float, count: int = 200, seed: int = 1) -> list[Bet]:
    """Bets of one who knows every number up to a normal error of sd 1, and says intervals of `width` times the right one."""
    noise = np.random.default_rng(seed).normal(size=(count, 2))
    return [
        scored(LOSS, NumberAnswer(middle - width * TENTH, middle, middle + width * TENTH), middle + error)
        for middle, error in zip((10 + noise[:, 0]).tolist(), noise[:, 1].tolist(), strict=True)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_forecaster_with_a_known_spread_is_found_calibrated(seed: int) -> None:
    found = calibration("learner", planted(1.0, seed=seed))
    assert found.held.count == 200
    assert abs(found.held.hits / 200 - 0.8) <= 0.08
    assert "which does not contradict 80 %" in next(calibration_lines(found))
    assert abs(found.below.hits / 200 - 0.5) <= 0.1


def test_the_ledger_gives_the_same_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bets = planted(1.0, count=30)
    for number, bet in enumerate(bets):
        assert bet.outcome
        settle(place(bet.question, Target(f"{number}", f"{number}"), bet.answer, already_run=False), bet.outcome.truth)
    assert list(calibration_lines(calibration("learner", read_bets()))) == list(calibration_lines(calibration("learner", bets)))
    assert problems() == []


@pytest.mark.parametrize(("width", "verdict"), [(0.4, "too narrow"), (2.5, "too wide")])
def test_a_forecaster_who_is_too_sure_or_too_careful_is_told_so(width: float, verdict: str) -> None:
    found = calibration("learner", planted(width))
    assert next(calibration_lines(found)).endswith(f", {verdict}.")
    assert found.width == pytest.approx(2 * width * TENTH / 10, rel=0.1)


def test_the_honest_width_has_the_lowest_scores_of_a_forecaster() -> None:
    def mean(width: float) -> list[float]:
        bets = [(bet, scores_of(bet.question, bet.answer, bet.outcome)) for bet in planted(width, 1000) if bet.outcome]
        return [float(np.mean([found[at].value for _, found in bets])) for at in (0, 1)]

    honest = mean(1.0)
    for width in (0.4, 0.7, 1.5, 2.5):
        assert all(other > one for other, one in zip(mean(width), honest, strict=True))


def test_probabilities_that_are_true_lie_on_the_diagonal_and_others_do_not() -> None:
    rng = np.random.default_rng(3)
    said = rng.choice([0.5, 0.6, 0.7, 0.8, 0.95], size=1000)
    right = rng.random(1000) < said

    def bins(report: float) -> Calibration:
        answers = (YesNoAnswer(float(chance) if report == 0 else report) for chance in said)
        truths = (bool(one) for one in right)
        bets = [scored(Question("?", "yesno"), answer, truth) for answer, truth in zip(answers, truths, strict=True)]
        return calibration("learner", bets)

    honest = bins(0)
    assert [one.right.count for one in honest.bins] == [int((said == chance).sum()) for chance in (0.5, 0.6, 0.7, 0.8, 0.95)]
    for one in honest.bins:
        low, high = one.right.interval
        assert low <= one.said <= high or abs(one.right.hits / one.right.count - one.said) < 0.08
    [always] = bins(0.99).bins
    assert always.right.interval[1] < always.said
    assert honest.skills["yesno"][0] > 0 > bins(0.99).skills["yesno"][0]


def test_a_no_and_a_choice_are_read_by_their_most_probable_answer() -> None:
    nets = Question("?", "choice", choices=("relu", "tanh"))
    found = calibration(
        "learner",
        [
            scored(Question("?", "yesno"), YesNoAnswer(0.1), truth=False),
            scored(nets, ChoiceAnswer({"relu": 0.3, "tanh": 0.7}), "relu"),
        ],
    )
    assert [(one.said, one.right.hits, one.right.count) for one in found.bins] == [(0.7, 0, 1), (0.9, 1, 1)]
    assert found.boldness == pytest.approx(0.8)


def test_intervals_that_the_program_chose_are_counted_apart() -> None:
    given = NumberAnswer(1.5, 2, 2.5, "you gave no width")
    bets = [scored(LOSS, NumberAnswer(1, 2, 3), 2.2), scored(LOSS, given, 9.0), scored(LOSS, given, 1.9)]
    found = calibration("learner", bets)
    assert (found.held, found.given, found.below) == (Share(1, 1), Share(1, 2), Share(1, 3))
    assert found.width == 1, "of the own one"
    assert found.skills["number"][1] == 3, "their numbers were the learner's"
    told = list(calibration_lines(found))
    assert any("numbers without a width" in line and "1 of 2" in line and "counted apart" in line for line in told)
    assert len(draw_calibration(bets).axes[0].lines) == 3, "its line, the legend's dot, and one bet"


def test_each_skill_names_the_naive_guess() -> None:
    ranked = Question("?", "order", choices=("a", "b"))
    bets = [
        scored(LOSS, NumberAnswer(1, 2, 3), 2.2),
        scored(Question("?", "choice", choices=("a", "b")), ChoiceAnswer({"a": 0.7, "b": 0.3}), "a"),
        scored(Question("?", "yesno"), YesNoAnswer(0.7), truth=True),
        Bet("", "learner", Target("", ""), ranked, OrderAnswer(("a", "b")), "", False, Outcome(("a", "b"))),
    ]
    told = [line for line in calibration_lines(calibration("learner", bets)) if "skill" in line]
    naive = (
        "the question's own, ± 25 %.",
        "the same probability for each label.",
        "any order, half of all pairs right.",
        "50 %.",
    )
    assert len(told) == 4 and all(line.endswith(f"the naive guess: {guess}") for line, guess in zip(told, naive, strict=True))


# ---------------------------------------------------------------------------------------------------------------- the table


SPOILT = Question("?", "choice", choices=("no causal mask", "inverted mask", "healthy", "labels shifted by one"))
GUESSED = ChoiceAnswer({"no causal mask": 0.75, "inverted mask": 0.2, "healthy": 0.03, "labels shifted by one": 0.02})
NETS = Question("?", "order", choices=("relu", "tanh", "sigmoid"))
EVERY_KIND: list[tuple[Target, Question, Answer, float | str | bool | tuple[str, ...]]] = [
    (Target("study loss-at-start: loss", ""), LOSS, NumberAnswer(4.1, 4.2, 4.3), 4.264),
    (Target("day1 attention-weights", ""), Question("?", "number", "weights"), NumberAnswer(2e6, 3e6, 4e6), 4_998_400.0),
    (Target("blind fault 123456 of level 1", ""), SPOILT, GUESSED, "labels shifted by one"),
    (Target("day1 gradient-by-activation", ""), NETS, OrderAnswer(("relu", "tanh", "sigmoid")), ("tanh", "relu", "sigmoid")),
    (Target("day1 gradient-order", ""), NETS, OrderAnswer(("relu", "tanh", "sigmoid")), ("relu", "tanh", "sigmoid")),
    (Target("study lr-sweep: claim 1", ""), Question("?", "yesno"), YesNoAnswer(0.7), True),
]


def listed(width: int) -> list[str]:
    bets = [
        Bet("", "learner", target, question, answer, "2026-12-01T00:00:00Z", False, Outcome(truth))
        for target, question, answer, truth in EVERY_KIND
    ]
    console = Console(width=width, file=io.StringIO())
    console.print(bets_table(bets, width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40])
def test_the_table_of_bets_breaks_no_word(width: int) -> None:
    lines = listed(width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for target, _, _, _ in EVERY_KIND:
        for word in target.name.removeprefix("study ").split():
            assert word in words
    for word in ("4.998e6", "sigmoid", "shifted", "2026-12-01", "outside", "inverted"):
        assert word in words


def test_the_table_says_inside_or_outside_of_numbers_and_right_or_wrong_of_the_rest() -> None:
    ends = [" ".join(line.split()) for line in listed(200) if "2026-12-01" in line]
    said = ("4.264 inside", "4.998e6 outside", "by one wrong", "wrong, 2 of 3 pairs right", "sigmoid right", "yes right")
    assert len(ends) == len(said) and all(line.endswith(words) for line, words in zip(ends, said, strict=True))
    assert "no causal mask 75 %, inverted mask 20 %, … " in "\n".join(listed(200))


def test_late_bets_and_those_of_others_are_not_counted() -> None:
    answer = NumberAnswer(1, 2, 3)
    bets = [scored(LOSS, answer, 2.0), scored(LOSS, answer, 9.0, late=True), scored(LOSS, answer, 9.0, who="doctor")]
    assert calibration("learner", bets).held == Share(1, 1)
    assert calibration("doctor", bets).held == Share(0, 1)


def test_a_share_is_told_with_its_interval() -> None:
    assert str(Share(8, 10)) == "8 of 10 (49% to 94%)"
    assert str(Share(0, 0)) == "0 of 0 (0% to 100%)"


def test_the_distance_of_a_truth_is_in_half_widths_of_its_side() -> None:
    assert distance(scored(LOSS, NumberAnswer(1, 2, 4), 3.0)) == 0.5
    assert distance(scored(LOSS, NumberAnswer(1, 2, 4), 1.0)) == -1
    assert distance(scored(RATE, NumberAnswer(0.001, 0.01, 0.1), 0.1)) == pytest.approx(1)
    assert distance(scored(LOSS, NumberAnswer(2, 2, 2), 2.0)) == 0
    assert distance(scored(LOSS, NumberAnswer(2, 2, 2), 3.0)) == math.inf
    assert distance(scored(Question("?", "yesno"), YesNoAnswer(0.5), truth=True)) is None


@pytest.mark.parametrize("kinds", ["numbers", "chances", "both"])
def test_the_picture_has_the_bets_of_the_learner_and_of_the_lab(kinds: str, tmp_path: Path) -> None:
    numbers = [*planted(1.0, 12), *(scored(one.question, one.answer, 99.0, who="doctor") for one in planted(1.0, 3))]
    said = [scored(Question("?", "yesno"), YesNoAnswer(0.7), truth=place % 3 > 0) for place in range(12)]
    figure = draw_calibration({"numbers": numbers, "chances": said, "both": [*numbers, *said]}[kinds])
    assert len(figure.axes) == (2 if kinds == "both" else 1)
    legends = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
    assert ("the doctor: 0 of 3 inside" in legends) == (kinds != "chances")
    assert ("you: 12 bets" in legends) == (kinds != "numbers")
    assert png(figure, dpi=50).startswith(b"\x89PNG")


def test_orders_have_a_skill_against_a_random_order() -> None:
    ranked = Question("?", "order", choices=("a", "b", "c"))
    bets = [Bet("", "learner", Target("", ""), ranked, OrderAnswer(("a", "b", "c")), "", False, Outcome(("a", "c", "b")))]
    assert calibration("learner", bets).skills["order"] == (pytest.approx(1 - 1 / 1.5), 1)
