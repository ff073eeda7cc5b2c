"""The learner's answer to a question, asked on the terminal before the runs."""

from __future__ import annotations

import shutil
import sys
import textwrap

from pipeline.lab.bets.answers import FORMS, parse_answer
from pipeline.lab.bets.bet import past_spread
from pipeline.lab.bets.question import Answer, Question
from pipeline.params.errors import UserError, printable

WIDTH = 100  # characters


def ask(question: Question) -> Answer | None:
    """Ask until there is an answer, and say how it is understood.

    Returns:
        The answer. None = no bet: Enter alone, the end of the input, or no terminal to ask on.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    width = min(WIDTH, shutil.get_terminal_size().columns)
    print(textwrap.fill(printable(question.text), width))
    for number, label in enumerate(question.choices, 1):
        print(f"  {number}  {printable(label)}")
    unit = f", in {question.unit}" if question.unit else ""
    print(textwrap.fill(f"Your bet{unit}: {FORMS[question.kind]}. Enter = no bet.", width))
    spread = past_spread(question.logarithmic) if question.kind == "number" else None
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            print()
            return None
        if not text:
            return None
        try:
            answer = parse_answer(question, text, spread)
        except UserError as error:
            print(*map(printable, error.problems), sep="\n")
            continue
        print(understood(question, answer))
        return answer


def understood(question: Question, answer: Answer) -> str:
    """How an answer is understood, and what was assumed."""
    kind = ", an 80 % interval" if question.kind == "number" else ""
    return f"Noted: {answer.text(question)}{kind}{f' ({answer.assumed})' if answer.assumed else ''}."
