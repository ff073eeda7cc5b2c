"""Names of table entries, read from the source without importing it, and suggestions for a wrong one."""

from __future__ import annotations

import ast
import difflib
import functools
from pathlib import Path
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

PIPELINE = Path(__file__).parents[1]


@functools.cache
def names_in(table: str) -> tuple[str, ...]:
    """The keys of a table such as "networks/norms.py:NORMS", read from its source without importing it."""
    file, variable = table.split(":")
    for node in ast.parse((PIPELINE / file).read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict), table
            return tuple(ast.literal_eval(key) for key in node.value.keys if key is not None)
    raise AssertionError(f"no table {table}")


def suggest(word: str, known: tuple[str, ...]) -> str:
    """`Did you mean 'gelu'? Known: gelu, relu, …`: the nearest valid word, if one is similar, and all valid words."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return (f"Did you mean '{near[0]}'? " if near else "") + f"Known: {', '.join(known)}"


class KnownName:
    """A knob whose value is a key of one of these tables; its JSON schema lists the keys."""

    def __init__(self, *tables: str) -> None:
        self.tables = tables

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for table in self.tables for name in names_in(table)))

    def check(self, word: str) -> str:
        if word not in (known := self.names()):
            raise PydanticCustomError("named", "there is no '{word}'. {hint}", {"word": word, "hint": suggest(word, known)})
        return word

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.names())}


DATASETS = {
    "language": "TEXTS",
    "classify": "LABELLED_TEXTS",
    "vision": "IMAGES",
}  # by kind of task, in corpus/sources/table.py


Dataset = Annotated[str, KnownName(*(f"corpus/sources/table.py:{table}" for table in DATASETS.values()))]


Text = Annotated[str, KnownName("corpus/sources/table.py:TEXTS")]
