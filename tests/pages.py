"""The documents as a program reads them: their words, their code, and the commands in them."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from pipeline.lab.cli import app

TOP = Path(__file__).parents[1]
MARKDOWN = ("*.md", "docs/**/*.md", "findings/*.md", "data/own/*.md", ".github/**/*.md")
COMMENTS = ("studies/*.yaml", "params.yaml")  # whose comments are read

UNREADABLE = "sh"  # stands before a line that no shell can read


@dataclass(frozen=True)
class Page:
    """A document: its text, and the folder that its links start from."""

    text: str
    folder: Path = TOP

    @functools.cached_property
    def prose(self) -> str:
        """The text with the lines of code blocks left blank."""
        return re.sub(r"^```.*?^```$", lambda block: re.sub(r"[^\n]", "", block[0]), self.text, flags=re.DOTALL | re.MULTILINE)

    @functools.cached_property
    def inline(self) -> list[str]:
        """What stands between backticks, blanks and ends of lines as one blank."""
        return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", self.prose)]

    def commands(self) -> Iterator[list[str]]:
        """Every command of ours and of DVC's as words: in code blocks, indented lines and between backticks."""
        blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)
        lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
        indented = re.findall(r"^ {4,}((?:\./run )?(?:rally|dvc) .+)$", self.prose, re.MULTILINE)
        for line in [*lines, *(re.split(r" {3,}", line)[0] for line in indented), *self.inline]:
            if re.search(r"\b(?:rally|dvc) ", line) and not re.search(r"[<{…]", line):
                yield from _commands_in(line)


def _commands_in(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        read = [*lexer, ";"]
    except ValueError:  # of a quotation mark without another
        yield [UNREADABLE, line]
        return
    for word in read:
        if set(word) <= set("();<>|&"):
            words = words[1:] if words[:1] == ["./run"] else words
            if len(words) > 1 and words[0] in ("rally", "dvc"):
                yield words
            words = []
        else:
            words.append(word)


def pages() -> dict[str, Page]:
    """Every document and every file with comments, and the help of every command, by name."""
    found = {
        str(path.relative_to(TOP)): Page(path.read_text(encoding="utf-8"), path.parent)
        for pattern in MARKDOWN
        for path in sorted(TOP.glob(pattern))
    }
    for path in (path for pattern in COMMENTS for path in sorted(TOP.glob(pattern))):
        comments = re.findall(r"(?:^|\s)#( .*)?$", path.read_text(encoding="utf-8"), re.MULTILINE)
        found[str(path.relative_to(TOP))] = Page("\n".join(comment[1:] for comment in comments))
    return found | {f"rally {name} --help".replace("  ", " "): Page(text) for name, text in _helps(get_command(app))}


def _helps(command: Any, name: str = "") -> Iterator[tuple[str, str]]:
    yield name, "\n\n".join([command.help or "", *(getattr(one, "help", None) or "" for one in command.params)])
    for word, inner in getattr(command, "commands", {}).items():
        yield from _helps(inner, f"{name} {word}".strip())
