"""What git says of the project; nothing where there is no git, no repository, or no such thing in it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


def git(*words: str, given: str = "") -> str | None:
    """The output of a git command in the working directory; None where it fails.

    Args:
        given: its standard input.
    """
    try:
        done = subprocess.run(["git", *words], input=given.encode(), capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else None


def paths(*words: str) -> list[str]:
    """The paths that a git command lists when it is asked with -z; none where it fails."""
    return [path for path in (git(*words) or "").split("\0") if path]


def shortened(commit: str) -> str:
    """A commit as people write it."""
    return commit[:7]


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names in a line; of many the first ones, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
