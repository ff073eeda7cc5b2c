"""Mending after random histories of a repository: what the user has made is as before, and nothing is said twice.

RALLY_HISTORIES says how many (default 12; `./run pytest -m campaign tests/test_histories.py` tries 1,000, in some ten minutes).
The steps of DVC's are taken by git alone (tests/dvc_kills.py), and held here to those of real, killed ones.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc_kills import Run, state

from pipeline.lab.repair.repair import repair

KILLER = Path(__file__).with_name("dvc_kills.py")
STAGE = """stages:
  work:
    cmd: sleep ${seconds} && test ${seed} -lt 90 && cp params.yaml out.txt
    params: [seed, seconds]
    outs: [out.txt]
"""
KNOBS = "seed: {}\nseconds: 0\n"


def git(root: Path, *words: str, check: bool = True) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=check)
    return done.stdout.strip()


def repository(root: Path) -> Path:
    """A repository of two commits, in which `work` has run."""
    (root / ".dvc/tmp/exps").mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    for name, content in {
        "params.yaml": KNOBS.format(1),
        "dvc.yaml": STAGE,
        "a.txt": "a\n",
        "b.txt": "b\n",
        ".dvc/config": "[core]\n    analytics = false\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
        ".gitignore": "/out.txt\n/.rally\n",
    }.items():
        (root / name).write_text(content)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    git(root, "commit", "-q", "--allow-empty", "-m", "second")
    return root


# ---------------------------------------------------------------------------------------------------- real experiments


def dvc(root: Path, *words: str, around: tuple[str, int, str] | None = None) -> subprocess.Popen[bytes]:
    start = [sys.executable, str(KILLER), *map(str, around)] if around else [sys.executable, "-m", "dvc"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*start, *words], cwd=root, stdout=quiet, stderr=quiet, start_new_session=True)


# The step that `Run` has taken last, and where a real DVC has taken the same: (step of DVC's, which of them, side of it).
REAL = {
    "put_aside": ("_stash_push refs/stash", 1, "after"),
    "take_off": ("checkout HEAD", 1, "after"),
    "apply": ("_stash_apply", 1, "after"),
    "keep": ("set_ref HEAD", 1, "before"),
    "put_on": ("_stash_apply", 2, "before"),
    "bring_back": ("_stash_drop refs/stash", 1, "after"),
    "mark": ("set_ref refs/exps/exec/EXEC_BASELINE", 1, "after"),
    "take_off_again": ("_stash_apply", 3, "before"),
    "name_": ("remove_ref refs/exps/exec/EXEC_BASELINE", 1, "before"),
    "unmark": ("set_ref HEAD", 2, "before"),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", REAL)
def test_what_is_made_by_git_alone_is_what_a_killed_dvc_leaves(tmp_path: Path, step: str) -> None:
    made, real = repository(tmp_path / "made"), tmp_path / "real"
    shutil.copytree(made, real)
    for root in (made, real):
        (root / "a.txt").write_text("edited\n")
        (root / "new.txt").write_text("new\n")
    Run(made, KNOBS.format(2), "mine").until(step)
    process = dvc(real, "exp", "run", "-n", "mine", "-S", "seed=2", around=REAL[step])
    assert process.wait(timeout=120) == -signal.SIGKILL
    left = {root: state(root) for root in (made, real)}
    for found in left.values():  # the stage leaves a dvc.lock of its own, and DVC the name of its workspace in the middle
        found["status"] = [line for line in found["status"] if "dvc.lock" not in line]
        found["waiting"] = bool(found["waiting"])
    if step in ("name_", "unmark"):
        left[real]["notes"] = left[made]["notes"] = []
    assert left[real] == left[made]
    for root in (made, real):
        repair(root)
        assert git(root, "symbolic-ref", "HEAD") == "refs/heads/main"
        assert (root / "a.txt").read_text() == "edited\n"
        assert git(root, "stash", "list") == ""
        assert repair(root) == []


@pytest.mark.slow
def test_a_real_apply_that_was_killed_is_undone_and_where_the_edits_lie_is_told(tmp_path: Path) -> None:
    root = repository(tmp_path)
    assert dvc(root, "exp", "run", "-n", "good", "-S", "seed=2").wait(timeout=120) == 0
    git(root, "checkout", "-q", ".")
    (root / "a.txt").write_text("edited\n")
    process = dvc(root, "exp", "apply", "good", around=("set_ref HEAD", 1, "before"))
    assert process.wait(timeout=120) == -signal.SIGKILL
    _, told = repair(root)
    assert git(root, "symbolic-ref", "HEAD") == "refs/heads/main"
    subprocess.run(told.split("`")[3], shell=True, cwd=root, check=True, capture_output=True)
    assert (root / "a.txt").read_text() == "edited\n"
    assert repair(root) == []


@pytest.mark.slow
def test_real_experiments_that_end_fail_or_are_killed_at_random_moments(tmp_path: Path) -> None:
    root = repository(tmp_path)
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    git(root, "tag", "old", "HEAD~1")
    (root / "a.txt").write_text("edited\n")
    assert dvc(root, "exp", "run", "-n", "good", "-S", "seed=2").wait(timeout=120) == 0
    assert repair(root) == []
    assert dvc(root, "exp", "run", "-n", "bad", "-S", "seed=99").wait(timeout=120) != 0
    assert repair(root) == []
    git(root, "stash", "-q")
    git(root, "checkout", "-q", "old")
    assert repair(root) == []
    assert git(root, "rev-parse", "HEAD") == git(root, "rev-parse", "old")
    git(root, "switch", "-q", "main")
    git(root, "stash", "pop", "-q")
    for attempt in range(5):
        process = dvc(root, "exp", "run", "-n", f"killed-{attempt}", "-S", f"seed={attempt + 3}", "-S", "seconds=9")
        time.sleep(moments.uniform(0.7, 3))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said = repair(root)
        assert git(root, "symbolic-ref", "HEAD") == "refs/heads/main", (seed, attempt, said)
        assert (root / "a.txt").read_text() == "edited\n", (seed, attempt, said)
        assert repair(root) == [], (seed, attempt, said)


@pytest.mark.parametrize("left", [b"", b"a", None], ids=["emptied", "cut short", "removed"])
@pytest.mark.parametrize("step", ["put_aside", "take_off", "take_off_again"])
def test_a_file_that_a_killed_git_was_writing_is_written_again(tmp_path: Path, step: str, left: bytes | None) -> None:
    root = repository(tmp_path)
    (root / "a.txt").write_text("edited\n")
    Run(root, KNOBS.format(2), "mine").until(step)
    assert (root / "a.txt").read_text() == "a\n", "the state in which DVC has just written it"
    (root / "a.txt").unlink()
    if left is not None:
        (root / "a.txt").write_bytes(left)
    said = repair(root)
    assert (root / "a.txt").read_text() == "edited\n", said
    assert any("a.txt" in line for line in said)
    assert repair(root) == []


def test_a_file_that_the_user_emptied_without_a_killed_experiment_stays_empty(tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / "a.txt").write_text("")
    assert repair(root) == []
    assert (root / "a.txt").read_text() == ""


# ----------------------------------------------------------------------------------------------------------- histories


def plain(folder: Path) -> Path:
    return repository(folder / "lab")


def worktree(folder: Path) -> Path:
    git(repository(folder / "lab"), "worktree", "add", "-q", "-b", "side", str(folder / "side"))
    (folder / "side/.dvc/tmp/exps").mkdir(parents=True)
    return folder / "side"


def submodule(folder: Path) -> Path:
    """Git's folder is elsewhere, and named by a file, as of a submodule."""
    root = repository(folder / "outer/lab")
    (folder / "outer/.git/modules").mkdir(parents=True)
    shutil.move(root / ".git", folder / "outer/.git/modules/lab")
    (root / ".git").write_text("gitdir: ../.git/modules/lab\n")
    git(root, "config", "core.worktree", "../../../lab")
    return root


