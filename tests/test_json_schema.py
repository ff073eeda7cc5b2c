"""The JSON schema of params.yaml is what the code makes, and marks what the code refuses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from small import TOP
from test_params import KNOBS, values_with
from wrong_params import WRONG

from pipeline.params.json_schema import as_text, comments, json_schema
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml

SCHEMA = json_schema((TOP / "params.yaml").read_text())
Place = tuple[str | int, ...]

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
WORDS = {"$schema", "title", "description", "properties", "required", "additionalProperties", "items"}


def marked(value: Any, schema: dict[str, Any], place: Place = ()) -> Iterator[Place]:
    """The places that an editor marks, by the keywords of JSON Schema that ours uses."""
    limits = schema.keys() - WORDS
    if not all(keeps(value, word, schema[word]) for word in limits):
        yield place
    elif isinstance(value, dict):
        known = schema["properties"]
        assert schema["additionalProperties"] is False and set(schema["required"]) == set(known)
        yield from ((*place, name) for name in value.keys() ^ known.keys())
        for name in value.keys() & known.keys():
            yield from marked(value[name], known[name], (*place, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from marked(item, schema["items"], (*place, number))


def keeps(value: Any, word: str, limit: Any) -> bool:
    """Whether a value keeps one keyword; those of numbers, texts and lists say nothing of other values."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    match word:
        case "type":
            return isinstance(value, TYPES[limit]) and (limit == "boolean") == isinstance(value, bool)
        case "enum":
            return any(type(value) is type(one) and value == one for one in limit)
        case "minimum":
            return not is_number or value >= limit
        case "maximum":
            return not is_number or value <= limit
        case "exclusiveMinimum":
            return not is_number or value > limit
        case "exclusiveMaximum":
            return not is_number or value < limit
        case "minLength" | "minItems":
            return not isinstance(value, str | list) or len(value) >= limit
        case "pattern":
            return not isinstance(value, str) or bool(re.search(limit, value))
    raise AssertionError(f"a keyword of JSON Schema that no test knows: {word}")


def test_the_file_is_what_the_code_makes() -> None:
    file = TOP / "params.schema.json"
    assert file.read_text() == as_text(SCHEMA), "run `python -m pipeline.params.json_schema`"
    assert (TOP / "params.yaml").read_text().startswith(f"# yaml-language-server: $schema={file.name}\n")


def test_params_yaml_has_nothing_that_is_marked() -> None:
    assert list(marked(read_yaml(TOP / "params.yaml"), SCHEMA)) == []


# What JSON Schema cannot say: rules between knobs, zero bytes, numbers and letters that JSON lacks, 1000.0 as another type.
UNSAID = {"between", "finite_number", "string_unicode", "int_from_float"}


@pytest.mark.parametrize("what", [what for what, wrong in WRONG.items() if wrong.content is None])
def test_what_the_code_refuses_of_one_knob_is_marked_there_and_nothing_else(what: str) -> None:
    values = values_with(WRONG[what].knobs)
    try:
        Params.model_validate(values)
        refused = []  # by a rule outside the sections
    except ValidationError as error:
        refused = [d for d in error.errors() if d["type"] not in UNSAID and "zero byte" not in d["msg"]]
        whole = {d["loc"] for d in error.errors() if d["type"] == "int_from_float" and float(d["input"]).is_integer()}
        refused += [d for d in error.errors() if d["type"] == "int_from_float" and d["loc"] not in whole]
    assert sorted(marked(values, SCHEMA), key=str) == sorted((detail["loc"] for detail in refused), key=str)


def test_every_knob_is_described_by_its_comment() -> None:
    found = comments((TOP / "params.yaml").read_text())
    assert found.keys() - KNOBS.keys() == Params.model_fields.keys() - {"seed"}
    sections = SCHEMA["properties"]
    for name in KNOBS:
        section, _, knob = name.rpartition(".")
        content = sections[section]["properties"][knob] if section else sections[knob]
        assert content["description"] == found[name] and len(found[name]) > 10


def test_the_schema_has_no_defaults() -> None:
    assert '"default"' not in json.dumps(SCHEMA)
