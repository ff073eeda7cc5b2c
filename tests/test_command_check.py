"""Checks before DVC runs, queues, saves or applies an experiment; the slow tests show what DVC itself would do."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from dvc.cli.parser import get_main_parser

from pipeline.lab.dvc.queue import QUEUE, RUN_TASK, queued_tasks
from pipeline.lab.experiments.command_check import check_command
from pipeline.params.errors import UserError

TOP = Path(__file__).parents[1]
RUN = ["dvc", "exp", "run"]
PIPELINE = """
stages:
  look:
    cmd: grep . params.yaml > seen; mkdir -p metrics; echo '{}' > metrics/look.json
    params: [seed, train, model]
    deps: [pipeline/train.py]
    outs: [seen]
    metrics:
      - metrics/look.json:
          cache: false
"""


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of knobs and one file of code, all committed."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(TOP / "params.yaml", "params.yaml")
    Path("pipeline/corpus").mkdir(parents=True)
    Path("pipeline/train.py").write_text("print(1)\n")
    Path("data/own").mkdir(parents=True)
    Path("data/own/README.md").write_text("Your texts.\n")
    Path("dvc.yaml").write_text(PIPELINE)
    Path(".gitignore").write_text("/seen\n__pycache__/\n/.rally\n")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "start")
    return tmp_path


def refused(*words: str) -> Sequence[str]:
    with pytest.raises(UserError) as caught:
        check_command(words)
    return caught.value.problems


def experiment(name: str, **files: str | None) -> str:
    """An experiment of DVC's as git has it: HEAD's files with some others, under a reference of its own; its commit."""
    git("stash", "-qu")
    for path, content in files.items():
        file = Path(path)
        if content is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    git("add", "-Af")
    commit = git("commit-tree", git("write-tree"), "-p", "HEAD", "-m", "dvc: commit experiment")
    head = git("rev-parse", "HEAD")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)
    git("reset", "-q", "--hard")
    if git("stash", "list"):
        git("stash", "pop", "-q")
    return commit


NUMBERS = count()


def queued(name: str, *, folder: str = "in", done: bool = False, revision: str = "HEAD") -> None:
    """A task in DVC's queue, as DVC 3.67 leaves it in its files (test_the_queue_is_read_as_dvc_writes_it)."""
    task, broker = f"task-{next(NUMBERS)}", QUEUE / "broker" / folder
    entry = {"name": name, "stash_rev": git("rev-parse", revision), "baseline_rev": git("rev-parse", "HEAD")}
    body = base64.b64encode(json.dumps([[entry], {"copy_paths": []}, {}]).encode()).decode()
    broker.mkdir(parents=True, exist_ok=True)
    (broker / f"1_{task}.celery.msg").write_text(json.dumps({"headers": {"id": task, "task": RUN_TASK}, "body": body}))
    if done:
        (QUEUE / "result").mkdir(exist_ok=True)
        (QUEUE / "result" / f"celery-task-meta-{task}").write_text("{}")


# ----------------------------------------------------------------------------------------------------------------- knobs


@pytest.mark.parametrize(
    "words",
    [
        [*RUN, "-S", "lr=3e-4"],
        [*RUN, "--queue", "-S", "lr=3e-4"],
        [*RUN, "--temp", "-Slr=3e-4"],
        ["dvc", "--wait-for-lock", "exp", "run", "-fn", "x", "--set-param=lr=3e-4"],
        ["dvc", "experiments", "run", "--set", "lr=3e-4"],
        ["dvc", "-q", "exp", "run", "-S", "params.yaml:lr=3e-4"],
        [".venv/bin/dvc", "exp", "run", "-S", "lr=3e-4"],
        ["-S", "lr=3e-4"],
    ],
)
def test_a_knob_that_is_not_there_is_refused_however_it_is_typed(words: list[str], project: Path) -> None:
    assert refused(*words) == ("lr: there is no such knob. Did you mean 'train.lr'?",)


@pytest.mark.parametrize("words", [["dvc", "repro"], RUN, [*RUN, "--queue"], ["dvc", "exp", "save"], []])
def test_a_wrong_knob_in_params_yaml_is_refused_before_anything_runs(words: list[str], project: Path) -> None:
    check_command(words)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("  depth: ", "  depth: -"))
    assert refused(*words) == ("model.depth: -3 is below 1",)


