"""From what is typed to an answer: numbers with an interval, labels with probabilities, orders, yes and no."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from pipeline.figures.words import formatted
from pipeline.lab.bets.question import Answer, ChoiceAnswer, NumberAnswer, OrderAnswer, Question, YesNoAnswer, percent
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

ALONE = 0.8  # the probability of a label, a yes or a no that is given without one
WIDTH = 0.25  # relative half width of a number's interval, where nothing is known of the learner

SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9}  # of letters behind a number
UNSAID = "numbers"  # a unit that says nothing

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_MARK = rf"([%{''.join(SCALES)}]?)"
_PLUS_MINUS = re.compile(rf"({_NUMBER}){_MARK}(?:±|\+-|\+/-|-\+)({_NUMBER}){_MARK}")
_RANGE = re.compile(rf"({_NUMBER}){_MARK}(?:\.\.+|…|to|(?<=[\d.%{''.join(SCALES)}])-)({_NUMBER}){_MARK}")
_LONE = re.compile(rf"({_NUMBER}){_MARK}")
_SHARE = re.compile(r"(\d+\.?\d*|\.\d+)%?")


def parse_answer(question: Question, text: str, spread: float | None = None) -> Answer:
    """The answer that a text gives to a question.

    Args:
        spread: relative half width of the learner's 80 % interval so far, for a number given alone; None = unknown.

    Raises:
        UserError: it is not an answer to this question.
    """
    text = " ".join(text.split())
    if not text:
        raise UserError(f"no answer; {form_of(question)}")
    match question.kind:
        case "number":
            return _number(question, text, spread)
        case "choice":
            return _choice(question, text)
        case "order":
            return _order(question, text)
        case _:
            return _yes_no(text)


FORMS = {
    "number": "write an 80 % interval such as {}, or a number alone",
    "choice": "write a label, if you like with its probability in percent: relu 70, or several: relu 60 tanh 30",
    "order": "write all labels, the largest first: relu > tanh > sigmoid",
    "yesno": "write y or n, if you like with its probability in percent: y 70",
}
"""Of each kind of question, how it is answered."""


def form_of(question: Question) -> str:
    """How a question is answered."""
    return FORMS[question.kind].format(example_of(question))


def example_of(question: Question) -> str:
    """An interval as an example, in two forms. Its digits are the same for every question, and only its size is that of the
    naive guess: it shows how a number of this size is written, and nothing of the answer.

    >>> example_of(Question("", "number", "weights", naive=1e6)), example_of(Question("", "number"))
    ('2M..3M or 2.5M ± 0.5M weights', '2..3 or 2.5 ± 0.5')
    """
    unit = "" if question.unit in ("", "%", UNSAID) else f" {question.unit}"
    naive = question.naive if isinstance(question.naive, int | float) else 0.0
    if naive < 0:
        return f"-0.2..0.3 or 0.1 ± 0.2{unit}"  # of either sign
    power = math.floor(math.log10(naive)) if naive else 0
    power = min(power, 1) if question.unit == "%" else power
    mark, scale = "%" if question.unit == "%" else "", 1.0
    for letter in ("k", "M", "B"):
        if 10.0**power >= SCALES[letter]:
            mark, scale = letter, SCALES[letter]
    low, middle, high, half = (f"{digits * 10.0**power / scale:.6g}{mark}" for digits in (2, 2.5, 3, 0.5))
    return f"{low}..{high} or {middle} ± {half}{unit}"


# --------------------------------------------------------------------------------------------------------------- numbers


def _number(question: Question, text: str, spread: float | None) -> NumberAnswer:
    bare = re.sub(r"\s+", "", text.replace("\N{MINUS SIGN}", "-")).removeprefix("=").removeprefix("~")
    if question.unit and question.unit != "%":
        bare = bare.removesuffix(re.sub(r"\s+", "", question.unit))
    if re.search(r"\d,\d", bare):
        raise UserError(f"{text}: has a comma; write a point before decimals (4.2), and thousands without a mark (4200)")
    if found := _PLUS_MINUS.fullmatch(bare):
        is_share = found[4] == "%" and found[2] != "%" and question.unit != "%"  # of the number before it
        if is_share:
            middle = _value(question, text, found[1], found[2])
            half = abs(middle) * float(found[3]) / 100
        else:
            middle, half = _pair(question, text, found, makes_sense=lambda middle, half: half <= abs(middle))
        if half < 0:
            raise UserError(f"{text}: the part after ± is negative")
        return _checked(question, text, middle - half, middle, middle + half)
    if found := _RANGE.fullmatch(bare):
        low, high = _pair(question, text, found, makes_sense=lambda low, high: low <= high)
        if low > high:
            raise UserError(f"{text}: ends below its beginning; write {found[3]}{found[4]}..{found[1]}{found[2]}")
        middle = math.sqrt(low * high) if question.logarithmic and low > 0 else (low + high) / 2
        return _checked(question, text, low, middle, high)
    if found := _LONE.fullmatch(bare):
        return _lone(question, text, _value(question, text, found[1], found[2]), spread)
    raise UserError(f"{text}: is not a number{_of(question)}; {form_of(question)}")


def _pair(
    question: Question, text: str, found: re.Match[str], makes_sense: Callable[[float, float], bool]
) -> tuple[float, float]:
    """Both numbers. A mark that only one has is of both (2..3M), unless that makes no sense (500..1M)."""
    first, second = found[2] or found[4], found[4] or found[2]
    shared = _value(question, text, found[1], first), _value(question, text, found[3], second)
    if "%" in (first, second) or makes_sense(*shared):
        return shared
    return _value(question, text, found[1], found[2]), _value(question, text, found[3], found[4])


def _of(question: Question) -> str:
    return f" of {question.unit}" if question.unit not in ("", "%") else ""


def _value(question: Question, text: str, digits: str, mark: str) -> float:
    """A number in the unit of the question."""
    value = float(digits) * SCALES.get(mark, 1.0)
    if mark == "%" and question.unit not in ("", "%"):
        raise UserError(f"{text}: is in percent, and the answer is in {question.unit}")
    if not math.isfinite(value):
        raise UserError(f"{text}: is too large for a number")
    return value / 100 if mark == "%" and question.unit == "" else value


def _lone(question: Question, text: str, value: float, spread: float | None) -> NumberAnswer:
    """A number alone, with an interval around it that the program chooses."""
    width = WIDTH if spread is None else spread
    origin = "you gave no width, and this is the usual one"
    if spread is not None:
        origin = "you gave no width, and your past numbers alone missed by about so much"
    if value == 0:
        raise UserError(f"{text}: leaves the width of your interval open; write one, such as -0.1..0.1")
    if question.logarithmic and value > 0:
        low, high = value / (1 + width), value * (1 + width)
        return _checked(question, text, low, value, high, f"÷ or × {formatted(1 + width)}: {origin}")
    half = abs(value) * width
    return _checked(question, text, value - half, value, value + half, f"± {percent(width)}: {origin}")


def _checked(question: Question, text: str, low: float, middle: float, high: float, assumed: str = "") -> NumberAnswer:
    if question.logarithmic and low <= 0:
        raise UserError(f"{text}: reaches {formatted(low)}, and the answer is above 0; write LOW..HIGH, such as 0.003..0.03")
    return NumberAnswer(low, middle, high, assumed)


# ---------------------------------------------------------------------------------------------------------------- labels


def _label(question: Question, word: str) -> str | None:
    """The label that a word names: itself, an unambiguous beginning, or its number; None where there is none.

    Raises:
        UserError: several labels begin so.
    """
    labels = {label.casefold(): label for label in question.choices}
    key = word.casefold()
    if key in labels:
        return labels[key]
    starting = [label for low, label in labels.items() if low.startswith(key)]
    if len(starting) > 1:
        raise UserError(f"{word}: is the beginning of {' and of '.join(starting)}; write more letters")
    if starting:
        return starting[0]
    numbered = key.isdecimal() and not any(_SHARE.fullmatch(label) for label in question.choices)
    return question.choices[int(key) - 1] if numbered and 1 <= int(key) <= len(question.choices) else None


def _known(question: Question, word: str) -> UserError:
    return UserError(f"there is no '{word}' to choose. {suggest(word, question.choices)}")


def _probability(word: str) -> float:
    """A probability in percent, as a share."""
    value = float(word.removesuffix("%"))
    if value > 100:
        raise UserError(f"{word}: is more than 100 %")
    if 0 < value < 1:
        raise UserError(f"{word}: is below 1 %; probabilities are in percent: write {100 * value:g} for {100 * value:g} %")
    return value / 100


def _choice(question: Question, text: str) -> ChoiceAnswer:
    words = re.sub(r"[,;:=]+(?=\s|$)|(?<=\S)[:=](?=\S)", " ", re.sub(r"(?<=\d)\s+%", "%", text)).split()
    given: dict[str, float] = {}
    assumed, at = "", 0
    while at < len(words):
        for end in range(len(words), at, -1):  # the longest label that begins here
            if label := _label(question, " ".join(words[at:end])):
                break
        else:
            raise _known(question, words[at])
        if label in given:
            raise UserError(f"{text}: names {label} twice")
        at = end
        if at < len(words) and _SHARE.fullmatch(words[at]):
            given[label] = _probability(words[at])
            at += 1
        elif len(given) or at < len(words):
            raise UserError(f"{text}: gives {label} no probability; write one after each label: relu 60 tanh 30")
        else:
            given[label] = ALONE
            assumed = f"{percent(ALONE)}: you gave no probability"
    total, others = sum(given.values()), [label for label in question.choices if label not in given]
    if total > 1 + 1e-9:
        raise UserError(f"{text}: the probabilities sum to {percent(total)}, which is more than 100 %")
    if not others and total < 1 - 1e-9:
        raise UserError(f"{text}: the probabilities sum to {percent(total)}, and every label has one; they must sum to 100 %")
    rest = max(0.0, 1 - total) / max(1, len(others))
    return ChoiceAnswer({label: given.get(label, rest) for label in question.choices}, assumed)


def _order(question: Question, text: str) -> OrderAnswer:
    if ">" in text and "<" in text:
        raise UserError(f"{text}: has both > and <; use one of them")
    words = [word.strip() for word in re.split(r"[<>,;]", text)]
    if len(words) == 1:
        words = text.split()
    order = []
    for word in words:
        if (label := _label(question, word) if word else None) is None:
            raise _known(question, word)
        if label in order:
            raise UserError(f"{text}: names {label} twice")
        order.append(label)
    if missing := [label for label in question.choices if label not in order]:
        raise UserError(f"{text}: lacks {', '.join(missing)}; {FORMS['order']}")
    return OrderAnswer(tuple(reversed(order) if "<" in text else order))


def _yes_no(text: str) -> YesNoAnswer:
    words = re.sub(r"(?<=\d)\s+%", "%", text.casefold().replace(",", " ")).split()
    word = words[0]
    says = True if word in ("y", "yes", "true") else False if word in ("n", "no", "false") else None
    if says is None and len(words) == 1 and _SHARE.fullmatch(word):
        return YesNoAnswer(_probability(word), f"{word.removesuffix('%')} % for yes: you gave a probability alone")
    if says is None or len(words) > 2 or (len(words) == 2 and not _SHARE.fullmatch(words[1])):
        raise UserError(f"{text}: is neither yes nor no; {FORMS['yesno']}")
    if len(words) == 1:
        return YesNoAnswer(ALONE if says else 1 - ALONE, f"{percent(ALONE)}: you gave no probability")
    share = _probability(words[1])
    if share < 0.5:
        other = "no" if says else "yes"
        raise UserError(f"{text}: is below 50 %; if you mean it, write {other} {100 * (1 - share):g}")
    return YesNoAnswer(share if says else 1 - share)
