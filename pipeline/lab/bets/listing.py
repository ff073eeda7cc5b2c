"""All bets as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.figures.words import formatted
from pipeline.lab.bets import scores
from pipeline.lab.bets.bet import Bet
from pipeline.lab.bets.outcomes import is_inside, is_right
from pipeline.lab.bets.question import ChoiceAnswer, NumberAnswer, OrderAnswer, percent

GAP = 2  # blanks between two columns
SHOWN = 2  # labels of a choice, the most probable ones


def bets_table(bets: Sequence[Bet], width: int) -> RenderableType:
    """A row for each bet, in the order of the ledger. No word is broken: below the width of its longest words, a list.

    Args:
        width: of the terminal, in characters.
    """
    several = len({bet.who for bet in bets}) > 1
    names = ["day", *(["who"] if several else []), "about", "said", "was", "result"]
    rows = [_row(bet, several) for bet in bets]
    columns = [list(column) for column in zip(names, *rows, strict=True)]
    widths = column_widths(columns, width)
    if widths is None:
        pairs = [pair for row in rows for pair in zip(names, row, strict=True)]
        return Group(*(Text(cell if name == "day" else f"  {name}: {cell}") for name, cell in pairs))
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, size in zip(names, widths, strict=True):
        drawn.add_column(name, width=size)
    for row in rows:
        drawn.add_row(*map(Text, row))
    return drawn


def column_widths(columns: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column: the widest give way first, none below its longest word; None where this is too wide."""
    widths = [max(map(len, column)) for column in columns]
    fewest = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    room = width - GAP * len(columns) - len(columns)
    while sum(widths) > room:
        wide = [at for at in range(len(widths)) if widths[at] > fewest[at]]
        if not wide:
            return None
        widths[max(wide, key=lambda at: widths[at])] -= 1
    return widths


def _row(bet: Bet, several: bool) -> list[str]:
    who = [bet.who] if several else []
    return [bet.when[:10], *who, bet.target.name.removeprefix("study "), said_text(bet), truth_text(bet), result_text(bet)]


def said_text(bet: Bet) -> str:
    """What was said; of a choice the most probable labels alone."""
    if not isinstance(bet.answer, ChoiceAnswer):
        return bet.answer.text(bet.question)
    ordered = sorted(bet.answer.probabilities.items(), key=lambda item: -item[1])
    more = ", …" if len(ordered) > SHOWN else ""
    return ", ".join(f"{label} {percent(share)}" for label, share in ordered[:SHOWN]) + more


def truth_text(bet: Bet) -> str:
    """What came out, or a dash."""
    match bet.outcome and bet.outcome.truth:
        case None:
            return "–"
        case bool(truth):
            return "yes" if truth else "no"
        case float(truth):
            return formatted(truth, 4)
        case tuple(truth):
            return " > ".join(truth)
        case truth:
            return str(truth)


def result_text(bet: Bet) -> str:
    """What became of it: inside or outside of a number, right or wrong of anything else; or why it has no result."""
    if bet.outcome is None:
        return "replaced by a later one" if bet.replaced else "late" if bet.late else "open"
    late = ", late" if bet.late else ""
    if bet.outcome.truth is None:
        return f"not decided{late}"
    if isinstance(bet.answer, NumberAnswer):
        return f"{'inside' if is_inside(bet.answer, bet.outcome) else 'outside'}{late}"
    right = is_right(bet.answer, bet.outcome)
    if right is None:
        return f"not an answer{late}"
    pairs = ""
    if isinstance(bet.answer, OrderAnswer) and isinstance(bet.outcome.truth, tuple) and not right:
        count = len(bet.outcome.truth) * (len(bet.outcome.truth) - 1) // 2
        pairs = f", {count - scores.kendall_distance(bet.answer.order, bet.outcome.truth)} of {count} pairs right"
    return f"{'right' if right else 'wrong'}{pairs}{late}"
