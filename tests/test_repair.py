"""What a kill leaves of git's and DVC's own files is repaired, and nothing that is in use or was intended is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc_kills import Run
from small import TOP

from pipeline.lab.cli import main
from pipeline.lab.repair import repair as repairing
from pipeline.lab.repair.repair import repair


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
    (root / "code.py").write_text("first\n")
    (root / ".gitignore").write_text("/.dvc/tmp\n/.rally\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def run(root: Path, name: str = "mine") -> Run:
    return Run(root, CHANGED, name)


def head(root: Path) -> str:
    """The branch that HEAD is on, or its commit."""
    return (root / ".git/HEAD").read_text().strip()


def test_where_nothing_was_left_nothing_is_said(clone: Path) -> None:
    (clone / ".dvc/tmp/rwlock").write_text('{"read": {}, "write": {}}')
    assert repair(clone) == []
    assert (clone / ".dvc/tmp/rwlock").exists()


# ------------------------------------------------------------------------------------------------------ locks and files


@pytest.mark.parametrize("name", ["rwlock", "exps/rwlock"])
@pytest.mark.parametrize("content", ["", '{"read": {"/a', "[]", '{"read": {"/a": 3}}'])
def test_a_damaged_list_of_locks_goes(clone: Path, name: str, content: str) -> None:
    lock = clone / ".dvc/tmp" / name
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(content)
    [line] = repair(clone)
    assert "damaged" in line
    assert not lock.exists()


def held_by(pid: int) -> str:
    return json.dumps({"write": {"/lab/models/trained": {"pid": pid, "cmd": "dvc repro"}}, "read": {}})


def test_a_list_that_names_another_process_by_the_number_of_a_dead_one_goes(clone: Path) -> None:
    lock = clone / ".dvc/tmp/rwlock"
    lock.write_text(held_by(os.getpid()))
    os.utime(lock, (0, 0))  # long before this process began: DVC would wait for it
    assert len(repair(clone)) == 1
    assert not lock.exists()


def test_a_list_of_a_process_that_lives_stays(clone: Path) -> None:
    lock = clone / ".dvc/tmp/rwlock"
    lock.write_text(held_by(os.getpid()))
    assert repair(clone) == []
    assert lock.read_text() == held_by(os.getpid())


def lock_the_index(root: Path, age: float = 60) -> Path:
    lock = root / ".git/index.lock"
    lock.touch()
    os.utime(lock, (lock.stat().st_mtime - age,) * 2)
    return lock


def test_a_lock_that_a_killed_git_left_goes(clone: Path) -> None:
    lock_the_index(clone)
    [line] = repair(clone)
    assert "locked" in line
    git(clone, "add", "-A")


def test_a_lock_that_goes_while_one_looks_was_of_a_git_at_work(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = lock_the_index(clone, age=0)
    monkeypatch.setattr(repairing.time, "sleep", lambda seconds: lock.unlink())
    assert repair(clone) == []


def test_a_lock_that_another_git_takes_while_one_looks_stays(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = lock_the_index(clone, age=0)
    monkeypatch.setattr(repairing.time, "sleep", lambda seconds: os.utime(lock, (1, 1)))
    assert repair(clone) == []
    assert lock.exists()


@pytest.mark.parametrize("size", [0, 40, 4096])
@pytest.mark.parametrize("edited", [False, True], ids=["as committed", "with edits of the user's"])
def test_knobs_that_dvc_was_writing_are_as_before_and_what_was_there_is_kept(clone: Path, size: int, edited: bool) -> None:
    before = PARAMS.replace("seed: 1", "seed: 7") if edited else PARAMS
    (clone / "params.yaml").write_text(before)
    run(clone).until("apply")
    (clone / "params.yaml").write_text(CHANGED[:size])
    assert any("params.yaml was cut short" in line for line in repair(clone))
    assert (clone / "params.yaml").read_text() == before
    assert (clone / ".rally/repaired/params.yaml").read_text() == CHANGED[:size]
    assert repair(clone) == []


def test_files_that_a_killed_git_had_removed_come_back_and_those_that_the_user_removed_do_not(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone / "dvc.yaml").write_text("stages: {}\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "second")
    for name in ("params.yaml", "dvc.yaml"):
        (clone / name).unlink()
    assert repair(clone) == []
    git(clone, "checkout", "-q", ".")
    run(clone).until("apply")
    for name in ("params.yaml", "dvc.yaml"):
        (clone / name).unlink()
    (clone / "models").mkdir()
    monkeypatch.chdir(clone / "models")
    monkeypatch.setattr("sys.argv", ["rally", "repair"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code and capsys.readouterr().out.count("was missing, removed by a git that was killed") == 2
    assert (clone / "params.yaml").read_text() == PARAMS
    assert (clone / "dvc.yaml").read_text() == "stages: {}\n"


@pytest.mark.parametrize(
    "content",
    [
        CHANGED.rstrip(),
        CHANGED.replace("seed: 2", "seed: [2"),
        CHANGED.replace("seed: 2", "seed: -2").rstrip(),
        CHANGED.replace("seed: 2", "sed: 2").rstrip(),
        CHANGED[:4096],
    ],
    ids=["no last end of line", "a slip", "a wrong value and no last end of line", "a wrong name", "half of it"],
)
def test_what_the_user_wrote_is_left_alone(clone: Path, content: str) -> None:
    (clone / "params.yaml").write_text(content)
    assert repair(clone) == []
    assert (clone / "params.yaml").read_text() == content


LOCK = """schema: '2.0'
stages:
  prepare:
    cmd: python -m pipeline.prepare
    deps:
    - path: code.py
      md5: 0123456789abcdef0123456789abcdef
    outs:
    - path: data/raw
      md5: 0123456789abcdef0123456789abcdef.dir
      size: 5