FORMS = (plain, plain, worktree, submodule)


class History:
    """What a user does in a repository, and what is theirs."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root, self.chance, self.done = root, chance, list[str]()
        self.stashes: list[str] = []
        self.count = 1

    def git(self, *words: str) -> str:
        return git(self.root, *words, check=False)

    def moves(self) -> str:
        return "\n".join(line for line in self.git("reflog", "--format=%gs").splitlines() if line != "reset: moving to HEAD")

    def is_under_way(self) -> bool:
        kept = ("MERGE_HEAD", "rebase-merge", "BISECT_START")
        return any((self.root / self.git("rev-parse", "--git-path", name)).exists() for name in kept)

    def files(self) -> dict[str, bytes]:
        """Of the user: knobs and dvc.lock are DVC's to change."""
        found = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        kept = (path for path in found if not {".git", ".dvc", ".rally"} & set(path.relative_to(self.root).parts))
        return {path.name: path.read_bytes() for path in kept if path.name not in ("params.yaml", "dvc.lock")}

    def theirs(self) -> dict[str, str]:
        """Branches and tags, and the commits that they and HEAD hold."""
        return {
            "refs": self.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"),
            "under way": str(self.is_under_way()),
        }

    def everything(self) -> list[object]:
        index = self.git("ls-files", "--stage")
        knobs = (self.root / "params.yaml").read_text()
        return [
            self.theirs(),
            self.files(),
            self.moves(),
            self.git("rev-parse", "HEAD"),
            self.git("stash", "list"),
            index,
            knobs,
        ]

    # what a user does

    def edit(self) -> None:
        self.count += 1
        (self.root / self.chance.choice(["a.txt", "b.txt"])).write_text(f"edit {self.count}\n")

    def add(self) -> None:
        self.git("add", "-u")

    def new_file(self) -> None:
        self.count += 1
        (self.root / f"new-{self.count}.txt").write_text("new\n")

    def commit(self) -> None:
        self.edit()
        self.git("commit", "-q", "-am", f"commit {self.count}")

    def branch(self) -> None:
        self.git("switch", "-q", "-c", f"branch-{self.count}")

    def switch(self) -> None:
        branches = self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()
        self.git("switch", "-q", self.chance.choice(branches))

    def tag(self) -> None:
        self.git("tag", f"tag-{self.count}")

    def detach(self) -> None:
        experiments = self.git("for-each-ref", "--format=%(objectname)", "refs/exps/*/*/*").splitlines()
        places = ["HEAD~1", self.git("rev-parse", "HEAD"), self.git("rev-parse", "main"), "main", *experiments]
        self.git("checkout", "-q", "--detach", self.chance.choice(places))

    def look_at_a_tag(self) -> None:
        self.tag()
        self.git("checkout", "-q", f"tag-{self.count}")

    def stash(self) -> None:
        before = self.git("rev-parse", "-q", "--verify", "refs/stash")
        self.edit()
        self.git("stash", "push", "-q")
        if (now := self.git("rev-parse", "-q", "--verify", "refs/stash")) != before:
            self.stashes.insert(0, now)

    def merge(self) -> None:
        """That conflicts."""
        here = self.git("rev-parse", "HEAD")
        other = self.git("commit-tree", "-p", here, "-m", "theirs", self.git("write-tree"))
        self.git("branch", f"other-{self.count}", other)
        self.commit()
        self.git("merge", "-q", "--no-ff", "--no-commit", f"other-{self.count}")

    def rebase(self) -> None:
        """That stops half-way."""
        self.commit()
        self.git("-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-q", "-i", "HEAD~1")

    def bisect(self) -> None:
        self.git("bisect", "start", "HEAD", "HEAD~1")

    def experiment(self, last: str = "put_on_again", *, fails: bool = False) -> None:
        if not self.is_under_way():
            self.count += 1
            Run(self.root, KNOBS.format(self.count), f"exp-{self.count}").until(last, fails=fails)

    def wait(self) -> None:
        """Two minutes pass after a kill; nobody moves HEAD within the very moment in which DVC was about to."""
        if self.git("symbolic-ref", "-q", "HEAD"):
            for trace in [self.root / ".dvc/tmp/exps/rwlock", *self.root.glob(".dvc/tmp/exps/run/*/*.run")]:
                if trace.exists():
                    os.utime(trace, (trace.stat().st_mtime - 120,) * 2)

    def ends(self) -> None:
        self.experiment()

    def fails(self) -> None:
        self.experiment(fails=True)

    def was_killed_and_repaired(self) -> None:
        self.experiment(self.chance.choice(Run.STEPS))
        repair(self.root)

    def do(self, acts: list[Callable[[], None]]) -> None:
        act = self.chance.choice(acts)
        self.done.append(act.__name__)
        act()

    def quiet(self) -> list[Callable[[], None]]:
        """What moves no HEAD."""
        return [self.edit, self.add, self.new_file, self.tag, self.stash]

    def acts(self) -> list[Callable[[], None]]:
        moving = [self.commit, self.branch, self.switch, self.detach, self.look_at_a_tag, self.merge, self.rebase, self.bisect]
        return [*self.quiet(), *moving, self.ends, self.ends, self.fails, self.was_killed_and_repaired]


