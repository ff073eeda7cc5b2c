"""What learners type as a bet, and how it is understood."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.bets.answers import FORMS, example_of, form_of, parse_answer
from pipeline.lab.bets.question import (
    ANSWERS,
    ChoiceAnswer,
    Kind,
    NumberAnswer,
    OrderAnswer,
    Question,
    YesNoAnswer,
    answer_from,
    answer_json,
    question_from,
    question_json,
)
from pipeline.params.errors import UserError

LOSS = Question("How high is the loss?", "number", "nats")
RATE = Question("Which learning rate is best?", "number", logarithmic=True)
SHARE = Question("How many are right?", "number", "%")
BARE = Question("What share is right?", "number")
COUNT = Question("How many weights?", "number", "weights", naive=1e6)
NETS = Question("Which learns?", "choice", choices=("relu", "tanh", "sigmoid", "silu"))
SIZES = Question("Which batch?", "choice", choices=("8", "16", "64"))
FAULTS = Question("Which fault?", "choice", choices=("no mask", "no residuals", "healthy"))
RANKED = Question("Which gradient is largest?", "order", choices=("relu", "tanh", "sigmoid"))
WILL = Question("Will it hold?", "yesno")


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 9) for name, value in values.items()}


@pytest.mark.parametrize(
    ("question", "text", "low", "median", "high"),
    [
        (LOSS, "4.2 ± .1", 4.1, 4.2, 4.3),
        (LOSS, "4.2±0.1", 4.1, 4.2, 4.3),
        (LOSS, "4.2 +- 0.1", 4.1, 4.2, 4.3),
        (LOSS, "4.2 +/- 0.1 nats", 4.1, 4.2, 4.3),
        (LOSS, "4.1..4.3", 4.1, 4.2, 4.3),
        (LOSS, "4.1 … 4.3", 4.1, 4.2, 4.3),
        (LOSS, "4.1 to 4.3", 4.1, 4.2, 4.3),
        (LOSS, "4.1 - 4.3", 4.1, 4.2, 4.3),
        (LOSS, "-.5..0.5", -0.5, 0.0, 0.5),
        (LOSS, "-2 - -1", -2, -1.5, -1),
        (LOSS, "−1..1", -1, 0, 1),
        (LOSS, "4", 3, 4, 5),
        (LOSS, "-4 nats", -5, -4, -3),
        (LOSS, "4 ± 10 %", 3.6, 4, 4.4),
        (LOSS, "4998400 ± 0", 4998400, 4998400, 4998400),
        (LOSS, "4..4", 4, 4, 4),
        (LOSS, "1e-3..3e-3", 1e-3, 2e-3, 3e-3),
        (RATE, "1e-3..1e-1", 1e-3, 1e-2, 1e-1),
        (RATE, "0.01 ± 0.005", 0.005, 0.01, 0.015),
        (RATE, "0.01", 0.008, 0.01, 0.0125),
        (SHARE, "80 %", 60, 80, 100),
        (SHARE, "80", 60, 80, 100),
        (SHARE, "80 ± 5", 75, 80, 85),
        (SHARE, "80 ± 5 %", 75, 80, 85),
        (SHARE, "75%..85%", 75, 80, 85),
        (BARE, "75..85 %", 0.75, 0.8, 0.85),
        (BARE, "80%", 0.6, 0.8, 1.0),
        (BARE, "30%..80%", 0.3, 0.55, 0.8),
        (LOSS, "4.16 to 4.3", 4.16, 4.23, 4.3),
        (COUNT, "5M ± 0.1M", 4.9e6, 5e6, 5.1e6),
        (COUNT, "5M ± 100k weights", 4.9e6, 5e6, 5.1e6),
        (COUNT, "5M ± 2 %", 4.9e6, 5e6, 5.1e6),
        (COUNT, "5M ± 1000", 4999000, 5e6, 5001000),
        (COUNT, "4.9..5.1M", 4.9e6, 5e6, 5.1e6),
        (COUNT, "500..1M", 500, 500250, 1e6),
        (COUNT, "4.9e6 - 5.1e6", 4.9e6, 5e6, 5.1e6),
        (COUNT, "2k-3k", 2e3, 2.5e3, 3e3),
        (COUNT, "4k", 3e3, 4e3, 5e3),
        (COUNT, "1.2e6", 0.9e6, 1.2e6, 1.5e6),
    ],
)
def test_a_number_is_understood(question: Question, text: str, low: float, median: float, high: float) -> None:
    answer = parse_answer(question, text)
    assert isinstance(answer, NumberAnswer)
    assert (answer.low, answer.median, answer.high) == pytest.approx((low, median, high), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("question", "text", "probabilities"),
    [
        (NETS, "relu", {"relu": 0.8, "tanh": 0.2 / 3, "sigmoid": 0.2 / 3, "silu": 0.2 / 3}),
        (NETS, "TANH 70", {"relu": 0.1, "tanh": 0.7, "sigmoid": 0.1, "silu": 0.1}),
        (NETS, "sig 70 %", {"relu": 0.1, "tanh": 0.1, "sigmoid": 0.7, "silu": 0.1}),
        (NETS, "2 70", {"relu": 0.1, "tanh": 0.7, "sigmoid": 0.1, "silu": 0.1}),
        (NETS, "relu 60 t 30", {"relu": 0.6, "tanh": 0.3, "sigmoid": 0.05, "silu": 0.05}),
        (NETS, "relu: 60, tanh: 30", {"relu": 0.6, "tanh": 0.3, "sigmoid": 0.05, "silu": 0.05}),
        (NETS, "r=60%, t=40%", {"relu": 0.6, "tanh": 0.4, "sigmoid": 0, "silu": 0}),
        (NETS, "relu 0", {"relu": 0, "tanh": 1 / 3, "sigmoid": 1 / 3, "silu": 1 / 3}),
        (NETS, "r 25 t 25 sig 25 sil 25", dict.fromkeys(NETS.choices, 0.25)),
        (SIZES, "16", {"8": 0.1, "16": 0.8, "64": 0.1}),
        (SIZES, "16 60 64 20", {"8": 0.2, "16": 0.6, "64": 0.2}),
        (SIZES, "6 60", {"8": 0.2, "16": 0.2, "64": 0.6}),
        (FAULTS, "no mask 70", {"no mask": 0.7, "no residuals": 0.15, "healthy": 0.15}),
        (FAULTS, "no mask 60 no res 30 h 10", {"no mask": 0.6, "no residuals": 0.3, "healthy": 0.1}),
        (FAULTS, "3", {"no mask": 0.1, "no residuals": 0.1, "healthy": 0.8}),
    ],
)
def test_a_choice_is_understood(question: Question, text: str, probabilities: dict[str, float]) -> None:
    answer = parse_answer(question, text)
    assert isinstance(answer, ChoiceAnswer)
    assert rounded(dict(answer.probabilities)) == rounded(probabilities)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("relu > tanh > sigmoid", "relu tanh sigmoid"),
        ("r>t>s", "relu tanh sigmoid"),
        ("sigmoid < tanh < relu", "relu tanh sigmoid"),
        ("tanh, relu, sigmoid", "tanh relu sigmoid"),
        ("2 > 1 > 3", "tanh relu sigmoid"),
        ("s t r", "sigmoid tanh relu"),
    ],
)
def test_an_order_is_understood(text: str, order: str) -> None:
    assert parse_answer(RANKED, text) == OrderAnswer(tuple(order.split()))


@pytest.mark.parametrize(
    ("text", "probability"),
    [
        ("y 70", 0.7),
        ("yes", 0.8),
        ("N", 0.2),
        ("no 60 %", 0.4),
        ("y 50", 0.5),
        ("y, 100", 1.0),
        ("70", 0.7),
        ("30 %", 0.3),
        ("no 100", 0.0),
    ],
)
def test_a_yes_or_no_is_understood(text: str, probability: float) -> None:
    answer = parse_answer(WILL, text)
    assert isinstance(answer, YesNoAnswer)
    assert answer.probability == pytest.approx(probability)


@pytest.mark.parametrize(
    ("question", "text", "says"),
    [
        (LOSS, "", f"no answer; {form_of(LOSS)}"),
        (LOSS, "high", f"high: is not a number of nats; {form_of(LOSS)}"),
        (LOSS, "4.2 bits", f"4.2 bits: is not a number of nats; {form_of(LOSS)}"),
        (LOSS, "nan", f"nan: is not a number of nats; {form_of(LOSS)}"),
        (LOSS, "1e999", "1e999: is too large for a number"),
        (LOSS, "4.3..4.1", "4.3..4.1: ends below its beginning; write 4.1..4.3"),
        (LOSS, "4,2", "4,2: has a comma; write a point before decimals (4.2), and thousands without a mark (4200)"),
        (LOSS, "4 ± -1", "4 ± -1: the part after ± is negative"),
        (LOSS, "80 %", "80 %: is in percent, and the answer is in nats"),
        (LOSS, "0", "0: leaves the width of your interval open; write one, such as -0.1..0.1"),
        (RATE, "0.01 ± 0.02", "0.01 ± 0.02: reaches -0.01, and the answer is above 0; write LOW..HIGH, such as 0.003..0.03"),
        (RATE, "-1", "-1: reaches -1.25, and the answer is above 0; write LOW..HIGH, such as 0.003..0.03"),
        (NETS, "rellu", "there is no 'rellu' to choose. Did you mean 'relu'? Known: relu, tanh, sigmoid, silu"),
        (NETS, "s 60", "s: is the beginning of sigmoid and of silu; write more letters"),
        (NETS, "5", "there is no '5' to choose. Known: relu, tanh, sigmoid, silu"),
        (NETS, "relu 120", "120: is more than 100 %"),
        (NETS, "relu 0.8", "0.8: is below 1 %; probabilities are in percent: write 80 for 80 %"),
        (NETS, "relu 60 tanh 60", "relu 60 tanh 60: the probabilities sum to 120 %, which is more than 100 %"),
        (NETS, "relu 60 tanh", "relu 60 tanh: gives tanh no probability; write one after each label: relu 60 tanh 30"),
        (NETS, "relu tanh 30", "relu tanh 30: gives relu no probability; write one after each label: relu 60 tanh 30"),
        (NETS, "relu 60 relu 30", "relu 60 relu 30: names relu twice"),
        (
            SIZES,
            "8 20 16 20 64 20",
            "8 20 16 20 64 20: the probabilities sum to 60 %, and every label has one; they must sum to 100 %",
        ),
        (RANKED, "relu > tanh", f"relu > tanh: lacks sigmoid; {FORMS['order']}"),
        (RANKED, "relu > tanh > relu", "relu > tanh > relu: names relu twice"),
        (RANKED, "relu > tanh < sigmoid", "relu > tanh < sigmoid: has both > and <; use one of them"),
        (RANKED, "relu > gelu > tanh", "there is no 'gelu' to choose. Did you mean 'relu'? Known: relu, tanh, sigmoid"),
        (RANKED, "relu > > tanh", "there is no '' to choose. Known: relu, tanh, sigmoid"),
        (WILL, "maybe", f"maybe: is neither yes nor no; {FORMS['yesno']}"),
        (WILL, "y 70 80", f"y 70 80: is neither yes nor no; {FORMS['yesno']}"),
        (WILL, "yes 30", "yes 30: is below 50 %; if you mean it, write no 70"),
        (WILL, "y .7", ".7: is below 1 %; probabilities are in percent: write 70 for 70 %"),
    ],
)
def test_what_is_not_an_answer_is_told_why(question: Question, text: str, says: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_answer(question, text)
    assert str(refused.value) == says


@pytest.mark.parametrize(
    ("question", "text", "assumed"),
    [
        (LOSS, "4", "± 25 %: you gave no width, and this is the usual one"),
        (RATE, "4", "÷ or × 1.25: you gave no width, and this is the usual one"),
        (NETS, "relu", "80 %: you gave no probability"),
        (WILL, "y", "80 %: you gave no probability"),
        (WILL, "70", "70 % for yes: you gave a probability alone"),
        (LOSS, "3..4", ""),
        (WILL, "y 70", ""),
    ],
)
def test_what_was_assumed_is_said(question: Question, text: str, assumed: str) -> None:
    assert parse_answer(question, text).assumed == assumed


def test_a_lone_number_gets_the_width_of_the_past() -> None:
    answer = parse_answer(LOSS, "4", 0.5)
    assert answer == NumberAnswer(2, 4, 6, "± 50 %: you gave no width, and your past numbers alone missed by about so much")


@pytest.mark.parametrize(
    ("question", "example"),
    [
        (COUNT, "2M..3M or 2.5M ± 0.5M weights"),
        (replace(COUNT, naive=2560), "2k..3k or 2.5k ± 0.5k weights"),
        (replace(COUNT, naive=60_000, unit="numbers"), "20k..30k or 25k ± 5k"),
        (replace(LOSS, naive=4.159), "2..3 or 2.5 ± 0.5 nats"),
        (replace(LOSS, naive=-0.1), "-0.2..0.3 or 0.1 ± 0.2 nats"),
        (replace(RATE, naive=0.001), "0.002..0.003 or 0.0025 ± 0.0005"),
        (replace(SHARE, naive=100), "20%..30% or 25% ± 5%"),
        (BARE, "2..3 or 2.5 ± 0.5"),
    ],
)
def test_the_example_has_the_size_and_unit_of_the_question_and_is_an_answer_to_it(question: Question, example: str) -> None:
    assert example_of(question) == example
    interval, _, around = example.removesuffix(question.unit).partition(" or ")
    one, other = parse_answer(question, interval), parse_answer(question, f"{around}{question.unit.strip('%')}")
    assert isinstance(one, NumberAnswer) and isinstance(other, NumberAnswer)
    assert (one.low, one.high) == pytest.approx((other.low, other.high)) or question.naive == -0.1


EXAMPLES = {"number": (LOSS, "4.2"), "choice": (NETS, "relu 60 tanh 30"), "order": (RANKED, "t r s"), "yesno": (WILL, "n")}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_question_and_its_answer_are_equal_when_they_are_read_again(kind: Kind) -> None:
    question, text = EXAMPLES[kind]
    answer = parse_answer(question, text)
    again = answer_from(kind, answer_json(answer))
    assert type(again) is type(answer) is ANSWERS[kind]
    assert again.text(question) == answer.text(question)
    assert question_from(question_json(question)) == question


@given(st.sampled_from((LOSS, RATE, SHARE, BARE, NETS, SIZES, FAULTS, RANKED, WILL)), st.text(max_size=20))
def test_whatever_is_typed_is_an_answer_or_is_told_why(question: Question, text: str) -> None:
    try:
        answer = parse_answer(question, text)
    except UserError:
        return
    match answer:
        case NumberAnswer():
            assert answer.low <= answer.median <= answer.high
        case ChoiceAnswer():
            assert math.isclose(sum(answer.probabilities.values()), 1)
            assert tuple(answer.probabilities) == question.choices
        case OrderAnswer():
            assert sorted(answer.order) == sorted(question.choices)
        case YesNoAnswer():
            assert 0 <= answer.probability <= 1


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.sampled_from(("±", "+-", "+/-", " ± ")))
def test_an_interval_that_is_written_is_the_one_that_is_read(middle: float, half: float, mark: str) -> None:
    answer = parse_answer(LOSS, f"{middle!r}{mark}{half!r}")
    assert isinstance(answer, NumberAnswer)
    assert (answer.low, answer.median, answer.high) == (middle - half, middle, middle + half)
