"""The table of experiments: tasks apart, what compares in one column, and the knobs that differ."""

from __future__ import annotations

import pytest

from pipeline.lab.experiments import by_task, columns, print_table

SECTIONS = ("seed", "task", "prepare", "train", "model")


def row(name: str, kind: str, data: str, **values: str) -> dict[str, str]:
    measured = {"loss": "1.23456789", "accuracy": "0.5", "bits_per_byte": "", "test_accuracy": "0.1", "margin": "-0.0125"}
    knobs = {"seed": "1", "task.kind": kind, "prepare.dataset": data, "train.lr": "0.03", "model.depth": "3"}
    return {"Experiment": name, "rev": "abc", "Created": "2026-11-25T22:57:07", **measured, **knobs, **values}


ROWS = [
    {**row("", "vision", "digits"), "rev": "workspace", "Created": ""},
    row("plays", "language", "shakespeare", bits_per_byte="2.1"),
    row("digits", "vision", "digits"),
    row("slow", "language", "shakespeare", bits_per_byte="!", **{"train.lr": "0.001"}),
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
    assert [[one["Experiment"] for one in some] for some in by_task(ROWS)] == [["", "digits"], ["plays", "slow"]]


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
