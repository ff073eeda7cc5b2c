"""Stage scripts: they refuse before they import, take no arguments, run as a file too, and end without a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from campaign.labs import SMALL
from small import TOP, stages
from test_params import content_of, lines_of
from wrong_params import WRONG

from pipeline.params.entry_point import entry_point
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml

ENVIRONMENT = {"PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"}
WRONG_FOR = {
    "prepare": "a data set that is not there",
    "tokenize": "a tokenizer that is not there",
    "train": "three at once",
    "evaluate": "text for a number",
    "probe": "no YAML",
    "diagnose": "a section that is missing",
    "plot": "a knob that stands twice",
}


@pytest.mark.parametrize("stage", stages())
def test_a_stage_refuses_before_torch_is_imported_and_writes_nothing(stage: str, tmp_path: Path) -> None:
    wrong = WRONG[WRONG_FOR[stage]]
    (tmp_path / "params.yaml").write_bytes(content_of(wrong))
    shutil.copy(TOP / "dvc.yaml", tmp_path)
    # as `python -m pipeline.<stage>`, and at the end what was imported
    program = (
        "import atexit, json, runpy, sys; atexit.register(lambda: print(json.dumps(sorted(sys.modules))));"
        f"sys.argv = ['{stage}']; runpy.run_module('pipeline.{stage}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2
    assert sorted(done.stderr.splitlines()) == sorted(lines_of(wrong))
    assert not {"torch", "pandas", "matplotlib", "sklearn"} & set(json.loads(done.stdout))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dvc.yaml", "params.yaml"]


@pytest.mark.parametrize("stage", stages())
def test_a_stage_that_is_given_arguments_says_what_to_type_and_does_nothing(stage: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"pipeline.{stage}", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"pipeline.{stage}: takes no arguments, and was given '--help'. ")
    assert f"`dvc repro {stage}`" in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project of its own, far from the environment's."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(TOP / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOP / "dvc.yaml", folder)
    values = read_yaml(TOP / "params.yaml")
    for section, small in SMALL.items():
        values[section] |= small
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    (folder / "data/own").mkdir(parents=True)
    return folder


def run_as_a_file(project: Path, stage: str, place: Path) -> subprocess.CompletedProcess[str]:
    """`python …/train.py`, typed in some folder; an editor's Run button names the whole path."""
    script = project / f"pipeline/{stage}.py"
    file = script.relative_to(place) if script.is_relative_to(place) else script
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    return subprocess.run([sys.executable, file], cwd=place, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_every_stage_runs_as_a_file_from_any_folder(project: Path, tmp_path: Path) -> None:
    """Its folder leads Python's path then, and tokenize.py in it would hide Python's own."""
    places = [project, project / "pipeline", tmp_path]
    for number, stage in enumerate(stages()):
        done = run_as_a_file(project, stage, places[number % len(places)])
        assert done.returncode == 0, (stage, done.stderr)
        content = read_yaml(TOP / "dvc.yaml")["stages"][stage]
        for out in (*content.get("outs", ()), *content.get("metrics", ())):
            assert (project / (next(iter(out)) if isinstance(out, dict) else out)).exists(), (stage, out)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("stage", stages())
def test_a_stage_that_runs_as_a_file_reads_the_knobs_of_its_own_project(stage: str, project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "pipeline", tmp_path / "pipeline")
    (tmp_path / "params.yaml").write_text("- no sections\n")
    for place in (tmp_path, tmp_path / "pipeline", project):
        done = run_as_a_file(tmp_path, stage, place)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "params.yaml: contains ['no sections'], not sections of knobs\n"


def test_python_that_is_started_in_the_folder_of_the_stages_says_why_nothing_can_be_imported() -> None:
    command = [sys.executable, "-c", "import inspect"]
    done = subprocess.run(command, cwd=TOP / "pipeline", capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("pipeline/tokenize.py hides Python's own module tokenize here: start Python in the folder")


def test_an_entry_point_ends_quietly_on_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    @entry_point
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_an_entry_point_shows_what_a_refusal_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (UserError("data/\x1b[2Jred.txt: holds no text", "half \ud800"), FileNotFoundError(2, "gone", "a\x1b]0;x")):

        @entry_point
        def main(error: Exception = error) -> None:
            raise error

        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
    assert capsys.readouterr().err == "data/␛[2Jred.txt: holds no text\nhalf �\na␛]0;x: gone\n"


def test_waiting_threads_spin_briefly_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    entry_point(lambda: None)()
    assert os.environ["GOMP_SPINCOUNT"] == "10000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    entry_point(lambda: None)()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
