"""All bets as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from pipeline.figures.style import formatted
from pipeline.lab.bets.bet import Bet
from pipeline.lab.bets.outcomes import is_inside, scores_of
from pipeline.lab.bets.question import NumberAnswer


def bets_table(bets: Sequence[Bet]) -> Table:
    """A row for each bet, in the order of the ledger."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    several = len({bet.who for bet in bets}) > 1
    for name in ("day", *(["who"] if several else []), "about", "said", "was", ""):
        drawn.add_column(name, overflow="fold")
    for bet in bets:
        who = [Text(bet.who)] if several else []
        about = bet.target.name.removeprefix("study ")
        cells = (Text(about), Text(bet.answer.text(bet.question)), Text(truth_text(bet)), Text(result_text(bet)))
        drawn.add_row(Text(bet.when[:10]), *who, *cells)
    return drawn


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
    """How good it was: inside or outside, or its score; or why it has none."""
    if bet.outcome is None:
        return "replaced by a later one" if bet.replaced else "late" if bet.late else "open"
    late = ", late" if bet.late else ""
    if bet.outcome.truth is None:
        return f"not decided{late}"
    if isinstance(bet.answer, NumberAnswer):
        return f"{'inside' if is_inside(bet.answer, bet.outcome) else 'outside'}{late}"
    scores = scores_of(bet.question, bet.answer, bet.outcome)
    return f"{scores[0].name} {formatted(scores[0].value)}{late}" if scores else f"not an answer{late}"
