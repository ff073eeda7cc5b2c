"""Examples in docstrings: each gives what it says."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[1]
WITH_EXAMPLES = {"pipeline.engine.schedules", "pipeline.readings", "pipeline.evaluation.class_metrics"}  # at least


def docstrings(tree: ast.AST, above: str = "") -> Iterator[tuple[str, str, int]]:
    """(name, docstring, its line) of all that has examples; by the source, so that no decorator hides any."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            name = f"{above}{node.name}"
            text = ast.get_docstring(node) or ""
            if ">>>" in text:
                yield name, text, node.lineno
            yield from docstrings(node, f"{name}.")


def found() -> list[tuple[str, str, str, int]]:
    files = [path for path in sorted((TOP / "pipeline").rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
    return [
        (".".join(path.relative_to(TOP).with_suffix("").parts), *one)
        for path in files
        for one in docstrings(ast.parse(path.read_text(encoding="utf-8")))
    ]


EXAMPLES = found()


def failures(text: str, names: dict[str, Any], where: str, line: int = 0) -> str:
    """What the examples of a docstring print where they do not give what they say."""
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, names, where, where, line)
    doctest.DocTestRunner().run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize(
    ("module", "name", "text", "line"), EXAMPLES, ids=[f"{module}:{name}" for module, name, *_ in EXAMPLES]
)
def test_an_example_gives_what_it_says(module: str, name: str, text: str, line: int) -> None:
    assert failures(text, dict(vars(importlib.import_module(module))), f"{module}.{name}", line) == ""


def test_the_modules_that_are_to_have_examples_have_some() -> None:
    assert {module for module, *_ in EXAMPLES} >= WITH_EXAMPLES


def test_a_wrong_example_is_seen() -> None:
    assert failures(">>> 1 + 1\n2\n", {}, "right") == ""
    assert "Expected:\n    3\nGot:\n    2" in failures(">>> 1 + 1\n3\n", {}, "wrong")
    assert "ZeroDivisionError" in failures(">>> 1 / 0\n0\n", {}, "wrong")
