"""The learner's answer to a question, asked on the terminal before the runs."""

from __future__ import annotations

import shutil
import textwrap

from pipeline.lab.bets.answers import UNSAID, form_of, parse_answer
from pipeline.lab.bets.bet import past_spread
from pipeline.lab.bets.prompt import LEAVE, Stopped, is_terminal, typed
from pipeline.lab.bets.question import Answer, Question
from pipeline.params.errors import UserError, printable

WIDTH = 100  # characters
APART = "These runs exist already, or have begun: a bet on them is scored apart and does not count."


def ask(question: Question, *, late: bool = False) -> Answer | None:
    """Ask until there is an answer, and say how it is understood.

    Args:
        late: the outcome may be known already, which is said before the question.

    Returns:
        The answer. None = no bet: Enter alone, the end of the input, or no terminal to ask on.

    Raises:
        Stopped: q or Ctrl-C.
    """
    if not is_terminal():
        return None
    width = min(WIDTH, shutil.get_terminal_size().columns)
    if late:
        print(textwrap.fill(APART, width))
    print(textwrap.fill(printable(question.text), width))
    for number, label in enumerate(question.choices, 1):
        print(f"  {number}  {printable(label)}")
    print(textwrap.fill(_invitation(question), width))
    print("q = stop. Enter = no bet.")
    spread = past_spread(question.logarithmic) if question.kind == "number" else None
    while text := typed("> "):
        if text.casefold() in LEAVE:
            print("Stopped; no bet.")
            raise Stopped(0)
        try:
            answer = parse_answer(question, text, spread)
        except UserError as error:
            print(*map(printable, error.problems), sep="\n")
            continue
        print(understood(question, answer))
        return answer
    print("No bet.")
    return None


def _invitation(question: Question) -> str:
    unit = f", in {question.unit}" if question.unit not in ("", UNSAID) else ""
    meaning = " 80 %: you expect the truth inside 8 times of 10." if question.kind == "number" else ""
    return f"Your bet{unit}: {form_of(question)}.{meaning}"


def understood(question: Question, answer: Answer) -> str:
    """How an answer is understood, and what was assumed."""
    kind = ", an 80 % interval" if question.kind == "number" else ""
    return f"Noted: {answer.text(question)}{kind}{f' ({answer.assumed})' if answer.assumed else ''}."
