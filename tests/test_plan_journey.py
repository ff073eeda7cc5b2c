"""A toy plan on a CPU, in a real clone, from its page to its last run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_journey import clone, run

pytestmark = pytest.mark.slow


def test_a_toy_plan_runs_to_its_end_and_meets_its_checkpoints(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    words = ["rally", "plan", "--cpu", "--hours", "0.001", "--data", "markov", "--no-measure", "--name", "toy"]
    assert "Next: rally plan run toy" in run(folder, *words)
    plan = (folder / "notebook/plans/toy.yaml").read_bytes()
    for number in (1, 2, 3):
        said = run(folder, "rally", "plan", "run", "toy")
        assert f"$ dvc exp run -n toy-{number:02d} " in said
        assert f"toy-{number:02d}: loss" in said and "the plan said" in said
    shown = json.loads(run(folder, "rally", "plan", "show", "toy", "--json"))
    assert [one["run"] for one in shown["done"]] == ["toy-01", "toy-02", "toy-03"]
    assert [one["stage"] for one in shown["outcomes"]] == ["lr", "set"] and shown["next"] is None
    judged = [checkpoint for one in shown["done"] for checkpoint in one["checkpoints"]]
    assert len(judged) > 30
    assert [one for one in judged if not one["held"]] == []
    assert (folder / "notebook/plans/toy.yaml").read_bytes() == plan, "what is done stands in the experiments alone"
    made = [json.loads(line) for line in (folder / "notebook/bets.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in made] == ["made", "begun", "scored"] * 3