def live(history: History) -> None:
    """A history to its end, which is a kill in two of three, and what has to hold after the repair."""
    chance = history.chance
    for _ in range(chance.randint(2, 7)):
        history.do(history.acts())
    if chance.random() < 1 / 4:  # what looks most like a kill
        history.do([history.ends, history.fails])
        history.do([history.detach, history.look_at_a_tag])
    killed = chance.random() < 2 / 3 and not history.is_under_way()
    before, files = history.theirs(), history.files()
    head, branch = history.git("rev-parse", "HEAD"), history.git("symbolic-ref", "-q", "HEAD")
    after = ""
    if killed:
        step = chance.choice(Run.STEPS)
        history.done.append(f"killed after {step}")
        history.experiment(step)
        after = chance.choice(["", "", "quiet", "moves"])
        moves = history.moves()
        if after:
            history.wait()
            history.do(
                history.quiet() if after == "quiet" else [history.detach, history.switch, history.commit, history.rebase]
            )
            before, files = history.theirs(), history.files()
        moved = history.moves() != moves
    everything = history.everything()

    said = repair(history.root)

    assert history.theirs() == before, said
    left = history.git("stash", "list", "--format=%H").splitlines()
    assert [stash for stash in left if stash in history.stashes] == history.stashes, (said, "a stash of the user's is gone")
    if not killed:
        assert said == []
        assert history.everything() == everything
    elif not after:
        assert (history.git("rev-parse", "HEAD"), history.git("symbolic-ref", "-q", "HEAD")) == (head, branch), said
        assert history.files() == files, said
    elif moved:
        assert history.everything()[2:4] == everything[2:4], (said, "HEAD was moved, and was the user's")
    now = history.everything()
    assert repair(history.root) == []
    assert history.everything() == now


def try_histories(count: int, tmp_path: Path) -> None:
    first = int(os.environ.get("RALLY_HISTORIES_SEED", random.randrange(10**6)))
    begun = time.monotonic()
    for seed in range(first, first + count):
        chance = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        history = History(chance.choice(FORMS)(folder), chance)
        try:
            live(history)
        except (AssertionError, subprocess.CalledProcessError) as failure:
            raise AssertionError(f"RALLY_HISTORIES_SEED={seed}: {', then '.join(history.done)}") from failure
        shutil.rmtree(folder)
    print(f"{count} histories from seed {first} on: {time.monotonic() - begun:.0f} s")


@pytest.mark.slow
def test_after_some_histories_all_that_is_the_user_s_is_as_before(tmp_path: Path) -> None:
    try_histories(int(os.environ.get("RALLY_HISTORIES", "12")), tmp_path)


@pytest.mark.campaign
def test_after_a_thousand_histories_all_that_is_the_user_s_is_as_before(tmp_path: Path) -> None:
    try_histories(int(os.environ.get("RALLY_HISTORIES", "1000")), tmp_path)
