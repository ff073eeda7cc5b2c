"""What users wrote is text in every terminal: Rich's markup, which a name may look like, is never read out of it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.lab.look.terminal import table
from pipeline.progress import follower

NAMES = ("[/b]", "texts [a-z].csv", "[red]x[/red]")


def printed(what: object) -> str:
    console = Console(file=(file := io.StringIO()), width=200)
    console.print(what)
    return file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_token_that_heads_a_column_is_text(name: str) -> None:
    assert name in printed(table("the lens", "after", name))


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_beside_a_bar_is_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", file := io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with follower("bar")(f"reading {name}", 10) as advance:
        advance(10)
    assert f"reading {name}" in file.getvalue()
