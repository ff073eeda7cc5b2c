"""Parameters checked: every problem with its knob, its value and what to use instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.params.errors import ParamsError
from pipeline.params.knobs import Section, format_value
from pipeline.params.names import suggest
from pipeline.params.renamed import RENAMED, rename_notes, rename_notes_in
from pipeline.params.schema import Params
from pipeline.params.suggestions import suggest_knob

S = TypeVar("S", bound=Section)


class Problem(NamedTuple):
    knob: str
    text: str


def parse(section: type[S], values: dict[str, Any], prefix: tuple[str, ...] = ()) -> S:
    """Values as a checked section; `prefix` is its name in error messages.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        details, old = error.errors(), list[str]()
        if section is Params:  # a study's parts are few
            details, old = _without_renamed(_merge_missing(details), values), rename_notes_in(values)
        problems = [_describe(detail, section, prefix) for detail in details]
        raise ParamsError(*old, *(f"{problem.knob}: {problem.text}" for problem in problems)) from None


def _merge_missing(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """The same errors, with one for an empty section in place of one for each of its knobs."""
    empty = {detail["loc"][:-1] for detail in details if detail["type"] == "missing" and detail["input"] == {}}
    others = [detail for detail in details if not (detail["type"] == "missing" and detail["loc"][:-1] in empty)]
    return others + [{"type": "empty", "loc": place, "msg": "", "input": {}} for place in sorted(empty, key=str)]


def _without_renamed(details: list[ErrorDetails], values: Mapping[str, Any]) -> list[ErrorDetails]:
    """The same errors, without those that are due to an old name or value."""
    there = {f"{name}.{knob}" for name, inner in values.items() if isinstance(inner, dict) for knob in inner}
    replaced = {RENAMED[name] for name in there & RENAMED.keys()}
    names = [".".join(map(str, detail["loc"])) for detail in details]
    return [
        detail
        for name, detail in zip(names, details, strict=True)
        if not rename_notes(name, detail["input"]) and not (detail["type"] == "missing" and name in replaced)
    ]


def _describe(detail: ErrorDetails, section: type[Section], prefix: tuple[str, ...]) -> Problem:
    place, kind, limits = detail["loc"], detail["type"], detail.get("ctx", {})
    knob, there = ".".join(map(str, (*prefix, *place))), format_value(detail["input"])
    match kind:
        case "named":
            text = detail["msg"]
        case "between":
            knob, text = f"{knob}.{limits['knob']}".lstrip("."), limits["text"]
        case "empty":
            knob, text = knob or "params.yaml", "has no knobs; `git checkout params.yaml` restores them"
        case "missing":
            text = "is missing; params.yaml must contain every knob"
        case "extra_forbidden":
            siblings = _siblings(section, place)
            hint = suggest_knob(knob, siblings) if section is Params else suggest(str(place[-1]), siblings)
            text = f"there is no such knob. {hint}"
        case "greater_than_equal":
            text = f"{there} is below {limits['ge']}"
        case "greater_than":
            text = f"{there} is not above {limits['gt']}"
        case "less_than_equal":
            text = f"{there} is above {limits['le']}"
        case "less_than":
            text = f"{there} is not below {limits['lt']}"
        case "literal_error":
            words = tuple(word.lower() for word in re.findall(r"\w+", str(limits["expected"])) if word != "or")
            text = f"there is no {there}. {suggest(str(detail['input']), words)}"
        case "string_pattern_mismatch":
            text = f"{there} is not 64 hexadecimal digits"
        case "string_too_short" | "too_short":
            text = "is empty"
        case "finite_number":
            text = f"{there} is not finite"
        case _:
            text = f"{there} is not {_EXPECTED.get(kind, 'valid: ' + detail['msg'])}"
    return Problem(knob, text)


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text (put it in quotes)",
    "string_unicode": "text: it contains half of a surrogate pair",
    "list_type": "a list",
    "model_type": "a section of knobs",
}


def _siblings(section: type[Section], place: tuple[str | int, ...]) -> tuple[str, ...]:
    for part in place[:-1]:
        inner = section.model_fields[str(part)].annotation
        assert isinstance(inner, type) and issubclass(inner, Section)
        section = inner
    return tuple(section.model_fields)
