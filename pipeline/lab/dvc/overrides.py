"""Overrides (-S train.lr=0.01) in DVC's own grammar, Hydra's: read, applied to a copy of the parameters, and validated."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.params.errors import ParamsError, UserError
from pipeline.params.load import read_sections, template_errors
from pipeline.params.parse import parse
from pipeline.params.renamed import RENAMED, rename_notes, rename_notes_in, with_new_names
from pipeline.params.schema import Params
from pipeline.params.suggestions import suggest_knob

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

KnobValue = bool | int | float | str | list[Any]


def params_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides of params.yaml; `-S other.yaml:knob=value` is about another file."""
    named = [(*override.partition("=")[0].rpartition(":"), override) for override in overrides]
    return [override[len(file) + len(colon) :] for file, colon, _, override in named if file in ("", "params.yaml")]


def expand_grid(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each experiment that DVC makes of knobs with several values (train.lr=0.01,0.02): a grid.

    Raises:
        UserError: DVC cannot read a value.
    """
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import get_hydra_sweeps
    from hydra.errors import HydraException

    if not any(override.is_sweep_override() for override in _parsed(overrides)):
        return [list(overrides)]
    try:
        return [each["params.yaml"] for each in get_hydra_sweeps({"params.yaml": list(overrides)})]
    except (DvcException, HydraException, ValueError) as error:
        raise UserError(f"-S {' '.join(overrides)}: {_first_line(error)}") from None


def with_overrides(sections: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of the sections with overrides applied as DVC will apply them; not yet validated.

    Args:
        overrides: of one experiment, each as `dvc exp run -S` takes it: train.lr=1e-3, model={depth: 2}, train.snapshots.0=0.5.

    Raises:
        ParamsError: there is no such knob.
        UserError: DVC cannot read or apply a value.
    """
    from dvc.utils.hydra import apply_overrides

    if not overrides:
        return dict(sections)
    problems, known = rename_notes_in(sections), with_new_names(sections)
    problems += [line for override in _parsed(overrides) for line in _unknown(override, known) + _unusable(override)]
    if problems:
        raise ParamsError(*problems)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "params.json"  # DVC overrides JSON in the same way, in less time
        copy.write_text(json.dumps(sections, default=str), encoding="utf-8")
        try:
            apply_overrides(copy, list(overrides))
        except Exception as error:  # DVC lets errors of OmegaConf, of the file format and of Python itself through
            raise UserError(f"-S {' '.join(overrides)}: {_first_line(error)}") from None
        values: dict[str, Any] = json.loads(copy.read_text(encoding="utf-8"))
    return values


def override_values(overrides: Sequence[str]) -> dict[str, Any]:
    """knob -> value of the overrides of one experiment (train.lr=1e-3), as DVC reads them."""
    return {override.key_or_group: override.value() for override in _parsed(overrides)}


def check_overrides(grid: Sequence[Sequence[str]], sections: Mapping[str, Any] | None = None) -> list[Params]:
    """Validate the parameters of every experiment of a grid, before anything starts.

    Args:
        grid: the overrides of each experiment.
        sections: what they override; by default params.yaml.

    Returns:
        All parameters of each experiment.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    base = read_sections(Path("params.yaml")) if sections is None else sections
    checked: list[Params] = []
    problems: list[str] = []
    for overrides in grid:
        try:
            checked.append(parse(Params, with_overrides(base, overrides)))
        except UserError as error:
            problems += error.problems
    if problems:
        raise ParamsError(*dict.fromkeys(problems))
    return checked


def hydra_text(value: KnobValue) -> str:
    """A knob's value in the grammar of `dvc exp run -S`.

    Source: "Hydra, Basic Override syntax" (the grammar that DVC reads -S by).
    """
    if isinstance(value, list):
        return f"[{','.join(map(hydra_text, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    return value if _PLAIN.fullmatch(value) else _quoted(value)


_PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)$)[A-Za-z_][\w/.-]*", re.IGNORECASE | re.ASCII)


def _quoted(text: str) -> str:
    # A backslash means itself, except before a quotation mark or the end, where it must stand twice.
    return "'" + re.sub(r"\\+(?='|\Z)", lambda run: run[0] * 2, text).replace("'", r"\'") + "'"


def _parsed(overrides: Sequence[str]) -> list[Override]:
    """What DVC reads each override as.

    Raises:
        UserError: it cannot read one.
    """
    from dvc.utils.hydra import to_hydra_overrides
    from hydra.errors import HydraException

    parsed: list[Override] = []
    for override in overrides:
        try:
            parsed += to_hydra_overrides([override])
        except (HydraException, ValueError) as error:  # a ValueError: a number of thousands of digits
            raise UserError(
                f"-S {override[:60]}: DVC cannot read this; KNOB=VALUE, such as train.lr=0.01: {_first_line(error)}"
            ) from None
    return parsed


def _unknown(override: Override, sections: Mapping[str, Any]) -> list[str]:
    """A line for each unknown name in it. DVC would advise to add it with +, which Rally then refuses."""
    if override.is_add() or override.is_force_add() or override.is_sweep_override():
        return []
    if old := rename_notes(override.key_or_group, override.value()):
        return old
    inner: Any = sections
    parts = override.key_or_group.split(".")
    for depth, part in enumerate(parts):
        above, name = ".".join(parts[:depth]), ".".join(parts[: depth + 1])
        if isinstance(inner, dict) and part in inner:
            inner = inner[part]
        elif isinstance(inner, dict):
            hint = suggest_knob(".".join(parts) if not depth else name, tuple(inner))
            return [f"{'.'.join(parts)}: there is no such knob. {hint}"]
        elif isinstance(inner, list) and part.isdecimal() and int(part) < len(inner):
            inner = inner[int(part)]
        elif isinstance(inner, list):
            return [f"{name}: there is no such place; {above} has {len(inner)} entries, numbered from 0"]
        else:
            return [f"{'.'.join(parts)}: there is no such knob; {above} is not a section"]
    value = override.value()
    if isinstance(value, dict) and isinstance(inner, dict):
        old = rename_notes_in({override.key_or_group: value})
        names = [name for key in value if key not in inner and (name := f"{override.key_or_group}.{key}") not in RENAMED]
        return old + [f"{name}: there is no such knob. {suggest_knob(name, tuple(inner))}" for name in names]
    return []


def _unusable(override: Override) -> list[str]:
    """A line for each part of its value that would not get into params.yaml as it was written."""
    from hydra.core.override_parser.types import Sweep

    def within(value: Any) -> bool:
        return isinstance(value, Sweep) or (isinstance(value, dict | list) and any(map(within, value)))

    value = override.value()
    if isinstance(value, dict | list) and within(list(value.values()) if isinstance(value, dict) else value):
        return [f"-S {override.input_line}: only a whole knob can have several values"]
    return template_errors(value, override.key_or_group)


def _first_line(error: Exception) -> str:
    cause = error.__cause__ or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]
