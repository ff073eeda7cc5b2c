"""The decision pages of docs/decisions: form, length, order, unique anchors and links that resolve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

TOP = Path(__file__).parents[1]
PAGES = sorted(path for path in (TOP / "docs/decisions").glob("*.md") if path.name != "README.md")
PARTS = ["Decision", "Why", "Would change"]
MOST_WORDS = 80
LINK = re.compile(r"decisions/(\w[\w-]*\.md)#([\w-]+)")


class Entry(NamedTuple):
    """A decision: its heading, its date as written, and the text of each part by name, in order."""

    heading: str
    day: str
    parts: list[tuple[str, str]]


def entries(page: str) -> list[Entry]:
    """The decisions of a page, from the first to the last."""
    found = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        day, _, text = body.strip().partition("\n")
        labelled = re.split(r"^- \*\*([^*]+)\*\* –", text.strip(), flags=re.MULTILINE)
        parts = list(zip(labelled[1::2], (" ".join(part.split()) for part in labelled[2::2]), strict=True))
        if labelled[0].strip():
            parts.insert(0, ("", labelled[0].strip()))
        found.append(Entry(heading.strip(), day.strip(), parts))
    return found


def anchor(heading: str) -> str:
    """What GitHub makes of a heading: lower case, punctuation removed, spaces as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def words(entry: Entry) -> int:
    """How many words the three parts have; a dash or a sign that stands alone is not a word."""
    return sum(bool(re.search(r"\w", word)) for _, text in entry.parts for word in text.split())


def breaches(page: str) -> Iterator[str]:
    """Everything that is wrong with the text of one page."""
    decisions = entries(page)
    if not decisions:
        yield "has no entry"
    for entry in decisions:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", entry.day):
            yield f"{entry.heading}: no date below the heading"
        elif date.fromisoformat(entry.day) < date(2026, 11, 23):
            yield f"{entry.heading}: dated before the project"
        if [name for name, _ in entry.parts] != PARTS:
            yield f"{entry.heading}: its parts are not {', '.join(PARTS)}"
        if not all(text for _, text in entry.parts):
            yield f"{entry.heading}: an empty part"
        if (count := words(entry)) > MOST_WORDS:
            yield f"{entry.heading}: {count} words"
    for later, earlier in pairwise(decisions):
        if later.day < earlier.day:
            yield f"{earlier.heading}: newer than the entry above it"
    for line in page.splitlines():
        if len(line) > 100:
            yield f"a line of {len(line)} characters: {line[:40]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_keeps_the_form(page: Path) -> None:
    assert list(breaches(page.read_text(encoding="utf-8"))) == []


def test_no_two_anchors_are_equal() -> None:
    anchors = [anchor(entry.heading) for page in PAGES for entry in entries(page.read_text(encoding="utf-8"))]
    assert sorted(anchors) == sorted(set(anchors))


def test_the_index_lists_every_page_once() -> None:
    index = (TOP / "docs/decisions/README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\((\w[\w-]*\.md)\)", index)) == [page.name for page in PAGES]


def test_every_link_to_a_decision_resolves() -> None:
    anchors = {page.name: {anchor(entry.heading) for entry in entries(page.read_text(encoding="utf-8"))} for page in PAGES}
    sources = [
        *TOP.glob("*.md"),
        *(TOP / "docs").rglob("*.md"),
        *(TOP / "pipeline").rglob("*.py"),
        *(TOP / "tests").glob("*.py"),
        *TOP.glob("*.yaml"),
    ]
    broken = [
        f"{source.relative_to(TOP)}: {page}#{name}"
        for source in sources
        for page, name in LINK.findall(source.read_text(encoding="utf-8"))
        if page != "README.md" and name not in anchors.get(page, set())
    ]
    assert broken == []


GOOD = """# A page

What it is about.

## One thing

2026-12-01

- **Decision** – It is so,
  and not otherwise.
- **Why** – It was measured.
- **Would change** – Nothing foreseen.

## Another thing

2026-11-23

- **Decision** – It is so.
- **Why** – It was measured.
- **Would change** – A library that does it.
"""


def test_a_good_page_has_no_breach() -> None:
    assert list(breaches(GOOD)) == []
    assert [(entry.heading, words(entry)) for entry in entries(GOOD)] == [("One thing", 11), ("Another thing", 11)]


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        ("## ", "### ", "has no entry"),
        ("2026-12-01\n", "", "One thing: no date below the heading"),
        ("2026-12-01", "2025-12-01", "One thing: dated before the project"),
        ("2026-11-23", "2026-12-02", "Another thing: newer than the entry above it"),
        ("- **Why** – It was measured.\n", "", "One thing: its parts are not Decision, Why, Would change"),
        ("Nothing foreseen.", "", "One thing: an empty part"),
        ("It is so,", "so " * 77, "One thing: 85 words"),
        ("What it is about.", "x" * 101, "a line of 101 characters"),
    ],
)
def test_a_planted_breach_is_seen(old: str, new: str, breach: str) -> None:
    assert old in GOOD
    count = -1 if old == "## " else 1
    assert any(found.startswith(breach) for found in breaches(GOOD.replace(old, new, count)))


def test_an_anchor_is_what_github_makes_of_a_heading() -> None:
    assert anchor("kind: file recognizes a Rally tokenizer") == "kind-file-recognizes-a-rally-tokenizer"
    assert anchor("6N + 12LdT is shown") == "6n--12ldt-is-shown"
