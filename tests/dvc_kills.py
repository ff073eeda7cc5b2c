"""A real `dvc`, killed before or after a step of its own in git; and what those steps leave, made by git alone.

`python dvc_kills.py STEP COUNT before|after ARGUMENTS…` is `dvc ARGUMENTS…` that kills itself around the COUNT-th time that it
takes the step. `Run` takes the same steps without DVC, in a few milliseconds each: tests/test_histories.py holds it to DVC.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PARAMS = "params.yaml"


class Run:
    """`dvc exp run` in the workspace of a repository, step by step: STEPS, in their order. What it leaves is DVC 3.67's."""

    STEPS = (
        "lock",  # .dvc/tmp/exps/rwlock names it
        "put_aside",  # what was changed goes into git's stash
        "take_off",  # HEAD leaves its branch
        "apply",  # what was changed is back
        "turn",  # the knobs are turned, and staged
        "keep",  # all of it is a commit in refs/exps/stash, and the files are those of HEAD
        "put_on",  # HEAD is on its branch
        "bring_back",  # what was changed is back, and out of git's stash
        "unlock",
        "take",  # the experiment is out of refs/exps/stash
        "note",  # .dvc/tmp/exps/run names it; locked again
        "mark",  # refs/exps/exec
        "take_off_again",
        "apply_again",
        "start",  # unlocked; .dvc/tmp/exps/run/workspace
        "train",
        "commit",
        "name_",
        "unmark",
        "put_on_again",
    )

    def __init__(self, root: Path, knobs: str, name: str, top: Path | None = None) -> None:
        self.root, self.knobs, self.name, self.top = root, knobs, name, top or root
        self.exps = root / ".dvc/tmp/exps"
        self.commit_, self.aside, self.merge = self.git("rev-parse", "HEAD"), "", ""
        self.branch = self.git("symbolic-ref", "-q", "HEAD", check=False)

    def git(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(["git", *words], cwd=self.root, input=stdin, capture_output=True, text=True, check=check)
        return done.stdout.strip()

    def until(self, last: str, *, fails: bool = False) -> None:
        """All steps up to and with one. An experiment that fails neither commits nor names."""
        for step in self.STEPS[: self.STEPS.index(last) + 1]:
            if not (fails and step in ("commit", "name_")):
                getattr(self, step)()

    def _hold(self, *names: str) -> None:
        self.exps.mkdir(parents=True, exist_ok=True)
        owner = {"pid": dead_process(), "cmd": "dvc exp run"}
        content = {"read": {}, "write": dict.fromkeys(names, owner)} if names else {"read": {}}
        (self.exps / "rwlock").write_text(json.dumps(content))

    def lock(self) -> None:
        self._hold("workspace", "refs/exps/stash")

    def put_aside(self) -> None:
        if not (git_made := self.git("stash", "create", check=False)):  # it fails where only times of files differ
            return
        words = self.git("log", "-1", "--format=%B", git_made)
        parents = self.git("log", "-1", "--format=%P", git_made).split()
        self.aside = self.git(
            "commit-tree", f"{git_made}^{{tree}}", *(w for p in parents for w in ("-p", p)), stdin=words + "\n"
        )
        self.git("stash", "store", "-m", words, self.aside)
        self.git("read-tree", "--reset", "-u", "HEAD")  # `git reset --hard`, which would write in the reflog

    def take_off(self) -> None:
        if self.branch:
            self.git("checkout", "-q", "--detach", self.commit_)

    def apply(self) -> None:
        if self.aside:
            self.git("stash", "apply", "-q", self.aside)

    def turn(self) -> None:
        (self.root / PARAMS).write_text(self.knobs)
        (self.root / ".dvc/tmp/repro.dat").write_text("what DVC packs")
        self.git("add", PARAMS)
        self.git("add", "-f", ".dvc/tmp/repro.dat")

    def keep(self) -> None:
        self.merge = self.git("stash", "create")
        words = f"commit: dvc-exp:{self.commit_}:{self.commit_}:{self.name}"
        self.git("update-ref", "--create-reflog", "-m", words, "refs/exps/stash", self.merge)
        self.git("read-tree", "--reset", "-u", "HEAD")  # `git reset --hard`, which would write in the reflog

    def put_on(self) -> None:
        if self.branch:
            words = f"dvc: Restore HEAD to '{self.branch.removeprefix('refs/heads/')}'"
            self.git("symbolic-ref", "-m", words, "HEAD", self.branch)
        else:
            here = self.git("rev-parse", "HEAD")
            self.git("update-ref", "--no-deref", "HEAD", self.commit_)
            line = (
                f"{here} {self.commit_} test <test@localhost> {int(time.time())} +0000\tdvc: Restore HEAD to '{self.commit_}'\n"
            )
            log = self.root / self.git("rev-parse", "--git-path", "logs/HEAD")
            log.write_text(log.read_text() + line)  # git itself does not note that nothing moved
        self.git("read-tree", "HEAD")

    def bring_back(self) -> None:
        if self.aside:
            self.git("stash", "pop", "-q", "--index")

    def unlock(self) -> None:
        self._hold()

    def take(self) -> None:
        self.git("update-ref", "-d", "refs/exps/stash")

    def note(self) -> None:
        folder = self.exps / "run" / self.merge
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.merge}.run").write_text(json.dumps({"name": self.name, "status": 1}))
        self._hold("refs/exps/exec")

    def mark(self) -> None:
        for name, commit in (("EXEC_HEAD", self.commit_), ("EXEC_MERGE", self.merge), ("EXEC_BASELINE", self.commit_)):
            self.git("update-ref", f"refs/exps/exec/{name}", commit)

    def take_off_again(self) -> None:
        self.git("read-tree", "--reset", "-u", "HEAD")  # `git reset --hard`, which would write in the reflog
        self.take_off()

    def apply_again(self) -> None:
        self.git("restore", f"--source={self.merge}", "--worktree", "--", ":/")

    def start(self) -> None:
        self._hold()
        (folder := self.exps / "run/workspace").mkdir(parents=True)
        (folder / "workspace.run").write_text(json.dumps({"name": self.name, "status": 2}))
        (folder / "workspace.json").write_text(json.dumps({"pid": dead_process()}))

    def train(self) -> None:
        (self.root / "dvc.lock").write_text(f"schema: '2.0'\nstages: {{}}  # {self.name}\n")

    def commit(self) -> None:
        self.git("add", "-u")
        self.git("commit", "-q", "-m", f"dvc: commit experiment {self.merge}")

    def name_(self) -> None:
        experiment = f"refs/exps/{self.commit_[:2]}/{self.commit_[2:]}/{self.name}"
        self.git("update-ref", experiment, "HEAD")
        self.git("symbolic-ref", "refs/exps/exec/EXEC_BRANCH", experiment)

    def unmark(self) -> None:
        for path in (self.exps / "run/workspace").iterdir():
            path.unlink()
        (self.exps / "run/workspace").rmdir()
        for name in ("EXEC_BASELINE", "EXEC_MERGE"):
            self.git("update-ref", "-d", f"refs/exps/exec/{name}")
        self.git("symbolic-ref", "-d", "refs/exps/exec/EXEC_BRANCH", check=False)

    def put_on_again(self) -> None:
        self.put_on()


