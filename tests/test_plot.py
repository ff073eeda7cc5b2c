"""The door `plot` and what `dvc plots` is told to draw."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plotted_run import leave_run, readings

from pipeline.artifacts.paths import DIAGNOSIS_PICTURE, EVALUATION, PICTURES, REPORT, TRAIN_CURVE, VALIDATION_CURVE
from pipeline.artifacts.writing import write_bytes
from pipeline.params.yaml12 import read_yaml

ROOT = Path(__file__).parent.parent


def plot(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "pipeline.plot"]
    path = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env={**os.environ, **path, **environment}, capture_output=True, text=True)


def finished_run(folder: Path) -> Path:
    leave_run(folder)
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_door_leaves_the_same_bytes_wherever_it_runs_and_never_needs_torch(tmp_path: Path) -> None:
    one, other = finished_run(tmp_path / "one"), finished_run(tmp_path / "another" / "place")
    done = plot(one, PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    assert "matplotlib.figure" in done.stderr  # the list of what was imported
    assert " torch\n" not in done.stderr
    assert plot(other, PYTHONHASHSEED="2", TZ="Asia/Tokyo", LC_ALL="C").returncode == 0
    assert files(one / "plots") == files(other / "plots")
    names = ["loss", "updates", "scores", *(reading.name for reading in readings())]
    wanted = {REPORT.as_posix(), DIAGNOSIS_PICTURE.as_posix(), *((PICTURES / f"{name}.png").as_posix() for name in names)}
    assert {f"plots/{name}" for name in files(one / "plots")} == wanted


def test_a_missing_file_ends_the_door_with_one_line_and_nothing_written(tmp_path: Path) -> None:
    finished_run(tmp_path)
    (tmp_path / EVALUATION).unlink()
    done = plot(tmp_path)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert (done.returncode, lines) == (2, [f"{EVALUATION}: not found; run `dvc repro` to create it"])
    assert not (tmp_path / "plots").exists()


# ------------------------------------------------------------------------------------------------------------ dvc plots


@pytest.fixture(scope="module")
def definitions() -> dict[str, dict[str, Any]]:
    """The top-level `plots` of dvc.yaml, by name."""
    listed = read_yaml(ROOT / "dvc.yaml")["plots"]
    return {
        name: properties for entry in listed for name, properties in (entry if isinstance(entry, dict) else {entry: {}}).items()
    }


def test_every_plot_names_columns_that_the_curves_have(definitions: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    leave_run(tmp_path)
    drawn = []
    for name, properties in definitions.items():
        for file, column in properties.get("y", {}).items():
            with (tmp_path / file).open(encoding="utf-8", newline="") as curve:
                header = next(csv.reader(curve))
            assert column in header, name
            assert properties["x"] in header, name
            assert properties["title"], name
            assert properties["x_label"], name
            assert properties["y_label"], name
            drawn.append((file, column))
    assert len(drawn) == len(set(drawn)), "a quantity is drawn twice"
    assert {file for file, _ in drawn} == {TRAIN_CURVE.as_posix(), VALIDATION_CURVE.as_posix()}


def test_the_columns_of_these_tests_are_those_that_training_writes(tmp_path: Path) -> None:
    leave_run(tmp_path)
    source = (ROOT / "pipeline" / "engine" / "recorder.py").read_text(encoding="utf-8")  # not imported: it needs torch
    for table, curve in (("CURVE", TRAIN_CURVE), ("VALIDATION", VALIDATION_CURVE)):
        (columns,) = re.findall(rf"^{table}_COLUMNS = (\(.*\))$", source, flags=re.MULTILINE)
        assert (tmp_path / curve).read_text(encoding="utf-8").splitlines()[0] == ",".join(ast.literal_eval(columns))


def test_the_pictures_are_a_folder_of_their_own(definitions: dict[str, dict[str, Any]]) -> None:
    """DVC takes every file of a folder of plots for a plot, and a page among them for a plot that failed."""
    assert PICTURES.as_posix() in definitions
    assert PICTURES not in REPORT.parents


def test_no_stage_shows_a_curve_once_more(definitions: dict[str, dict[str, Any]]) -> None:
    """DVC draws what a stage lists under `plots` by itself, as a second plot of the file's last column."""
    assert [name for name, stage in read_yaml(ROOT / "dvc.yaml")["stages"].items() if stage.get("plots")] == []


def test_dvc_draws_one_plot_a_quantity_and_every_picture(tmp_path: Path) -> None:
    def dvc(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    dvc("init", "--no-scm", "--quiet")
    leave_run(tmp_path)
    for picture in (drawn := (DIAGNOSIS_PICTURE, PICTURES / "loss.png")):
        write_bytes(tmp_path / picture, b"\x89PNG")
    write_bytes(tmp_path / REPORT, b"<html>")
    section = (ROOT / "dvc.yaml").read_text(encoding="utf-8").partition("\nplots:\n")[2]
    (tmp_path / "dvc.yaml").write_text(f"plots:\n{section}", encoding="utf-8")
    shown = json.loads(dvc("plots", "show", "--json"))
    assert shown.get("errors") is None
    assert set(shown["data"]) == {"loss", "accuracy", "learning_rate", "gradient_norm", *map(str, drawn)}
    loss = json.dumps(shown["data"]["loss"])
    assert "train.csv" in loss
    assert "validation.csv" in loss
