"""The run that left a file, by dvc.lock, compared with the parameters, code and data here."""

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
    mapping_in,
    recorded_run,
    stages_in,
)
from pipeline.lab.provenance.verdict import Verdict
from pipeline.lab.provenance.workspace import Place


class Origin:
    """What dvc.lock says of the files in one place.

    Args:
        place: where dvc.lock, dvc.yaml, params.yaml and the files lie.
        among_themselves: whether files are asked of that need only be of one run, whatever the knobs and the code are now.
    """

    def __init__(self, place: Place, *, among_themselves: bool = False) -> None:
        self.place, self.among_themselves = place, among_themselves
        self._reasons: dict[str, str] = {}
        locked = place.read(LOCK)
        self.ran, self.stages = stages_in(locked, recorded_run), stages_in(place.read(STAGES), declared_stage)
        self.knobs = mapping_in(place.read(PARAMS)) or {}
        damaged = [name for name, told in ((LOCK, self.ran), (STAGES, self.stages), (PARAMS, self.knobs)) if not told]
        self._doubt = ""
        if locked is None:
            self._doubt = f"there is no {LOCK}, so nothing says which knobs it is of"
        elif damaged:
            self._doubt = f"{damaged[0]} cannot be read, so nothing says which knobs it is of"
        self._maker = {path: name for name, stage in self.stages.items() for path in stage.leaves}
        self._maker |= {path: name for name, ran in self.ran.items() for path in ran.left}

    def verdict(self, path: Path | str) -> Verdict:
        """Whether an out of a stage belongs to the knobs, code and data here, and is what the stage left."""
        name = str(path)
        maker = self._maker.get(name, "")
        if self._doubt or maker not in self.ran:
            return Verdict(self._doubt or _silent(maker), known=False)
        # First, for what dvc.lock says of the run is nothing that holds of another file.
        if name not in self.ran[maker].left or self.place.holds(name, self.ran[maker].left[name]) is False:
            return Verdict(f"{name} is not what {maker} left")
        return Verdict(self._why_not(maker))

    def turned(self, stage: str) -> str:
        """A clause where knobs have changed since a stage, or one before it, ran; "" where not, or where nothing says so."""
        if self._doubt or stage not in self.ran:
            return ""
        before = dict.fromkeys(maker for entry in self.ran[stage].reads if (maker := self._maker.get(entry["path"])))
        reasons = (self.turned(maker) for maker in before if maker != stage)
        return next(filter(None, reasons), "") or next(changed_knobs(stage, self.ran[stage].knobs, self.knobs), "")

    def _why_not(self, stage: str) -> str:
        """Why what a stage left is of other knobs, code or data; "" where it is of these. Of several reasons the first."""
        if stage not in self._reasons:
            self._reasons[stage] = ""  # a circle, which DVC refuses, ends here
            self._reasons[stage] = next(self._differences(stage), "")
        return self._reasons[stage]

    def _differences(self, stage: str) -> Iterator[str]:
        if (ran := self.ran.get(stage)) is None:
            yield _silent(stage)
            return
        made = [entry for entry in ran.reads if entry["path"] in self._maker]
        yield from filter(None, (self._why_not(self._maker[entry["path"]]) for entry in made))
        for entry in made:
            path, maker = entry["path"], self._maker[entry["path"]]
            if self.ran[maker].left.get(path, {}).get("md5") != entry.get("md5"):
                yield f"{stage} has not run on the {path} that {maker} left"
        if self.among_themselves:
            return
        if stage not in self.stages or not _agree(ran, self.stages[stage]):
            yield f"{STAGES} says otherwise of {stage} than when it ran"
        yield from changed_knobs(stage, ran.knobs, self.knobs)
        for entry in ran.reads:
            if entry["path"] not in self._maker and entry.get("md5") and self.place.holds(entry["path"], entry) is False:
                yield f"{entry['path']} has changed since {stage} ran"


def _silent(stage: str) -> str:
    return f"{LOCK} does not say that {stage or 'a stage'} ran"


def _agree(ran: RecordedRun, stage: DeclaredStage) -> bool:
    """Whether dvc.yaml says of a stage what dvc.lock does; a dependency that a knob names changes with the knob."""
    fixed = {normpath(path) for path in stage.reads if isinstance(path, str) and "${" not in path}
    return (
        ran.command == stage.command
        and fixed <= {normpath(entry["path"]) for entry in ran.reads}
        and len(stage.reads) == len(ran.reads)
        and set(stage.sections) == set(ran.knobs)
    )


def changed_knobs(stage: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A clause where knobs are others than a stage ran with."""
    before = flat(then)
    after = flat({key: value for key in then if (value := _at(now, key)) is not None})
    names = [name for name in (*before, *(after.keys() - before.keys())) if before.get(name) != after.get(name)]
    if names:
        first = names[0]
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        yield f"{first} is {_said(after, first)}, and was {_said(before, first)} when {stage} ran{more}"


def _at(knobs: Mapping[str, Any], name: str) -> Any:
    """A section or knob, by its name with dots."""
    value: Any = knobs
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def flat(knobs: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Every knob by its name with dots."""
    found: dict[str, Any] = {}
    for key, value in knobs.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def _said(knobs: Mapping[str, Any], name: str) -> str:
    if name not in knobs:
        return "no knob"
    value = knobs[name]
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value, default=str)
    return text if 0 < len(text) <= 40 else f"{text[:39]}…" if text else "empty"