@pytest.mark.parametrize(
    "words",
    [
        ["dvc", "exp", "show"],
        ["dvc", "exp", "run", "--help"],
        ["dvc", "exp", "run", "--no-such-option"],
        ["dvc", "exp", "apply"],
        ["dvc", "queue", "status"],
        ["dvc", "exp", "remove", "x"],
        ["dvc", "exp", "apply", "nothing-of-this-name"],
    ],
)
def test_what_changes_nothing_or_dvc_refuses_itself_passes(
    words: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_command(words)
    assert capsys.readouterr() == ("", "")


def test_the_commands_that_are_looked_at_are_dvcs() -> None:
    """A DVC that calls them otherwise would go unguarded."""
    parser = get_main_parser()
    for words, command in (
        (["exp", "run"], "CmdExperimentsRun"),
        (["exp", "save"], "CmdExperimentsSave"),
        (["exp", "apply", "x"], "CmdExperimentsApply"),
        (["queue", "start"], "CmdQueueStart"),
    ):
        assert parser.parse_args(words).func.__name__ == command


# ------------------------------------------------------------------------------------------------------------------ code


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        (RUN, ""),
        ([*RUN, "--queue"], "mine.py"),
        ([*RUN, "--temp"], "mine*"),
        (["dvc", "exp", "save", "-n", "mine"], "/pipeline/corpus/"),
    ],
)
def test_code_that_git_does_not_know_is_named_before_an_experiment(words: list[str], hidden: str, project: Path) -> None:
    Path("pipeline/corpus/mine.py").write_text("print(2)\n")
    Path(".git/info/exclude").write_text(f"{hidden}\n")
    [line] = refused(*words)
    assert line.startswith("pipeline/corpus/mine.py: git does not track this code")
    command = line.split("`")[1]
    assert command == f"git add {'-f ' if hidden else ''}pipeline/corpus/mine.py"
    subprocess.run(command, shell=True, check=True)
    check_command(words)


@pytest.mark.parametrize(
    "path",
    ["pipeline/__pycache__/train.cpython-311.pyc", "pipeline/.train.py.swp", "pipeline/.#train.py", "notes.py", "pipeline/x"],
)
def test_what_no_stage_runs_needs_no_commit(path: str, project: Path) -> None:
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text("x")
    check_command(RUN)


def test_a_plain_repro_may_run_code_that_git_does_not_know(project: Path) -> None:
    Path("pipeline/mine.py").write_text("print(2)\n")
    check_command(["dvc", "repro"])


@pytest.mark.parametrize(
    ("knob", "path", "more", "mode"),
    [
        ("prepare.path", "data/mine", "prepare.dataset=file", "--queue"),
        ("tokenize.path", "mine.json", "tokenize.kind=file", "--temp"),
        ("train.init_from", "given", "seed=1", "--queue"),
        ("train.teacher", "models-of-mine/a", "seed=1", "--temp"),
    ],
)
def test_a_folder_that_a_copy_of_the_project_would_lack_is_named(
    knob: str, path: str, more: str, mode: str, project: Path
) -> None:
    words = [*RUN, "-S", f"{knob}={path}", "-S", more]
    file = Path(path) if path.endswith(".json") else Path(path, "file.txt")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    check_command(words)
    [line] = refused(*words, mode)
    assert line.startswith(f"{knob}: git does not track {file}") and f"`-C {path}`" in line
    check_command([*words, mode, "-C", path])
    Path(f"{path}.dvc").touch()
    check_command([*words, mode])


def test_own_data_beside_what_git_knows_is_named_and_copied_no_other_way(project: Path) -> None:
    Path("data/own/mine.txt").write_text("x")
    check_command([*RUN, "--queue"])  # of no data set that reads it
    [line] = refused(*RUN, "--queue", "-S", "prepare.dataset=file")
    assert line.startswith("prepare.path: git does not track data/own/mine.txt") and line.endswith(
        "Add them: `git add data/own`"
    )


# ----------------------------------------------------------------------------------------------------------------- names


def test_a_name_in_the_queue_is_taken(project: Path) -> None:
    check_command([*RUN, "-n", "x"])
    queued("x")
    for words in (
        [*RUN, "-n", "x"],
        [*RUN, "-fnx", "--queue"],
        [*RUN, "--temp", "--name=x"],
        ["dvc", "exp", "save", "-n", "x"],
    ):
        [line] = refused(*words)
        assert line.startswith("-n x: an experiment of this name is in the queue") and "`dvc queue remove x`" in line
    check_command([*RUN, "-n", "y"])
    check_command([*RUN, "--queue"])


def test_a_name_is_free_again_when_its_task_has_ended_and_not_while_it_runs(project: Path) -> None:
    queued("x", folder="processed", done=True)
    check_command([*RUN, "-n", "x"])
    queued("x", folder="processed")
    assert "is in the queue" in refused(*RUN, "-n", "x")[0]


