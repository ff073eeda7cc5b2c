"""The DVC commands and the parameters of a study: its own overrides, the user's, and those that it resets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.dvc.exp_names import experiment_name, is_valid_name, name_problem
from pipeline.lab.dvc.overrides import check_overrides, expand_grid, hydra_text, with_overrides
from pipeline.lab.studies.entries import Entry, find_entry, read_entries
from pipeline.params.errors import UserError
from pipeline.params.load import load, read_sections, with_knobs
from pipeline.params.schema import OF_KINDS, Params


def experiment_commands(
    name: str, overrides: Sequence[str] = (), *, experiment: str | None = None, queue: bool = False, base: BaseParams
) -> list[list[str]]:
    """The validated `dvc exp run` command of an entry; for the queue, one command for each experiment of a grid.

    Each experiment of a grid is named after its values. DVC would number them, and the next grid with the same numbers.

    Args:
        name: an entry of studies/.
        overrides: each "train.lr=0.001" as `dvc exp run -S` takes it; they win over the entry's.
        experiment: its name; by default the entry's name and the overrides, as nanogpt-cpu-lr0.001.
        queue: put it in DVC's queue.
        base: what the entry overrides. Knobs of params.yaml that differ from it are reset by a -S.

    Raises:
        UserError: there is no such entry, or a knob or name cannot be used.
    """
    entry = find_entry(name, read_entries())
    assert entry.scored is None, "neither a grid nor a search is a DVC experiment"
    grid = expand_grid(_all_overrides(overrides, entry, base))
    check_overrides(grid)
    if len(grid) > 1 and not queue:
        raise UserError(f"-S: these are {len(grid)} experiments (a knob has several values); use --queue for all of them")
    if experiment is not None and not is_valid_name(experiment):
        raise UserError(f"-n: {name_problem(experiment)}")
    varied = {text.partition("=")[0] for texts in grid for text in set(texts) - set(grid[0])}
    commands = []
    for texts in grid:
        values = {knob: value for knob, _, value in (text.partition("=") for text in texts)}
        named = varied if experiment else split_overrides(overrides)
        words = ["-n", experiment_name(experiment or name, {knob: values[knob] for knob in named if knob in values})]
        words += ["--queue"] if queue else []
        commands.append(["dvc", "exp", "run", *words, *(word for text in texts for word in ("-S", text))])
    return commands


def _all_overrides(overrides: Sequence[str], entry: Entry | None, base: BaseParams) -> list[str]:
    """What -S sets: what is reset, the entry's overrides, and the user's, where later ones win."""
    users = split_overrides(overrides)
    own: dict[str, Any] = {}
    if entry:
        reset = {} if base.as_is else {knob: there for knob, (_, there) in base.changed_knobs.items()}
        own = {**reset, **reset_overrides(entry, users, base.sections), **entry.set}
    texts = {knob: hydra_text(value) for knob, value in own.items()} | users
    return [f"{knob}={value}" for knob, value in texts.items()]


def reset_overrides(entry: Entry, users: Mapping[str, str], sections: Mapping[str, Any]) -> dict[str, Any]:
    """Resets of knobs that another kind of task than the entry's needs, and that would make its parameters invalid.

    Overrides accumulate in params.yaml, so an experiment on images with shifted pixels may precede one on texts. The kind of an
    entry that names none is language.

    Args:
        users: the user's overrides.

    Returns:
        knob -> the value where it has no effect; an override by the entry or the user wins over it.
    """
    kind = {**entry.set, **users}.get("task.kind", "language")
    reset = {} if kind == sections.get("task", {}).get("kind") else {"task.kind": kind}
    for name, (off, kinds) in OF_KINDS.items():
        section, knob = name.split(".")
        if kind not in kinds and sections.get(section, {}).get(knob, off) != off:
            reset[name] = off
    return reset


def split_overrides(overrides: Sequence[str]) -> dict[str, str]:
    """knob -> value as it is typed.

    Raises:
        UserError: one is not KNOB=VALUE.
    """
    for text in overrides:
        if not re.match(r"[A-Za-z_][\w.]*=", text):
            raise UserError(f"-S {text}: is not KNOB=VALUE, such as train.lr=0.01")
    return {knob: value for knob, _, value in (text.partition("=") for text in overrides)}


def params_with(overrides: Sequence[str], name: str | None = None) -> Params:
    """The parameters of params.yaml, or of an entry of studies/, with overrides.

    Args:
        overrides: each "train.lr=0.001" as `dvc exp run -S` takes it; they win over the entry's.
        name: of the entry.

    Raises:
        UserError: there is no such entry, or a knob cannot be used or has several values.
    """
    if not overrides and name is None:
        return load()  # in half of the time, because DVC's grammar of -S is not needed
    base = base_params() if name else BaseParams(read_sections(Path("params.yaml")))
    entry = find_entry(name, read_entries()) if name else None
    checked = check_overrides(expand_grid(_all_overrides(overrides, entry, base)))
    if len(checked) > 1:
        raise UserError(f"-S: these are {len(checked)} experiments (a knob has several values); give one value")
    return checked[0]


def apply_entry(base: BaseParams, entry: Entry, overrides: Sequence[str] = ()) -> BaseParams:
    """The base parameters of a grid or a search with the entry's overrides and the user's (train.steps=50), which win.

    Raises:
        UserError: one of the user's cannot be read, has several values, or is of a knob that the entry varies.
    """
    users = split_overrides(overrides)
    [texts, *more] = expand_grid([f"{knob}={value}" for knob, value in users.items()]) if users else [[]]
    if more:
        part = "search" if entry.search else "vary"
        raise UserError(f"-S: a knob has several values; add it to the study's `{part}` instead")
    assert entry.scored
    if twice := [knob for knob in users if knob in {*entry.varied, "seed"}]:
        raise UserError(*(f"-S {knob}: the study varies this knob; override another one" for knob in twice))
    reset = reset_overrides(entry, users, base.sections)
    return replace(base, sections=with_overrides(with_knobs(base.sections, {**reset, **entry.set}), texts))


def with_seeds(entry: Entry, overrides: Sequence[str], added: Sequence[str], *, fresh: bool) -> Entry:
    """The entry of a grid or a search with further or fresh seeds, and with one draw of the data if the user sets its seed.

    Raises:
        UserError: the seeds cannot be read, or the study has them already.
    """
    from pipeline.lab.studies import seeds

    assert entry.scored
    sweep = seeds.with_seeds(entry.scored, added, fresh=fresh)
    if "prepare.seed" in split_overrides(overrides):
        sweep = replace(sweep, draws="one")
    if entry.search:
        from pipeline.lab.studies.search_space import check_seeds

        check_seeds(sweep.seeds)
        return replace(entry, search=replace(entry.search, sweep=sweep))
    return replace(entry, sweep=sweep)


def overridden_knobs(entry: Entry, overrides: Sequence[str]) -> set[str]:
    """The knobs that an entry and the user override, or that the entry varies."""
    return {*entry.set, *split_overrides(overrides), *entry.varied}
