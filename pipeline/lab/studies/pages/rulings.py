"""The verdicts of a study in words: what was claimed, what was found, and what to do where nothing is decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from pipeline.lab.studies.claims.base import MOST, Status, Verdict
from pipeline.lab.studies.grid import Sweep
from pipeline.lab.studies.seeds import deciding_command

Tone = Literal["good", "bad", "open"]


class Ruling(NamedTuple):
    """A verdict, for the terminal, the page and the picture.

    Attributes:
        status: in words, loud where a control held.
        advice: what to do next where the verdict leaves something to do; "" = nothing.
    """

    status: str
    tone: Tone
    control: bool
    claimed: str
    found: str
    advice: str


def rulings(name: str, sweep: Sweep, verdicts: Sequence[Verdict]) -> Iterator[Ruling]:
    """The verdict on each claim of a study, in the order of its claims.

    Args:
        name: of the study, for the commands.
    """
    for (_, claim), verdict in zip(sweep.claims, verdicts, strict=True):
        status = verdict.title.upper() if verdict.status is Status.PASSED else verdict.title
        yield Ruling(
            status, _tone(verdict.status), claim.control, verdict.claimed, verdict.found, _advice(name, sweep, verdict)
        )


def _tone(status: Status) -> Tone:
    match status:
        case Status.HELD | Status.FAILED:
            return "good"
        case Status.REFUTED | Status.PASSED:
            return "bad"
        case _:
            return "open"


def _advice(name: str, sweep: Sweep, verdict: Verdict) -> str:
    if verdict.status is Status.PASSED:
        return "This control should have failed. While it holds, the study proves nothing about its claim"
    if verdict.status is Status.EXTEND:
        return "The best value is at the edge of the grid: add values there to `vary`"
    if verdict.status is Status.UNDECIDED and verdict.needed and verdict.needed > len(sweep.seeds):
        return f"{verdict.needed} seeds in all would decide it: {deciding_command(name, sweep, verdict.needed)}"
    if verdict.status is Status.UNDECIDED and len(sweep.seeds) > 1 and not verdict.needed:
        return f"The value is so near to the bound, or scatters so much, that {MOST} seeds would not decide it"
    return ""


def headline(sweep: Sweep, verdicts: Sequence[Verdict]) -> tuple[Tone, str]:
    """All verdicts in one sentence: how many claims held, and how many controls failed."""
    judged = [(claim.control, verdict.status) for (_, claim), verdict in zip(sweep.claims, verdicts, strict=True)]
    claims = [status for control, status in judged if not control]
    controls = [status for control, status in judged if control]
    held, failed = claims.count(Status.HELD), controls.count(Status.FAILED)
    parts = [_counted(len(claims), held, "claim", "held")]
    parts += [f"{claims.count(status)} {status.value}" for status in (Status.REFUTED, Status.UNDECIDED) if status in claims]
    parts += [
        _counted(len(controls), failed, "control", "failed, as it should" if len(controls) == 1 else "failed, as they should")
    ]
    wrong = Status.REFUTED in claims or Status.PASSED in controls
    tone: Tone = "bad" if wrong else "good" if held + failed == len(judged) else "open"
    if Status.PASSED in controls:
        parts.append("and a control that holds makes the claims worth nothing")
    if Status.HELD in claims and (standing := {verdict.standing for verdict in verdicts} & STANDINGS.keys()):
        parts.append(STANDINGS[standing.pop()])
    sentence = "; ".join(parts) + "."
    return tone, sentence[0].upper() + sentence[1:]


STANDINGS = {"seen": "on the seeds that its bounds were made with", "fresh": "on fresh seeds"}


def _counted(all_: int, some: int, noun: str, done: str) -> str:
    """The claim held, both claims held, all 3 claims held, 2 of 3 claims held."""
    if some == all_:
        return f"{('the', 'both')[all_ - 1] if all_ <= 2 else f'all {all_}'} {noun}{'s' * (all_ > 1)} {done}"
    return f"{some} of {all_} {noun}{'s' * (all_ > 1)} {done}"