def test_every_name_that_dvc_makes_of_a_grid_must_be_free(project: Path) -> None:
    queued("x-2")
    experiment("x-3")
    grid = [*RUN, "--queue", "-n", "x", "-S", "seed=1,2,3"]
    assert [line.split(":")[0] for line in refused(*grid)] == ["-n x-2", "-n x-3"]
    check_command([*RUN, "--queue", "-n", "x", "-S", "seed=1"])
    check_command([*RUN, "--queue", "-n", "y", "-S", "seed=1,2,3"])


def test_a_name_of_this_commit_is_taken_unless_it_is_to_be_replaced(project: Path) -> None:
    experiment("x")
    assert "this commit has an experiment of this name" in refused(*RUN, "-n", "x")[0]
    check_command([*RUN, "-f", "-n", "x"])
    git("commit", "-q", "--allow-empty", "-m", "another")
    check_command([*RUN, "-n", "x"])


@pytest.mark.parametrize("name", ["e1", "a/b", "a..b", "-x", "x.lock"])
def test_a_name_that_git_or_dvc_would_misread_is_refused(name: str, project: Path) -> None:
    assert refused(*RUN, f"--name={name}")[0].startswith(f"-n: '{name}' means something else")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"headers": []}', '{"headers": {"task": 3}}']
    + [f'{{"headers": {{"id": "a", "task": "{RUN_TASK}"}}, "body": "{body}"}}' for body in ("!", "W10=", "W1tdLFtdLHt9XQ==")],
)
def test_a_task_that_cannot_be_read_is_nobodys_name(content: str, project: Path) -> None:
    queued("x")
    (QUEUE / "broker/in/0_a.celery.msg").write_text(content)
    assert [task.name for task in queued_tasks()] == ["x"]


@pytest.mark.parametrize("words", [["dvc", "queue", "start"], [*RUN, "--run-all"]])
def test_the_queue_is_looked_through_before_it_starts(words: list[str], project: Path) -> None:
    wrong = experiment("wrong", **{"params.yaml": Path("params.yaml").read_text().replace("depth: 3", "depth: -3")})
    queued("x")
    check_command(words)
    queued("y", revision=wrong)
    queued("x")
    said = refused(*words)
    assert said[0] == "y: model.depth: -3 is below 1"
    assert said[1].startswith("x: is in the queue twice") and f"`dvc queue remove {git('rev-parse', 'HEAD')[:7]}`" in said[1]


# -------------------------------------------------------------------------------------------------------------- applying

APPLY = ["dvc", "exp", "apply"]


def test_edits_that_applying_would_overwrite_are_named(project: Path) -> None:
    experiment("x", **{"params.yaml": "seed: 2\n"})
    check_command([*APPLY, "x"])
    Path("pipeline/train.py").write_text("print('precious')\n")
    Path("data/own/README.md").write_text("precious")
    git("add", "data/own")
    [line] = refused(*APPLY, "x")
    assert line.startswith("data/own/README.md, pipeline/train.py: would be overwritten")
    assert "`git stash -u`" in line
    git("stash", "-qu")
    check_command([*APPLY, "x"])


def test_a_file_that_the_experiment_brings_must_not_lie_there_unknown_to_git(project: Path) -> None:
    experiment("x", **{"pipeline/mine.py": "print(2)\n", "notes": "theirs"})
    Path("pipeline/mine.py").write_text("print('precious')\n")
    Path("notes").write_text("precious, and ignored")
    Path(".git/info/exclude").write_text("notes\n")
    [line] = refused(*APPLY, "x")
    assert line.startswith("notes, pipeline/mine.py: would be overwritten")
    Path("pipeline/mine.py").write_text("print(2)\n")
    Path("notes").unlink()
    check_command([*APPLY, "x"])


def test_what_an_experiment_holds_or_applying_leaves_alone_may_be_overwritten(project: Path) -> None:
    knobs = Path("params.yaml").read_text()
    experiment(
        "one",
        **{
            "params.yaml": knobs.replace("seed: 1 ", "seed: 2 ", 1),
            "metrics/look.json": "{}",
            "dvc.lock": "1",
            "notebook/bets.jsonl": "",
        },
    )
    experiment("two", **{"params.yaml": knobs.replace("seed: 1 ", "seed: 3 ", 1), "metrics/look.json": "{}", "dvc.lock": "2"})
    Path("params.yaml").write_text(knobs.replace("seed: 1 ", "seed: 3 ", 1))  # as `two` left the workspace
    Path("metrics").mkdir()
    Path("metrics/look.json").write_text('{"of": "a plain dvc repro"}')
    Path("dvc.lock").write_text("3")
    Path("new.py").write_text("in no experiment, and stays")
    Path("notebook").mkdir()
    Path("notebook/bets.jsonl").write_text("later bets, which come back from .rally\n")
    check_command([*APPLY, "one"])
    Path("params.yaml").write_text(knobs.replace("seed: 1 ", "seed: 4 ", 1))
    assert refused(*APPLY, "one")[0].startswith("params.yaml: would be overwritten")


