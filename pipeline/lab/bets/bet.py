"""Bets: placed before the runs, closed when these begin, scored when they have ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.lab.bets.answers import WIDTH
from pipeline.lab.bets.chain import Chain, Line
from pipeline.lab.bets.ledger import append, read_chain
from pipeline.lab.bets.outcomes import Outcome, is_inside, outcome_of, outcome_text
from pipeline.lab.bets.question import (
    Answer,
    NumberAnswer,
    Question,
    Target,
    Truth,
    answer_from,
    answer_json,
    question_from,
    question_json,
)

Who = Literal["learner", "ladder", "plan", "doctor"]
ID_DIGITS = 12
FEWEST_PAST = 5  # numbers alone; with fewer one miss would decide
PAST_SHARE = 0.8
WIDEST = {False: 0.5, True: 1.0}  # relative half width by "logarithmic": ± 50 %, ÷ or × 2


@dataclass(frozen=True)
class Bet:
    """A bet of the ledger.

    Attributes:
        id: the first digits of its line's SHA-256.
        who: the learner, or the part of the lab whose forecast it is.
        when: in UTC.
        late: the runs had begun, or had been run before, when it was placed.
        outcome: what came out; None while it is open.
        replaced: the same one bet on the same again before the runs began, and only the last bet counts.
    """

    id: str
    who: str
    target: Target
    question: Question
    answer: Answer
    when: str
    late: bool
    outcome: Outcome | None = None
    replaced: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is part of the calibration."""
        return not self.late and self.outcome is not None and self.outcome.truth is not None

    @property
    def counts_as_interval(self) -> bool:
        """Whether it is part of the calibration of intervals: its width was chosen by who bet."""
        return self.counts and isinstance(self.answer, NumberAnswer) and self.answer.has_own_width


def place(question: Question, target: Target, answer: Answer, *, already_run: bool, who: Who = "learner") -> Bet:
    """Append a bet to the ledger.

    Args:
        already_run: a record of the runs is here, so that the bet is late.
        who: whose forecast it is.
    """
    content = {
        "kind": "made",
        "when": _now(),
        "who": who,
        "target": vars(target),
        "question": question_json(question),
        "answer": answer_json(answer),
        "already_run": already_run,
    }
    return _bets(append(lambda _: content))[-1]


def begin(target: Target) -> None:
    """Note that the runs of a target begin: later bets on it are late. Nothing is noted in a clone without bets."""

    def content(chain: Chain) -> Mapping[str, Any] | None:
        made = [line for line in chain.sound() if line.kind == "made"]
        begun = [line for line in chain.sound() if _is_begun(line, target.identity)]
        waiting = [
            line
            for line in made
            if line.content["target"]["identity"] == target.identity and not any(chain.is_before(line, one) for one in begun)
        ]
        if not made or (begun and not waiting):
            return None
        return {"kind": "begun", "when": _now(), "target": vars(target)}

    if any(line.kind == "made" for line in read_chain().sound()):
        append(content)


def has_begun(target: Target) -> bool:
    """Whether the runs of a target began here: a bet on them would be late."""
    return any(_is_begun(line, target.identity) for line in read_chain().sound())


def settle(bet: Bet, truth: Truth | None, interval: tuple[float, float] | None = None) -> str:
    """Append what came out, if it was not known, and say how good the bet was.

    Args:
        truth: None, or a number that is not finite (a training diverged), leaves the bet without a score.
        interval: the 95 % confidence interval of a number.

    Returns:
        Such as "you said 4.2 ± 0.1; it was 4.264 (4.254 … 4.274): inside. Your 80 % intervals so far held 7 of 11."
    """
    ends = [float(end) for end in interval] if interval and all(map(math.isfinite, interval)) else None
    content = {"kind": "scored", "when": _now(), "bet": bet.id, "truth": _plain(bet.question, truth), "interval": ends}
    chain = append(
        lambda chain: (
            None if any(line.kind == "scored" and line.content["bet"] == bet.id for line in chain.sound()) else content
        )
    )
    bets = _bets(chain)
    scored = next(other for other in bets if other.id == bet.id)
    assert scored.outcome is not None
    who = "you" if bet.who == "learner" else f"the {bet.who}"
    outcome = outcome_text(bet.question, bet.answer, scored.outcome)
    return f"{who} said {bet.answer.text(bet.question)}; {outcome}{_so_far(scored, bets)}"