def dead_process() -> int:
    """The number of a process that is no more."""
    if not _DEAD:
        process = subprocess.Popen(["true"])
        process.wait()
        _DEAD.append(process.pid)
    return _DEAD[0]


_DEAD: list[int] = []


def state(root: Path) -> dict[str, Any]:
    """All that the steps change, without what differs from run to run."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True).stdout.strip()

    head = git("rev-parse", "main")
    exps = root / ".dvc/tmp/exps"
    lock = json.loads((exps / "rwlock").read_text()) if (exps / "rwlock").exists() else {}
    return {
        "HEAD": git("symbolic-ref", "-q", "HEAD")
        or ("main" if git("rev-parse", "HEAD") == head else git("log", "-1", "--format=%P")),
        "reflog": [words.split(" experiment ")[0] for words in git("log", "-g", "--format=%gs", "HEAD").splitlines()],
        "stash": [git("cat-file", "commit", entry)[-1:] for entry in git("stash", "list", "--format=%H").splitlines()],
        "refs": git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines(),
        "waiting": git("log", "-g", "--format=%gs", "refs/exps/stash", "--"),
        "lock": sorted(lock.get("write", {})),
        "notes": sorted(path.suffix for path in exps.glob("run/*/*")),
        "status": git("status", "--porcelain").replace("AD .dvc/tmp/repro.dat", "A  .dvc/tmp/repro.dat").splitlines(),
    }


if __name__ == "__main__":
    wanted, count, when, *arguments = sys.argv[1:]
    taken = 0

    import dvc.cli
    from scmrepo.git.backend.dulwich import DulwichBackend
    from scmrepo.git.backend.pygit2 import Pygit2Backend

    def killing(inner: Any, name: str) -> Any:
        def step(self: Any, *words: Any, **options: Any) -> Any:
            global taken
            called = f"{name} {words[0] if words else ''}"
            if (is_it := wanted in called) and when == "before" and taken + 1 == int(count):
                os.kill(os.getpid(), signal.SIGKILL)
            found = inner(self, *words, **options)  # NotImplementedError: the other backend will take the step
            taken += is_it
            if is_it and when == "after" and taken == int(count):
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return step

    for backend in (DulwichBackend, Pygit2Backend):
        for name in (
            "checkout",
            "set_ref",
            "remove_ref",
            "_stash_push",
            "_stash_apply",
            "_stash_drop",
            "reset",
            "commit",
            "add",
        ):
            setattr(backend, name, killing(getattr(backend, name), name))
    sys.exit(dvc.cli.main(arguments))
