"""Docs, studies, captions and messages hold none of the phrases in words.py, and each phrase is seen where it is planted."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from small import TOP
from words import FILES, PHRASES, Phrase, breaches, files


@pytest.mark.parametrize("file", [str(file.relative_to(TOP)) for file in files(TOP, [])])
def test_a_file_has_none_of_the_phrases(file: str) -> None:
    assert [str(breach) for breach in breaches(TOP / file)] == []


@pytest.mark.parametrize("pattern", FILES)
def test_every_kind_of_file_is_read(pattern: str) -> None:
    assert list(TOP.glob(pattern)) != []


@pytest.mark.parametrize("phrase", PHRASES, ids=[phrase.wrong for phrase in PHRASES])
def test_a_phrase_is_found_where_it_is_planted(phrase: Phrase) -> None:
    assert list(phrase.found(phrase.wrong)) != []


@pytest.mark.parametrize("phrase", PHRASES, ids=[phrase.right for phrase in PHRASES])
def test_what_to_write_instead_has_none_of_the_phrases(phrase: Phrase) -> None:
    assert [other.pattern for other in PHRASES for _ in other.found(phrase.right)] == []


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("docs/a.md", "One\ntwo, which hang\non three", [(2, "hang on")]),
        ("studies/a.yaml", "# This would\n# do.\nquestion: Known by heart?", [(1, "would # do"), (3, "by heart")]),
        ("pipeline/lab/a.py", '"""What is it?"""\n', [(1, "What is it?")]),
        ("pipeline/lab/a.py", '"""What is it? This."""\n', [(1, "What is it? This.")]),
        ("pipeline/lab/__init__.py", '"""What is it?"""\n', []),
        ("benchmarks/a.py", '"""What is it?"""\n', []),
        ("pipeline/lab/a.py", '"""Learned by heart.\n\nAnd more by heart."""\n', [(1, "by heart")]),
        ("pipeline/lab/a.py", "\nx = f'{y:{z} by heart} nats a token {z:.3f}'\n", [(2, "nats a token")]),
        ("pipeline/lab/a.py", "x = f'it took {y} a step'\n", [(1, "} a step")]),
        ("pipeline/lab/a.py", 'raise Error(\n    "is no file"\n    f" of {x}; y would do")\n', [(2, "is no"), (2, "would do")]),
        ("pipeline/lab/a.py", 'def f():\n    """Known by heart."""  # by heart\n', []),
        ("pipeline/lab/a.py", '@app.command()\ndef f():\n    """Known by heart."""\n', [(3, "by heart")]),
        ("pipeline/lab/a.py", 'def f(x: Annotated[int, typer.Option()]):\n    """Known by heart."""\n', [(2, "by heart")]),
        ("pipeline/lab/a/command.py", 'def f():\n    """Known by heart."""\n', [(2, "by heart")]),
        ("pipeline/lab/a.py", 'x: int\n"""Known by heart."""\nkey = "by_heart"\n', []),
    ],
)  # fmt: skip
def test_only_what_users_read_is_read(tmp_path: Path, name: str, text: str, found: list[tuple[int, str]]) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")

    assert [(breach.line, breach.phrase) for breach in breaches(file)] == found


def test_docstrings_are_read_on_demand(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('"""Good."""\n\n\nclass A:\n    """Known by heart."""\n', encoding="utf-8")
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) == "Good."

    assert breaches(file) == []
    assert [breach.line for breach in breaches(file, docstrings=True)] == [5]
