"""What is believed and how well: claims with their status, bets and duels with their results, the doctor's findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline.figures.words import formatted
from pipeline.lab.bets.bet import Bet
from pipeline.lab.bets.listing import result_text, said_text, truth_text
from pipeline.lab.bets.outcomes import is_inside, scores_of
from pipeline.lab.duel.shown import gain_text
from pipeline.lab.summary.document import Block, Section, Table
from pipeline.lab.summary.records import ClaimLine, DuelLine, Notebook

MOST_BETS = 30  # the last ones


def beliefs(notebook: Notebook) -> Section:
    """Claims, bets, duels and findings."""
    parts: list[tuple[str, tuple[Block, ...]]] = []
    if notebook.claims:
        parts.append(("Claims", tuple(_claims(notebook.claims))))
    if notebook.bets:
        parts.append(("Bets", tuple(_bets(notebook.bets))))
    if notebook.duels:
        parts.append(("Duels", (_duels(notebook.duels),)))
    if notebook.finding_counts:
        rows = tuple((name.replace("_", " "), str(count)) for name, count in notebook.finding_counts.items())
        parts.append(("What the doctor found", (Table(("first finding", "runs"), rows, frozenset({1})),)))
    none = () if parts else ("No claims, bets or findings yet: `rally bet` and `rally claims` keep them.",)
    return Section("Claims, bets, duels and findings", "beliefs", none, tuple(parts))


def _claims(claims: Sequence[ClaimLine]) -> Iterator[Block]:
    counts = Counter(one.status for one in claims)
    words = ", ".join(f"{count} {status}" for status, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    stale = sum(bool(one.stale) for one in claims)
    yield f"{len(claims)} claim{'s' * (len(claims) != 1)}: {words}; {stale} of them stale."
    rows = tuple((one.name, one.status, one.kind, str(one.seeds), one.stale or one.says) for one in claims)
    yield Table(("claim", "status", "kind", "seeds", "the claim, or why it is stale"), rows, frozenset({3}))
    if first := next((one.name for one in claims if one.stale), ""):
        yield f"`rally claims replay {first}` makes again what is stale."


def _bets(bets: Sequence[Bet]) -> Iterator[Block]:
    scored = [bet for bet in bets if bet.counts]
    waiting = sum(bet.outcome is None and not bet.replaced for bet in bets)
    text = f"{len(bets)} bet{'s' * (len(bets) != 1)}, {len(scored)} scored, {waiting} open"
    numbers = [bet for bet in bets if bet.counts_as_interval]
    if numbers:
        inside = sum(is_inside(bet.answer, bet.outcome) for bet in numbers if bet.outcome)
        text += f"; 80 % intervals held the truth in {inside} of {len(numbers)}"
    yield f"{text}."
    rows = tuple(
        (bet.who, bet.target.name, said_text(bet), truth_text(bet), result_text(bet), _score(bet)) for bet in bets[-MOST_BETS:]
    )
    yield Table(("who", "about", "said", "was", "result", "score"), rows)
    if len(bets) > MOST_BETS:
        yield f"These are the last {MOST_BETS}; `rally bet` lists all."


def _duels(duels: Sequence[DuelLine]) -> Table:
    rows = tuple(
        (one.date, one.champion, one.change, one.metric, str(one.pairs), gain_text(one.gain) if one.gain else "–", one.verdict)
        for one in duels
    )
    return Table(("day", "champion", "challenger", "metric", "pairs", "gain", "verdict"), rows, frozenset({4, 5}))


def _score(bet: Bet) -> str:
    """Such as "CRPS 0.0123"; less is better, and `rally bet` compares it with the naive forecaster's."""
    if not bet.counts or bet.outcome is None:
        return ""
    found = scores_of(bet.question, bet.answer, bet.outcome)
    return f"{found[0].name} {formatted(found[0].value)}" if found else ""
