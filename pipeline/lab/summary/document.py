"""A page as data, written twice: as markdown, which git can compare line by line, and as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MARKDOWN_SIGNS = str.maketrans({"|": "\\|", "\n": " "})


@dataclass(frozen=True)
class Table:
    """A table; what stands between backticks is code, here as in all texts.

    Attributes:
        numbers: the columns to be set flush right.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Commands:
    """Lines to type."""

    text: str


Block = str | Table | Commands
"""A paragraph, a table, or commands."""


@dataclass(frozen=True)
class Section:
    """A part of the page; `parts` have smaller headings."""

    title: str
    name: str
    blocks: tuple[Block, ...] = ()
    parts: tuple[tuple[str, tuple[Block, ...]], ...] = ()


@dataclass(frozen=True)
class Document:
    """The page.

    Attributes:
        answer: what it says, in a sentence or two.
    """

    title: str
    answer: tuple[str, ...]
    sections: tuple[Section, ...]


def markdown(document: Document) -> str:
    """The page as markdown; equal content gives equal bytes."""
    return "\n".join([*_lines(document), ""])


def _lines(document: Document) -> Iterator[str]:
    yield f"# {document.title}"
    for sentence in document.answer:
        yield from ("", sentence)
    for section in document.sections:
        yield from ("", f"## {section.title}")
        for block in section.blocks:
            yield from _block(block)
        for title, blocks in section.parts:
            yield from ("", f"### {title}")
            for block in blocks:
                yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    yield ""
    match block:
        case str():
            yield block
        case Commands(text):
            yield from ("```sh", *text.splitlines(), "```")
        case Table():
            yield _row(block.heads)
            yield "|" + "|".join("---:" if at in block.numbers else "---" for at in range(len(block.heads))) + "|"
            yield from map(_row, block.rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.translate(MARKDOWN_SIGNS) for cell in cells) + " |"
