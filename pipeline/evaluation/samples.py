"""The page metrics/samples.md: a continuation of each prompt at each temperature. No torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pipeline.params.errors import UserError, printable
from pipeline.params.stages import Evaluate

Generate = Callable[[str, float], Iterable[str]]
"""(prompt, temperature) -> the continuation in pieces; a UserError where the model cannot generate text."""


def page(generate: Generate, known: Callable[[str], str], evaluate: Evaluate, *, step: int, seed: int) -> str:
    """samples.md: the continuation of each prompt of `evaluate.prompts` at each of `evaluate.temperatures`.

    Args:
        known: leaves out the characters of a prompt that the tokenizer lacks.
        step: of the training, after which the model was saved.
        seed: of the samples.
    """
    parts = [f"# Samples\n\nGenerated after step {step:,}, with seed {seed}; each begins with its prompt.\n"]
    for prompt in evaluate.prompts:
        parts.append(f"## {inline(prompt)}\n")
        if (start := known(prompt)) != prompt:
            read = inline(start) if start else "none of it"
            parts.append(f"The tokenizer lacks characters of this prompt; the model read {read}.\n")
        for temperature in evaluate.temperatures:
            parts.append(f"### Temperature {temperature:g}\n")
            try:
                parts.append(fenced(start + "".join(generate(prompt, temperature))) + "\n")
            except UserError as refusal:
                parts.append(f"{refusal}\n")
    return "\n".join(parts)


def fenced(text: str) -> str:
    """Text as a block of code that nothing in it can end, with characters that would not show made visible."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{printable(text)}\n{fence}"


def inline(text: str) -> str:
    """Text as code within a line."""
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{printable(text).replace(chr(10), '⏎').replace(chr(9), ' ')}{pad}{ticks}"


def _longest_run(text: str) -> int:
    """The length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)
