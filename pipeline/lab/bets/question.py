"""What is asked before a run, what an answer says, and what it is a bet on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.artifacts.writing import rounded
from pipeline.figures.words import formatted

Kind = Literal["number", "choice", "order", "yesno"]
Truth = float | str | bool | Sequence[str]
"""What came out: a number, the label of a choice, yes or no, or all labels in order."""

DIGITS = 12  # of numbers in the ledger
LEVEL = 0.8  # of every interval: the share of truths that should lie inside


@dataclass(frozen=True)
class Question:
    """A question about runs that have not run.

    Attributes:
        unit: of a number; with "%" an answer is in percent.
        choices: the labels of a choice, or those to be put in order.
        logarithmic: the number spans decades: distances are those of its logarithm.
        naive: what someone says who did not think: a number, or a label. A bet on a number needs it for its skill.
    """

    text: str
    kind: Kind
    unit: str = ""
    choices: tuple[str, ...] = ()
    logarithmic: bool = False
    naive: float | str | None = None


@dataclass(frozen=True)
class Target:
    """What is bet on.

    Attributes:
        name: such as "study lr-sweep: best train.lr".
        identity: the digest of the runs that decide it.
    """

    name: str
    identity: str


# --------------------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class NumberAnswer:
    """An interval that holds the truth with a probability of 80 %, and the median.

    Attributes:
        assumed: where the interval comes from, if the learner gave a number alone; else "".
    """

    low: float
    median: float
    high: float
    assumed: str = ""

    @property
    def has_own_width(self) -> bool:
        """Whether the learner chose the interval: only such ones say how well someone knows what they know."""
        return not self.assumed

    def text(self, question: Question) -> str:
        """Such as `4.2 ± 0.1 nats`; a number alone that spans decades first: `650,000 weights (520,000 … 812,500)`."""
        unit = f" {question.unit}" if question.unit else ""
        middle = math.sqrt(self.low * self.high) if question.logarithmic else (self.low + self.high) / 2
        if question.logarithmic or not math.isclose(middle, self.median, rel_tol=1e-9, abs_tol=1e-12):
            ends = f"{formatted(self.low, 4)} … {formatted(self.high, 4)}"
            return f"{ends}{unit}" if self.has_own_width else f"{formatted(self.median, 4)}{unit} ({ends})"
        return f"{formatted(self.median, 5)} ± {formatted((self.high - self.low) / 2)}{unit}"


@dataclass(frozen=True)
class ChoiceAnswer:
    """The probability of each label."""

    probabilities: Mapping[str, float] = field(hash=False)
    assumed: str = ""

    def text(self, question: Question) -> str:
        """Such as `relu 80 %, tanh 10 %, sigmoid 10 %`."""
        ordered = sorted(self.probabilities.items(), key=lambda item: -item[1])  # stable: equal ones as in the question
        return ", ".join(f"{label} {percent(share)}" for label, share in ordered)


@dataclass(frozen=True)
class OrderAnswer:
    """All labels, the largest first."""

    order: tuple[str, ...]
    assumed: str = ""

    def text(self, question: Question) -> str:
        """Such as `relu > tanh > sigmoid`."""
        return " > ".join(self.order)


@dataclass(frozen=True)
class YesNoAnswer:
    """The probability of yes."""

    probability: float
    assumed: str = ""

    def text(self, question: Question) -> str:
        """Such as `yes, with 70 %`."""
        return f"{'yes' if self.probability >= 0.5 else 'no'}, with {percent(max(self.probability, 1 - self.probability))}"


Answer = NumberAnswer | ChoiceAnswer | OrderAnswer | YesNoAnswer


def percent(share: float) -> str:
    """A share as 80 %, 12.5 %."""
    return f"{100 * share:.3g} %"


# ---------------------------------------------------------------------------------------------------------------- as JSON


def question_json(question: Question) -> dict[str, Any]:
    """A question for the ledger, without what it does not use."""
    parts = {name: getattr(question, name) for name in ("unit", "choices", "logarithmic", "naive")}
    return {"text": question.text, "kind": question.kind} | {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in parts.items()
        if value not in ("", (), False, None)
    }


def question_from(content: Mapping[str, Any]) -> Question:
    """The question of a line of the ledger."""
    return Question(**{**content, "choices": tuple(content.get("choices", ()))})


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer for the ledger."""
    return {name: _plain(value) for name, value in vars(answer).items() if value != ""}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: rounded(share, DIGITS) for name, share in value.items()}
    return list(value) if isinstance(value, tuple) else rounded(value, DIGITS) if isinstance(value, float) else value


def answer_from(kind: Kind, content: Mapping[str, Any]) -> Answer:
    """The answer of a line of the ledger."""
    if kind == "order":
        return OrderAnswer(tuple(content["order"]))
    return ANSWERS[kind](**content)


ANSWERS: Mapping[Kind, Any] = {
    "number": NumberAnswer,
    "choice": ChoiceAnswer,
    "order": OrderAnswer,
    "yesno": YesNoAnswer,
}
