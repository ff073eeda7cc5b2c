"""What `rally doctor` prints: findings with evidence and commands to paste, and every sign on its strip."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plotted_run import diagnosis, leave_run
from recorded import leave_recorded_run, record, set_knobs
from sealing import sealed
from small import TOP

from pipeline.artifacts.checksums import seal
from pipeline.artifacts.paths import DIAGNOSIS
from pipeline.artifacts.writing import write_json
from pipeline.lab.doctor.show import STRIP, show, strip
from pipeline.params.errors import UserError


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    write_json(DIAGNOSIS, diagnosis())
    seal("diagnose")
    return diagnosis()


def test_a_finding_comes_with_its_evidence_and_a_command_that_can_be_pasted(
    told: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    show(all_signs=False)
    said = capsys.readouterr().out
    [finding] = told["findings"]
    [cause] = finding["causes"]
    assert said.startswith(f"{finding['name']}: {finding['says']}")
    assert f"     $ {cause['command']}\n" in said
    assert cause["tells"] in said
    assert "gradient ratio: gradient_ratio is 3e-05. (healthy: 0.01 … 100)" in said
    assert "2 signs are healthy; --all" in said
    assert "start excess" not in said


def test_a_cause_of_two_findings_is_explained_once(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    [finding] = told["findings"]
    write_json(DIAGNOSIS, {**told, "findings": [finding, {**finding, "name": "another"}]})
    seal("diagnose")
    show(all_signs=False)
    said = capsys.readouterr().out
    assert said.count(finding["causes"][0]["command"]) == 1
    assert said.count("1. no residuals: see above") == 1


def test_all_signs_are_shown_where_they_are_asked_for(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    show(all_signs=True)
    said = capsys.readouterr().out
    assert [sign["name"] for sign in told["signs"] if sign["name"].replace("_", " ") not in said] == []
    assert "--all" not in said


def test_healthy_is_a_finding_too(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    write_json(DIAGNOSIS, {"finding": "healthy", "findings": [], "signs": told["signs"][:1]})
    seal("diagnose")
    show(all_signs=False)
    assert capsys.readouterr().out.startswith("healthy: every sign is in its range.")


def test_the_diagnosis_of_another_run_is_called_so_and_never_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    leave_recorded_run(tmp_path)
    healthy = {"finding": "healthy", "findings": [], "signs": [{**diagnosis()["signs"][0], "status": "healthy"}]}
    write_json(DIAGNOSIS, healthy)
    sealed(tmp_path)
    record(tmp_path)
    assert show(all_signs=False)
    said = capsys.readouterr()
    assert said.out.startswith("healthy: every sign is in its range.")
    assert said.err == ""
    set_knobs(tmp_path, seed=2)
    assert not show(all_signs=False)
    said = capsys.readouterr()
    first, *rest = said.out.splitlines()
    assert (
        first
        == "This is the diagnosis of another run: seed is 2, and was 1 when train ran. Run `dvc repro` to diagnose this one."
    )
    assert "healthy" not in " ".join(rest)
    set_knobs(tmp_path, seed=1)
    write_json(DIAGNOSIS, {**healthy, "signs": []})  # by hand
    with pytest.raises(UserError, match=r"^metrics/doctor\.json: is damaged .* creates it again$"):
        show(all_signs=False)
    sealed(tmp_path)  # by someone who knows how
    assert not show(all_signs=False)
    assert "is not what diagnose wrote" in capsys.readouterr().out


def test_a_diagnosis_of_unknown_origin_is_shown_with_a_note(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert show(all_signs=False)
    said = capsys.readouterr()
    assert said.err == f"{DIAGNOSIS}: there is no dvc.lock, so nothing says which knobs it is of\n"
    assert said.out.startswith(told["findings"][0]["name"])


def test_without_a_diagnosis_it_says_what_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"metrics/doctor\.json: not found; run `dvc repro` to create it"):
        show(all_signs=False)


@pytest.mark.parametrize(("value", "where"), [(-1e9, 0), (0.5, STRIP // 2), (1e9, STRIP - 1)])
def test_the_mark_of_a_sign_stands_where_the_sign_does(value: float, where: int) -> None:
    sign = {"name": "x", "value": value, "low": 0.0, "high": 1.0, "status": "sick"}
    assert (text := strip(sign).plain).index("█") == where
    assert len(text) == STRIP


def test_the_stage_writes_what_the_doctor_says_of_a_run(tmp_path: Path) -> None:
    leave_run(tmp_path)
    (tmp_path / DIAGNOSIS).unlink()
    (tmp_path / "params.yaml").write_bytes((TOP / "params.yaml").read_bytes())
    command = [sys.executable, "-X", "importtime", "-m", "pipeline.diagnose"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(TOP)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " torch\n" not in done.stderr
    found = json.loads((tmp_path / DIAGNOSIS).read_text())
    assert {"finding", "findings", "signs"} == found.keys()
    assert len(found["signs"]) > 5
    assert found["finding"] in done.stdout