"""


@pytest.mark.parametrize("size", [0, 30, 90, 150, LOCK.index(".dir") - 3])
def test_a_dvc_lock_that_was_cut_short_goes_or_is_as_committed(clone: Path, size: int) -> None:
    (clone / "dvc.lock").write_text(LOCK[:size])
    assert len(repair(clone)) == 1
    assert not (clone / "dvc.lock").exists()
    (clone / "dvc.lock").write_text(LOCK)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "a run")
    (clone / "dvc.lock").write_text(LOCK[:size])
    assert len(repair(clone)) == 1
    assert (clone / "dvc.lock").read_text() == LOCK


def test_a_dvc_lock_that_an_editor_saved_without_a_last_end_of_line_stays(clone: Path) -> None:
    (clone / "dvc.lock").write_text(LOCK.rstrip())
    assert repair(clone) == []
    assert (clone / "dvc.lock").read_text() == LOCK.rstrip()


# -------------------------------------------------------------------------------------------------- a killed experiment


@pytest.mark.slow
@pytest.mark.parametrize("step", Run.STEPS)
@pytest.mark.parametrize("edited", [False, True], ids=["nothing edited", "edited"])
@pytest.mark.parametrize("detached", [False, True], ids=["on a branch", "on a tag"])
def test_whenever_it_is_killed_head_is_where_it_was_and_no_edit_is_lost(
    clone: Path, step: str, edited: bool, detached: bool
) -> None:
    git(clone, "tag", "old")
    if detached:
        git(clone, "checkout", "-q", "old")
    if edited:
        (clone / "code.py").write_text("edited\n")
    before, log = head(clone), git(clone, "log", "--format=%H", "HEAD", "--branches", "--tags")
    run(clone).until(step)
    said = repair(clone)
    assert head(clone) == before
    assert (clone / "code.py").read_text() == ("edited\n" if edited else "first\n")
    assert git(clone, "stash", "list") == "" or "are also in git's stash" in said[-1]
    assert (clone / "params.yaml").read_text() in (PARAMS, CHANGED)
    assert "repro.dat" not in git(clone, "status", "--porcelain")
    assert git(clone, "for-each-ref", "--format=%(refname)", "refs/exps/stash", "refs/exps/exec") in (
        "",
        "refs/exps/exec/EXEC_HEAD",
    )
    assert log == git(clone, "log", "--format=%H", "HEAD", "--branches", "--tags")
    assert repair(clone) == []


@pytest.mark.parametrize("step", ["turn", "keep", "take_off_again", "train", "unmark"])
def test_a_killed_experiment_is_undone(clone: Path, step: str) -> None:
    (clone / "code.py").write_text("edited\n")
    run(clone).until(step)
    assert repair(clone)
    assert head(clone) == "ref: refs/heads/main"
    assert (clone / "code.py").read_text() == "edited\n"
    assert repair(clone) == []


def test_an_older_commit_that_is_looked_at_after_an_experiment_stays(clone: Path) -> None:
    ended(clone)
    git(clone, "checkout", "-q", tip(clone))
    before = head(clone)
    assert repair(clone) == []
    assert head(clone) == before != "ref: refs/heads/main"


def test_a_killed_experiment_does_not_run_with_the_next_one(clone: Path) -> None:
    run(clone, "unwanted").until("bring_back")
    [line] = repair(clone)
    assert "unwanted" in line and "DVC's list is empty now" in line


def test_what_dvc_had_put_into_the_stash_is_brought_back_and_what_the_user_had_put_there_stays(clone: Path) -> None:
    (clone / "code.py").write_text("for later\n")
    git(clone, "stash", "-q")
    (clone / "code.py").write_text("edited\n")
    run(clone).until("put_aside")
    (clone / "code.py").write_text("of another moment\n")
    git(clone, "stash", "-q")
    kept = git(clone, "stash", "list", "--format=%H").splitlines()
    [line] = repair(clone)
    assert "your changes are back" in line
    assert (clone / "code.py").read_text() == "edited\n"
    assert git(clone, "stash", "list", "--format=%H").splitlines() == [kept[0], kept[2]]


def test_what_dvc_had_put_into_the_stash_is_not_brought_to_another_branch(clone: Path) -> None:
    git(clone, "switch", "-q", "-c", "other")
    (clone / "code.py").write_text("theirs\n")
    git(clone, "commit", "-qam", "theirs")
    git(clone, "switch", "-q", "main")
    (clone / "code.py").write_text("edited\n")
    run(clone).until("keep")
    git(clone, "switch", "-q", "other")
    said = repair(clone)
    assert "git stash pop --index stash@{1}" in said[0]
    assert (clone / "code.py").read_text() == "theirs\n"
    assert git(clone, "status", "--porcelain") == ""
    assert len(git(clone, "stash", "list").splitlines()) == 1


def test_the_advice_names_the_stash_that_dvc_made(clone: Path) -> None:
    (clone / "code.py").write_text("edited\n")
    run(clone).until("turn")
    (clone / "code.py").write_text("edited again, after the kill\n")
    git(clone, "stash", "-q")
    (clone / "code.py").write_text("and once more\n")
    said = repair(clone)
    assert "`git diff stash@{1}`" in said[-1]
    assert (clone / "code.py").read_text() == "and once more\n"
    command = said[-1].split("`")[3]
    subprocess.run(command, shell=True, cwd=clone, check=True, capture_output=True)
    assert (clone / "code.py").read_text() == "edited\n"
    assert len(git(clone, "stash", "list").splitlines()) == 2, "nothing is lost"


def test_what_was_staged_by_hand_with_other_content_stays_staged(clone: Path) -> None:
    run(clone).until("train")
    (clone / "code.py").write_text("staged\n")
    git(clone, "add", "code.py")
    (clone / "code.py").write_text("and changed since\n")
    assert "HEAD is on main again" in repair(clone)[0]
    assert git(clone, "show", ":code.py") == "staged"


def apply_experiment(root: Path, *, ends: bool) -> str:
    """What `dvc exp apply` does to git; a kill in the middle leaves HEAD at the experiment."""
    run(root, "other").until("put_on_again")
    git(root, "checkout", "-q", ".")
    experiment = git(root, "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/other")
    (root / "code.py").write_text("edited\n")
    words = f"On main: dvc-exp-apply:{tip(root)}:{experiment}:other"
    made = git(root, "stash", "create")
    parents = [word for parent in git(root, "log", "-1", "--format=%P", made).split() for word in ("-p", parent)]
    git(root, "update-ref", "refs/exps/apply/stash", git(root, "commit-tree", f"{made}^{{tree}}", *parents, "-m", words))
    git(root, "read-tree", "--reset", "-u", "HEAD")
    git(root, "checkout", "-q", "--detach", experiment)
    if ends:
        git(root, "symbolic-ref", "-m", "scm: Restore HEAD to 'main'", "HEAD", "refs/heads/main")
        git(root, "read-tree", "HEAD")
        git(root, "update-ref", "refs/exps/exec/EXEC_APPLY", experiment)
    return experiment


def test_a_killed_apply_is_undone_and_where_the_edits_lie_is_told(clone: Path) -> None:
    apply_experiment(clone, ends=False)
    first, second = repair(clone)
    assert "HEAD is on main again" in first
    subprocess.run(second.split("`")[3], shell=True, cwd=clone, check=True, capture_output=True)
    assert (clone / "code.py").read_text() == "edited\n"
    assert repair(clone) == []


def test_an_experiment_s_commit_that_is_looked_at_after_it_was_applied_stays(clone: Path) -> None:
    experiment = apply_experiment(clone, ends=True)
    git(clone, "stash", "-q")
    git(clone, "checkout", "-q", experiment)
    assert repair(clone) == []
    assert head(clone) == experiment


def ended(root: Path) -> None:
    run(root).until("put_on_again")
    git(root, "checkout", "-q", ".")


def failed(root: Path) -> None:
    run(root).until("put_on_again", fails=True)
    git(root, "checkout", "-q", ".")


def killed(root: Path) -> None:
    run(root).until("train")
    git(root, "checkout", "-q", ".")
    git(root, "switch", "-q", "main")


def tip(root: Path) -> str:
    return git(root, "rev-parse", "main")


USERS: dict[str, Callable[[Path], object]] = {
    "a tag": lambda root: git(root, "checkout", "-q", "old"),
    "a commit": lambda root: git(root, "checkout", "-q", tip(root)),
    "no branch": lambda root: git(root, "checkout", "-q", "--detach"),
    "an experiment's commit": lambda root: git(root, "checkout", "-q", "experiment"),
    "a commit of their own": lambda root: [
        git(root, "checkout", "-q", "--detach"),
        git(root, "commit", "-q", "--allow-empty", "-m", "mine"),
    ],
    "bisect": lambda root: [
        git(root, "bisect", "start", "-q"),
        git(root, "bisect", "bad"),
        git(root, "bisect", "good", "old~1"),
    ],
    "a rebase that stopped": lambda root: subprocess.run(
        ["git", "-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-q", "-i", "old~1"], cwd=root, capture_output=True
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", USERS)
@pytest.mark.parametrize("experiment", [ended, failed, killed])
def test_a_head_that_the_user_took_off_stays_where_it_is(clone: Path, experiment: Callable[[Path], None], where: str) -> None:
    for word in ("second", "third"):
        git(clone, "commit", "-q", "--allow-empty", "-m", word)
    git(clone, "tag", "old", "HEAD~1")
    run(clone, "other").until("put_on_again")
    git(clone, "checkout", "-q", ".")
    git(clone, "tag", "experiment", git(clone, "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/other"))
    experiment(clone)
    USERS[where](clone)
    before = head(clone), git(clone, "reflog"), git(clone, "status", "--porcelain")
    assert not before[0].startswith("ref:"), "it was to be off its branch"
    assert repair(clone) == []
    assert (head(clone), git(clone, "reflog"), git(clone, "status", "--porcelain")) == before


def test_a_merge_that_stopped_after_the_kill_goes_on(clone: Path) -> None:
    git(clone, "switch", "-q", "-c", "other")
    (clone / "code.py").write_text("theirs\n")
    git(clone, "commit", "-qam", "theirs")
    git(clone, "switch", "-q", "main")
    (clone / "code.py").write_text("ours\n")
    git(clone, "commit", "-qam", "ours")
    run(clone).until("start")
    git(clone, "checkout", "-q", ".")
    assert subprocess.run(["git", "merge", "-q", "other"], cwd=clone, capture_output=True).returncode
    repair(clone)
    assert (clone / ".git/MERGE_HEAD").exists()
    assert "UU code.py" in git(clone, "status", "--porcelain")


@pytest.mark.parametrize("moved", ["on", "to another worktree"])
def test_a_branch_that_has_moved_is_not_taken_for_the_one_that_head_was_on(clone: Path, moved: str, tmp_path: Path) -> None:
    run(clone).until("train")
    if moved == "on":
        git(clone, "branch", "-f", "main", git(clone, "commit-tree", "-p", "HEAD", "-m", "second", "HEAD^{tree}"))
    else:
        git(clone, "worktree", "add", "-q", str(tmp_path / "beside"), "main")
    before = head(clone), tip(clone)
    [line] = repair(clone)
    assert "git switch main" in line
    assert (head(clone), tip(clone)) == before
    assert repair(clone) == []


# ------------------------------------------------------------------------------------ repositories of other forms


def worktree(clone: Path, tmp_path: Path) -> Path:
    git(clone, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    return tmp_path / "side"


def submodule(clone: Path, tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "outer")
    git(tmp_path / "outer", "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(clone), "lab")
    git(tmp_path / "outer", "commit", "-q", "-m", "a lab")
    return tmp_path / "outer/lab"


def subfolder(clone: Path, tmp_path: Path) -> Path:
    (lab := tmp_path / "all/lab").mkdir(parents=True)
    git(tmp_path / "all", "init", "-q", "-b", "main")
    for name in ("params.yaml", "code.py", ".gitignore"):
        (lab / name).write_bytes((clone / name).read_bytes())
    (tmp_path / "all/beside.txt").write_text("beside\n")
    git(tmp_path / "all", "add", "-A")
    git(tmp_path / "all", "commit", "-q", "-m", "all")
    return lab


FORMS = {form.__name__: form for form in (worktree, submodule, subfolder)}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", ["put_aside", "take_off", "keep", "take_off_again", "train", "commit"])
def test_worktrees_submodules_and_folders_of_another_repository_are_served(
    clone: Path, tmp_path: Path, form: str, step: str
) -> None:
    lab = FORMS[form](clone, tmp_path)
    (lab / ".dvc/tmp").mkdir(parents=True)
    (lab / "code.py").write_text("edited\n")
    branch = git(lab, "symbolic-ref", "HEAD")
    run(lab).until(step)
    assert repair(lab)
    assert git(lab, "symbolic-ref", "HEAD") == branch
    assert (lab / "code.py").read_text() == "edited\n"
    assert repair(lab) == []


def test_what_was_killed_in_one_worktree_is_nothing_to_another(clone: Path, tmp_path: Path) -> None:
    other = worktree(clone, tmp_path)
    run(clone).until("train")
    git(other, "checkout", "-q", "--detach", git(clone, "rev-parse", "HEAD"))
    (other / ".dvc/tmp").mkdir(parents=True)
    assert repair(other) == []
    assert git(other, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert "HEAD is on main again" in repair(clone)[0]


def test_another_repository_that_the_environment_names_is_not_touched(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "other")
    run(clone).until("train")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    before = (tmp_path / "other/.git/HEAD").read_text()
    assert "HEAD is on main again" in repair(clone)[0]
    assert (tmp_path / "other/.git/HEAD").read_text() == before


def test_a_repository_whose_files_lie_elsewhere_is_left_alone(clone: Path, tmp_path: Path) -> None:
    run(clone).until("train")
    (tmp_path / "elsewhere").mkdir()
    git(clone, "config", "core.worktree", str(tmp_path / "elsewhere"))
    assert repair(clone) == []


# ------------------------------------------------------------------------------------------------------- who is at work


@pytest.mark.parametrize("place", ["the clone", "a worktree of it"])
def test_while_somebody_is_at_work_nothing_is_touched(clone: Path, tmp_path: Path, place: str) -> None:
    lock_the_index(clone)
    (clone / ".dvc/tmp/rwlock").touch()
    there = clone if place == "the clone" else worktree(clone, tmp_path)
    start = tmp_path / "dvc"
    start.write_text("#!/bin/sh\necho begun\nread line\n")
    start.chmod(0o755)
    lock_the_index(clone)
    with subprocess.Popen([start], cwd=there, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert repair(clone) == []
        assert (clone / ".git/index.lock").exists()
        process.communicate("\n")
    assert len(repair(clone)) == 2


def test_while_a_dvc_that_cannot_be_seen_holds_its_lock_nothing_is_touched(clone: Path) -> None:
    run(clone).until("train")
    (clone / ".dvc/tmp/lock").touch()
    hold = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(); input()"
    command = [sys.executable, "-c", hold, str(clone / ".dvc/tmp/lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert repair(clone) == []
        process.communicate("\n")
    assert repair(clone)


def test_a_folder_without_git_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").touch()
    assert repair(tmp_path) == []
