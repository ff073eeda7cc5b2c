"""The days of the course played: from drill to drill, a summary at the end, and the map of what is done."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich.text import Text

from pipeline.lab.bets.prompt import Stopped, is_terminal, wants_more
from pipeline.lab.course.day import Day, Drill
from pipeline.lab.course.drill import play_drill
from pipeline.lab.course.progress import Done, read_done
from pipeline.lab.course.reading import DAYS, read_course, read_day
from pipeline.lab.course.runs import identity_of
from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.studies.entries import Entry, read_entries
from pipeline.lab.studies.pages import terminal
from pipeline.params.errors import UserError


def play_day(number: int, at: int | None, *, asks: bool, quick: bool, details: bool, seed: int | None) -> None:
    """Play a day from its first open drill on, or one drill of it.

    Args:
        at: the number of a drill; None = go on.
        asks: ask for bets, and whether to go on, where there is a terminal.
        quick: the short form of every run.
        details: show intervals, claims and controls.
        seed: the number of the blind fault.

    Raises:
        UserError: there is no such drill, or the day cannot be read.
    """
    if number not in DAYS:
        raise UserError(f"day{number}: there is no such day; the course has day1 to day{DAYS[-1]}")
    entries, base = read_entries(), base_params()
    day = read_day(number, entries)
    if at is not None and not 1 <= at <= len(day.drills):
        raise UserError(f"{day.name}.{at}: there is no such drill; {day.name} has {len(day.drills)}")
    chosen = [day.drills[at - 1]] if at is not None else open_drills(day, entries, base)
    if at is None:
        _say_day(day, len(chosen), quick)
    for drill in chosen:
        try:
            play_drill(day, drill, entries, base, asks=asks, quick=quick, details=details, number=seed)
        except (Stopped, KeyboardInterrupt) as ended:
            begin = "" if isinstance(ended, Stopped) else "\nStopped. "
            _say_next(day, drill, begin)
            raise
        left = open_drills(day, entries, base)
        if drill is not chosen[-1] and asks and not _goes_on(left[0] if left else None):
            break
    if left := open_drills(day, entries, base):
        _say_next(day, left[0], "\n")
    elif at is None or at == len(day.drills):
        say_summary(day)


def _say_next(day: Day, drill: Drill, before: str) -> None:
    at = day.drills.index(drill) + 1
    terminal.console().print(f"{before}Next: rally play {day.name}.{at} ({drill.name})", soft_wrap=True)


def open_drills(day: Day, entries: Mapping[str, Entry], base: BaseParams) -> list[Drill]:
    """The drills that were not done, or whose runs have changed since."""
    done = read_done()
    return [drill for drill in day.drills if state(drill, done.get(drill.name), entries, base) != "done"]


def state(drill: Drill, done: Done | None, entries: Mapping[str, Entry], base: BaseParams) -> str:
    """Whether a drill is "open", "done", or "changed since"."""
    if done is None:
        return "open"
    return (
        "done" if done.identity == identity_of(drill, entries.get(drill.run.play), base, quick=done.quick) else "changed since"
    )


def _goes_on(following: Drill | None) -> bool:
    """Whether the learner wants the next drill."""
    if following is None or not is_terminal():
        return True
    return wants_more(f"\nEnter: next drill ({following.name}); q: stop here > ")


# ------------------------------------------------------------------------------------------------------------------ texts


def _say_day(day: Day, left: int, quick: bool) -> None:
    out = terminal.console()
    minutes = day.minutes["quick" if quick else "whole"]
    out.print(Text(f"Day {day.number}: {day.title}", "bold"))
    card = f"{day.card['says']}: {day.card['command']}"
    parts = [
        ("About", day.about),
        ("Costs", f"about {minutes:g} minutes of one CPU core in all{'' if quick else '; --quick is shorter'}"),
        ("With a card", card),
    ]
    terminal.say_parts(out, parts)
    if not left:
        out.print(f"\nAll drills are done. One of them again: rally play {day.name}.1")


def say_summary(day: Day) -> None:
    """Print what became of the bets of a day, the numbers to keep, and what comes next."""
    done, out = read_done(), terminal.console()
    ended = [done[drill.name] for drill in day.drills if drill.name in done]
    won, lost = (sum(one.won is is_won for one in ended) for is_won in (True, False))
    out.print(Text(f"\nThe end of day {day.number}", "bold"))
    bets = f"{won} better than the naive guess, {lost} not" if won + lost else "none that count (they are asked in a terminal)"
    remember = [("Remember" if number == 0 else "", _filled(text, done)) for number, text in enumerate(day.remember)]
    following = f"rally play day{day.number + 1}" if day.number < DAYS[-1] else "rally bet (how well you knew beforehand)"
    terminal.say_parts(out, [("Bets", bets), *remember, ("Next", following)])


def _filled(text: str, done: Mapping[str, Done]) -> str:
    """A sentence to remember, with what came out of its drills."""
    return re.sub(r"{([^}]*)}", lambda name: done[name[1]].outcome if name[1] in done else "…", text)


def say_course() -> None:
    """Print the map: every drill of every day, and what is done."""
    entries, base, done = read_entries(), base_params(), read_done()
    out, following, begun = terminal.console(), "", False
    for day in read_course(entries):
        out.print(Text(f"Day {day.number}: {day.title}  (about {day.minutes['whole']:g} CPU minutes)", "bold"))
        for at, drill in enumerate(day.drills, start=1):
            one = done.get(drill.name)
            word = state(drill, one, entries, base)
            mark = {"open": "·", "done": "✓", "changed since": "!"}[word]
            more = "" if one is None else f"{one.outcome}{'' if one.won is None else ', bet won' if one.won else ', bet lost'}"
            said = " · ".join(part for part in ("" if word == "done" else word if one else "", more) if part)
            out.print(f"  {mark} {day.name}.{at} {drill.name:22} {said}".rstrip(), soft_wrap=True)
        if not following and open_drills(day, entries, base):
            following, begun = day.name, any(drill.name in done for drill in day.drills)
    if not following:
        out.print("\nAll days are done. rally play blind --level 5 trains one more run; rally bet shows how well you knew.")
        return
    word = "goes on where you stopped" if begun else "begins the course" if following == "day1" else "is the next day"
    out.print(f"\nrally play {following} {word}; rally play {following}.3 plays one drill; rally play blind one more run.")
