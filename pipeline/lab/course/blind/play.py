"""`rally play blind`: train a run that may be spoilt, show it, ask for the cause, and score the learner beside the doctor."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.writing import write_bytes
from pipeline.doctor.diagnose import diagnose
from pipeline.figures.style import png
from pipeline.identity import digest
from pipeline.lab.bets.ask import ask
from pipeline.lab.bets.bet import Bet, begin, has_begun, place, settle
from pipeline.lab.bets.question import Answer, ChoiceAnswer, Question, Target, percent
from pipeline.lab.bets.scores import brier_of_choice
from pipeline.lab.course.blind.draw import Draw, draw
from pipeline.lab.course.blind.picture import picture
from pipeline.lab.course.blind.race import blind_case, doctors_forecast, telling_signs
from pipeline.lab.course.blind.terminal import show_answer, show_run, shown_at
from pipeline.lab.doctor.run_case import case_of, encode_data_of
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.studies.pages import terminal
from pipeline.lab.studies.runs.identity import RESULTS

PICTURE = Path(RESULTS / "blind.png")
NUMBERS = 1_000_000
ASKED = "Is this run healthy? If not, which of these is the cause?"


@dataclass(frozen=True)
class Played:
    """A blind fault that was played.

    Attributes:
        bet: the learner's; None = none.
        said: the sentence about it.
    """

    drawn: Draw
    identity: str
    bet: Bet | None
    said: str


def play_blind(base: BaseParams, level: int, number: int | None = None, *, asks: bool = True) -> Played:
    """Show a run, ask what is wrong with it, and say it.

    Args:
        number: of the draw; None = one that nobody knows beforehand.
        asks: whether to ask where there is a terminal.

    Raises:
        UserError: memory ran out.
        Stopped: the learner leaves instead of betting.
    """
    drawn = draw(level, secrets.randbelow(NUMBERS) if number is None else number)
    encode_data_of([drawn.run], base.sections)
    case = case_of(drawn.run, base.sections)
    seen, out = diagnose(blind_case(case)), terminal.console()
    show_run(out, drawn, case, seen)
    write_bytes(PICTURE, png(picture(case, f"Run {drawn.number} of level {level}"), dpi=100))
    out.print(f"\nPicture: {PICTURE}")
    question = Question(ASKED, "choice", choices=drawn.choices)
    identity = digest(["blind", level, drawn.number, drawn.choices])[:32]
    target = Target(f"blind fault {drawn.number} of level {level}", identity)
    answer = ask(question, late=has_begun(target)) if asks else None
    said, bet = list[str](), None
    if answer is not None:
        bet = place(question, target, answer, already_run=False)
        forecast = ChoiceAnswer(doctors_forecast(case, drawn.choices))
        doctors = place(question, target, forecast, already_run=False, who="doctor")
        begin(target)
        said = [settle(bet, drawn.truth), race_text(answer, forecast, drawn.truth)]
        settle(doctors, drawn.truth)
    else:
        out.print()
        terminal.say_text(out, f"{ASKED} {' · '.join(drawn.choices)}")
        begin(target)
    fault = FAULTS[drawn.run.fault] if drawn.run.fault else None
    telling = telling_signs(seen, fault.cause, shown_at(level)) if fault else ()
    show_answer(out, level, drawn.truth, fault.description if fault else "", seen, telling)
    for line in said:
        terminal.say_text(out, line[:1].upper() + line[1:])
    out.print(f"This run again: rally play blind --level {level} --seed {drawn.number}")
    return Played(drawn, identity, bet, said[0] if said else "")


def race_text(learner: Answer, doctor: ChoiceAnswer, truth: str) -> str:
    """Who was closer."""
    assert isinstance(learner, ChoiceAnswer), "a blind fault is a choice"
    own, other = (brier_of_choice(one.probabilities, truth) for one in (learner, doctor))
    ahead = "you are ahead" if own < other else "the doctor is ahead" if other < own else "a draw"
    return f"The doctor gave it {percent(round(doctor.probabilities[truth], 2))}: Brier score {other:.2f}, so {ahead}."
