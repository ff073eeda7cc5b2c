"""`rally play` and its options: a study of studies/, a day of the course, a blind fault."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from pipeline.lab.commands import On, Remote, SetParam, print_notes
from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError

COURSE = ("course", "day1", "day2", "day3", "day4", "day5", "blind")
DAY_WORDS = {"one": "day1", "two": "day2", "three": "day3", "four": "day4", "five": "day5"}


def play(
    name: Annotated[
        str | None, typer.Argument(help="A study of studies/, or course, day1, day1.3 or blind. Without it: list them.")
    ] = None,
    set_param: SetParam = None,
    experiment: Annotated[str | None, typer.Option("-n", "--name", help="The name of the experiment.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Put it in DVC's queue; `dvc queue start` runs it.")] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Start from params.yaml as it is, not from that of the last commit.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and print the command, but do not run it.")] = False,
    tell: Annotated[bool, typer.Option("--about", help="Print everything about it, but do not run it.")] = False,
    more_seeds: Annotated[
        list[str] | None,
        typer.Option("--seeds", help="Further seeds of a grid, such as 4-8: another look, at a price."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="As many seeds that nobody saw: does it hold again?")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask for no prediction.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Of the course: fewer seeds.")] = False,
    details: Annotated[bool, typer.Option("--details", help="Of the course: also intervals, claims and controls.")] = False,
    level: Annotated[int, typer.Option(help="Of a blind fault: 1 to 5, that of day 1 to 5.")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="Of a blind fault: the number of the run.")] = None,
    on: On = "pool",
    remote: Remote = "",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page of a grid in a browser.")] = False,
) -> None:
    """Run a study of studies/: an experiment, a grid or a search.

    An experiment is one training, by `dvc exp run`; the command is checked and printed first. A grid is many trainings, over
    knobs and seeds, in this process: it asks for your prediction, runs, judges each claim, and says what to notice and what
    comes next, here and on a page (results/NAME.html). A search looks for the best values of some knobs, beside a random
    search with the same budget, and scores the best found again on fresh seeds. All start from params.yaml as last committed:
    later changes are listed but ignored, unless you give --as-is. Without a name: list the studies.

    `rally play course` shows the five days of the course, `rally play day1` plays the first from where you stopped, and
    `rally play blind` trains a run that may be broken, for you to say how.
    """
    enter_project()
    away = on != "pool" or remote
    if name and (course := course_part(name)):
        if set_param or experiment or queue or as_is or dry_run or tell or more_seeds or fresh or open_page or away:
            raise UserError(
                f"{name}: is a part of the course, which takes --yes, --quick, --details, --level, --seed; leave out the rest"
            )
        play_course(course, asks=not yes, quick=quick, details=details, level=level, seed=seed)
        return
    from pipeline.lab.dvc import run_dvc
    from pipeline.lab.dvc.base_params import base_params
    from pipeline.lab.studies import entries, listing, recipes

    if name is None:
        print(listing.listing(entries.read_entries()))
        return
    entry = entries.find_entry(name, entries.read_entries(), COURSE)
    if tell:
        print(listing.about(name, entry))
        return
    if entry.sweep:
        if experiment or queue:
            raise UserError(f"{name}: is a grid, not a single DVC experiment; leave out -n and --queue")
        entry = recipes.with_seeds(entry, set_param or [], more_seeds or [], fresh=fresh)
        base = recipes.apply_entry(base_params(as_is=as_is), entry, set_param or [])
        print_notes(base.notes(recipes.overridden_knobs(entry, set_param or [])))
        assert entry.sweep
        from pipeline.lab.fleet.opening import opened_fleet
        from pipeline.lab.studies import play as player
        from pipeline.lab.studies import report

        with opened_fleet(on, base, remote) as fleet:
            if dry_run:
                print(report.size_text(entry.sweep, list(entry.sweep.variants(base.sections))))
                return
            played = player.play_grid(name, entry, entry.sweep, base, asks=not yes, fleet=fleet)
        if open_page:
            typer.launch(played.page.resolve().as_uri())
        return
    if entry.search:
        if experiment or queue:
            raise UserError(f"{name}: is a search, not a single DVC experiment; leave out -n and --queue")
        entry = recipes.with_seeds(entry, set_param or [], more_seeds or [], fresh=fresh)
        base = recipes.apply_entry(base_params(as_is=as_is), entry, set_param or [])
        print_notes(base.notes(recipes.overridden_knobs(entry, set_param or [])))
        from pipeline.lab.fleet.opening import opened_fleet
        from pipeline.lab.studies.search import budget
        from pipeline.lab.studies.search import play as searcher

        assert entry.search
        with opened_fleet(on, base, remote) as fleet:
            if dry_run:
                searcher.check(entry.search, base)
                print(f"{budget.budget_text(entry.search)}; {entry.costs}")
                return
            found = searcher.play_search(name, entry, entry.search, base, asks=not yes, fleet=fleet)
        if open_page:
            typer.launch(found.resolve().as_uri())
        return
    if away:
        raise UserError(f"{name}: is a single DVC experiment, which runs here; leave out --on and --remote")
    if more_seeds or fresh:
        raise UserError(f"{name}: is a single DVC experiment, which has one seed; leave out --seeds and --fresh")
    if open_page:
        raise UserError(f"{name}: is a single DVC experiment, which has no page; `dvc plots show` draws it. Leave out --open")
    base = base_params(as_is=as_is)
    commands = recipes.experiment_commands(name, set_param or [], experiment=experiment, queue=queue, base=base)
    print_notes(base.notes(recipes.overridden_knobs(entry, set_param or [])))
    if dry_run:
        print(*map(run_dvc.shell_line, commands), sep="\n")
        return
    from pipeline.lab.experiments.command_check import check_command

    for command in commands:
        check_command(command)
    sys.exit(run_dvc.run_dvc(*commands))


def course_part(name: str) -> tuple[str, ...] | None:
    """("course",), ("blind",), ("day", "1") or ("day", "1", "3"); None for a study.

    Raises:
        UserError: the number of the day is in words.

    >>> course_part("day1.3"), course_part("lr-sweep")
    (('day', '1', '3'), None)
    """
    if name in ("course", "blind"):
        return (name,)
    if re.fullmatch(r"day\D.*", name):
        near = DAY_WORDS.get(name[3:].strip(" -_"), "day1")
        raise UserError(f"{name}: there is no such day. Did you mean '{near}'? The course has day1 to day5")
    found = re.fullmatch(r"day(\d{1,3})(?:\.(\d{1,3}))?", name)
    return ("day", *(number for number in found.groups() if number)) if found else None


def play_course(part: tuple[str, ...], *, asks: bool, quick: bool, details: bool, level: int, seed: int | None) -> None:
    """Play a part of the course.

    Raises:
        UserError: there is no such day, drill or level.
    """
    match part:
        case ("course",):
            from pipeline.lab.course.days import say_course

            say_course()
        case ("blind",):
            from pipeline.lab.course.blind.levels import LEVELS

            if level not in LEVELS:
                raise UserError(
                    f"--level {level}: there is no such level; use 1 to {max(LEVELS)}, one for each day of the course"
                )
            from pipeline.lab.course.blind.play import play_blind
            from pipeline.lab.dvc.base_params import base_params

            play_blind(base_params(), level, seed, asks=asks)
        case (_, day, *drill):
            from pipeline.lab.course.days import play_day

            play_day(int(day), int(drill[0]) if drill else None, asks=asks, quick=quick, details=details, seed=seed)
