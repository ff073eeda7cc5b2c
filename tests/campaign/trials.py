"""The table of the campaign: of each kind of trial, how many there were and how they ended."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SCALE = float(os.environ.get("RALLY_CAMPAIGN", "1"))  # of all counts; 0.05 for a look
ENDS = ("right", "refused in words", "unclear", "silent", "lost", "corrupt", "executed", "tracebacks", "hung")
"""How a trial may end; the first two are well.

right: what came out is, to the byte, what an undisturbed run has. refused in words: a line says where and what is wrong, exit
status 2. unclear: it was refused, and the words do not say which file is meant. silent: other numbers came out, without a word.
lost: something of the user's, or of an earlier run, is gone. corrupt: a file is there in part, or something temporary was left.
executed: a hostile file ran code. tracebacks: an error of Python's, or a crash. hung: it took longer, or more memory, than
anything honest does."""


def scaled(count: int) -> int:
    return max(1, round(count * SCALE))


class Tally:
    """The trials of one test, by kind; what was not right is kept with the way to see it again."""

    def __init__(self) -> None:
        self.ended: dict[str, Counter[str]] = {}
        self.faults: list[str] = []

    def add(self, kind: str, end: str, how: str = "", count: int = 1) -> None:
        assert end in ENDS, end
        self.ended.setdefault(kind, Counter())[end] += count
        if end not in ENDS[:2]:
            self.faults.append(f"{kind}: {end}: {how}")

    def check(self) -> None:
        """Fail where any trial ended otherwise than well."""
        shown = "\n".join(self.faults[:20])
        assert not self.faults, f"{len(self.faults)} trials did not end well:\n{shown}"
        assert self.ended, "no trial was held"


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Any:
    """Counts go with the test's report, so that they come to the table from whatever worker the test ran in."""
    found = Tally()
    yield found
    request.node.user_properties.append(("campaign", {kind: dict(ends) for kind, ends in found.ended.items()}))
    request.node.user_properties.append(("campaign faults", found.faults))


def table(ended: dict[str, Counter[str]]) -> str:
    """Of all kinds, as Markdown."""
    rows = [["kind of trial", "trials", *ENDS]]
    for kind, ends in sorted(ended.items()):
        rows.append([kind, f"{ends.total():,}", *(f"{ends[end]:,}" for end in ENDS)])
    total: Counter[str] = sum(ended.values(), Counter())
    rows.append(["all", f"{total.total():,}", *(f"{total[end]:,}" for end in ENDS)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of all trials that were held, printed; and written to the file that RALLY_CAMPAIGN_SUMMARY names."""
    ended: dict[str, Counter[str]] = {}
    faults: list[str] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "teardown":
                continue
            for name, found in report.user_properties:
                if name == "campaign":
                    for kind, ends in found.items():
                        ended.setdefault(kind, Counter()).update(ends)
                elif name == "campaign faults":
                    faults += found
    if not ended:
        return
    said = table(ended)
    terminalreporter.section("the campaign")
    terminalreporter.write_line(said)
    if summary := os.environ.get("RALLY_CAMPAIGN_SUMMARY"):
        Path(summary).write_text(said + "\n" + "".join(f"\n{fault}" for fault in faults), encoding="utf-8")
