"""Sweeps: statistics against references, claims against planted grids, and many trainings that are kept by what they are."""

from __future__ import annotations

import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from small import SMALL, TOP

from pipeline.figures.style import png
from pipeline.lab import findings, grid, sweep
from pipeline.lab.checks import CHECKS, Status
from pipeline.lab.grid import MEASURES, Record
from pipeline.lab.results import Axis, Edge, Results, best_of_line, interval, optimum
from pipeline.params import Params, Refusal, parse, read_yaml, with_knobs

RATES = tuple(2.0**power for power in range(-10, -1))
SCALE = Axis("train.lr", RATES).scale()


def planted(*bests: float, noise: float = 0.01, seeds: int = 4, deviation: float = 0.001) -> Results:
    """Lines whose losses are parabolas over log2(lr) with their vertices at given rates, `noise` octaves to and fro by seed."""
    rng = np.random.default_rng(0)
    shifts = rng.normal(size=(len(bests), 1, seeds)) * noise
    away = np.array(SCALE)[None, :, None] - np.log2(bests)[:, None, None] - shifts
    values = 2.5 + 0.02 * away**2 + deviation * rng.normal(size=away.shape)
    return Results((Axis("model.width", tuple(range(len(bests)))), Axis("train.lr", RATES)), values)


# ------------------------------------------------------------------------------------------------------------ statistics


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9))
def test_an_interval_is_students(values: list[float]) -> None:
    low, mean, high = interval(np.array(values))
    error = scipy.stats.sem(values)
    wanted = scipy.stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error) if error else (mean, mean)
    np.testing.assert_allclose((low, high), wanted, rtol=1e-6, atol=1e-6)


def test_one_seed_says_nothing_of_others_and_a_divergence_is_infinitely_bad() -> None:
    assert interval(np.array([2.0])) == (-math.inf, 2.0, math.inf)
    assert interval(np.array([2.0, math.inf])) == (math.inf, math.inf, math.inf)


@settings(deadline=None)
@given(st.floats(-8.5, -3.5), st.floats(0.01, 10))
def test_the_optimum_of_a_parabola_is_its_vertex(vertex: float, steepness: float) -> None:
    losses = 1 + steepness * (np.array(SCALE) - vertex) ** 2
    found = optimum(SCALE, losses)
    assert isinstance(found, float)
    assert abs(found - vertex) < 1e-6


def test_in_a_flat_valley_the_slopes_on_both_sides_tell_its_middle() -> None:
    away = np.abs(np.array(SCALE) + 6)
    noise = np.random.default_rng(0).normal(size=(200, len(SCALE))) * 0.002
    valley = np.maximum(away - 1, 0) * 0.05 + noise
    found = np.array([optimum(SCALE, losses) for losses in valley], dtype=np.float64)
    assert abs(found.mean() + 6) < 0.05
    assert found.std() < 0.25  # the best place alone wanders over the valley: its deviation is .8


def test_the_optimum_at_an_end_of_the_grid_is_an_edge_and_beside_a_divergence_a_place_of_it() -> None:
    falling = np.linspace(3, 2, len(SCALE))
    assert optimum(SCALE, falling) == Edge("above")
    assert optimum(SCALE, falling[::-1]) == Edge("below")
    assert optimum(SCALE, np.append(falling[:-1], math.inf)) == SCALE[-2]
    assert isinstance(optimum(SCALE, np.full(len(SCALE), math.inf)), Edge)


def test_one_seed_at_the_edge_is_enough_to_extend_the_grid() -> None:
    falling = np.linspace(3, 2, len(SCALE))
    bowl = (np.array(SCALE) + 5) ** 2
    assert best_of_line(SCALE, np.stack([bowl, falling], axis=1)) == Edge("above")


# ---------------------------------------------------------------------------------------------------------------- claims

