"""Bets from the command line: on the claims and the best value of a study, and on a score of an experiment."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lab.bets.answers import form_of, parse_answer
from pipeline.lab.bets.ask import APART, understood
from pipeline.lab.bets.bet import Bet, open_bets, past_spread, place, settle
from pipeline.lab.bets.question import Question, Target
from pipeline.lab.betting import experiment_bets
from pipeline.lab.betting.study_bets import Offer, offers, settled_truth
from pipeline.params.errors import UserError


def questions_of(study: str) -> Iterator[str]:
    """What can be bet on in a study, and the commands; before them, whether a bet can still count."""
    found = list(offers(study))
    if any(offer.is_known() for offer in found[:1]):
        yield APART
    for offer in found:
        example = "yes 80" if offer.question.kind == "yesno" else "LOW..HIGH"
        option = f" --claim {offer.claim}" if offer.claim > 1 else f" --measure {offer.measure}" if offer.measure else ""
        yield f"{offer.question.text}\n    rally bet {study} {example}{option}"


def bet_on_study(study: str, text: str, *, measure: str = "", claim: int | None = None) -> str:
    """Place a bet on a claim of a study, or, if the answer is a number, on its best value.

    Raises:
        UserError: there is no such study or claim, or the answer cannot be used.
    """
    offer = _offer(study, text, measure, claim)
    return _placed(offer.question, offer.target, text, already_run=offer.is_known(), how=f"rally play {study}")


def _offer(study: str, text: str, measure: str, claim: int | None) -> Offer:
    found = list(offers(study))
    claims = {offer.claim: offer for offer in found if offer.claim}
    is_yes_no = text.split()[0].casefold() in ("y", "yes", "n", "no")
    if claim is not None or is_yes_no:
        if (claim or 1) not in claims:
            raise UserError(f"--claim {claim}: {study} has claims 1 to {len(claims)}; `rally bet {study}` lists them")
        return claims[claim or 1]
    best = {offer.measure: offer for offer in found if not offer.claim}
    if not best:
        raise UserError(f"{study}: has no best value on one line of numbers; bet on a claim: rally bet {study} yes 80")
    if measure and measure not in best:
        raise UserError(f"--measure {measure}: {study} measures {', '.join(best)}")
    return best[measure] if measure else next(iter(best.values()))


def bet_on_experiment(name: str, text: str, measure: str) -> str:
    """Place a bet on a score of an experiment that has not run.

    Raises:
        UserError: there is no such score, or the answer cannot be used.
    """
    question, target = experiment_bets.question_of(name, measure)
    if not text:
        raise UserError(
            f"rally bet exp {name}: no answer; {form_of(question)}: rally bet exp {name} 3.02..3.10 --measure {measure}"
        )
    known = experiment_bets.is_known(name)
    return _placed(question, target, text, already_run=known, how=f"dvc exp run -n {name} …, then rally bet settle")


def _placed(question: Question, target: Target, text: str, *, already_run: bool, how: str) -> str:
    spread = past_spread(question.logarithmic) if question.kind == "number" else None
    answer = parse_answer(question, text, spread)
    bet = place(question, target, answer, already_run=already_run)
    late = "Late: it has begun or ended, so this bet will not count." if bet.late else f"Next: {how}"
    return f"{question.text}\n{understood(question, answer)}\n{late}"


def settle_all() -> list[str]:
    """Score every open bet whose outcome is here; a line for each, also for those that wait."""
    return [f"{bet.target.name}: {_settled(bet)}" for bet in open_bets()]


def _settled(bet: Bet) -> str:
    kind = bet.target.name.partition(" ")[0]
    if kind == "exp":
        value, waits = experiment_bets.score_of(bet.target.name)
        return settle(bet, value) if value is not None else waits
    if kind == "study":
        outcome, waits = settled_truth(bet)
        return settle(bet, *outcome) if outcome else waits
    return "is scored where it was asked"
