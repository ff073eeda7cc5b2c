"""Whether files belong to the parameters, code and data beside them, by a made-up dvc.lock: in a working tree and a commit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from recorded import FINDING, SCORES, STAGES, leave_recorded_run, record, recorded, set_knobs, write
from small import knobs

from pipeline.artifacts.checksums import seal_folder
from pipeline.artifacts.paths import MODEL
from pipeline.artifacts.writing import write_json
from pipeline.lab.provenance.check import match_of_trained, matches_of_commits
from pipeline.lab.provenance.commits import Commit, GitObjects
from pipeline.lab.provenance.match import MATCHES, Match
from pipeline.lab.provenance.origin import Origin, flatten
from pipeline.lab.provenance.workspace import Workspace


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return leave_recorded_run(tmp_path)


def here(path: str = SCORES) -> Match:
    return Origin(Workspace()).match(path)


def test_what_the_stages_left_is_of_the_knobs_code_and_data_here(lab: Path) -> None:
    assert [here(path) for path in (SCORES, FINDING, "models/trained", "metrics/train.json", "data/raw")] == [MATCHES] * 5


def test_a_knob_of_runtime_says_nothing_of_the_numbers(lab: Path) -> None:
    set_knobs(lab, runtime={"threads": 8})
    assert here() == MATCHES


def _move_data(root: Path) -> None:
    (root / "own").rename(root / "mine")
    set_knobs(root, prepare__path="mine")


def _train_alone(root: Path) -> None:
    set_knobs(root, seed=2)
    write(root, "models/trained/model.bin", "others")
    record(root, "prepare", "train")
    set_knobs(root, seed=1)
    record_of = yaml.safe_load((root / "dvc.lock").read_text())
    record_of["stages"]["train"]["params"]["params.yaml"]["seed"] = 1
    (root / "dvc.lock").write_text(yaml.safe_dump(record_of))


CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a knob": (lambda root: set_knobs(root, seed=2), "seed is 2, and was 1 when train ran"),
    "two knobs of a section": (
        lambda root: set_knobs(root, train__lr=0.1, train__kinds=["a"]),
        'train.kinds is ["a"], and was ["a", "b"] when train ran (and 1 more)',
    ),
    "a knob that a terminal would obey": (
        lambda root: set_knobs(root, prepare__path="\x1b[31m" + "x" * 99),
        'prepare.path is "\\u001b[31m' + "x" * 28 + "…, and was own when prepare ran",
    ),
    "a knob that came": (lambda root: set_knobs(root, train__new=1), "train.new is 1, and was not a knob when train ran"),
    "a knob of the first stage": (
        lambda root: set_knobs(root, prepare__path="else"),
        "prepare.path is else, and was own when prepare ran",
    ),
    "a folder by another name": (_move_data, "prepare.path is mine, and was own when prepare ran"),
    "one's own data": (lambda root: write(root, "own/deep/b.txt", "TWO"), "own has changed since prepare ran"),
    "one more file of data": (lambda root: write(root, "own/c.txt", ""), "own has changed since prepare ran"),
    "code": (lambda root: write(root, "code/evaluate.py", "E"), "code/evaluate.py has changed since evaluate ran"),
    "code deep in a folder": (
        lambda root: write(root, "code/engine/parts/fast.py", "F"),
        "code/engine has changed since train ran",
    ),
    "code that went": (lambda root: (root / "code/prepare.py").unlink(), "code/prepare.py has changed since prepare ran"),
    "training alone": (_train_alone, "evaluate has not run on the models/trained that train wrote"),
    "a number by hand": (lambda root: write(root, SCORES, '{"loss": 0.1}'), f"{SCORES} is not what evaluate wrote"),
    "no file": (lambda root: (root / SCORES).unlink(), f"{SCORES} is not what evaluate wrote"),
    "one more dependency": (
        lambda root: _restage(root, "train", deps=["data/raw", "code/engine", "code/more.py"]),
        "train has changed in dvc.yaml since it ran",
    ),
    "another command": (
        lambda root: _restage(root, "train", cmd="t --fast"),
        "train has changed in dvc.yaml since it ran",
    ),
    "another section": (
        lambda root: _restage(root, "evaluate", params=["evaluate"]),
        "evaluate has changed in dvc.yaml since it ran",
    ),
}


BY_HAND = ("a number by hand", "no file")  # the diagnosis is of the scores that there were, and they of these knobs
OUT_OF_GIT = ("no file", "code that went")  # git cannot tell code that went from data that it never had


def _restage(root: Path, stage: str, **parts: Any) -> None:
    told = {"stages": {**STAGES, stage: {**STAGES[stage], **parts}}}
    (root / "dvc.yaml").write_text(yaml.safe_dump(told))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_them_the_numbers_of_another_run_and_is_named(lab: Path, change: str) -> None:
    do, says = CHANGES[change]
    do(lab)
    assert here() == Match(says)
    assert bool(here(FINDING)) == (change in BY_HAND), "what was made of them is of that run too"


def test_what_came_before_the_change_is_still_of_this_run(lab: Path) -> None:
    set_knobs(lab, evaluate__top=3)
    assert here("models/trained") == here("metrics/train.json") == here("data/raw") == MATCHES
    assert here().mismatch == "evaluate.top is 3, and was 0 when evaluate ran"
    write(lab, FINDING, "{}")
    assert here(FINDING).mismatch == f"{FINDING} is not what diagnose wrote"


def test_what_is_put_back_is_of_this_run_again(lab: Path) -> None:
    set_knobs(lab, seed=2)
    assert not here()
    set_knobs(lab, seed=1)
    assert here()


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("dvc.lock", None, "there is no dvc.lock, so nothing says which knobs it is of"),
        ("dvc.lock", "stages: {train: [", "dvc.lock cannot be read, so nothing says which knobs it is of"),
        ("dvc.lock", "stages: 3\n", "dvc.lock cannot be read, so nothing says which knobs it is of"),
        ("dvc.lock", "stages: {train: {deps: [{}]}}", "dvc.lock cannot be read, so nothing says which knobs it is of"),
        ("dvc.lock", "stages: {train: {outs: 3}}", "dvc.lock cannot be read, so nothing says which knobs it is of"),
        ("dvc.lock", "stages: {train: 3}", "dvc.lock cannot be read, so nothing says which knobs it is of"),
        ("dvc.lock", "stages: {train: }", "dvc.lock cannot be read, so nothing says which knobs it is of"),
        ("dvc.lock", "\x00\xff", "dvc.lock cannot be read, so nothing says which knobs it is of"),
        ("dvc.yaml", "", "dvc.yaml cannot be read, so nothing says which knobs it is of"),
        ("params.yaml", "- 1", "params.yaml cannot be read, so nothing says which knobs it is of"),
    ],
)
def test_where_nothing_can_be_known_it_says_so(lab: Path, file: str, content: str | None, says: str) -> None:
    if content is None:
        (lab / file).unlink()
    else:
        (lab / file).write_bytes(content.encode("latin-1"))
    assert here() == Match(says, known=False)


@pytest.mark.parametrize("stages", [("prepare",), ("prepare", "train")])
def test_a_stage_that_dvc_has_not_run_says_nothing_of_what_lies_there(lab: Path, stages: tuple[str, ...]) -> None:
    (lab / "dvc.lock").unlink()
    record(lab, *stages)
    assert here() == Match("dvc.lock does not say that evaluate ran", known=False)


def test_a_stage_that_dvc_lost_leaves_the_later_ones_in_doubt(lab: Path) -> None:
    told = yaml.safe_load((lab / "dvc.lock").read_text())
    del told["stages"]["prepare"]
    (lab / "dvc.lock").write_text(yaml.safe_dump(told))
    assert here() == Match("dvc.lock does not say that prepare ran")


def test_what_no_stage_leaves_is_nobodys(lab: Path) -> None:
    assert here("notes.txt") == Match("dvc.lock does not say that a stage ran", known=False)


def test_of_a_large_file_the_size_must_do(lab: Path) -> None:
    write(lab, "own/a.txt", "eno")  # as long as before
    assert not Origin(Workspace()).match(SCORES)
    assert Origin(Workspace(small=2)).match(SCORES)
    write(lab, "own/a.txt", "longer")
    assert not Origin(Workspace(small=2)).match(SCORES)


def test_files_of_one_run_are_of_one_run_whatever_the_knobs_are_now(lab: Path) -> None:
    set_knobs(lab, seed=2)
    write(lab, "code/engine/loop.py", "L")
    origin = Origin(Workspace(), one_run=True)
    assert origin.match("models/trained") == origin.match(SCORES) == MATCHES
    _train_alone(lab)
    assert not Origin(Workspace(), one_run=True).match(SCORES)


def test_knobs_that_were_turned_before_a_stage_are_named_and_code_is_not(lab: Path) -> None:
    origin = Origin(Workspace())
    assert origin.knobs_changed_since("evaluate") == origin.knobs_changed_since("no such stage") == ""
    write(lab, "code/evaluate.py", "E")
    set_knobs(lab, prepare__path="else")
    assert Origin(Workspace()).knobs_changed_since("evaluate") == "prepare.path is else, and was own when prepare ran"


def test_without_a_dvc_lock_a_model_is_held_against_the_knobs_that_it_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = knobs()
    assert match_of_trained(params) == MATCHES  # there is none
    noted = params.model_dump(include={"seed", "model", "train"}) | {"task": params.task.kind}
    write_json(MODEL.with_suffix(".json"), noted)
    seal_folder(MODEL.parent)
    assert match_of_trained(params) == MATCHES
    assert match_of_trained(knobs(train__lr=0.5)).mismatch == f"train.lr is 0.5, and was {params.train.lr} when train ran"
    assert "task.kind is vision" in match_of_trained(knobs(task__kind="vision", prepare__dataset="digits")).mismatch


def test_knobs_are_named_with_dots() -> None:
    assert flatten({"seed": 1, "train": {"lr": 0.1, "deep": {"er": []}}}) == {"seed": 1, "train.lr": 0.1, "train.deep.er": []}


# --------------------------------------------------------------------------------------------------------------- commits


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "a run")


@pytest.fixture
def history(lab: Path) -> Path:
    git(lab, "init", "-q", "-b", "main")
    write(lab, ".gitignore", "__pycache__\n/data/raw\n/models/trained\n/metrics/train.json\n/.rally\n")
    commit(lab)
    return lab


@pytest.mark.slow
@pytest.mark.parametrize("change", [name for name in CHANGES if name not in OUT_OF_GIT])
def test_a_commit_is_judged_by_what_git_keeps_of_it(history: Path, change: str) -> None:
    do, says = CHANGES[change]
    do(history)
    commit(history)
    found = matches_of_commits(["main~1", "main", "main", "nowhere"], [Path(SCORES), Path(FINDING)])
    assert found["main~1"] == dict.fromkeys([Path(SCORES), Path(FINDING)], MATCHES)
    assert found["main"][Path(SCORES)] == Match(says)
    assert bool(found["main"][Path(FINDING)]) == (change in BY_HAND)
    assert found["nowhere"][Path(SCORES)] == Match("git cannot read it", known=False)
    kept = json.loads((history / ".rally/provenance.json").read_text())["trees"]
    assert len(kept) == 2
    assert matches_of_commits(["main~1", "main", "nowhere"], [Path(SCORES), Path(FINDING)]) == found, "from what was kept"


@pytest.mark.slow
def test_what_was_kept_of_commits_is_forgotten_where_it_is_damaged_or_of_other_code(history: Path) -> None:
    first = matches_of_commits(["main"], [Path(SCORES)])
    kept = history / ".rally/provenance.json"
    for content in ("{", "[]", json.dumps({"code": "other", "trees": {}}), json.dumps({"trees": 3})):
        kept.write_text(content)
        assert matches_of_commits(["main"], [Path(SCORES)]) == first
    assert "main" not in kept.read_text()


@pytest.mark.slow
def test_data_that_git_does_not_keep_is_held_against_what_dvc_added(history: Path) -> None:
    git(history, "rm", "-r", "-q", "--cached", "own")
    write(history, "own/.gitignore", "*")
    added = recorded(history, "own")
    write(history, "own.dvc", yaml.safe_dump({"outs": [added]}))
    record(history)
    commit(history)
    with_it = matches_of_commits(["main"], [Path(SCORES)])["main"][Path(SCORES)]
    write(history, "own.dvc", yaml.safe_dump({"outs": [{**added, "md5": "0" * 32 + ".dir"}]}))
    commit(history)
    (history / "own.dvc").unlink()
    commit(history)
    found = matches_of_commits(["main~1", "main"], [Path(SCORES)])
    assert with_it == MATCHES
    assert found["main~1"][Path(SCORES)] == Match("own has changed since prepare ran")
    assert found["main"][Path(SCORES)] == MATCHES, "nothing speaks against it"


@pytest.mark.slow
def test_a_project_in_a_folder_of_a_larger_repository_is_judged_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labs/rally").mkdir(parents=True)
    git(tmp_path, "init", "-q", "-b", "main")
    monkeypatch.chdir(leave_recorded_run(tmp_path / "labs/rally"))
    commit(tmp_path)
    set_knobs(Path(), seed=2)
    commit(tmp_path)
    found = matches_of_commits(["main~1", "main"], [Path(SCORES)])
    assert [found[name][Path(SCORES)].mismatch for name in found] == ["", "seed is 2, and was 1 when train ran"]


@pytest.mark.slow
def test_a_folder_that_is_no_repository_has_no_commits(lab: Path) -> None:
    assert matches_of_commits(["main"], [Path(SCORES)])["main"][Path(SCORES)].mismatch == "git cannot read it"


@pytest.mark.slow
def test_a_link_and_a_name_of_many_lines_are_nothing_that_one_can_tell(history: Path) -> None:
    (history / "code/link.py").symlink_to("evaluate.py")
    commit(history)
    with GitObjects() as objects:
        files = Commit(objects, objects.project("main") or "")
        assert files.matches("code/link.py", {"md5": "x"}) is None
        assert files.matches("code/evaluate.py", recorded(history, "code/evaluate.py")) is True
        assert files.read("code/evaluate.py/x") is files.read("no/such") is objects.read("a\nb") is None
