"""The days of studies/course/*.yaml: read and validated, each drill against the study or the computation that answers it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.lab.bets.question import Question
from pipeline.lab.course.blind.levels import LEVELS
from pipeline.lab.course.computations.table import COMPUTATIONS, promised
from pipeline.lab.course.day import Day, Drill, Quick, Run
from pipeline.lab.course.truths.base import Found, Truth
from pipeline.lab.course.truths.table import TRUTHS
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.entries import Entry
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.yaml12 import read_yaml

FOLDER = Path("studies/course")
DAYS = (1, 2, 3, 4, 5)

OF_DAY = ("title", "about", "minutes", "card", "remember", "drills")
OF_DRILL, MAY_DRILL = ("name", "run", "notice", "then"), ("question", "bet", "look", "seed_says")
OF_BET, MAY_BET = ("kind", "truth"), ("unit", "choices", "logarithmic", "naive")
OF_RUN = ("play", "seeds", "quick", "blind", "commands", "needs", "do", "with")
KINDS = ("number", "choice", "order", "yesno")


def read_day(number: int, entries: Mapping[str, Entry], folder: Path = FOLDER) -> Day:
    """A day of the course.

    Raises:
        UserError: with one line for each problem.
    """
    path = folder / f"day{number}.yaml"
    content, problems = read_yaml(path), list[str]()
    values = _parts(content, OF_DAY, (), problems, "a day")
    for part, words in (("minutes", ("whole", "quick")), ("card", ("says", "command"))):
        if part in values:
            _parts(values[part], words, (), problems, part)
    drills = []
    for at, one in enumerate(values.get("drills") or [], start=1):
        found = list[str]()
        drill = _drill(one, entries, found)
        name = one.get("name", at) if isinstance(one, dict) else at
        problems += [f"{name}: {problem}" for problem in found]
        if drill and not found:
            drills.append(drill)
    names = [drill.name for drill in drills]
    problems += [f"{name}: two drills have this name" for name in sorted({name for name in names if names.count(name) > 1})]
    for text in values.get("remember") or []:
        unknown = [name for name in re.findall(r"{([^}]*)}", str(text)) if name not in names]
        problems += [f"remember: there is no drill '{name}'. {suggest(name, tuple(names))}" for name in unknown if not problems]
    if problems:
        raise UserError(*(f"{path}: {problem}" for problem in problems))
    return Day(
        number,
        title=_text(values["title"]),
        about=_text(values["about"]),
        minutes=values["minutes"],
        card={word: _text(text) for word, text in values["card"].items()},
        remember=tuple(map(_text, values["remember"])),
        drills=tuple(drills),
    )


def read_course(entries: Mapping[str, Entry]) -> tuple[Day, ...]:
    """All days.

    Args:
        entries: those of studies/, which drills play.

    Raises:
        UserError: with one line for each problem of any day.
    """
    days, problems = [], list[str]()
    for number in DAYS:
        try:
            days.append(read_day(number, entries))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*problems)
    return tuple(days)


def _drill(content: Any, entries: Mapping[str, Entry], problems: list[str]) -> Drill | None:
    values = _parts(content, OF_DRILL, MAY_DRILL, problems, "a drill")
    if problems:
        return None
    run = _run(values["run"], entries, problems)
    if run is None or problems:
        return None
    question, truth = None, None
    if run.blind:
        problems += [f"{part}: a blind fault asks its own question" for part in ("question", "bet") if part in values]
    elif missing := [part for part in ("question", "bet") if part not in values]:
        problems += [f"{part}: is missing" for part in missing]
    else:
        question, truth = _bet(_text(values["question"]), values["bet"], blank_results(run, entries), problems)
    said = values.get("seed_says", [])
    said = tuple(map(_text, said if isinstance(said, list) else [said]))
    texts = {part: _text(values.get(part, "")) for part in ("notice", "then", "look")}
    return Drill(str(values["name"]), run, question=question, truth=truth, seed_says=said, **texts)


def _run(content: Any, entries: Mapping[str, Entry], problems: list[str]) -> Run | None:
    values = _parts(content, (), OF_RUN, problems, "a run")
    if problems:
        return None
    if not {"play", "blind", "commands", "do"} & set(values):
        problems.append("run: runs nothing; give it play, blind, commands or do")
    if play := values.get("play", ""):
        if play not in entries:
            problems.append(f"run.play: there is no '{play}'. {suggest(str(play), tuple(entries))}")
        elif entries[play].sweep is None:
            problems.append(f"run.play: {play} is a single experiment, not a grid; use commands: [rally play {play}]")
    if (level := values.get("blind", 0)) and level not in LEVELS:
        problems.append(f"run.blind: there is no level {level}. Known: {', '.join(map(str, LEVELS))}")
    if (do := values.get("do", "")) and do not in COMPUTATIONS:
        problems.append(f"run.do: there is no '{do}'. {suggest(str(do), tuple(COMPUTATIONS))}")
    quick = _parts(values.get("quick", {}), (), ("seeds", "set"), problems, "quick")
    others = [line for line in values.get("commands", []) if not str(line).startswith(("rally ", "dvc "))]
    problems += [f"run.commands: {line!r} is not a command of rally or dvc" for line in others]
    if problems:
        return None
    return Run(
        play=play,
        seeds=tuple(values.get("seeds", ())),
        quick=Quick(tuple(quick.get("seeds", ())), tuple(quick.get("set", ()))),
        blind=level,
        commands=tuple(values.get("commands", ())),
        needs=values.get("needs", ""),
        do=do,
        arguments=values.get("with", {}),
    )


def blank_results(run: Run, entries: Mapping[str, Entry]) -> Found:
    """What a run will leave, with ones for all numbers: enough to say whether a truth can be read from it."""
    if run.do:
        return Found({}, (), promised(run.do))
    if not run.play:
        return Found({})
    sweep = entries[run.play].sweep
    assert sweep
    measures = {name: Results(sweep.axes, np.ones(sweep.shape)) for name in sweep.measures}
    return Found(measures, ["held"] * len(sweep.claims))


def _bet(text: str, content: Any, blank: Found, problems: list[str]) -> tuple[Question | None, Truth | None]:
    values = _parts(content, OF_BET, MAY_BET, problems, "a bet")
    if problems:
        return None, None
    kind = values["kind"]
    if kind not in KINDS:
        problems.append(f"bet.kind: there is no '{kind}'. {suggest(str(kind), KINDS)}")
        return None, None
    if (truth := _truth(values["truth"], problems)) is None:
        return None, None
    if kind not in truth.kinds:
        problems.append(f"bet.truth: answers {' or '.join(truth.kinds)}, not {kind}")
        return None, None
    try:
        offered = truth.choices(blank)
        truth.outcome(blank)
    except (UserError, ValueError) as error:
        problems += [f"bet.{problem}" for problem in (error.problems if isinstance(error, UserError) else [f"truth: {error}"])]
        return None, None
    choices = tuple(map(str, values.get("choices", offered)))
    if kind in ("choice", "order") and len(choices) < 2:
        problems.append("bet.choices: is missing; the study offers no labels")
    if offered and set(choices) - set(offered):
        problems.append(f"bet.choices: {', '.join(set(choices) - set(offered))}: not on the axis {', '.join(offered)}")
    naive = values.get("naive")
    if kind == "number" and naive is None:
        problems.append("bet.naive: is missing: the number of someone who did not think, with which a bet is compared")
    if problems:
        return None, None
    return Question(text, kind, values.get("unit", ""), choices, values.get("logarithmic", False), naive), truth


def _truth(content: Any, problems: list[str]) -> Truth | None:
    if not (isinstance(content, dict) and len(content) == 1):
        problems.append(f"bet.truth: is not one of {', '.join(TRUTHS)} with its arguments, such as value: {{of: train_loss}}")
        return None
    [(name, arguments)] = content.items()
    if name not in TRUTHS:
        problems.append(f"bet.truth: there is no '{name}'. {suggest(str(name), tuple(TRUTHS))}")
        return None
    fields = tuple(field.name for field in dataclasses.fields(TRUTHS[name]))
    known = _parts(arguments, (), fields, problems, name)
    return None if problems else TRUTHS[name](**known)


def _parts(content: Any, required: Sequence[str], optional: Sequence[str], problems: list[str], what: str) -> dict[str, Any]:
    """The parts of a mapping; says which are missing or unknown."""
    known = (*required, *optional)
    if not isinstance(content, dict):
        problems.append(f"{what}: is not a mapping of {', '.join(known)}")
        return {}
    problems += [f"{word}: {what} has no such part. {suggest(str(word), known)}" for word in content if word not in known]
    problems += [f"{word}: is missing" for word in required if word not in content]
    return content


def _text(value: Any) -> str:
    return " ".join(str(value).split())
