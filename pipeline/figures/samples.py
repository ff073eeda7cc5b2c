"""A parser of metrics/samples.md: headings and blocks, whose content is not trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Sample:
    """A heading with the text under it; `level` 1 is the title of the page."""

    title: str
    level: int
    blocks: list[tuple[str, str]] = field(default_factory=list)
    """("code", verbatim text) or ("text", a paragraph)."""

    @property
    def heads(self) -> bool:
        """Whether it is only a heading of the samples after it."""
        return self.level > 1 and all(kind == "text" for kind, _ in self.blocks)


def inline(text: str) -> list[tuple[bool, str]]:
    """A title or paragraph as (is it code, text): text between backticks is code, and nothing else is special."""
    parts, start = list[tuple[bool, str]](), 0
    for code in re.finditer(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", text):
        parts.append((False, text[start : code.start()]))
        padded = code[2].strip() and code[2][0] == code[2][-1] == " "  # so that code can begin and end with a backtick
        parts.append((True, code[2][1:-1] if padded else code[2]))
        start = code.end()
    return [part for part in (*parts, (False, text[start:])) if part[1]]


def read_samples(markdown: str) -> list[Sample]:
    """The parts of a markdown file of headings, paragraphs and fenced code. Fenced text is never parsed."""
    samples = [Sample("", 1)]
    fence, code, paragraph = "", list[str](), list[str]()

    def close() -> None:
        if paragraph:
            samples[-1].blocks.append(("text", " ".join(paragraph)))
            paragraph.clear()

    for line in markdown.split("\n"):
        if fence:
            if re.fullmatch(rf"{fence[0]}{{{len(fence)},}}\s*", line):
                samples[-1].blocks.append(("code", "\n".join(code)))
                fence, code = "", []
            else:
                code.append(line)
        elif opening := re.match(r"(`{3,}|~{3,})", line):
            close()
            fence = opening[1]
        elif heading := re.match(r"(#{1,6})\s+(.*)", line):
            close()
            samples.append(Sample(heading[2].strip(), len(heading[1])))
        elif line.strip():
            paragraph.append(line.strip())
        else:
            close()
    close()
    if fence:  # a file that was cut short
        samples[-1].blocks.append(("code", "\n".join(code)))
    return [sample for sample in samples if sample.blocks or sample.level > 1]
