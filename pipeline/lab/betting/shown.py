"""What `rally bet` prints: the bets, the calibration and its picture, problems of the ledger, and what was settled."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from pipeline.artifacts.writing import write_bytes
from pipeline.figures.style import png
from pipeline.lab.bets.bet import Bet, read_bets
from pipeline.lab.bets.calibration import FEWEST, calibration, calibration_lines
from pipeline.lab.bets.ledger import LEDGER, problems
from pipeline.lab.bets.listing import bets_table
from pipeline.lab.bets.picture import draw_calibration
from pipeline.lab.studies.runs.identity import RESULTS

PICTURE = RESULTS / "bets.png"
NONE_YET = f"{LEDGER}: no bets yet. `rally bet lr-sweep` shows what can be bet on in a study; `rally bet --help` has the rest"


def show_bets() -> None:
    """Print all bets and what they say together; from FEWEST scored ones on draw it."""
    bets, console = read_bets(), Console()
    if not bets:
        print(NONE_YET)
        return
    console.print(bets_table(bets, console.width))
    for problem in problems():
        if not problem.is_note:
            print(f"{LEDGER}: {problem}")
    people = ["learner", *sorted({bet.who for bet in bets} - {"learner"})]
    found = [one for who in people if (one := calibration(who, bets)).count or who == "learner"]
    for one in found:
        print(*_about(one.count, [*calibration_lines(one)]), sep="\n")
    _note_late(bets)
    if any(one.drawn >= FEWEST for one in found):
        write_bytes(PICTURE, png(draw_calibration(bets), dpi=120))
        print(f"Picture: {PICTURE}")
    else:
        most = max(one.drawn for one in found)
        print(
            f"{most} scored bet{'s' * (most != 1)} with a width or a probability: {FEWEST} are needed before a picture says"
            f" anything. Even then chance is large: who is right half of the time, and who nine times of ten, may both be"
            f" right 8 times of 10."
        )


def _about(count: int, lines: Sequence[str]) -> Sequence[str]:
    return lines if count else ()


def _note_late(bets: Sequence[Bet]) -> None:
    if late := sum(bet.late for bet in bets):
        print(f"{late} bet{'s were' if late > 1 else ' was'} late (the runs had begun) and not counted.")


def show_problems() -> int:
    """Print what is wrong with the ledger; the exit status: 1 if anything is."""
    found = problems()
    if not found and not read_bets():
        print(NONE_YET)
        return 0
    for problem in found:
        print(f"{LEDGER}: {problem}")
    if wrong := sum(not problem.is_note for problem in found):
        print(f"{wrong} problem{'s' * (wrong > 1)}; `git log -p {LEDGER}` shows who changed what")
        return 1
    print(f"{LEDGER}: no line was altered, removed or inserted since it was written")
    return 0


def show_settled(lines: Sequence[str]) -> None:
    """Print what came of the open bets."""
    print(*(lines or ["no bet is open"]), sep="\n")
