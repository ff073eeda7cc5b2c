"""What came out of a bet, how good the answer was, and both in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipeline.figures.words import formatted
from pipeline.lab.bets import scores
from pipeline.lab.bets.answers import WIDTH
from pipeline.lab.bets.question import Answer, ChoiceAnswer, NumberAnswer, OrderAnswer, Question, YesNoAnswer, percent


@dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes:
        truth: None where nothing was decided, or a training diverged: then nothing is scored.
        interval: the 95 % confidence interval of a number.
    """

    truth: float | str | bool | tuple[str, ...] | None
    interval: tuple[float, float] | None = None


def outcome_of(truth: Any, interval: Any) -> Outcome:
    """The outcome that a line of the ledger holds."""
    if isinstance(truth, int) and not isinstance(truth, bool):
        truth = float(truth)
    return Outcome(tuple(truth) if isinstance(truth, list) else truth, tuple(interval) if interval else None)


@dataclass(frozen=True)
class Score:
    """How good an answer was.

    Attributes:
        name: of the score; lower is better.
        naive: the score of the naive forecaster; None where there is none.
        scale: the width of the naive forecaster's interval, in the unit of the score. Divided by it, scores of different
            numbers can be summed: it was known before the truth, and no answer can change it.
    """

    name: str
    value: float
    naive: float | None = None
    scale: float = 1.0


def scores_of(question: Question, answer: Answer, outcome: Outcome) -> list[Score]:
    """Every score of an answer, the one that its skill is computed of first.

    Numbers that span decades are scored by their natural logarithms; others in units of the width of the truth's interval,
    where there is one. The naive forecaster says Question.naive with the width of a lone number, all labels alike, a random
    order, 50 %.
    """
    truth = outcome.truth
    match answer:
        case NumberAnswer() if isinstance(truth, float):
            return _of_number(question, answer, truth, outcome.interval)
        case ChoiceAnswer() if isinstance(truth, str):
            alike = {label: 1 / len(question.choices) for label in question.choices}
            named = answer.probabilities.get(truth, 0.0)
            return [
                Score("Brier", scores.brier_of_choice(answer.probabilities, truth), scores.brier_of_choice(alike, truth)),
                Score("log", scores.log_score(named), scores.log_score(alike[truth]) if truth in alike else None),
            ]
        case OrderAnswer() if isinstance(truth, tuple):
            distance = scores.kendall_distance(answer.order, truth)
            return [Score("Kendall", distance, scores.expected_distance(len(truth)))]
        case YesNoAnswer() if isinstance(truth, bool):
            said = answer.probability if truth else 1 - answer.probability
            return [
                Score("Brier", scores.brier(answer.probability, truth), scores.brier(0.5, truth)),
                Score("log", scores.log_score(said), scores.log_score(0.5)),
            ]
        case _:
            return []


def _of_number(question: Question, answer: NumberAnswer, truth: float, interval: tuple[float, float] | None) -> list[Score]:
    ends = (answer.low, answer.median, answer.high)
    naive: tuple[float, float, float] | None = None
    if isinstance(question.naive, int | float) and question.naive:
        middle = float(question.naive)
        naive = (middle / (1 + WIDTH), middle, middle * (1 + WIDTH)) if question.logarithmic else _around(middle)
    unit = 1.0
    if question.logarithmic:
        if truth <= 0:
            return []
        ends, truth = _logs(ends), math.log(truth)
        naive = _logs(naive) if naive and naive[0] > 0 else None
    elif interval and interval[1] > interval[0]:
        unit = interval[1] - interval[0]
    own, other = (
        (scores.crps(*one, truth) / unit, scores.interval_score(one[0], one[2], truth) / unit) if one else (None, None)
        for one in (ends, naive)
    )
    assert own[0] is not None and own[1] is not None
    scale = (naive[2] - naive[0]) / unit if naive else 1.0
    return [Score("CRPS", own[0], other[0], scale), Score("interval", own[1], other[1], scale)]


def _around(middle: float) -> tuple[float, float, float]:
    half = abs(middle) * WIDTH
    return middle - half, middle, middle + half


def _logs(ends: tuple[float, float, float]) -> tuple[float, float, float]:
    low, median, high = map(math.log, ends)
    return low, median, high


def is_inside(answer: Answer, outcome: Outcome) -> bool:
    """Whether an interval holds the truth, as far as numbers of a computer can be told apart."""
    if not isinstance(answer, NumberAnswer) or not isinstance(outcome.truth, float):
        return False
    slack = 1e-9 * max(abs(answer.low), abs(answer.high), abs(outcome.truth))
    return bool(answer.low - slack <= outcome.truth <= answer.high + slack)


def is_right(answer: Answer, outcome: Outcome) -> bool | None:
    """Whether the most probable answer, or the whole order, came out; None of numbers, and where nothing was decided."""
    match answer, outcome.truth:
        case YesNoAnswer(probability), bool(truth):
            return truth == (probability >= 0.5)
        case ChoiceAnswer(probabilities), str(truth):
            return truth == max(probabilities, key=lambda label: probabilities[label])
        case OrderAnswer(order), tuple(truth):
            return order == truth
        case _:
            return None


# -------------------------------------------------------------------------------------------------------------- in words


def outcome_text(question: Question, answer: Answer, outcome: Outcome) -> str:
    """Such as `it was 4.264 (4.254 … 4.274): inside.`."""
    truth = outcome.truth
    match answer:
        case _ if truth is None:
            return "nothing was decided, so the bet is not scored."
        case NumberAnswer() if isinstance(truth, float):
            ends = f" ({formatted(outcome.interval[0], 4)} … {formatted(outcome.interval[1], 4)})" if outcome.interval else ""
            side = "below" if truth < answer.low else "above"
            where = "inside" if is_inside(answer, outcome) else f"outside, {side} it"
            unit = f" {question.unit}" if question.unit else ""
            return f"it was {formatted(truth, 4)}{unit}{ends}: {where}."
        case ChoiceAnswer() if isinstance(truth, str):
            share = answer.probabilities.get(truth, 0.0)
            return (
                f"it was {truth}, to which you gave {percent(share)}. {_brier(question, answer, outcome, 'all labels alike')}"
            )
        case OrderAnswer() if isinstance(truth, tuple):
            pairs = len(truth) * (len(truth) - 1) // 2
            right = pairs - scores.kendall_distance(answer.order, truth)
            return f"it was {' > '.join(truth)}: {right} of {pairs} pairs in the right order; at random half of them are."
        case YesNoAnswer() if isinstance(truth, bool):
            return f"it was {'yes' if truth else 'no'}. {_brier(question, answer, outcome, '50 %')}"
        case _:
            return f"it was {truth}, which is not an answer to the question."


def _brier(question: Question, answer: Answer, outcome: Outcome, naive: str) -> str:
    score = scores_of(question, answer, outcome)[0]
    return f"Brier score {score.value:.2f}; {naive} would have {score.naive:.2f}, and less is better."
