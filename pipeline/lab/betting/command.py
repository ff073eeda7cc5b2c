"""`rally bet` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError


def bet(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY | exp NAME | settle | check] [ANSWER]", help="What to bet on, and your answer."),
    ] = None,
    measure: Annotated[
        str, typer.Option("--measure", metavar="NAME", help="Of an experiment: what to bet on; of a study: by what to be best.")
    ] = "",
    claim: Annotated[int | None, typer.Option("--claim", metavar="NUMBER", help="Of a study: which claim, if not 1.")] = None,
    check: Annotated[bool, typer.Option("--check", help="The same as the word check.")] = False,
) -> None:
    """Bet on what a run will give, and see how well you know.

    Without arguments: your bets, and what they say together.

    \b
    rally bet lr-sweep                 what can be bet on in a study
    rally bet lr-sweep yes 80          claim 1 will hold, with 80 %
    rally bet lr-sweep no --claim 2    claim 2 will not
    rally bet lr-sweep 0.01..0.03      the best learning rate: an 80 % interval
    rally bet exp wide 3.02..3.10 --measure loss
                                       the loss of the experiment `dvc exp run -n wide` will make
    rally bet settle                   score the bets whose runs have ended
    rally bet check                    is any line of notebook/bets.jsonl altered or missing?

    Bet before the runs: a later bet is late, and does not count. Write numbers as 4.1..4.3 or 4.2 ± 0.1, so that four of five
    hold the truth.
    """  # noqa: D301 (typer's mark for lines that stay)
    enter_project()
    from pipeline.lab.betting import shown, wagers

    first, rest = (words[0], words[1:]) if words else ("", [])
    if check or first == "check":
        _alone("check", [*rest, *((words or []) if first != "check" else [])])
        raise typer.Exit(shown.show_problems())
    if not first:
        if measure or claim is not None:
            raise UserError("rally bet: --measure and --claim say what of a study or experiment; name it: rally bet lr-sweep …")
        shown.show_bets()
    elif first == "settle":
        _alone("settle", rest)
        shown.show_settled(wagers.settle_all())
    elif first == "exp":
        if claim is not None:
            raise UserError("rally bet exp: --claim is of a study; leave it out")
        if not rest:
            raise UserError("rally bet exp: names no experiment; write rally bet exp NAME 3.02..3.10 --measure loss")
        print(wagers.bet_on_experiment(rest[0], " ".join(rest[1:]), measure))
    elif not rest:
        print(*wagers.questions_of(first), sep="\n")
    else:
        print(wagers.bet_on_study(first, " ".join(rest), measure=measure, claim=claim))


def _alone(word: str, rest: list[str]) -> None:
    if rest:
        raise UserError(f"rally bet {word}: takes no further words, and was given '{' '.join(rest)}'")
