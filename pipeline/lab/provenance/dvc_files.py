"""What dvc.yaml and dvc.lock say of each stage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from pipeline.params.yaml12 import Yaml12Loader

PARAMS, STAGES, LOCK = "params.yaml", "dvc.yaml", "dvc.lock"


def md5_in_pointer(content: bytes) -> str | None:
    """The md5 in the file that `dvc add` wrote."""
    told = mapping_in(content)
    outs = told.get("outs") if told else None
    return outs[0].get("md5") if isinstance(outs, list) and outs and isinstance(outs[0], dict) else None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Yaml12Loader by libyaml, seven times as fast; for files that programs wrote."""


_Loader.yaml_implicit_resolvers = Yaml12Loader.yaml_implicit_resolvers


_Loader.yaml_constructors = Yaml12Loader.yaml_constructors


def mapping_in(content: bytes | None) -> dict[str, Any] | None:
    """What stands in a YAML file; None where that is no mapping."""
    try:
        told = yaml.load((content or b"").decode(), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (ValueError, yaml.YAMLError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


@dataclass(frozen=True)
class RecordedRun:
    """What dvc.lock says of a stage."""

    command: Any
    reads: Sequence[Mapping[str, Any]]  # path, md5, size, nfiles of each dependency
    left: Mapping[str, Mapping[str, Any]]  # path -> the same of each out
    knobs: Mapping[str, Any]


@dataclass(frozen=True)
class DeclaredStage:
    """What dvc.yaml says of a stage."""

    command: Any
    reads: Sequence[Any]  # paths, some by a knob that names them
    leaves: Sequence[str]
    sections: Collection[str]


Told = TypeVar("Told")


def stages_in(content: bytes | None, read: Callable[[dict[str, Any]], Told]) -> dict[str, Told]:
    """The stages of dvc.yaml or dvc.lock; none where the file is not there or holds something else."""
    stages = (mapping_in(content) or {}).get("stages")
    try:
        return {name: read(told) for name, told in stages.items()} if isinstance(stages, dict) else {}
    except (AttributeError, KeyError, TypeError):  # no mapping, no path or no list where there should be one
        return {}


def recorded_run(told: dict[str, Any]) -> RecordedRun:
    reads, left = told.get("deps") or [], told.get("outs") or []
    knobs = (told.get("params") or {}).get(PARAMS) or {}
    if not all(isinstance(entry["path"], str) for entry in (*reads, *left)) or not isinstance(knobs, dict):
        raise TypeError
    return RecordedRun(told.get("cmd"), reads, {entry["path"]: entry for entry in left}, knobs)


def declared_stage(told: dict[str, Any]) -> DeclaredStage:
    leaves = [entry if isinstance(entry, str) else next(iter(entry)) for part in OUTS for entry in told.get(part) or []]
    sections = {section for section in told.get("params") or [] if isinstance(section, str)}
    return DeclaredStage(told.get("cmd"), list(told.get("deps") or []), leaves, sections)


OUTS = ("outs", "metrics", "plots")
