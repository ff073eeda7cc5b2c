"""What a kill leaves of git's and DVC's own files is put right, and nothing that somebody still uses or meant is touched."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from small import TOP

from pipeline.lab.mend import mend


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


PARAMS = (TOP / "params.yaml").read_text(encoding="utf-8")
CHANGED = PARAMS.replace("seed: 1", "seed: 2")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "clone"))
    root = tmp_path / "clone"
    (root / ".dvc/tmp").mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    (root / "params.yaml").write_text(PARAMS)
    git(root, "add", "params.yaml")
    git(root, "commit", "-q", "-m", "first")
    return root


def start_experiment(root: Path) -> str:
    """What DVC does to git before an experiment runs in the workspace; a kill would leave it so."""
    commit = git(root, "rev-parse", "HEAD")
    for name in ("EXEC_HEAD", "EXEC_BASELINE"):
        git(root, "update-ref", f"refs/exps/exec/{name}", commit)
    git(root, "checkout", "-q", "--detach", commit)
    (root / "params.yaml").write_text(CHANGED)
    git(root, "add", "params.yaml")
    return commit


def test_where_nothing_was_left_nothing_is_said(clone: Path) -> None:
    (clone / ".dvc/tmp/rwlock").write_text('{"read": {}, "write": {}}')
    assert mend(clone) == []
    assert (clone / ".dvc/tmp/rwlock").exists()


@pytest.mark.parametrize("content", ["", '{"read": {"/a'])
def test_a_damaged_list_of_locks_goes(clone: Path, content: str) -> None:
    (clone / ".dvc/tmp/rwlock").write_text(content)
    [line] = mend(clone)
    assert "damaged" in line
    assert not (clone / ".dvc/tmp/rwlock").exists()


def test_a_lock_that_a_killed_git_left_goes(clone: Path) -> None:
    (clone / ".git/index.lock").touch()
    [line] = mend(clone)
    assert "locked" in line
    git(clone, "add", "-A")


def test_a_head_that_a_killed_experiment_took_off_is_on_its_branch_again_and_no_file_is_changed(clone: Path) -> None:
    commit = start_experiment(clone)
    [line] = mend(clone)
    assert "HEAD is on main again" in line
    assert git(clone, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(clone, "rev-parse", "HEAD") == commit
    assert git(clone, "for-each-ref", "refs/exps") == ""
    assert (clone / "params.yaml").read_text() == CHANGED
    assert git(clone, "status", "--porcelain") == "M params.yaml"  # no longer staged
    assert mend(clone) == []


def test_so_is_one_that_was_taken_off_before_the_experiment_was_marked_and_what_lies_in_the_stash_is_told(clone: Path) -> None:
    (clone / "params.yaml").write_text(CHANGED)
    (clone / ".dvc/tmp/lock").write_text("1234")
    git(clone, "stash", "-q")
    git(clone, "checkout", "-q", "--detach", git(clone, "rev-parse", "HEAD"))
    first, second = mend(clone)
    assert "HEAD is on main again" in first
    assert "git stash pop" in second
    git(clone, "checkout", "-q", ".")
    git(clone, "stash", "pop")
    assert (clone / "params.yaml").read_text() == CHANGED


@pytest.mark.parametrize("size", [0, 40, 4096])
def test_a_file_that_dvc_was_writing_is_as_in_the_last_commit_and_what_was_there_is_kept(clone: Path, size: int) -> None:
    (clone / "params.yaml").write_text(CHANGED[:size])
    [line] = mend(clone)
    assert "params.yaml was cut short" in line
    assert (clone / "params.yaml").read_text() == PARAMS
    assert (clone / ".rally/mended/params.yaml").read_text() == CHANGED[:size]


@pytest.mark.parametrize(
    "content", [CHANGED.rstrip(), CHANGED.replace("seed: 2", "seed: [2")], ids=["no last end of line", "a slip"]
)
def test_what_the_user_wrote_is_left_alone(clone: Path, content: str) -> None:
    (clone / "params.yaml").write_text(content)
    assert mend(clone) == []
    assert (clone / "params.yaml").read_text() == content


def test_a_dvc_lock_of_no_commit_that_was_cut_short_goes(clone: Path) -> None:
    (clone / "dvc.lock").write_text("schema: '2.0'\nstages:\n  prepare:\n    cmd: [")
    assert len(mend(clone)) == 1
    assert not (clone / "dvc.lock").exists()


def test_a_branch_that_has_moved_on_is_not_taken_for_the_one_that_head_was_on(clone: Path) -> None:
    commit = start_experiment(clone)
    git(clone, "stash", "-q")
    git(clone, "switch", "-q", "main")
    git(clone, "commit", "-q", "--allow-empty", "-m", "second")
    git(clone, "checkout", "-q", "--detach", commit)
    [line] = mend(clone)
    assert "git switch" in line
    assert git(clone, "rev-parse", "HEAD") == commit
    assert git(clone, "rev-parse", "main") != commit


def test_a_head_that_the_user_took_off_stays_where_it_is(clone: Path) -> None:
    (clone / ".dvc/tmp/lock").write_text("1234")
    os.utime(clone / ".dvc/tmp/lock", (time.time() - 60, time.time() - 60))
    git(clone, "checkout", "-q", "--detach", git(clone, "rev-parse", "HEAD"))
    assert mend(clone) == []
    assert subprocess.run(["git", "symbolic-ref", "-q", "HEAD"], cwd=clone).returncode == 1


def test_while_somebody_is_at_work_nothing_is_touched(clone: Path, tmp_path: Path) -> None:
    (clone / ".git/index.lock").touch()
    (clone / ".dvc/tmp/rwlock").touch()
    start = tmp_path / "dvc"
    start.write_text("#!/bin/sh\necho begun\nread line\n")
    start.chmod(0o755)
    with subprocess.Popen([start], cwd=clone, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert mend(clone) == []
        assert (clone / ".git/index.lock").exists()
        process.communicate("\n")
    assert len(mend(clone)) == 2


def test_a_folder_without_git_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").touch()
    assert mend(tmp_path) == []