def _so_far(bet: Bet, bets: Sequence[Bet]) -> str:
    """What the bets of the same one say together, or why this one is not among them."""
    if bet.late:
        return " The bet was late (its runs had begun), so it does not count."
    numbers = [one for one in bets if one.counts_as_interval and one.who == bet.who]
    if isinstance(bet.answer, NumberAnswer) and not bet.answer.has_own_width and bet.counts:
        return " The width was not yours, so it does not count among your 80 % intervals."
    if bet.question.kind != "number" or not numbers:
        return ""
    held = sum(is_inside(one.answer, one.outcome) for one in numbers)  # type: ignore[arg-type]
    whose = "Your" if bet.who == "learner" else "Its"
    return f" {whose} 80 % intervals so far held {held} of {len(numbers)}."


def read_bets() -> list[Bet]:
    """All bets, in the order of the ledger."""
    return _bets(read_chain())


def open_bets(target: Target | None = None) -> list[Bet]:
    """The bets that wait for their runs: all, or those on one target."""
    return [bet for bet in read_bets() if bet.outcome is None and not bet.replaced and (target is None or bet.target == target)]


def _bets(chain: Chain) -> list[Bet]:
    lines = list(chain.sound())
    begun: dict[str, list[Line]] = {}
    scored: dict[str, Line] = {}
    for line in lines:
        if line.kind == "begun":
            begun.setdefault(line.content["target"]["identity"], []).append(line)
        elif line.kind == "scored":
            scored.setdefault(line.content["bet"], line)
    bets: list[Bet] = []
    last: dict[tuple[str, Target], tuple[int, Line]] = {}
    for line in lines:
        if line.kind != "made":
            continue
        content, name = line.content, line.sha256[:ID_DIGITS]
        target, question = Target(**content["target"]), question_from(content["question"])
        late = content["already_run"] or any(chain.is_before(one, line) for one in begun.get(target.identity, ()))
        outcome = None
        if name in scored and chain.is_before(line, scored[name]):
            outcome = outcome_of(scored[name].content["truth"], scored[name].content["interval"])
        answer = answer_from(question.kind, content["answer"])
        at, before = last.get((content["who"], target), (0, None))
        if before and chain.is_before(before, line) and not late and bets[at].outcome is None:
            bets[at] = replace(bets[at], replaced=True)
        last[content["who"], target] = len(bets), line
        bets.append(Bet(name, content["who"], target, question, answer, content["when"], late, outcome))
    return bets


def past_spread(logarithmic: bool, bets: Sequence[Bet] | None = None) -> float | None:
    """The relative half width for the learner's next number alone; None where too few such numbers were scored.

    Of n such numbers it takes the distance between number and truth that ranks ceil(0.8 (n + 1))th, relative to the number; of
    logarithmic ones the factor between them, less 1. At most WIDEST of it counts, and it moves the usual width by the share
    n / (n + FEWEST_PAST) only: a few numbers say little, and one absurd miss must not make all later intervals absurd.

    Source: Papadopoulos et al., "Inductive Confidence Machines for Regression", 2002.
    """
    distances = []
    for bet in read_bets() if bets is None else bets:
        if bet.counts and bet.who == "learner" and bet.question.logarithmic == logarithmic:
            answer, truth = bet.answer, bet.outcome.truth  # type: ignore[union-attr]
            if not isinstance(answer, NumberAnswer) or answer.has_own_width:
                continue
            if isinstance(truth, float) and answer.median:
                ratio = truth / answer.median
                if not logarithmic:
                    distances.append(abs(ratio - 1))
                elif ratio > 0:
                    distances.append(max(ratio, 1 / ratio) - 1)
    count = len(distances)
    if count < FEWEST_PAST:
        return None
    past = min(sorted(distances)[math.ceil(PAST_SHARE * (count + 1)) - 1], WIDEST[logarithmic])
    return WIDTH + count / (count + FEWEST_PAST) * (past - WIDTH)


def _is_begun(line: Line, identity: str) -> bool:
    return line.kind == "begun" and line.content["target"]["identity"] == identity


def _plain(question: Question, truth: Truth | None) -> Any:
    """A truth for JSON; None for a number that is not finite."""
    match question.kind:
        case _ if truth is None:
            return None
        case "number":
            return number if math.isfinite(number := float(truth)) else None  # type: ignore[arg-type]
        case "yesno":
            return bool(truth)
        case "choice":
            return str(truth)
        case _:
            assert not isinstance(truth, str | bool | float)
            order = [str(label) for label in truth]
            assert sorted(order) == sorted(question.choices), order
            return order


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
