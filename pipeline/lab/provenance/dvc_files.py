"""dvc.yaml, dvc.lock and *.dvc files, read: what each stage is declared to run, and what it ran."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.params.yaml12 import NOT_YAML, load_yaml

PARAMS, STAGES, LOCK = "params.yaml", "dvc.yaml", "dvc.lock"
OUTS = ("outs", "metrics", "plots")

T = TypeVar("T")


@dataclass(frozen=True)
class RecordedRun:
    """A stage's last run, from dvc.lock."""

    command: Any
    deps: Sequence[Mapping[str, Any]]  # path, md5, size, nfiles of each
    outs: Mapping[str, Mapping[str, Any]]  # path -> the same of each
    params: Mapping[str, Any]


@dataclass(frozen=True)
class DeclaredStage:
    """A stage, from dvc.yaml."""

    command: Any
    deps: Sequence[Any]  # paths; ${section.knob} where a knob names it
    outs: Sequence[str]
    sections: Collection[str]


def parse_mapping(content: bytes | None) -> dict[str, Any] | None:
    """The content of a YAML file; None where it is not a mapping."""
    try:
        parsed = load_yaml((content or b"").decode())
    except NOT_YAML:
        return None
    return parsed if isinstance(parsed, dict) else None


def parse_stages(content: bytes | None, parse: Callable[[dict[str, Any]], T]) -> dict[str, T]:
    """The stages of dvc.yaml or dvc.lock; none where the file is missing or holds something else.

    Args:
        parse: `recorded_run` or `declared_stage`.
    """
    stages = (parse_mapping(content) or {}).get("stages")
    try:
        return {name: parse(stage) for name, stage in stages.items()} if isinstance(stages, dict) else {}
    except (AttributeError, KeyError, StopIteration, TypeError):  # no mapping, path or list where there should be one
        return {}


def recorded_run(stage: dict[str, Any]) -> RecordedRun:
    deps, outs = stage.get("deps") or [], stage.get("outs") or []
    params = (stage.get("params") or {}).get(PARAMS) or {}
    if not all(isinstance(entry["path"], str) for entry in (*deps, *outs)) or not isinstance(params, dict):
        raise TypeError
    return RecordedRun(stage.get("cmd"), deps, {entry["path"]: entry for entry in outs}, params)


def declared_stage(stage: dict[str, Any]) -> DeclaredStage:
    outs = [entry if isinstance(entry, str) else next(iter(entry)) for part in OUTS for entry in stage.get(part) or []]
    sections = {section for section in stage.get("params") or [] if isinstance(section, str)}
    return DeclaredStage(stage.get("cmd"), list(stage.get("deps") or []), outs, sections)


def md5_in_dvc_file(content: bytes) -> str | None:
    """The md5 in a *.dvc file, which `dvc add` writes."""
    parsed = parse_mapping(content)
    outs = parsed.get("outs") if parsed else None
    return outs[0].get("md5") if isinstance(outs, list) and outs and isinstance(outs[0], dict) else None
