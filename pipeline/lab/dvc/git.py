"""Git's answers about the repository that a clone stands in: a plain one, a worktree, a submodule, a folder of another."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What git sets for hooks, `git rebase --exec` and the like: with these it would answer for another repository or index than
# the one that DVC finds from the folder.
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
# A merge, rebase, bisection and the like that somebody has begun and not finished.
UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_START", "rebase-merge", "rebase-apply", "sequencer")
NOT_OF_DVC = (":/", ":(exclude,top,glob)**/.dvc/tmp/**")  # every file but those that DVC stages for itself


@dataclass(frozen=True)
class Entry:
    """A line of a reflog: where the reference has pointed since, when it moved (in seconds), and why."""

    commit: str
    time: int
    message: str


@dataclass(frozen=True)
class Repository:
    """Git, asked from the folder `root`. What fails says nothing: an empty string."""

    root: Path

    def __call__(self, *words: str) -> str:
        return self.raw(*words).strip()

    def raw(self, *words: str) -> str:
        return self.run(*words).stdout

    def succeeds(self, *words: str) -> bool:
        return self.run(*words).returncode == 0

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        done = subprocess.run(
            ["git", *words],
            cwd=self.root,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            errors="surrogateescape",  # a message or a name need not be UTF-8
            check=False,
        )
        return done if done.returncode == 0 else subprocess.CompletedProcess(done.args, done.returncode, "", done.stderr)

    def holds_root(self) -> bool:
        """Whether there is a repository here whose files are those of `root` (core.worktree may name another folder)."""
        top = self("rev-parse", "--show-toplevel")
        return bool(top) and self.root.resolve().is_relative_to(top)

    def path(self, name: str) -> Path:
        """A file that git keeps for itself, of this worktree or of all."""
        return self.root / self("rev-parse", "--git-path", name)

    def commit(self, reference: str) -> str:
        return self("rev-parse", "--quiet", "--verify", f"{reference}^{{commit}}")

    def branch(self) -> str:
        """The full name of the branch that HEAD is on; nothing where it is on none."""
        return self("symbolic-ref", "--quiet", "HEAD")

    def reflog(self, reference: str = "HEAD", newest: int = 30) -> list[Entry]:
        said = self("log", "--walk-reflogs", f"-{newest}", "--date=unix", "--format=%H %gd %gs", reference, "--")
        found = (re.fullmatch(r"([0-9a-f]{40,}) \S+@\{(\d+)\} ?(.*)", line) for line in said.splitlines())
        return [Entry(match[1], int(match[2]), match[3]) for match in found if match]

    def worktrees(self) -> dict[Path, str]:
        """Every folder that this repository is checked out in, with the branch that it is on."""
        found: dict[Path, str] = {}
        folder = self.root
        for line in self("worktree", "list", "--porcelain").splitlines():
            word, _, rest = line.partition(" ")
            if word == "worktree":
                found[folder := Path(rest)] = ""
            elif word == "branch":
                found[folder] = rest
        return found

    def something_is_under_way(self) -> bool:
        paths = self("rev-parse", *(word for name in UNDER_WAY for word in ("--git-path", name)))
        return any((self.root / path).exists() for path in paths.splitlines())

    def has_files_of(self, commit: str) -> bool:
        """Whether every file that git knows is here as it is in a commit."""
        return self.succeeds("diff", "--quiet", "--no-ext-diff", "--ignore-submodules", commit, "--", *NOT_OF_DVC)


def git(*words: str, given: str = "") -> str | None:
    """The output of a git command in the working directory; None where it fails.

    Args:
        given: its standard input.
    """
    try:
        done = Repository(Path()).run(*words, given=given)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


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
