"""What `rally data` prints: the data sets of corpus/sources/table.py, described by catalogue.yaml."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError
from pipeline.params.names import DATASETS, PIPELINE, names_in, suggest

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
LEGEND = "local: generated or already installed · package: downloaded once from your package index · network: downloaded once"


class DataSet(NamedTuple):
    """What the catalogue says of a data set; the fields are explained at the top of catalogue.yaml."""

    what: str
    size: str
    licence: str
    source: str
    knobs: str
    split: str


def data(name: Annotated[str | None, typer.Argument(help="Describe this one.")] = None) -> None:
    """List the data sets to learn from, or describe one."""
    enter_project()
    for line in description(name) if name else listing():
        print(line)


class MissingEntryError(UserError):
    """A data set has no entry in the catalogue, or one that is not complete."""


@functools.cache  # thirty entries are asked for, of one file
def _read(path: Path) -> dict[str, Any]:
    from pipeline.params.yaml12 import read_yaml

    return read_yaml(path)


def data_set(kind: str, name: str) -> DataSet:
    """The entry of a data set for a kind of task.

    Raises:
        MissingEntryError: there is none, or it lacks a field.
    """
    file = CATALOGUE.relative_to(PIPELINE.parent)
    entry = (_read(CATALOGUE).get(kind) or {}).get(name)
    if not isinstance(entry, dict):
        raise MissingEntryError(f"{name}: no entry in {file} under {kind}; add one")
    if missing := [field for field in DataSet._fields if field not in entry]:
        raise MissingEntryError(f"{name}: no '{missing[0]}' in {file} under {kind}; add it")
    return DataSet(**{field: str(entry[field]) for field in DataSet._fields})


def listing() -> Iterator[str]:
    """One line for each data set, by kind of task; one without an entry in the catalogue is named as such."""
    tables = {kind: names_in(f"corpus/sources/table.py:{table}") for kind, table in DATASETS.items()}
    width = max(len(name) for names in tables.values() for name in names)
    for kind, names in tables.items():
        yield f"{kind} (task.kind={kind})"
        for name in names:
            try:
                entry = data_set(kind, name)
            except MissingEntryError as error:
                yield f"  {error}"
            else:
                yield f"  {name:<{width}}  {entry.source:<7}  {entry.what}; {entry.size}; {entry.licence}"
        yield ""
    yield LEGEND
    yield "`rally data NAME` says more. `dvc exp run -S task.kind=classify -S prepare.dataset=sentiment` trains on one"


def description(name: str) -> Iterator[str]:
    """Everything the catalogue says of the data sets of this name, of which each kind of task may have one.

    Raises:
        UserError: there is no such data set.
        MissingEntryError: it is not in the catalogue.
    """
    tables = {kind: names_in(f"corpus/sources/table.py:{table}") for kind, table in DATASETS.items()}
    known = tuple(dict.fromkeys(other for names in tables.values() for other in names))
    if name not in known:
        raise UserError(f"rally data: there is no '{name}'. {suggest(name, known)}")
    for kind in (kind for kind, names in tables.items() if name in names):
        entry = data_set(kind, name)
        rows = {
            "what": entry.what,
            "size": entry.size,
            "licence": entry.licence,
            "source": entry.source,
            "split": entry.split,
            "knobs": entry.knobs,
            "command": f"dvc exp run -S task.kind={kind} -S prepare.dataset={name}",
        }
        yield f"{name}, for task.kind {kind}"
        for row, text in rows.items():
            if text:
                yield from textwrap.wrap(
                    text, 110, initial_indent=f"  {row:<9}", subsequent_indent=" " * 11, break_on_hyphens=False
                )
        yield ""
