"""The run that made a file, from dvc.lock, compared with the parameters, code and data here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import normpath
from typing import Any

from pipeline.lab.provenance.dvc_files import (
    LOCK,
    PARAMS,
    STAGES,
    DeclaredStage,
    RecordedRun,
    declared_stage,
    parse_mapping,
    parse_stages,
    recorded_run,
)
from pipeline.lab.provenance.match import Match
from pipeline.lab.provenance.workspace import FileTree


class Origin:
    """The runs that made the files of a tree, by its dvc.lock.

    Args:
        files: dvc.lock, dvc.yaml, params.yaml and the files that stages read and make.
        one_run: ask only whether files are of one run, whatever the parameters and the code are now.
    """

    def __init__(self, files: FileTree, *, one_run: bool = False) -> None:
        self.files, self.one_run = files, one_run
        self._reasons: dict[str, str] = {}
        locked = files.read(LOCK)
        self.runs, self.stages = parse_stages(locked, recorded_run), parse_stages(files.read(STAGES), declared_stage)
        self.params = parse_mapping(files.read(PARAMS)) or {}
        damaged = [name for name, content in ((LOCK, self.runs), (STAGES, self.stages), (PARAMS, self.params)) if not content]
        self._unknown = ""
        if locked is None:
            self._unknown = f"there is no {LOCK}, so nothing says which knobs it is of"
        elif damaged:
            self._unknown = f"{damaged[0]} cannot be read, so nothing says which knobs it is of"
        self._maker = {path: name for name, stage in self.stages.items() for path in stage.outs}
        self._maker |= {path: name for name, run in self.runs.items() for path in run.outs}

    def match(self, path: Path | str) -> Match:
        """Whether an out of a stage belongs to the parameters, code and data here, and is what the stage wrote."""
        name = str(path)
        maker = self._maker.get(name, "")
        if self._unknown or maker not in self.runs:
            return Match(self._unknown or _no_record(maker), known=False)
        # First, because dvc.lock says nothing about another file.
        if name not in self.runs[maker].outs or self.files.matches(name, self.runs[maker].outs[name]) is False:
            return Match(f"{name} is not what {maker} wrote")
        return Match(self._mismatch(maker))

    def knobs_changed_since(self, stage: str) -> str:
        """A clause where knobs have changed since a stage, or one before it, ran; "" where not, or where there is no record."""
        if self._unknown or stage not in self.runs:
            return ""
        before = dict.fromkeys(maker for entry in self.runs[stage].deps if (maker := self._maker.get(entry["path"])))
        reasons = (self.knobs_changed_since(maker) for maker in before if maker != stage)
        return next(filter(None, reasons), "") or next(changed_knobs(stage, self.runs[stage].params, self.params), "")

    def _mismatch(self, stage: str) -> str:
        """The first reason why the outs of a stage are of other parameters, code or data; "" where they are of these."""
        if stage not in self._reasons:
            self._reasons[stage] = ""  # a circle, which DVC refuses, ends here
            self._reasons[stage] = next(self._differences(stage), "")
        return self._reasons[stage]

    def _differences(self, stage: str) -> Iterator[str]:
        if (run := self.runs.get(stage)) is None:
            yield _no_record(stage)
            return
        made = [entry for entry in run.deps if entry["path"] in self._maker]
        yield from filter(None, (self._mismatch(self._maker[entry["path"]]) for entry in made))
        for entry in made:
            path, maker = entry["path"], self._maker[entry["path"]]
            if self.runs[maker].outs.get(path, {}).get("md5") != entry.get("md5"):
                yield f"{stage} has not run on the {path} that {maker} wrote"
        if self.one_run:
            return
        if stage not in self.stages or not _agree(run, self.stages[stage]):
            yield f"{stage} has changed in {STAGES} since it ran"
        yield from changed_knobs(stage, run.params, self.params)
        for entry in run.deps:
            if entry["path"] not in self._maker and entry.get("md5") and self.files.matches(entry["path"], entry) is False:
                yield f"{entry['path']} has changed since {stage} ran"


def _no_record(stage: str) -> str:
    return f"{LOCK} does not say that {stage or 'a stage'} ran"


def _agree(run: RecordedRun, stage: DeclaredStage) -> bool:
    """Whether dvc.yaml and dvc.lock agree on a stage; a dependency that a knob names changes with the knob."""
    fixed = {normpath(path) for path in stage.deps if isinstance(path, str) and "${" not in path}
    return (
        run.command == stage.command
        and fixed <= {normpath(entry["path"]) for entry in run.deps}
        and len(stage.deps) == len(run.deps)
        and set(stage.sections) == set(run.params)
    )


def changed_knobs(stage: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A clause where knobs differ from those that a stage ran with."""
    before = flatten(then)
    after = flatten({key: value for key in then if (value := _at(now, key)) is not None})
    names = [name for name in (*before, *(after.keys() - before.keys())) if before.get(name) != after.get(name)]
    if names:
        first = names[0]
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        yield f"{first} is {_value_text(after, first)}, and was {_value_text(before, first)} when {stage} ran{more}"


def _at(params: Mapping[str, Any], name: str) -> Any:
    """A section or knob, by its name with dots."""
    value: Any = params
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every knob by its name with dots."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        found |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _value_text(knobs: Mapping[str, Any], name: str) -> str:
    if name not in knobs:
        return "not a knob"
    value = knobs[name]
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value, default=str)
    return text if 0 < len(text) <= 40 else f"{text[:39]}…" if text else "empty"
