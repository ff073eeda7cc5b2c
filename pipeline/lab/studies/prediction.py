"""The learner's own prediction of a study: asked before the machine's is shown, settled by the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.lab.bets.ask import ask
from pipeline.lab.bets.bet import begin, has_begun, open_bets, place, settle
from pipeline.lab.bets.prompt import is_terminal
from pipeline.lab.bets.question import Question, Target
from pipeline.lab.studies.claims.base import Status, Verdict
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.grid import Sweep
from pipeline.lab.studies.measures.metrics import MEASURES


def ask_prediction(name: str, sweep: Sweep, identity: str, is_known: Callable[[], bool]) -> None:
    """Ask whether the main claim of a study, its first, will hold, and note the answer as a bet.

    Nobody is asked where there is no terminal, or where the outcome is here already.

    Args:
        identity: of the runs that decide it.
        is_known: whether the outcome is here; called where there is a terminal, because to find it out takes a second.

    Raises:
        Stopped: the learner leaves instead of betting.
    """
    if not is_terminal() or is_known():
        return
    number = next(number for number, (_, claim) in enumerate(sweep.claims, 1) if not claim.control)
    question = Question(f"Will this hold? {sentence_case(claimed_text(sweep, number))}.", "yesno")
    target = Target(f"study {name}: claim {number}", identity)
    if answer := ask(question, late=has_begun(target)):
        place(question, target, answer, already_run=False)


def begin_study(name: str, identity: str) -> None:
    """Note that the runs of a study begin: a bet that comes later is late."""
    begin(Target(f"study {name}", identity))


def settle_predictions(name: str, identity: str, verdicts: Sequence[Verdict]) -> str:
    """What came of every open bet on a claim of a study, in one text; "" where there is none."""
    sentences = []
    for number, verdict in enumerate(verdicts, 1):
        for bet in open_bets(Target(f"study {name}: claim {number}", identity)):
            match verdict.status:
                case Status.HELD | Status.PASSED:
                    sentences.append(settle(bet, truth=True))
                case Status.REFUTED | Status.FAILED:
                    sentences.append(settle(bet, truth=False))
                case _:
                    said = bet.answer.text(bet.question)
                    sentences.append(f"you said {said}; claim {number} is {verdict.status.value}, so the bet stays open.")
    if any(bet.target.identity == identity and "claim" not in bet.target.name for bet in open_bets()):
        sentences.append("`rally bet settle` scores your other bets on it.")
    return " ".join(map(sentence_case, sentences))


def claimed_text(sweep: Sweep, number: int) -> str:
    """A claim, counted from 1, in words, before anything ran."""
    return sweep.claims[number - 1][1].judge({measure: _valley(sweep, measure) for measure in sweep.measures}).claimed


def _valley(sweep: Sweep, measure: str) -> Results:
    """Results with a best place inside the grid, for the text of a claim about it."""
    size = sweep.shape[-2]
    away = (np.arange(size) - (size - 1) / 2) ** 2 * (-1 if MEASURES[measure].higher_is_better else 1)
    values = np.broadcast_to(away[:, None], sweep.shape).astype(np.float64)
    return Results(sweep.axes, values, MEASURES[measure].logarithmic, MEASURES[measure].quantity)


def sentence_case(text: str) -> str:
    """The text with a capital at its beginning, unless it begins with the name of a knob."""
    first = text.split(" ")[0]
    return text if "." in first or "_" in first else text[:1].upper() + text[1:]
