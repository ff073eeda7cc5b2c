"""The DVC commands and parameters of a study: its own overrides, the user's, and those reset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.dvc.launch import bad_name, experiment_name, is_good_name
from pipeline.lab.dvc.overrides import check, expand, hydra_text, with_overrides
from pipeline.lab.studies.entries import Entry, find, read_all
from pipeline.params.errors import UserError
from pipeline.params.load import load, read_sections, with_knobs
from pipeline.params.schema import OF_KINDS, Params


def commands(
    name: str, overrides: Sequence[str] = (), *, experiment: str | None = None, queue: bool = False, standing: BaseParams
) -> list[list[str]]:
    """The `dvc exp run` that plays an entry, after its knobs were checked; for the queue, one for each experiment of a grid.

    Each experiment of a grid has a name of its own that tells its values: DVC would number them, and the next grid again.

    Args:
        name: an entry of studies/.
        overrides: further knobs, each "train.lr=0.001" as `dvc exp run -S` takes it; they win over the entry's.
        experiment: what to call it; by default the entry's name and the further knobs, as nanogpt-cpu-lr0.001.
        queue: for DVC's queue.
        standing: the knobs that the entry stands on. What differs from them in params.yaml is set back by a -S.

    Raises:
        UserError: there is no such entry, or a knob or name cannot be used.
    """
    entry = find(name, read_all())
    assert entry.sweep is None, "DVC plays what is one experiment"
    grid = expand(_settings(overrides, entry, standing))
    check(grid)
    if len(grid) > 1 and not queue:
        raise UserError(f"-S: these are {len(grid)} experiments (a knob has several values); --queue takes them all")
    if experiment is not None and not is_good_name(experiment):
        raise UserError(f"-n: {bad_name(experiment)}")
    varied = {text.partition("=")[0] for texts in grid for text in set(texts) - set(grid[0])}
    made = []
    for texts in grid:
        values = {knob: value for knob, _, value in (text.partition("=") for text in texts)}
        told = varied if experiment else split_overrides(overrides)
        words = ["-n", experiment_name(experiment or name, {knob: values[knob] for knob in told if knob in values})]
        words += ["--queue"] if queue else []
        made.append(["dvc", "exp", "run", *words, *(word for text in texts for word in ("-S", text))])
    return made


def _settings(overrides: Sequence[str], entry: Entry | None, standing: BaseParams) -> list[str]:
    """What -S is to say: what is set back, the knobs of an entry, and further ones, which win over both."""
    further = split_overrides(overrides)
    own: dict[str, Any] = {}
    if entry:
        back = {} if standing.as_is else {knob: there for knob, (_, there) in standing.turned.items()}
        own = {**back, **reset_overrides(entry, further, standing.sections), **entry.set}
    texts = {knob: hydra_text(value) for knob, value in own.items()} | further
    return [f"{knob}={value}" for knob, value in texts.items()]


def reset_overrides(entry: Entry, further: Mapping[str, str], sections: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in params.yaml for another kind of task than an entry's, and would keep it from being played.

    What -S turns stays turned: images whose pixels were shifted may be what was played before a text. An entry that names no
    kind is of language.

    Returns:
        knob -> where it does nothing; what the entry or -S says of a knob wins over it.
    """
    kind = {**entry.set, **further}.get("task.kind", "language")
    back = {} if kind == sections.get("task", {}).get("kind") else {"task.kind": kind}
    for name, (off, kinds) in OF_KINDS.items():
        section, knob = name.split(".")
        if kind not in kinds and sections.get(section, {}).get(knob, off) != off:
            back[name] = off
    return back


def split_overrides(overrides: Sequence[str]) -> dict[str, str]:
    for text in overrides:
        if not re.match(r"[A-Za-z_][\w.]*=", text):
            raise UserError(f"-S {text}: is not KNOB=VALUE, such as train.lr=0.01")
    return {knob: value for knob, _, value in (text.partition("=") for text in overrides)}


def knobs_with(overrides: Sequence[str], name: str | None = None) -> Params:
    """The knobs of params.yaml with some turned; or those that an entry of studies/ is played with.

    Args:
        overrides: each "train.lr=0.001" as `dvc exp run -S` takes it; they win over the entry's.
        name: of the entry.

    Raises:
        UserError: there is no such entry, or a knob cannot be used or has several values.
    """
    if not overrides and name is None:
        return load()  # in half of the time, for DVC's grammar of -S is not needed
    standing = base_params() if name else BaseParams(read_sections(Path("params.yaml")))
    checked = check(expand(_settings(overrides, find(name, read_all()) if name else None, standing)))
    if len(checked) > 1:
        raise UserError(f"-S: these are {len(checked)} experiments (a knob has several values); one at a time")
    return checked[0]


def with_entry(standing: BaseParams, entry: Entry, overrides: Sequence[str] = ()) -> BaseParams:
    """What a grid stands on, with an entry's knobs turned, and further ones (train.steps=50), which win.

    Raises:
        UserError: a further knob cannot be read, has several values, or is one that the entry varies.
    """
    further = split_overrides(overrides)
    [texts, *more] = expand([f"{knob}={value}" for knob, value in further.items()]) if further else [[]]
    if more:
        raise UserError("-S: a knob has several values; what a grid varies stands in its study")
    assert entry.sweep
    varied = {knob for settings in entry.sweep.knobs for knobs in settings for knob in knobs} | {"seed"}
    if twice := [knob for knob in further if knob in varied]:
        raise UserError(*(f"-S {knob}: is what the study varies" for knob in twice))
    back = reset_overrides(entry, further, standing.sections)
    return replace(standing, sections=with_overrides(with_knobs(standing.sections, {**back, **entry.set}), texts))


def own_knobs(entry: Entry, overrides: Sequence[str]) -> set[str]:
    """The knobs that are turned by playing an entry with further ones."""
    varied = entry.sweep.knobs if entry.sweep else ()
    return {*entry.set, *split_overrides(overrides), *(knob for settings in varied for knobs in settings for knob in knobs)}
