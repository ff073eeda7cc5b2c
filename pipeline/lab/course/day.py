"""What a day of the course and a drill are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.lab.bets.question import Question
from pipeline.lab.course.truths.base import Truth

Knobs = Mapping[str, Any]


@dataclass(frozen=True)
class Quick:
    """What is left out of a study while someone waits: seeds, and knobs that make its runs smaller."""

    seeds: tuple[int, ...] = ()
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """What a drill runs: a study, a blind fault, or commands and then a computation of Rally's own.

    Attributes:
        play: the name of a study that is a grid.
        seeds: instead of its own; () = its own.
        quick: how it is made shorter by --quick.
        blind: the level of a blind fault.
        commands: lines such as "rally look --untrained", whose output the learner reads.
        needs: a file without which the commands are left out, with a word about how to get it.
        do: an entry of COMPUTATIONS, and its arguments.
    """

    play: str = ""
    seeds: tuple[int, ...] = ()
    quick: Quick = field(default_factory=Quick)
    blind: int = 0
    commands: tuple[str, ...] = ()
    needs: str = ""
    do: str = ""
    arguments: Knobs = field(default_factory=dict)


@dataclass(frozen=True)
class Drill:
    """A question, the learner's bet, the run that answers it, and what to notice.

    Attributes:
        question: asked before the run; None for a blind fault, which asks its own.
        truth: where the program reads what came out.
        look: the picture.
        then: the next command.
        seed_says: the sentences of the course's plan that it is about.
    """

    name: str
    run: Run
    notice: str
    then: str
    question: Question | None = None
    truth: Truth | None = None
    look: str = ""
    seed_says: tuple[str, ...] = ()


@dataclass(frozen=True)
class Day:
    """A day of drills.

    Attributes:
        about: what it is for, in a sentence or two.
        minutes: CPU minutes of one core: "whole" and "quick".
        card: what to leave running where there is a card: a text and a command.
        remember: numbers to keep; {NAME} stands for what came out of a drill.
    """

    number: int
    title: str
    about: str
    minutes: Mapping[str, float]
    card: Mapping[str, str]
    remember: tuple[str, ...]
    drills: tuple[Drill, ...]

    @property
    def name(self) -> str:
        return f"day{self.number}"
