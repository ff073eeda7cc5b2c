"""The commands of docs/tools.md, block by block, and who runs them.

A block of `sh` or `python` without a comment is run by tests/test_tools_page.py. Otherwise one of these stands on the line
above it, or directly below the heading of its section, for all blocks of that section:

    <!-- run by tests/test_NAME.py -->           that file takes it from `blocks_of`, or reads the page itself
    <!-- run where installed: PACKAGE -->        tests/test_tools_page.py, where it can be imported
    <!-- not run: REASON -->
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/tools.md"
LANGUAGES = ("sh", "python")


@dataclass(frozen=True)
class Block:
    """A fenced block: the heading above it, its language and text, and what its comment says ("" if it has none)."""

    section: str
    language: str
    text: str
    comment: str = ""

    @property
    def run_by(self) -> str:
        """The test file that runs it; "" if tests/test_tools_page.py does."""
        found = re.fullmatch(r"run by (tests/test_\w+\.py)", self.comment)
        return found[1] if found else ""

    @property
    def needs(self) -> str:
        """The package without which it is not run."""
        found = re.fullmatch(r"run where installed: ([\w.]+)", self.comment)
        return found[1] if found else ""

    @property
    def reason(self) -> str:
        """Why it is not run."""
        found = re.fullmatch(r"not run: (.+)", self.comment)
        return found[1] if found else ""


def blocks(text: str | None = None) -> list[Block]:
    """All blocks of commands of the page, in order."""
    found: list[Block] = []
    section = of_section = comment = ""
    lines = iter((PAGE.read_text(encoding="utf-8") if text is None else text).splitlines())
    is_below_heading = False
    for line in lines:
        if line.startswith("## "):
            section, of_section, comment, is_below_heading = line[3:], "", "", True
        elif said := re.fullmatch(r"<!-- (.+) -->", line):
            comment = said[1]
            of_section = comment if is_below_heading else of_section
        elif fence := re.fullmatch(r"```(\w*)", line):
            inside = []
            for line_inside in lines:
                if line_inside == "```":
                    break
                inside.append(line_inside)
            if fence[1] in LANGUAGES:
                found.append(Block(section, fence[1], "\n".join(inside), comment or of_section))
            comment = ""
        elif line.strip():
            comment, is_below_heading = "", False
    return found


def blocks_of(section: str) -> list[Block]:
    """The blocks of one section, for the test that runs them."""
    return [block for block in blocks() if block.section == section]