# What each check wants to know, and a grid on which its claim holds, on which it does not, and on which seeds disagree.
PLANTED: dict[str, tuple[dict[str, Any], Results, Results, Results]] = {
    "optimum_moves_at_most": (
        {"factor": 2},
        planted(0.02, 0.025, 0.03),
        planted(0.01, 0.02, 0.05),
        planted(0.015, 0.03, noise=0.6),
    ),
    "optimum_moves_at_least": (
        {"factor": 4},
        planted(0.06, 0.03, 0.01),
        planted(0.02, 0.01, 0.03),
        planted(0.01, 0.04, noise=0.6),
    ),
    "optimum_lies_between": (
        {"low": 0.01, "high": 0.04, "ends_worse_by": 5},
        planted(0.02),
        planted(0.005),
        planted(0.011, noise=0.6),
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_claim_is_held_refuted_or_left_open_as_the_planted_grid_says(name: str) -> None:
    arguments, *grids = PLANTED[name]
    check = parse(CHECKS[name], arguments)
    assert [check.judge(results).status for results in grids] == [Status.HELD, Status.REFUTED, Status.UNDECIDED]


@pytest.mark.parametrize("name", CHECKS)
def test_a_best_value_at_the_edge_of_the_grid_decides_nothing(name: str) -> None:
    check = parse(CHECKS[name], PLANTED[name][0])
    verdict = check.judge(planted(0.02, 0.0005))
    assert (verdict.status, verdict.says) == (Status.EXTEND, "the best train.lr may lie below 0.0009765625 (model.width 1)")


@pytest.mark.parametrize("name", CHECKS)
def test_a_single_seed_holds_no_claim(name: str) -> None:
    arguments, held, *_ = PLANTED[name]
    one = Results(held.axes, held.values[..., :1])
    assert parse(CHECKS[name], arguments).judge(one).status is not Status.HELD


def test_ends_that_are_hardly_worse_refute_that_there_is_an_optimum() -> None:
    check = parse(CHECKS["optimum_lies_between"], {"low": 0.01, "high": 0.04, "ends_worse_by": 5})
    verdict = check.judge(planted(0.02, deviation=0.2, noise=0.0))
    assert verdict.status in (Status.REFUTED, Status.EXTEND)


def test_where_takes_a_part_of_the_grid() -> None:
    still, moving = planted(0.02, 0.02), planted(0.01, 0.08)
    arms = Results((Axis("arm", ("still", "moving")), *still.axes), np.stack([still.values, moving.values]))
    for arm, status in (("still", Status.HELD), ("moving", Status.REFUTED)):
        check = parse(CHECKS["optimum_moves_at_most"], {"factor": 2, "where": {"arm": arm}})
        assert check.judge(arms).status is status


@pytest.mark.parametrize("name", MEASURES)
def test_a_training_that_diverged_is_infinitely_bad_by_every_measure(name: str) -> None:
    rows = [{"loss": 3.0}, {"loss": 2.0}]
    assert MEASURES[name](Record(rows, rows, diverged=False)) == 2.0
    assert MEASURES[name](Record(rows, rows, diverged=True)) == math.inf
    assert MEASURES[name](Record([], [], diverged=True)) == math.inf


# ------------------------------------------------------------------------------------------------------------- trainings

PARTS = {
    "vary": {"arm": {"plain": {"model.norm": "layer"}, "bare": {"model.norm": "none"}}, "train.lr": [0.001, 0.01, 1e10]},
    "seeds": [1, 2],
    "measure": "validation_loss",
    "check": [{"optimum_moves_at_most": {"factor": 2}}],
}
KNOBS = {
    "prepare.dataset": "markov",
    "prepare.size": 4000,
    "tokenize.kind": "char",
    "train.optimizer": "sgd",
    "train.precision": "float32",
    "train.steps": 4,
    "train.validations": 1,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A project's knobs, in its folder."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    for name in ("pipeline", "data"):
        (tmp_path / name).symlink_to(TOP / name)
    monkeypatch.chdir(tmp_path)
    values = read_yaml(TOP / "params.yaml")
    for section, small in SMALL.items():
        values[section] |= small
    return with_knobs(values, KNOBS)


def kept() -> dict[str, int]:
    """When each training that is kept was written."""
    return {path.name: path.stat().st_mtime_ns for path in Path(".rally/sweeps/runs").iterdir()}


def test_a_sweep_trains_what_is_not_yet_kept_and_nothing_else(
    project: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = PARTS | {"vary": {"arm": PARTS["vary"]["arm"], "train.lr": [0.01, 0.1]}}
    played = grid.read(parts)
    findings.play("own", played, project, dry_run=False)
    first, said = kept(), capsys.readouterr().out
    assert len(first) == 8
    assert "optimum_moves_at_most: " in said
    assert imread("results/own.png").std() > 0.02

    next(Path(".rally/sweeps/runs").iterdir()).unlink()  # as an interruption before it would have left things
    found = json.loads(Path("results/own.json").read_text())
    findings.play("own", played, project, dry_run=False)
    assert json.loads(Path("results/own.json").read_text()) == found
    second = kept()
    assert set(second) == set(first)
    assert sum(second[run] != first[run] for run in first) == 1

    findings.play("own", grid.read(parts | {"seeds": [2, 3]}), project, dry_run=False)
    third = kept()
    assert len(third) == 12
    assert {run: third[run] for run in second} == second

    findings.play("own", played, with_knobs(project, {"train.batch": 2}), dry_run=False)
    assert len(kept()) == 20
    assert len(list(Path(".rally/sweeps/tokenize").iterdir())) == 1  # the data were made once


def test_a_kept_training_is_read_as_it_was(project: dict[str, Any]) -> None:
    params = parse(Params, project)
    tokens = sweep.tokens_for(params)
    record = sweep.record_of(params, tokens)
    assert sweep.record_of(params, tokens) == record
    assert [row["step"] for row in record.curve] == [1, 2, 3, 4]
    assert 0 < record.validations[-1]["loss"] < 10


def test_what_diverges_is_an_outcome(project: dict[str, Any]) -> None:
    wild = with_knobs(project, {"train.lr": 100.0, "model.norm": "none", "model.activation": "relu2", "train.steps": 12})
    record = sweep.record_of(parse(Params, wild), sweep.tokens_for(parse(Params, wild)))
    assert record.diverged
    assert findings.cell(np.array([2.5, math.inf])) == "1 of 2 diverged"


def test_every_knob_of_every_place_is_checked_before_anything_is_trained(project: dict[str, Any]) -> None:
    played = grid.read(PARTS)  # a learning rate of 1e10 is among its places
    with pytest.raises(Refusal) as caught:
        findings.play("own", played, project, dry_run=False)
    assert caught.value.problems == ("train.lr: 10000000000.0 is above 100.0",)
    assert not Path(".rally").exists()


# --------------------------------------------------------------------------------------------------------------- picture


@pytest.mark.parametrize(
    "results",
    [
        planted(0.02, 0.01, 0.005),
        Results((Axis("train.lr", RATES),), planted(0.02).values[0]),
        Results((Axis("arm", ("a", "b")), Axis("model.norm", ("rms", "none"))), np.ones((2, 2, 3))),
        Results((Axis("arm", ("a",)), *planted(0.02, 0.01).axes), planted(0.02, 0.01).values[None]),
        Results((Axis("train.lr", RATES),), np.full((len(RATES), 2), math.inf)),
    ],
    ids=["lines", "one line", "words", "panels", "all diverged"],
)
def test_any_grid_has_a_picture_and_a_table(results: Results) -> None:
    figure = findings.picture(results, "train_loss", [])
    assert len(figure.axes) == len(list(findings.panels(results)))
    assert imread(io.BytesIO(png(figure, 40)))[..., :3].std() > 0.01
    for title, panel in findings.panels(results):
        assert findings.table(title, panel, "train_loss").row_count == len(results.axes[-1].labels)


def test_the_picture_says_how_far_the_best_moves() -> None:
    figure = findings.picture(planted(0.04, 0.01), "train_loss", [])
    assert any(text.get_text() == "best moves ×4" for text in figure.axes[0].texts)
