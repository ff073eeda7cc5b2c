"""A drill played: the question, the learner's bet, the runs, what came out, what to notice, and the next command."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from pipeline.lab.bets.ask import ask
from pipeline.lab.bets.bet import Bet, begin, has_begun, place, read_bets, settle
from pipeline.lab.bets.outcomes import scores_of
from pipeline.lab.bets.prompt import is_terminal
from pipeline.lab.bets.question import Question, Target
from pipeline.lab.course.day import Day, Drill
from pipeline.lab.course.progress import Done, note_done, now
from pipeline.lab.course.runs import Answer, computed, identity_of, is_known, play_grid_of, run_commands
from pipeline.lab.course.truths.base import Found, Outcome
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.studies.entries import Entry
from pipeline.lab.studies.pages import terminal


def play_drill(
    day: Day,
    drill: Drill,
    entries: Mapping[str, Entry],
    base: BaseParams,
    *,
    asks: bool,
    quick: bool,
    details: bool = False,
    number: int | None = None,
) -> Done:
    """Play a drill and remember that it was done.

    Args:
        asks: whether to ask for a bet where there is a terminal.
        quick: the short form of its runs.
        details: show every table with its intervals, and every claim.
        number: of a blind fault; None = drawn.

    Raises:
        UserError: a knob cannot be used, or a run failed.
        Stopped: the learner leaves instead of betting.
    """
    out = terminal.console()
    at = day.drills.index(drill) + 1
    out.print(Text(f"\n{day.name}.{at}  {drill.name}  ({at} of {len(day.drills)})", "bold cyan"))
    if drill.run.blind:
        done, answer = _blind(drill, base, asks, number), None
    else:
        done, answer = _bet_and_run(day, drill, entries, base, asks, quick)
    entry = entries.get(drill.run.play)
    parts = [("Notice", drill.notice or (entry.notice if entry else ""))]
    if answer:
        answer.say()
        if answer.say_details and details:
            answer.say_details()
        parts.append(("Picture", drill.look or (str(answer.picture) if answer.picture else "")))
    out.print()
    terminal.say_parts(out, parts)
    if answer and answer.say_details and not details:
        terminal.say_command(out, "Details", f"rally play {day.name}.{at} --details (intervals, every claim and its control)")
    terminal.say_command(out, "Then", drill.then)
    note_done(drill.name, done)
    return done


def _blind(drill: Drill, base: BaseParams, asks: bool, number: int | None) -> Done:
    from pipeline.lab.course.blind.play import play_blind

    played = play_blind(base, drill.run.blind, number, asks=asks)
    bet = played.bet and _as_it_stands(played.bet)
    outcome = f"{played.drawn.truth} (run {played.drawn.number})"
    return Done("", False, now(), bet.id if bet else "", outcome, _is_won(bet), played.said)


def _bet_and_run(
    day: Day, drill: Drill, entries: Mapping[str, Entry], base: BaseParams, asks: bool, quick: bool
) -> tuple[Done, Answer | None]:
    assert drill.question and drill.truth
    entry, out = entries.get(drill.run.play), terminal.console()
    identity = identity_of(drill, entry, base, quick=quick)
    target = Target(f"{day.name} {drill.name}", identity)
    bet = _bet(drill.question, target, asks, known=is_known(drill, entry, base, quick=quick))
    begin(target)
    out.print()
    if drill.run.commands:
        run_commands(drill.run.commands, drill.run.needs)
    answer = play_grid_of(drill, entry, base, quick=quick) if entry else computed(drill, base) if drill.run.do else None
    outcome = drill.truth.outcome(answer.found if answer else Found({}))
    said, text = _settled(bet, outcome), outcome.text(drill.question.unit)
    out.print()
    terminal.say_parts(out, [("It was", text), ("Your bet", said)])
    done = Done(identity, quick, now(), bet.id if bet else "", text, _is_won(_as_it_stands(bet) if bet else None), said)
    return done, answer


def _bet(question: Question, target: Target, asks: bool, *, known: bool) -> Bet | None:
    """The learner's bet; the question is printed in any case."""
    out = terminal.console()
    answer = ask(question, late=known or has_begun(target)) if asks else None
    if answer is None:
        if not asks or not is_terminal():
            terminal.say_text(out, question.text)
        return None
    return place(question, target, answer, already_run=known)


def _settled(bet: Bet | None, outcome: Outcome) -> str:
    if bet is None:
        return ""
    truth = float("nan") if outcome.truth is None else outcome.truth
    if outcome.truth is None and bet.question.kind != "number":
        return f"not scored: {outcome.why}"
    said = settle(bet, truth, outcome.interval)
    return said[:1].upper() + said[1:]


def _as_it_stands(bet: Bet) -> Bet:
    """A bet with what came of it."""
    return next((other for other in read_bets() if other.id == bet.id), bet)


def _is_won(bet: Bet | None) -> bool | None:
    """Whether a bet was better than that of someone who did not think; None where it does not count."""
    if bet is None or bet.outcome is None or not bet.counts:
        return None
    scores = scores_of(bet.question, bet.answer, bet.outcome)
    return None if not scores or scores[0].naive is None else scores[0].value < scores[0].naive
