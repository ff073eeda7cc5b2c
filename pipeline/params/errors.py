"""Errors that the user can fix, one line each, and text that is safe to print to a terminal."""

from __future__ import annotations

import importlib.util


class UserError(Exception):
    """Bad input: each problem is one line that says where it is, what is there, and what to use instead."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ParamsError(UserError):
    """params.yaml contains values that cannot be used; all of them are listed at once."""


def check_packages(wanted_by: str, extra: str, *packages: str, pinned: bool = True) -> None:
    """Check that the packages of an extra of pyproject.toml are installed.

    Args:
        wanted_by: what needs them, by the user's own word for it.
        pinned: whether constraints.txt has their versions.

    Raises:
        UserError: some are missing; says what installs them.
    """
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        noun, them = ("package", "it") if len(missing) == 1 else ("packages", "them")
        raise UserError(
            f"{wanted_by}: needs the {noun} {', '.join(missing)};"
            f" `pip install {'-c constraints.txt ' * pinned}-e '.[{extra}]'` in the top folder installs {them}"
        )


_SYMBOLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}  # ␀ ␁ … ␡
_INVISIBLE = dict.fromkeys((*range(128, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)), 0xFFFD)
_PRINTABLE = _SYMBOLS | _INVISIBLE


def encodable(text: str) -> str:
    """Text that a terminal passed on, which need not be text: halves of characters (lone surrogates) become question marks."""
    return text.encode(errors="replace").decode()


def printable(text: str) -> str:
    """Text with its control characters made visible: ␛ for an escape, � for those without a symbol. Line breaks and tabs stay.

    Texts, prompts, labels and file names come from anywhere. Printed raw, control characters (also those of Latin-1) could set
    the terminal's title, clear lines or hide words, Unicode's bidirectional overrides could reorder letters, and half of a
    surrogate pair cannot be printed at all.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_PRINTABLE)