def test_the_settings_of_the_clone_are_no_edit_that_would_be_lost(project: Path) -> None:
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("")
    git("add", "-A")
    git("commit", "-qm", "dvc")
    experiment("x")
    Path(".dvc/config").write_text("[core]\n    remote = mine\n")
    check_command([*APPLY, "x"])  # ./run keeps them


def test_what_a_user_keeps_in_a_folder_that_was_an_out_of_the_experiment_is_not_deleted(project: Path) -> None:
    experiment("x", **{"dvc.yaml": PIPELINE.replace("[seen]", "[models]")})
    Path("dvc.yaml").write_text(PIPELINE.replace("[seen]", "[models/trained]"))
    Path("models/trained").mkdir(parents=True)
    Path("models/README.md").write_text("of the repository")
    Path(".gitignore").write_text("/models/ignored\n")
    git("add", "-A")
    git("commit", "-qm", "one level down")
    Path("models/trained/model.json").write_text("of the stage")
    check_command([*APPLY, "x"])
    for folder in ("mine", "ignored", "teacher"):
        Path("models", folder).mkdir()
        Path("models", folder, "model.json").write_text("of the user")
    Path("models/teacher.dvc").write_text("outs: []")
    git("add", "models/teacher.dvc")
    [line] = refused(*APPLY, "x")
    assert line.startswith("models/ignored/model.json, models/mine/model.json: would be deleted, because the folder is an out")
    shutil.rmtree("models/mine")
    shutil.rmtree("models/ignored")
    check_command([*APPLY, "x"])


def test_code_that_goes_back_with_an_older_experiment_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment("x", **{"pipeline/train.py": "print('of the experiment')\n"})
    check_command([*APPLY, "x"])
    assert capsys.readouterr().err == "", "its own change is what one wants"
    Path("pipeline/new.py").write_text("which the experiment lacks, and which stays")
    Path("pipeline/train.py").write_text("print('newer')\n")
    git("add", "-A")
    git("commit", "-qm", "newer")
    check_command([*APPLY, "x"])
    assert capsys.readouterr().err.startswith("x: belongs to another commit, whose code comes with it: pipeline/train.py. ")


# ------------------------------------------------------------------------------------------------- as DVC really does it


def dvc(*words: str, status: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_queue_is_read_as_dvc_writes_it(project: Path) -> None:
    dvc("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "dvc")
    dvc("exp", "run", "-q", "-n", "x", "--queue", "-S", "seed=5,6")
    dvc("exp", "run", "-q", "-n", "alone", "--queue", "-S", "train.lr=0.5")
    tasks = list(queued_tasks())
    assert [(task.name, task.baseline, task.waits) for task in tasks] == [
        (name, git("rev-parse", "HEAD"), True) for name in ("x-1", "x-2", "alone")
    ]
    assert "seed: 6" in git("show", f"{tasks[1].revision}:params.yaml")
    assert [line.split(":")[0] for line in refused(*RUN, "--queue", "-n", "x", "-S", "seed=7,8")] == ["-n x-1", "-n x-2"]
    check_command(["dvc", "queue", "start"])
    dvc("exp", "run", "-q", "-n", "alone", "--queue", "-S", "train.lr=0.6")
    [line, _] = refused("dvc", "queue", "start")
    subprocess.run([sys.executable, "-m", *line.split("`")[1].split()], check=True, capture_output=True)
    check_command(["dvc", "queue", "start"])
    text = git("show", f"{next(task.revision for task in queued_tasks() if task.name == 'alone')}:params.yaml")
    assert "lr: 0.5 " in text, "the later one was removed"


@pytest.mark.slow
def test_what_is_refused_is_what_dvc_would_overwrite(project: Path) -> None:
    dvc("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "dvc")
    dvc("exp", "run", "-q", "-n", "one", "-S", "seed=2")
    dvc("exp", "run", "-q", "-n", "two", "-S", "seed=3")
    check_command([*APPLY, "one"])  # as the run of `two` left the workspace
    Path("pipeline/train.py").write_text("print('precious')\n")
    Path("new.py").write_text("stays")
    assert refused(*APPLY, "one")[0].startswith("pipeline/train.py: would be overwritten")
    dvc("exp", "apply", "one")
    assert "precious" not in Path("pipeline/train.py").read_text()
    assert Path("new.py").read_text() == "stays"
    assert "seed: 2 " in Path("params.yaml").read_text()
