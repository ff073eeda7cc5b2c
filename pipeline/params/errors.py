"""Errors that are the user's to mend, each one line, and text that is safe to print."""

from __future__ import annotations


class UserError(Exception):
    """Something of the user's that cannot be used: each problem one line that says where, what is there, what would do."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ParamsError(UserError):
    """params.yaml holds values that cannot be used; all of them are listed at once."""


_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}


_UNSEEN = dict.fromkeys((*range(128, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)), 0xFFFD)


_PRINTABLE = _PICTURES | _UNSEEN


def printable(text: str) -> str:
    """Text that does nothing to a terminal, or to the lines around it: ␛ for an escape, � for what has no picture.

    Texts, prompts, labels and file names come from anywhere. Raw, their control characters (those of Latin-1 too) would set
    titles, clear lines and hide words; Unicode's embeddings and overrides would turn the order of letters around; and half a
    surrogate pair cannot be printed at all. Line breaks and tabs stay.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_PRINTABLE)
