"""A line that a person types at a terminal, and how a person leaves."""

from __future__ import annotations

import sys
import termios

LEAVE = ("q", "quit")


class Stopped(SystemExit):
    """Whoever was asked leaves: with q (exit status 0), or with Ctrl-C (130, as shells report it)."""


def is_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def typed(prompt: str) -> str | None:
    """What is typed from now on, without blanks at its ends; None at the end of the input.

    What was typed before, while something computed, is dropped: an Enter too many must not answer the next question.

    Raises:
        Stopped: Ctrl-C.
    """
    sys.stdout.flush()
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    try:
        return input(prompt).strip()
    except EOFError:
        print()
        return None
    except KeyboardInterrupt:
        print("\nStopped.")
        raise Stopped(130) from None


def wants_more(prompt: str) -> bool:
    """Whether Enter is typed; False for q and for the end of the input. Nothing else is an answer.

    Raises:
        Stopped: Ctrl-C.
    """
    while text := typed(prompt):
        if text.casefold() in LEAVE:
            return False
        print("Enter goes on, q stops.")
    return text is not None
