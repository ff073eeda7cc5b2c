"""Git, asked about the repository of a clone: a plain one, a worktree, a submodule, or a folder of another repository."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Set by git for hooks, `git rebase --exec` and similar: with these it would answer for another repository or index than the
# one that DVC finds from the folder.
REDIRECTING_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
# What git keeps of a merge, rebase, bisection or similar that was begun and not finished.
IN_PROGRESS = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_START", "rebase-merge", "rebase-apply", "sequencer")
EXCEPT_DVC_TMP = (":/", ":(exclude,top,glob)**/.dvc/tmp/**")  # all files but those that DVC stages for itself


@dataclass(frozen=True)
class ReflogEntry:
    """A line of a reflog: the commit that the reference has pointed to since, when it moved (in seconds), and why."""

    commit: str
    time: int
    message: str


@dataclass(frozen=True)
class GitRepository:
    """Git commands in the folder `root`. The output of one that fails is an empty string."""

    root: Path

    def __call__(self, *words: str) -> str:
        return self.raw(*words).strip()

    def raw(self, *words: str) -> str:
        return self.run(*words).stdout

    def succeeds(self, *words: str) -> bool:
        return self.run(*words).returncode == 0

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in REDIRECTING_VARIABLES}
        done = subprocess.run(
            ["git", *words],
            cwd=self.root,
            env=environment,
            input=stdin,
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
        """A file of git's own, of this worktree or of all."""
        return self.root / self("rev-parse", "--git-path", name)

    def commit(self, reference: str) -> str:
        return self("rev-parse", "--quiet", "--verify", f"{reference}^{{commit}}")

    def branch(self) -> str:
        """The full name of the branch that HEAD is on; "" where HEAD is detached."""
        return self("symbolic-ref", "--quiet", "HEAD")

    def reflog(self, reference: str = "HEAD", newest: int = 30) -> list[ReflogEntry]:
        lines = self("log", "--walk-reflogs", f"-{newest}", "--date=unix", "--format=%H %gd %gs", reference, "--").splitlines()
        found = (re.fullmatch(r"([0-9a-f]{40,}) \S+@\{(\d+)\} ?(.*)", line) for line in lines)
        return [ReflogEntry(match[1], int(match[2]), match[3]) for match in found if match]

    def worktrees(self) -> dict[Path, str]:
        """Every folder that this repository is checked out in, with its branch."""
        found: dict[Path, str] = {}
        folder = self.root
        for line in self("worktree", "list", "--porcelain").splitlines():
            word, _, rest = line.partition(" ")
            if word == "worktree":
                found[folder := Path(rest)] = ""
            elif word == "branch":
                found[folder] = rest
        return found

    def is_operation_in_progress(self) -> bool:
        """Whether a merge, rebase, bisection or similar was begun and not finished."""
        files = self("rev-parse", *(word for name in IN_PROGRESS for word in ("--git-path", name)))
        return any((self.root / path).exists() for path in files.splitlines())

    def has_files_of(self, commit: str) -> bool:
        """Whether every file that git tracks is as it is in a commit."""
        return self.succeeds("diff", "--quiet", "--no-ext-diff", "--ignore-submodules", commit, "--", *EXCEPT_DVC_TMP)


def git(*words: str, stdin: str = "") -> str | None:
    """The output of a git command in the working directory; None where it fails."""
    try:
        done = GitRepository(Path()).run(*words, stdin=stdin)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def git_paths(*words: str) -> list[str]:
    """The paths that a git command prints when it is called with -z; none where it fails."""
    return [path for path in (git(*words) or "").split("\0") if path]


def short_hash(commit: str) -> str:
    return commit[:7]


def join_names(names: Sequence[str], most: int = 8) -> str:
    """Names in a line; of many the first ones, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
