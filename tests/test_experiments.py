"""The table of experiments, each in a row: what compares in one column, whose numbers they are, what was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recorded import FINDING, SCORES, leave_recorded_run, set_knobs, write

from pipeline.lab.dvc.queue import was_killed
from pipeline.lab.experiments.notes import missing_numbers, without_per_token
from pipeline.lab.experiments.read import FAILED, read_experiments
from pipeline.lab.experiments.records import Experiment, State
from pipeline.lab.experiments.table import MAX_VALUE, by_task, columns, print_table, row_of, uniform

SECTIONS = ("seed", "task", "prepare", "train", "model")


def row(name: str, kind: str, data: str, **values: str) -> dict[str, str]:
    measured = {"loss": "1.23456789", "accuracy": "0.5", "bits_per_byte": "", "test_accuracy": "0.1", "margin": "-0.0125"}
    knobs = {"seed": "1", "task.kind": kind, "prepare.dataset": data, "train.lr": "0.03", "model.depth": "3"}
    return {"Experiment": name, "Created": "2026-11-25T22:57:07", **measured, **knobs, **values}


ROWS = [
    {**row("workspace", "vision", "digits"), "Created": ""},
    row("plays", "language", "shakespeare", bits_per_byte="2.1"),
    row("digits", "vision", "digits"),
    row("slow", "language", "shakespeare", bits_per_byte="", **{"train.lr": "0.001"}),
]


def printed(capsys: pytest.CaptureFixture[str], rows: list[dict[str, str]], width: int = 200) -> list[str]:
    capsys.readouterr()
    print_table(rows, SECTIONS, width)
    return [line for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_task_and_data_come_first_then_what_was_measured_then_the_knobs_that_differ() -> None:
    assert columns(ROWS, SECTIONS) == [
        "task.kind",
        "prepare.dataset",
        "Experiment",
        "Created",
        "accuracy",
        "loss",
        "bits_per_byte",
        "margin",
        "train.lr",
    ]


def test_the_experiments_of_a_task_stand_together_in_dvcs_order() -> None:
    assert [[one["Experiment"] for one in some] for some in by_task(ROWS)] == [["workspace", "digits"], ["plays", "slow"]]


def test_the_table_has_one_column_a_quantity_whatever_the_task(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, ROWS)
    heading = lines[0].split()
    assert heading == ["task", "data", "Experiment", "Created", "accuracy", "loss", "bits_per_byte", "margin", "lr"]
    ends = {name: lines[0].index(name) + len(name) for name in ("accuracy", "loss", "bits_per_byte", "lr")}
    told = {
        next(word for word in ("workspace", "plays", "digits  ", "slow") if word in line).strip(): line for line in lines[2:]
    }
    for name, value in (("accuracy", "0.5"), ("loss", "1.235")):
        assert {line[: ends[name]].split()[-1] for line in told.values()} == {value}
    bits = {name: line[: ends["bits_per_byte"]].split()[-1] for name, line in told.items()}
    assert bits == {"workspace": "–", "digits": "–", "plays": "2.1", "slow": "–"}
    assert told["slow"].split()[-1] == "0.001"


def test_where_there_is_no_room_the_least_important_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    wide, narrow = (printed(capsys, ROWS, width)[0].split() for width in (200, 95))
    assert set(wide) - set(narrow) == {"Created"}
    assert len(printed(capsys, ROWS, 20)) == len(printed(capsys, ROWS)), "no row is folded"


def test_nothing_to_show_is_a_table_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, [])


@pytest.mark.parametrize("value", ["**/[a-z]*.txt", "[/b]", "[red]x[/red]", "[link=x]y[/]", ":smile:"])
def test_a_value_is_text_and_no_markup(capsys: pytest.CaptureFixture[str], value: str) -> None:
    rows = [row(name, "language", value, **{"prepare.pattern": name}) for name in ("one", value)]
    lines = printed(capsys, rows)
    assert sum(line.count(value) for line in lines) == 4, "as the data set of both, as a name, as a knob"


def test_a_value_that_a_terminal_would_obey_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, [row("one", "language", "a\x1b[2Jb"), row("two", "language", "x")])
    assert any("a�[2Jb" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_a_long_value_ends_in_dots(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("one", "language", "x"), row("two", "language", "x", **{"train.lr": "9" * 200})]
    [line] = [line for line in printed(capsys, rows) if "two" in line]
    assert line.split()[-1] == "9" * (MAX_VALUE - 1) + "…"


def test_a_knob_that_a_commit_lacks_is_none_that_differs() -> None:
    rows = [row("one", "language", "x", **{"prepare.url": "", "train.ema": "0.0"}), row("two", "language", "x")]
    rows[1] |= {"prepare.url": "file:x", "train.ema": ""}
    assert {"prepare.url", "train.ema"} <= set(columns(rows, SECTIONS))
    texts = columns(rows, SECTIONS, {"prepare.url"})
    assert "prepare.url" in texts
    assert "train.ema" not in texts


# ---------------------------------------------------------------------------------------------------- whose numbers they are


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return leave_recorded_run(tmp_path)


def here() -> Experiment:
    [found] = read_experiments(["workspace"])
    return found


def test_the_numbers_of_these_knobs_stay(lab: Path) -> None:
    assert (dict(here().scores), here().finding, missing_numbers([here()])) == ({"loss": 1.0}, "healthy", [])


def test_the_numbers_of_other_knobs_go_and_a_line_says_why_and_what_to_type(lab: Path) -> None:
    set_knobs(lab, seed=2)
    assert missing_numbers([here()]) == [
        "workspace: no scores: seed is 2, and was 1 when train ran; `dvc repro` makes new ones"
    ]
    assert (dict(here().scores), here().finding) == ({}, "")
    assert here().knobs["train.lr"] == 1e-05, "a knob stays"


def test_a_finding_goes_where_it_alone_is_of_another_run(lab: Path) -> None:
    write(lab, FINDING, '{"finding": "other"}')
    assert missing_numbers([here()]) == [
        f"workspace: no finding: {FINDING} is not what diagnose wrote; `dvc repro` makes new ones"
    ]
    assert (dict(here().scores), here().finding) == ({"loss": 1.0}, "")


def test_both_go_for_their_own_reasons(lab: Path) -> None:
    write(lab, FINDING, '{"finding": "other"}')
    write(lab, SCORES, '{"loss": 2.0}')
    assert [line.split(":")[1] for line in missing_numbers([here()])] == [" no scores", " no finding"]


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"loss": "a", "findings": 3}'])
def test_what_is_no_result_is_none(lab: Path, content: str) -> None:
    write(lab, FINDING, content)
    write(lab, SCORES, content)
    assert (dict(here().scores), here().finding, here().diverged) == ({}, "", False)


def ended(name: str, state: State, missing: str = "", **scores: float) -> Experiment:
    return Experiment(name, name, "base", state, None, {"seed": 1, "task.kind": "language"}, scores, missing=missing)


def test_many_with_one_reason_are_one_line() -> None:
    failed = [ended(name, State.FAILED, FAILED.replace("NAME", name)) for name in (f"try-{number}" for number in range(7))]
    assert missing_numbers(failed) == [
        "try-0, try-1, try-2, try-3 and 3 more: failed, so it has no scores: `dvc queue logs try-0` says why,"
        " `dvc queue remove try-0` removes it"
    ]


def test_the_row_of_an_experiment_has_its_state_scores_and_knobs() -> None:
    rows = uniform([row_of(ended("waits", State.QUEUED)), row_of(ended("done", State.DONE, loss=1.5))])
    assert [(one["State"], one["loss"], one["seed"]) for one in rows] == [("Queued", "", "1"), ("", "1.5", "1")]


def test_losses_of_one_tokenizer_compare() -> None:
    same = [
        ended(name, State.DONE, loss=float(f"{loss:.6g}"), bits_per_byte=float(f"{loss / 0.693147 / 2.71234:.6g}"))
        for name, loss in (("one", 3.45678), ("two", 0.0123456), ("three", 11.9))
    ]
    assert without_per_token([*same, ended("diverged", State.DONE)]) == ([*same, ended("diverged", State.DONE)], [])


# --------------------------------------------------------------------------------------------------------- what was killed


def leave_process(root: Path, revision: str, pid: int, returncode: int | None = None) -> None:
    folder = root / ".dvc/tmp/exps/run" / revision
    folder.mkdir(parents=True)
    (folder / f"{revision}.json").write_text(json.dumps({"pid": pid, "returncode": returncode}))
    told = {"name": "long", "root_dir": str(root / "away"), "location": "dvc-task", "status": 2}
    (folder / f"{revision}.run").write_text(json.dumps(told))


REVISION = "59238b6bc34f03d03256d1af621d95200645c675"


def test_an_experiment_is_gone_where_its_process_is_another_or_none(tmp_path: Path) -> None:
    assert not was_killed("workspace", tmp_path)
    assert was_killed(REVISION[:7], tmp_path), "DVC calls it running, and no process was ever noted"
    leave_process(tmp_path, REVISION, os.getpid())  # the number was given to another since
    assert was_killed(REVISION[:7], tmp_path)
    for content in ("", "[]", "{}", '{"pid": "x", "returncode": null}', '{"pid": -1, "returncode": null}'):
        (tmp_path / f".dvc/tmp/exps/run/{REVISION}/{REVISION}.json").write_text(content)
        assert was_killed(REVISION[:7], tmp_path), content


@pytest.mark.slow
def test_an_experiment_is_there_as_long_as_its_process_or_a_dvc_is(tmp_path: Path) -> None:
    waits = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen([*waits, REVISION], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        leave_process(tmp_path, REVISION, process.pid)
        assert not was_killed(REVISION[:7], tmp_path)
        os.utime(tmp_path / f".dvc/tmp/exps/run/{REVISION}/{REVISION}.json", (0, 0))
        assert was_killed(REVISION[:7], tmp_path), "a process that began after its number was noted is another one"
        process.communicate()
    assert was_killed(REVISION[:7], tmp_path)
    (tmp_path / "dvc").write_text("import sys; print(flush=True); sys.stdin.read()")
    worker = [sys.executable, "dvc", "exp", "queue-worker"]
    with subprocess.Popen(worker, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert not was_killed(REVISION[:7], tmp_path)
        process.communicate()
    assert was_killed(REVISION[:7], tmp_path)
