"""params.yaml loaded, and sections with some knobs overridden."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.params.errors import ParamsError
from pipeline.params.knobs import format_value
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check every knob.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    return parse(Params, read_sections(Path(path)))


def read_sections(path: Path) -> dict[str, Any]:
    """The sections of a parameter file, not yet checked.

    Raises:
        UserError: the file cannot be read, or contains something else.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: contains {format_value(values)}, not sections of knobs")
    if problems := template_errors(values):
        raise ParamsError(*problems)
    return values


def template_errors(value: Any, name: str = "") -> list[str]:
    """A line for each text that OmegaConf would replace or refuse, through which DVC passes all parameters at every -S."""
    if isinstance(value, dict | list):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        return [line for key, inner in inside for line in template_errors(inner, f"{name}.{key}".lstrip("."))]
    if isinstance(value, str) and ("${" in value or value == "???"):
        return [f"{name}: {format_value(value)}: DVC's -S replaces ${{…}} and refuses ???; use other text"]
    return []


def with_knobs(sections: Mapping[str, Any], knobs: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the sections with some knobs overridden ("train.lr": 0.01, …), unknown ones added; not yet checked.

    Raises:
        ParamsError: a name leads through something that is not a section.
    """
    values = copy.deepcopy(dict(sections))
    for name, value in knobs.items():
        *above, knob = name.split(".")
        inner = values
        for depth, section in enumerate(above, start=1):
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ParamsError(f"{name}: there is no such knob; {'.'.join(above[:depth])} is not a section")
        inner[knob] = value
    return values
