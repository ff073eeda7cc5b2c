"""The ledger's chain of lines: each names the SHA-256 of the lines that it follows, so that later changes show.

Lines form a tree, not a list: two clones that both append, and are merged by git, leave two lines that follow the same one.
The next line follows both. What stood before what is decided by this tree, not by the order in the file.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

KEPT = 10_000  # lines that were read, so that a ledger is parsed once
PARTS = {  # of each kind of line, besides those of all: kind, n, follows
    "made": ("when", "who", "target", "question", "answer", "already_run"),
    "begun": ("when", "target"),
    "scored": ("when", "bet", "truth", "interval"),
}


@dataclass(frozen=True)
class Line:
    """A line of the ledger.

    Attributes:
        text: without the line break.
        number: where it stands in the file, from 1.
        content: what it says; empty if it is not a line of a ledger.
    """

    text: str
    number: int
    content: Mapping[str, Any]

    @cached_property
    def sha256(self) -> str:
        return sha256_of_text(self.text)

    @property
    def kind(self) -> str:
        return self.content.get("kind", "")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a line.

    Attributes:
        number: of the line.
        is_note: it is worth to be known, and not wrong.
    """

    number: int
    says: str
    is_note: bool = False

    def __str__(self) -> str:
        return f"line {self.number}: {self.says}"


class Chain:
    """The lines of a ledger, and which of them stood there when another one was written."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.lines = [Line(text, number, content_of(text)) for number, text in enumerate(texts, 1)]
        self.place: dict[str, int] = {}
        for at, line in enumerate(self.lines):
            if line.content:
                self.place.setdefault(line.sha256, at)
        self._before: list[int] = []  # of each line the set of lines before it, as bits
        for at, line in enumerate(self.lines):
            parents = [self.place.get(sha, at) for sha in line.content.get("follows", [])]
            # Of a line whose predecessor was altered or removed, the one above is the best guess.
            known = [parent if parent < at else at - 1 for parent in parents]
            self._before.append(_union(self._before[parent] | 1 << parent for parent in known if parent >= 0))

    def sound(self) -> Iterator[Line]:
        """Every line that is one of a ledger, without copies."""
        return (line for at, line in enumerate(self.lines) if line.content and self.place[line.sha256] == at)

    def is_before(self, first: Line, second: Line) -> bool:
        """Whether one line stood in the ledger when the other was written."""
        return bool(self._before[second.number - 1] >> (first.number - 1) & 1)

    def ends(self) -> list[Line]:
        """The lines that no other line follows: one, or several after a merge. An altered line is not among them."""
        followed = {sha for line in self.lines for sha in line.content.get("follows", [])}
        loose = [line for line in self.sound() if line.sha256 not in followed]
        altered = {problem.number for problem in self.problems() if not problem.is_note}
        return [line for line in loose if line.number not in altered] or loose[-1:]

    def next(self, content: Mapping[str, Any]) -> str:
        """The text of a new line at the end."""
        ends = self.ends()
        number = 1 + max((line.content["n"] for line in ends), default=0)
        whole = {"n": number, "follows": [line.sha256 for line in ends], **content}
        return json.dumps(whole, ensure_ascii=False, allow_nan=False)

    def problems(self) -> list[Problem]:
        """Lines that were altered, removed, inserted or copied since they were written; and notes on merges."""
        found: dict[int, Problem] = {}

        def report(line: Line, says: str, is_note: bool = False) -> None:
            found.setdefault(line.number, Problem(line.number, says, is_note))

        children: dict[str, list[Line]] = {}
        for at, line in enumerate(self.lines):
            if not line.content:
                report(line, "is not a line of a ledger: it was altered, or only a part of it was written")
            elif self.place[line.sha256] != at:
                report(line, f"is a copy of line {self.place[line.sha256] + 1}")
            else:
                for sha in line.content["follows"] or [""]:
                    children.setdefault(sha, []).append(line)
        for sha, following in children.items():
            if sha and sha not in self.place:
                for line in following:
                    self._missing(line, children, report)
        for at, line in enumerate(self.lines):
            if line.content and line.number not in found:
                above = [self.place[sha] for sha in line.content["follows"] if sha in self.place]
                if any(parent >= at for parent in above):
                    report(line, f"stands above line {max(above) + 1}, which it follows: lines were moved")
                elif len(above) == len(line.content["follows"]):
                    depth = 1 + max((self.lines[parent].content["n"] for parent in above), default=0)
                    if line.content["n"] != depth:
                        report(line, f"has the number {line.content['n']}, and would be {depth}: it was altered or inserted")
        for sha, following in children.items():
            if (not sha or sha in self.place) and len(following) > 1:
                after = f"line {self.place[sha] + 1}" if sha else "nothing"
                numbers = ", ".join(str(line.number) for line in following)
                says = f"lines {numbers} all follow {after}: branches of git were merged here, or a line was inserted"
                report(following[-1], says, is_note=True)
        return [found[number] for number in sorted(found)]

    def _missing(self, line: Line, children: Mapping[str, Sequence[Line]], report: Any) -> None:
        """Report why a line follows one that is not here."""
        above = self.lines[line.number - 2] if line.number > 1 else None
        if above and not above.content:
            return  # that is the one, and is reported
        n = line.content["n"]
        for other in reversed(self.lines[: line.number - 1]):
            if other.content and other.content["n"] == n - 1 and other.sha256 not in children:
                report(other, f"was altered: line {line.number} follows what it was before")
                return
        gap = n - 1 - (above.content["n"] if above else 0)
        what = "a line" if gap == 1 else f"{gap} lines" if gap > 1 else "lines"
        report(line, f"{what} before it {'was' if gap == 1 else 'were'} removed")


@functools.lru_cache(KEPT)
def sha256_of_text(text: str) -> str:
    """By which the next line names this one."""
    return hashlib.sha256(text.encode()).hexdigest()


@functools.lru_cache(KEPT)
def content_of(text: str) -> dict[str, Any]:
    """What a line says; empty if it is not a line of a ledger."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    parts = PARTS.get(content.get("kind", "")) if isinstance(content, dict) else None
    if parts is None or not all(part in content for part in (*parts, "n", "follows")):
        return {}
    follows = content["follows"]
    is_sound = isinstance(follows, list) and all(isinstance(sha, str) for sha in follows) and type(content["n"]) is int
    return content if is_sound else {}


def _union(sets: Iterator[int]) -> int:
    whole = 0
    for one in sets:
        whole |= one
    return whole
