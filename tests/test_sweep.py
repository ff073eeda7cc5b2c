"""Grids of runs: statistics against references, claims against planted grids, trainings cached under their identity."""

from __future__ import annotations

import io
import itertools
import json
import math
import multiprocessing
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from rich.console import Console
from small import SMALL, TOP, knobs, started
from subjects import machine, small_subject, subject

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import labels_of
from pipeline.corpus.sources.generated.modular import SYMBOLS
from pipeline.figures.style import png
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.faults.base import Training
from pipeline.lab.faults.sanity_faults import SANITY_FAULTS
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.statistics.intervals import interval
from pipeline.lab.studies import grid, play
from pipeline.lab.studies.benches.autoencoder import kept_and_loss, least_linear_loss
from pipeline.lab.studies.benches.plain_stack import signal_and_gradient
from pipeline.lab.studies.benches.table import BENCHES
from pipeline.lab.studies.claims.base import Status
from pipeline.lab.studies.claims.results import Axis, Edge, Results, best_per_seed, optimum
from pipeline.lab.studies.claims.table import CLAIMS
from pipeline.lab.studies.entries import Entry
from pipeline.lab.studies.grid import Sweep, Variant
from pipeline.lab.studies.measures.metrics import MEASURES, RENAMED_MEASURES
from pipeline.lab.studies.measures.network_metrics import (
    NETWORK_METRICS,
    common_tokens,
    exact_answers,
    fourier_share,
    held_out_surprisals,
    loss_beyond,
    repeat_loss,
    squared_error,
)
from pipeline.lab.studies.measures.record import Record
from pipeline.lab.studies.pages import tables, terminal
from pipeline.lab.studies.pictures import panels
from pipeline.lab.studies.pictures.plot import Line, Panel, draw_panels
from pipeline.lab.studies.runs import sweep
from pipeline.lab.studies.runs.handover import precision_of
from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml
from pipeline.tasks.lm import LanguageModelling
from pipeline.tokenizers.char import CharTokenizer

RATES = tuple(2.0**power for power in range(-10, -1))
SCALE = Axis("train.lr", RATES).scale()


def planted(*bests: float, noise: float = 0.01, seeds: int = 4, deviation: float = 0.001, lift: float = 0.0) -> Results:
    """Lines whose losses are parabolas over log2(lr) with their vertices at given rates, `noise` octaves to and fro by seed."""
    rng = np.random.default_rng(0)
    shifts = rng.normal(size=(len(bests), 1, seeds)) * noise
    away = np.array(SCALE)[None, :, None] - np.log2(bests)[:, None, None] - shifts
    values = 2.5 + lift + 0.02 * away**2 + deviation * rng.normal(size=away.shape)
    return Results((Axis("model.width", tuple(range(len(bests)))), Axis("train.lr", RATES)), values)


def sized(*sizes: float, noise: float = 0.001, seeds: int = 4) -> Results:
    """A place for each size, whose seeds lie so far around it, as a share of it."""
    around = np.linspace(-noise, noise, seeds)
    return Results((Axis("arm", tuple(f"arm {size}" for size in sizes)),), np.array(sizes)[:, None] * (1 + around))


def apart(by: float, noise: float = 0.001) -> Results:
    """Two arms that are so far apart, on either side of a third axis; the seeds lie around it."""
    more = 1 + by + np.linspace(-noise, noise, 4) * np.ones((2, 1))
    return Results((Axis("arm", ("less", "more")), Axis("model.norm", ("rms", "none"))), np.stack([np.ones_like(more), more]))


def ratio_to(predicted: Results, quotient: float) -> dict[str, Results]:
    """A prediction, and a measure that is so many times as large."""
    exact = Results(predicted.axes, predicted.values.mean(axis=-1, keepdims=True).repeat(predicted.values.shape[-1], axis=-1))
    return {"measured": Results(predicted.axes, predicted.values * quotient, logarithmic=True), "predicted": exact}


def steep(times: float, deviation: float = 0.001) -> Results:
    """Two lines, of which the first loses so many times as much by a wrong rate."""
    one, other = planted(0.02, deviation=0.0).values[0], planted(0.02, deviation=0.0).values[0]
    rng = np.random.default_rng(1)
    lines = np.stack([2.5 + 0.5 * times * (one - one.min(axis=0)), 2.5 + 0.5 * (other - other.min(axis=0))])
    return Results((Axis("model.width", (0, 1)), Axis("train.lr", RATES)), lines + deviation * rng.normal(size=lines.shape))


def raised(by: float, deviation: float = 0.001) -> Results:
    """Two lines with their best values at different rates, of which the second is higher by so much."""
    lines = planted(0.01, 0.05, noise=0.0, deviation=deviation)
    return replace(lines, values=lines.values + np.array([0.0, by])[:, None, None])


def lost(count: int, seeds: int) -> Results:
    """A place where so many of the seeds diverged."""
    return Results((Axis("arm", ("a",)),), np.where(np.arange(seeds) < count, math.inf, 0.5)[None])


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
    assert best_per_seed(SCALE, np.stack([bowl, falling], axis=1)) == Edge("above")


# ---------------------------------------------------------------------------------------------------------------- claims

# What each check wants to know, and a grid on which its claim holds, on which it does not, and on which seeds disagree.
PLANTED: dict[str, tuple[dict[str, Any], Any, Any, Any]] = {
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
    "best_at_most": ({"value": 2.52}, planted(0.02), planted(0.02, lift=0.1), planted(0.02, lift=0.02, deviation=0.05)),
    "at_most": ({"value": 2.0}, sized(1.0, 1.9), sized(1.0, 2.1), sized(2.0, noise=0.5)),
    "at_least": ({"value": 2.0}, sized(2.1, 9.0), sized(1.9, 9.0), sized(2.0, noise=0.5)),
    "lies_between": ({"low": 1.0, "high": 2.0}, sized(1.1, 1.9), sized(1.5, 2.1), sized(1.0, noise=0.5)),
    "exceeds": ({"arm": "arm", "more": "more", "less": "less", "by": 0.25}, apart(0.3), apart(0.2), apart(0.25, noise=0.1)),
    "follows": (
        {"measure": "measured", "predicted": "predicted", "within": 0.25},
        ratio_to(sized(1.0, 10.0), 1.2),
        ratio_to(sized(1.0, 10.0), 1.3),
        ratio_to(sized(1.0, 10.0, noise=0.4), 1.25),
    ),
    "sensitivity_falls": (
        {"arm": "model.width", "worse": 0, "better": 1, "cap": 3.0, "factor": 2},
        steep(4.0),
        steep(1.5),
        steep(2.0, deviation=0.02),
    ),
}
PLANTED |= {
    "best_below": (
        {"arm": "model.width", "better": 0, "worse": 1, "by": 0.1},
        raised(0.2),
        raised(0.05),
        raised(0.1, deviation=0.05),
    ),
    "differs_at_most": (
        {"arm": "arm", "more": "more", "less": "less", "by": 0.25},
        apart(-0.2),
        apart(-0.3),
        apart(0.25, noise=0.1),
    ),
    "fell_off": ({"above": 1.0, "at_least": 0.5}, lost(12, 12), lost(1, 12), lost(7, 12)),
}
OF_OPTIMA = ("optimum_moves_at_most", "optimum_moves_at_least", "optimum_lies_between")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_held_refuted_or_left_open_as_the_planted_grid_says(name: str) -> None:
    arguments, *grids = PLANTED[name]
    check = parse(CLAIMS[name], arguments)
    assert [check.judge(results).status for results in grids] == [Status.HELD, Status.REFUTED, Status.UNDECIDED]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_control_must_fail(name: str) -> None:
    arguments, *grids = PLANTED[name]
    check = parse(CLAIMS[name], arguments | {"control": True})
    assert [check.judge(results).status for results in grids] == [Status.PASSED, Status.FAILED, Status.UNDECIDED]


def test_a_control_at_the_edge_of_its_grid_has_failed() -> None:
    check = parse(CLAIMS["optimum_lies_between"], {"low": 0.01, "high": 0.04, "ends_worse_by": 5, "control": True})
    low = [rate for rate in RATES if rate < 0.01]
    assert check.model_copy(update={"where": {"train.lr": low}}).judge(planted(0.02)).status is Status.FAILED


@pytest.mark.parametrize("name", OF_OPTIMA)
def test_a_best_value_at_the_edge_of_the_grid_decides_nothing(name: str) -> None:
    check = parse(CLAIMS[name], PLANTED[name][0])
    verdict = check.judge(planted(0.02, 0.0005))
    assert (verdict.status, verdict.sentence) == (Status.EXTEND, "the best train.lr may lie below 0.0009765625 (model.width 1)")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_single_seed_holds_no_claim(name: str) -> None:
    arguments, held, *_ = PLANTED[name]
    wholes = held if isinstance(held, dict) else {"": held}
    one = {measure: Results(whole.axes, whole.values[..., :1], whole.logarithmic) for measure, whole in wholes.items()}
    assert parse(CLAIMS[name], arguments).judge(one).status is not Status.HELD


def test_ends_that_are_hardly_worse_refute_that_there_is_an_optimum() -> None:
    check = parse(CLAIMS["optimum_lies_between"], {"low": 0.01, "high": 0.04, "ends_worse_by": 5})
    verdict = check.judge(planted(0.02, deviation=0.1, noise=0.0, seeds=100))
    assert verdict.status is Status.REFUTED


def test_where_takes_a_part_of_the_grid() -> None:
    still, moving = planted(0.02, 0.02), planted(0.01, 0.08)
    arms = Results((Axis("arm", ("still", "moving")), *still.axes), np.stack([still.values, moving.values]))
    for arm, status in (("still", Status.HELD), ("moving", Status.REFUTED)):
        check = parse(CLAIMS["optimum_moves_at_most"], {"factor": 2, "where": {"arm": arm}})
        assert check.judge(arms).status is status


def test_where_takes_some_places_of_an_axis_and_keeps_it() -> None:
    whole = planted(0.02, 0.01)
    part = whole.at({"train.lr": [RATES[2], RATES[5]]})
    assert part.axes[1].labels == (RATES[2], RATES[5])
    np.testing.assert_array_equal(part.values, whole.values[:, [2, 5]])
    np.testing.assert_array_equal(whole.at({"model.width": 1, "train.lr": RATES[3]}).values, whole.values[1, 3])


def test_what_spans_decades_is_averaged_by_its_logarithm() -> None:
    low, mean, high = Results((), np.array([10.0, 1000.0]), logarithmic=True).interval(np.array([10.0, 1000.0]))
    assert mean == pytest.approx(100)
    assert low * high == pytest.approx(10_000)
    diverged = np.array([10.0, math.inf])
    assert Results((), diverged, logarithmic=True).interval(diverged) == (math.inf,) * 3


def test_a_training_that_diverged_is_above_every_bound_and_proves_nothing_large() -> None:
    lost = Results((Axis("arm", ("a",)),), np.array([[1.0, 2.0, math.inf]]))
    assert parse(CLAIMS["at_most"], {"value": 5.0}).judge(lost).status is Status.REFUTED
    assert parse(CLAIMS["at_least"], {"value": 0.5}).judge(lost).status is Status.UNDECIDED


def test_of_several_measures_a_claim_says_which_it_means() -> None:
    found = {"train_loss": sized(1.0), "validation_loss": sized(2.0)}
    assert parse(CLAIMS["at_most"], {"value": 1.5, "measure": "train_loss"}).judge(found).status is Status.HELD
    for arguments, problem in (({}, "measure: is missing"), ({"measure": "train_los"}, "measure: the study does not take")):
        with pytest.raises(UserError, match=problem):
            parse(CLAIMS["at_most"], {"value": 1.5, **arguments}).judge(found)


LINES: dict[str, dict[str, Any]] = {
    "training_accuracy": {"over": "step", "x": [0, 1, 8], "y": [0.1, 1.0, 1.0]},
    "sharpness": {"over": "step", "x": [0, 1, 4, 6, 8], "y": [1.0, 90.0, 19.0, 50.0, 20.0]},
    "squared_error": {"over": "step", "x": [0, 1, 8], "y": [0.25, 0.5, 0.125]},
    "fourier_share": {"over": "step", "x": [0, 1, 4, 8], "y": [0.125, 0.25, 0.5, 0.75]},
}
RUN = Record(
    curve=[{"step": 4, "loss": 3.0, "lr": 0.1}, {"step": 8, "loss": 2.0, "lr": 0.1}],
    validations=[
        {"step": step, "loss": loss, "accuracy": right} for step, loss, right in ((2, 3.0, 0.1), (6, 2.5, 0.99), (8, 2.0, 0.75))
    ],
    numbers={"entropy": 0.5, "unigram": 1.5, "majority": 0.5, "loss": 4.0, "uniform": 3.5, "logit_variance": 0.5},
    lines=LINES,
)
TOLD = {
    "train_loss": 2.0,
    "validation_loss": 2.0,
    "excess_loss": 1.5,
    "above_unigram": 0.5,
    "validation_accuracy": 0.75,
    "best_accuracy": 0.99,
    "above_majority": 0.25,
    "validation_error": 0.25,
    "least_error": pytest.approx(0.01),
    "test_error": math.inf,  # of a number that is not there
    "generalized_at": 6,
    "halfway_at": math.inf,  # its loss stays above the unigram's
    "reached_at": math.inf,
    "memorized_at": 1,
    "accuracy_when_memorized": 0.1,
    "delay": 6,
    "edge": 1.0,
    "edge_at_start": pytest.approx(0.05),
    "peak": 2.0,
    "rise": pytest.approx(0.24),
    "second_fall": 0.0,
    "fourier_when_memorized": 0.25,
    "fourier_before": 0.5,
    "start_above_uniform": 0.5,
    "start_predicted": 0.25,
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_training_that_diverged_is_infinitely_bad_by_every_measure(name: str) -> None:
    assert MEASURES[name].compute(RUN) == TOLD.get(name, math.inf)
    assert MEASURES[name].compute(replace(RUN, numbers={**RUN.numbers, name: 7.0})) == TOLD.get(name, 7.0)
    assert MEASURES[name].compute(Record(diverged=True, numbers={"entropy": 0.5, "unigram": 1.5, "majority": 0.5})) == math.inf


def of_errors(*errors: float) -> Record:
    """A run whose validation error took these values."""
    return Record(validations=[{"step": step, "loss": 1.0, "accuracy": 1 - error} for step, error in enumerate(errors)])


@pytest.mark.parametrize(
    ("errors", "climbs", "falls_again"),
    [
        ((0.9, 0.5, 0.25, 0.125), 0.0, 0.0),  # it falls
        ((0.9, 0.25, 0.5, 0.75), 0.5, 0.0),  # it falls and climbs
        ((0.9, 0.25, 0.75, 0.5), 0.5, 0.25),  # it falls, climbs, and falls by half of that
        ((0.9, 0.25, 0.5, 0.125), 0.25, 0.25),  # it falls, climbs, and falls below what it was
        ((0.9, 0.5, 0.625, 0.5, 0.25, 0.75, 0.5), 0.5, 0.25),  # the higher hump is not the first
    ],
)
def test_a_second_fall_is_as_high_as_the_hump_that_it_ends(
    errors: tuple[float, ...], climbs: float, falls_again: float
) -> None:
    record = of_errors(*errors)
    assert MEASURES["rise"].compute(record) == pytest.approx(climbs)
    assert MEASURES["second_fall"].compute(record) == pytest.approx(falls_again)


def test_a_peak_is_relative_to_the_first_error_and_infinite_where_it_diverged() -> None:
    lines = {"squared_error": {"over": "step", "x": [0, 1, 2], "y": [2.0, 5.0, 1.0]}}
    assert MEASURES["peak"].compute(Record(lines=lines)) == 2.5
    assert MEASURES["peak"].compute(Record(lines=lines, diverged=True)) == math.inf


def test_squared_error_is_what_a_training_by_it_minimizes(tmp_path: Path) -> None:
    made = small_subject(tmp_path, task__kind="vision", prepare__dataset="digits", train__loss="mse", model__network="mlp")
    assert made.training_task is not None
    batch = made.training_batch
    whole = made.training_task.loss(made.model, batch, DropoutState(0, 0, 0.0, slice(0, len(batch.inputs)), len(batch.inputs)))
    assert squared_error(made) == pytest.approx(float(whole.minimized.detach()) / batch.count, rel=1e-5)


@pytest.mark.parametrize(("name", "least"), [("train_loss", True), ("validation_accuracy", False)])
def test_the_best_of_a_table_is_the_largest_where_more_is_better(name: str, least: bool) -> None:
    panel = next(panels.split_panels(planted(0.02)))[1]
    marked = [cells[0].best for _, cells in tables.table("", panel, name).rows]
    means = panel.values.mean(axis=-1)[0]
    assert marked.index(True) == (means.argmin() if least else means.argmax())


def test_a_value_that_is_varied_is_text_and_no_markup() -> None:
    names = ("**/[a-z]*.txt", "[/b]")
    values, rates = Axis("prepare.[b]", names), Axis("train.lr", RATES)
    for axes in ((values, rates), (rates, values)):  # as columns, as rows
        panel = Results(axes, np.ones((*(len(axis.labels) for axis in axes), 3)))
        console = Console(file=(file := io.StringIO()), width=400)
        console.print(terminal.rich_table(tables.table("", panel, "train_loss")))
        assert all(name in file.getvalue() for name in (*names, "prepare.[b]"))


def test_the_lowest_place_is_not_the_best_where_higher_is_better() -> None:
    with pytest.raises(UserError, match="but a higher validation_accuracy is better"):
        grid.read_sweep({**PARTS, "measure": "validation_accuracy"})


# ------------------------------------------------------------------------------------------------------------- trainings

PARTS = {
    "vary": {"arm": {"plain": {"model.norm": "layer"}, "bare": {"model.norm": "none"}}, "train.lr": [0.001, 0.01, 1e10]},
    "seeds": [1, 2],
    "measure": "validation_loss",
    "check": [{"optimum_moves_at_most": {"factor": 2}}],
}
KNOBS = {
    "prepare.dataset": "markov",
    "prepare.generated_chars": 4000,
    "tokenize.kind": "char",
    "train.optimizer": "sgd",
    "train.precision": "float32",
    "train.steps": 4,
    "train.validation_points": 1,
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


ENTRY = Entry(
    "Is it so? It is.", {}, "2 runs, a second", "a", "a", "It is.", "It is not.", "Look. The trap: none.", "rally play"
)


def played_here(played: Sweep, sections: dict[str, Any]) -> play.Played:
    return play.play_grid("own", replace(ENTRY, sweep=played), played, BaseParams(sections))


def kept() -> dict[str, int]:
    """When each training that is kept was written."""
    return {path.name: path.stat().st_mtime_ns for path in Path(".rally/sweeps/runs").iterdir()}


@pytest.mark.slow
def test_a_sweep_trains_what_is_not_yet_kept_and_nothing_else(
    project: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = PARTS | {"vary": {"arm": PARTS["vary"]["arm"], "train.lr": [0.01, 0.1]}}
    played = grid.read_sweep(parts)
    played_here(played, project)
    first, said = kept(), capsys.readouterr().out
    assert len(first) == 8
    assert "Claim       " in said and "the best train.lr" in said
    assert imread("results/own.png").std() > 0.02

    next(Path(".rally/sweeps/runs").iterdir()).unlink()  # as an interruption before it would have left things
    found = json.loads(Path("results/own.json").read_text())
    assert {name: found["made_of"]["knobs"][name] for name in project} == project
    assert found["made_of"]["varied"] == [list(PARTS["vary"]["arm"].values()), [{"train.lr": 0.01}, {"train.lr": 0.1}]]
    played_here(played, project)
    assert json.loads(Path("results/own.json").read_text()) == found
    second = kept()
    assert set(second) == set(first)
    assert sum(second[run] != first[run] for run in first) == 1

    played_here(grid.read_sweep(parts | {"seeds": [2, 3]}), project)
    third = kept()
    assert len(third) == 12
    assert {run: third[run] for run in second} == second

    played_here(played, with_knobs(project, {"train.batch_size": 2}))
    assert len(kept()) == 20
    assert len(list(Path(".rally/sweeps/tokenize").iterdir())) == 3  # each seed's data were made once


def test_a_kept_training_is_read_as_it_was(project: dict[str, Any]) -> None:
    variant = Variant((), parse(Params, project))
    tokens = sweep.tokens_folder(variant.params)
    record = sweep.run_or_read(variant, tokens, ())
    assert sweep.run_or_read(variant, tokens, ()) == record
    assert len(kept()) == 1
    assert [row["step"] for row in record.curve] == [1, 2, 3, 4]
    assert 0 < record.validations[-1]["loss"] < 10
    assert record.numbers["entropy"] < record.numbers["unigram"] < record.numbers["uniform"]


def test_code_and_data_are_hashed_once_for_all_runs_of_a_grid(project: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = [Variant((seed,), parse(Params, with_knobs(project, {"seed": seed, "train.steps": 1}))) for seed in (1, 2, 3)]
    sweep.make_data(seeds)
    hashed = Counter[str]()

    def counted(path: Path) -> str:
        hashed[path.name] += 1
        return sha256_of(path)

    monkeypatch.setattr(sweep, "sha256_of", counted)
    monkeypatch.setattr(sweep, "make_data", lambda variants: {str(None): sweep.tokens_folder(variants[0].params)})
    monkeypatch.setattr(sweep, "_data_of", lambda params: str(None))
    records = sweep.run_all(seeds, (), lambda: None)
    assert len(records) == len(kept()) == 3
    assert {"engine", "networks", "tasks", "tokens"} <= set(hashed)
    assert set(hashed.values()) == {1}


def test_a_precision_that_is_named_needs_no_torch(project: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pipeline.engine.runtime.runtime", None)  # an import of it fails
    for precision in ("float32", "bfloat16", "float16"):
        assert precision_of(Variant((), parse(Params, with_knobs(project, {"train.precision": precision})))) == precision
    with pytest.raises(ImportError):
        precision_of(Variant((), parse(Params, with_knobs(project, {"train.precision": "auto"}))))


def test_looking_at_a_training_changes_nothing_of_it(project: dict[str, Any]) -> None:
    variant = Variant((), parse(Params, project))
    tokens, read = sweep.tokens_folder(variant.params), ("effective_rank", "induction", "repeat_loss")
    plain, looked_at = sweep.run_or_read(variant, tokens, ()), sweep.run_or_read(variant, tokens, read)
    assert (looked_at.curve, looked_at.validations) == (plain.curve, plain.validations)
    assert set(looked_at.lines) == set(read)
    assert looked_at.lines["repeat_loss"]["x"][0] == 0
    assert looked_at.numbers["repeat_loss"] == looked_at.lines["repeat_loss"]["y"][-1]
    assert len(kept()) == 2


KINDS: dict[str, dict[str, Any]] = {
    "vision": {"prepare.dataset": "mnist1d", "model.network": "mlp"},
    "classify": {"prepare.dataset": "dyck", "tokenize.kind": "char"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_grid_may_be_of_classes(kind: str, project: dict[str, Any]) -> None:
    base = with_knobs(project, {"task.kind": kind, "train.sampling": "epochs", "train.snapshots": [0.0, 1.0], **KINDS[kind]})
    measures = ["validation_accuracy", "above_majority", "training_accuracy", "test_error"]
    claim = {"at_most": {"measure": "test_error", "value": 1.0}}
    parts = {"seeds": [1], "measure": measures, "check": [claim], "shows": "validation_accuracy"}
    played = grid.read_sweep(parts | {"vary": {"train.loss": ["cross_entropy", "mse"]}})
    records = sweep.run_all(list(played.variants(base)), played.network_metrics, lambda: None)
    assert all(np.isfinite(found.values).all() for found in grid.results(played, records).values())
    assert records[0, 0] != records[1, 0]
    tokenizers = list(Path(".rally/sweeps/tokenize").glob("*/data/tokens/tokenizer.json"))
    assert len(tokenizers) == (kind == "classify")
    with pytest.raises(UserError, match="fault: 'no mask' is for language models only"):
        grid.read_sweep(parts | {"vary": {"arm": {"sick": {"fault": "no mask"}}}}).variants(base)


def test_a_data_set_of_two_kinds_is_made_for_each(project: dict[str, Any]) -> None:
    brackets = {"prepare.dataset": "dyck", "tokenize.kind": "char"}
    labelled, text = (
        sweep.tokens_folder(parse(Params, with_knobs(project, {"task.kind": kind, **brackets})))
        for kind in ("classify", "language")
    )
    assert labels_of(labelled, "train").exists()
    assert not labels_of(text, "train").exists()


def test_a_fault_is_in_the_training_and_in_what_it_is_kept_as(project: dict[str, Any]) -> None:
    params = parse(Params, project)
    tokens = sweep.tokens_folder(params)
    sound, maskless, mixed = (
        sweep.run_or_read(Variant((), params, fault), tokens, ()) for fault in ("", "no mask", "examples mixed")
    )
    assert (sound.numbers["future"], sound.numbers["across_batch"]) == (0, 0)
    assert maskless.numbers["future"] > 0 == maskless.numbers["across_batch"]
    assert mixed.numbers["across_batch"] > 0 == mixed.numbers["future"]
    assert len(kept()) == 3


@pytest.mark.slow
def test_runs_in_several_processes_are_those_of_one(project: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    played = grid.read_sweep(PARTS | {"vary": {"train.lr": [0.01, 0.1]}})
    variants, told = list(played.variants(project)), [0]

    def advance() -> None:
        told[0] += 1

    monkeypatch.setattr(sweep, "cores", lambda: 1)
    alone = sweep.run_all(variants, (), advance)
    shutil.rmtree(".rally/sweeps/runs")
    monkeypatch.setattr(sweep, "STEPS_PER_PROCESS", 4)
    monkeypatch.setattr(sweep, "cores", lambda: 2)
    assert sweep.run_all(variants, (), advance) == alone
    assert told == [8]
    shutil.rmtree(".rally/sweeps/runs")

    killed: list[int] = []

    def kill_one() -> None:
        if not killed:
            [process, *_] = multiprocessing.active_children()
            process.kill()
            killed.append(process.pid or 0)

    assert sweep.run_all(variants, (), kill_one) == alone, "what a killed process did is done again"
    assert killed


def test_what_diverges_is_an_outcome(project: dict[str, Any]) -> None:
    wild = with_knobs(project, {"train.lr": 100.0, "model.norm": "none", "model.activation": "relu2", "train.steps": 12})
    variant = Variant((), parse(Params, wild))
    assert sweep.run_or_read(variant, sweep.tokens_folder(variant.params), ()).diverged
    assert tables.cell(sized(1.0), np.array([2.5, math.inf])) == "1 of 2 diverged"


@pytest.mark.parametrize("name", NETWORK_METRICS)
def test_a_reader_of_networks_is_a_measure(name: str) -> None:
    assert MEASURES[name].network_metric == name


def test_an_answer_is_exact_when_all_of_it_is_what_the_text_says(tmp_path: Path) -> None:
    documents = ["2=34", "2=35", "23=4"]
    tokenizer = CharTokenizer.learn(documents, 0, has_end=True)
    assert tokenizer.end is not None
    said = {one: int(tokenizer.encode(other)[0]) for one, other in ("=3", "34")}  # whatever is asked, it answers 34
    follows = {int(tokenizer.encode(one)[0]): other for one, other in said.items()}
    follows[int(tokenizer.encode("4")[0])] = tokenizer.end
    made = machine(tmp_path, follows, tokenizer, "".join(documents))
    assert isinstance(made.task, LanguageModelling)
    ids = [token for document in documents for token in (*tokenizer.encode(document), tokenizer.end)]
    made.task._opened["validation"] = np.array(ids, np.uint8)
    assert exact_answers(made) == pytest.approx(1 / 3)


def test_fourier_share_is_one_for_five_waves_and_as_small_for_noise_as_chance_makes_it(tmp_path: Path) -> None:
    numbers = 97
    text = SYMBOLS[:numbers] + "+="
    made = subject(tmp_path, CharTokenizer.learn([text], 0, has_end=True), text * 8, model__width=64)
    weight = made.model.get_parameter("embedding.weight")
    ids = torch.from_numpy(made.tokenizer.encode(SYMBOLS[:numbers]).astype(np.int64))
    angles = 2 * math.pi * torch.outer(torch.arange(numbers), torch.tensor([3, 11, 20, 31, 47])) / numbers
    with torch.no_grad():
        weight[ids] = torch.randn(numbers, 64, generator=torch.Generator().manual_seed(0))
        assert 5 / 48 < fourier_share(made) < 0.2
        weight[ids] = angles.cos() @ torch.randn(5, 64, generator=torch.Generator().manual_seed(1)) + 7.0  # a mean counts not
    assert fourier_share(made) == pytest.approx(1.0)


def test_loss_beyond_compares_the_same_tokens_with_and_without_more_context(tmp_path: Path) -> None:
    made = subject(tmp_path / "none", model__position="rotary", model__context_length=6)
    assert isinstance(made.model, GPT) and isinstance(made.task, LanguageModelling)
    found = loss_beyond(made)
    assert math.isfinite(found) and abs(found) > 1e-4
    ids, length = made.task.ids("validation").astype(np.int64), 12
    whole = GPT(made.model.knobs.model_copy(update={"context_length": length}), made.task.vocabulary, torch.Generator())
    whole.load_state_dict(made.model.state_dict())
    differences = []
    with torch.no_grad():
        for start in np.linspace(0, len(ids) - length - 1, made.sequences).astype(int):
            for target in range(start + 7, start + 13):  # with a context of 7 to 12 tokens, and of 4 to 6
                first = start + 3 if target < start + 10 else start + 6
                long, short = (
                    model(torch.from_numpy(ids[begin:target])[None])[0, -1].log_softmax(-1)[ids[target]]
                    for model, begin in ((whole, start), (made.model, first))
                )
                differences.append(float(short - long))
    assert found == pytest.approx(np.mean(differences), abs=1e-5)


def test_more_context_costs_nothing_where_a_window_hides_it(tmp_path: Path) -> None:
    window = {"model__attention": "window", "model__window": 3, "model__depth": 1, "model__context_length": 8}
    assert loss_beyond(subject(tmp_path, model__position="rotary", **window)) == pytest.approx(0, abs=1e-5)


def test_shuffled_windows_keep_their_tokens_and_lose_their_order(tmp_path: Path) -> None:
    params = knobs(train__precision="float32")
    progress, task, _ = started(params, tmp_path)
    rows = np.arange(4)
    before, held_out = task.batch("train", rows), task.batch("validation", rows[:1])
    SANITY_FAULTS["order shuffled"].inject(Training(params, progress, task))
    after = task.batch("train", rows)
    assert not torch.equal(after.inputs, before.inputs)
    assert torch.equal(after.inputs[:, 1:], after.targets[:, :-1])
    for one, other in ((before, after),):
        both = [torch.cat((some.inputs, some.targets[:, -1:]), 1).sort(dim=1).values for some in (one, other)]
        assert torch.equal(*both)
    assert torch.equal(task.batch("validation", rows[:1]).inputs, held_out.inputs)


def test_the_loss_on_repeats_is_that_of_second_copies_alone(tmp_path: Path) -> None:
    made = machine(tmp_path, follows={})  # it is sure that the token 0 follows, always
    assert repeat_loss(made) > 20
    with torch.no_grad():
        for weight in made.model.parameters():
            weight.zero_()
    assert repeat_loss(made) == pytest.approx(math.log(made.tokenizer.vocabulary), rel=1e-6)


def test_the_step_at_which_a_loss_is_reached_lies_between_two_measurements() -> None:
    rows = [{"step": step, "loss": loss} for step, loss in ((10, 3.5), (20, 2.5), (30, 2.05), (40, 2.0))]
    record = Record(validations=rows, numbers={"unigram": 3.0, "entropy": 2.0})
    assert MEASURES["halfway_at"].compute(record) == pytest.approx(20)
    assert MEASURES["reached_at"].compute(record) == pytest.approx(20 + 10 * (2.5 - 2.2) / (2.5 - 2.05))
    assert MEASURES["reached_at"].compute(replace(record, validations=rows[:2])) == math.inf
    with pytest.raises(UserError, match="entropy of this data set is not known"):
        MEASURES["reached_at"].compute(replace(record, numbers={"unigram": 3.0}))


def test_losses_on_a_part_of_the_text_are_those_of_that_part(tmp_path: Path) -> None:
    made = machine(tmp_path, follows={})  # it is sure that the token 0 follows, always
    assert isinstance(made.task, LanguageModelling)
    losses, targets = held_out_surprisals(made)
    common = common_tokens(made.task)
    counts = np.bincount(made.task.ids("train"), minlength=made.task.vocabulary)
    assert counts[common].min() >= counts[~common].max()
    assert counts[common].sum() >= counts.sum() / 2 > counts[common].sum() - counts[common].min()
    halves = {name: NETWORK_METRICS[name](made) for name in ("common_loss", "rare_loss", "late_loss")}
    weight = common[targets].mean()
    assert halves["common_loss"] * weight + halves["rare_loss"] * (1 - weight) == pytest.approx(losses.mean(), rel=1e-5)
    assert halves["late_loss"] == pytest.approx(losses[:, losses.shape[1] // 2 :].mean(), rel=1e-5)
    assert ((losses < 0.01) == (targets == 0)).all()


def test_every_knob_of_every_place_is_checked_before_anything_is_trained(project: dict[str, Any]) -> None:
    played = grid.read_sweep(PARTS)  # a learning rate of 1e10 is among its places
    with pytest.raises(UserError) as caught:
        played_here(played, project)
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
    figure = panels.draw_study(over(results), {"train_loss": results}, {}, "", [])
    assert len(figure.axes) == len(list(panels.split_panels(results)))
    assert imread(io.BytesIO(png(figure, 40)))[..., :3].std() > 0.01
    for title, panel in panels.split_panels(results):
        assert len(tables.table(title, panel, "train_loss").rows) == len(results.axes[-1].labels)


def over(results: Results, *checks: tuple[str, dict[str, Any]], **more: Any) -> Sweep:
    """The sweep that has these results."""
    knobs, seeds = tuple(() for _ in results.axes), tuple(range(results.values.shape[-1]))
    claims = tuple((name, parse(CLAIMS[name], arguments)) for name, arguments in checks)
    return Sweep(results.axes, knobs, seeds, ("train_loss",), claims, **more)


def test_the_picture_says_how_far_the_best_moves() -> None:
    results = planted(0.04, 0.01)
    figure = panels.draw_study(over(results, ("optimum_moves_at_least", {"factor": 2})), {"train_loss": results}, {}, "", [])
    assert any(text.get_text() == "best moves ×4" for text in figure.axes[0].texts)


def test_the_picture_shows_where_a_claim_wants_the_dots_and_where_a_control_must_not_have_them() -> None:
    results = sized(1.0, 3.0)
    first, second = results.axes[0].labels
    claims = [("at_most", {"value": 2.0, "where": {"arm": first}})]
    claims += [("at_most", {"value": 2.0, "where": {"arm": second}, "control": True})]
    [axes] = panels.draw_study(over(results, *claims), {"train_loss": results}, {}, "", []).axes
    wanted, unwanted = axes.patches
    assert wanted.get_fill() and not unwanted.get_fill()
    assert [round(patch.get_x() + patch.get_width() / 2) for patch in (wanted, unwanted)] == [0, 1]  # type: ignore[attr-defined]
    assert all(patch.get_y() + patch.get_height() == pytest.approx(2.0) for patch in (wanted, unwanted))  # type: ignore[attr-defined]


def test_the_picture_shows_how_runs_went_beside_where_they_ended() -> None:
    results = sized(1.0, 3.0, seeds=2)
    rows = {place: [{"step": step, "loss": 4.0 - place[0] * step} for step in (1, 2, 3)] for place in np.ndindex(2, 2)}
    records = {place: Record(curve=curve) for place, curve in rows.items()}
    went, ended = panels.draw_study(over(results, shows=("train_loss",)), {"train_loss": results}, records, "", []).axes
    assert [list(line.get_ydata()) for line in went.lines] == [[4.0, 4.0, 4.0]] * 2 + [[3.0, 2.0, 1.0]] * 2  # of each seed
    assert len(ended.lines) == 4  # of each place its dots and its mean


def test_the_picture_of_what_follows_a_law_has_the_law_in_it() -> None:
    found = ratio_to(sized(1.0, 10.0), 1.1)
    found = {"signal": found["measured"], "signal_predicted": found["predicted"]}
    claim = ("follows", {"measure": "signal", "predicted": "signal_predicted", "within": 0.25})
    scale = {name: replace(whole, axes=(Axis("bench.gain", (1.0, 2.0)),)) for name, whole in found.items()}
    [axes] = panels.draw_study(over(scale["signal"], claim), scale, {}, "", []).axes
    assert axes.lines[1].get_label() == "predicted"
    assert list(axes.lines[1].get_ydata()) == pytest.approx([1.0, 10.0])
    [axes] = panels.draw_study(over(found["signal"], claim), found, {}, "", []).axes  # over words
    bars = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [list(bar.get_ydata()) for bar in bars] == [pytest.approx([mean] * 2) for mean in (1.0, 10.0)]
    assert [text.get_text() for text in axes.get_legend().get_texts()].count("predicted") == 1  # type: ignore[union-attr]


def test_each_line_has_its_own_prediction_in_its_colour() -> None:
    two = Results((Axis("bench.kind", ("a", "b")), Axis("bench.gain", (1.0, 2.0))), np.array([[[1.0], [2.0]], [[3.0], [4.0]]]))
    found = {"signal": replace(two, values=two.values + 0.1), "signal_predicted": two}
    claim = ("follows", {"measure": "signal", "predicted": "signal_predicted", "within": 0.25})
    [axes] = panels.draw_study(over(found["signal"], claim), found, {}, "", []).axes
    first, second, *predicted = axes.lines
    assert [(line.get_label(), list(line.get_ydata())) for line in predicted] == [
        ("predicted, a", [1.0, 2.0]),
        ("predicted, b", [3.0, 4.0]),
    ]
    assert [line.get_color() for line in predicted] == [first.get_color(), second.get_color()]


def test_a_prediction_has_no_seeds_and_is_drawn_over_every_kind_of_axis() -> None:
    spread = [(1.0, 2.0, 3.0), (2.0, 3.0, 4.0), (math.inf, math.inf, math.inf)]
    for scale, places in (("knob", (1, 2, 3)), ("categories", ("a", "b", "c")), ("run", (1, 2, 3))):
        lines = (Line("", places, spread, seeds=[[2.0], [3.0], [math.inf]]), Line("law", places, spread, predicted=True))
        [axes] = draw_panels([Panel("", lines, "", "", scale=scale)], "", []).axes  # type: ignore[arg-type]
        seen = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert [y for line in seen for y in line.get_ydata() if math.isfinite(y)][-1] == 3.0, scale


def test_an_axis_may_have_many_words() -> None:
    words = tuple(f"word {number}" for number in range(80))
    [axes] = draw_panels(
        [Panel("", (Line("", words, [(1.0, 1.0, 1.0)] * 80, seeds=[[1.0]] * 80),), "", "", scale="categories")], "", []
    ).axes
    assert len(axes.get_xticks()) == 80


# ------------------------------------------------------------------------------------------- experiments without a training


def test_a_signal_halves_with_every_relu_and_a_gradient_dies_in_sigmoids() -> None:
    sizes, slopes = signal_and_gradient(0, 8, 512, 32, 2.0, "relu", residual=False)
    assert sizes[-1] / sizes[0] == pytest.approx(1.0, abs=0.3)
    halved, _ = signal_and_gradient(0, 8, 512, 32, 1.0, "relu", residual=False)
    assert [one / other for one, other in zip(halved, sizes, strict=True)] == pytest.approx(
        [2 ** (-n / 2) for n in range(1, 9)]
    )
    _, dying = signal_and_gradient(0, 8, 256, 32, 1.0, "sigmoid", residual=False)
    assert all(low < 0.5 * high for low, high in itertools.pairwise(dying))
    assert slopes[0] / slopes[-1] > 0.5


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_is_a_pure_function_of_its_knobs_and_the_seed(name: str) -> None:
    small: dict[str, dict[str, Any]] = {
        "signal": {"layers": 3, "width": 16, "examples": 4},
        "overfit": {"examples": 2, "length": 8, "labels": 11, "steps": 4},
        "superposition": {"features": 4, "dimensions": 2, "examples": 8, "steps": 4},
    }
    bench = parse(BENCHES[name], small[name])
    params = knobs(model__activation="relu", train__precision="float32")
    record = bench.run(params)
    assert bench.run(params) == record
    assert bench.run(params.model_copy(update={"seed": 2})) != record
    assert set(record.lines) == set(bench.lines)
    assert set(record.numbers) <= set(MEASURES)


def test_one_batch_is_learned_by_heart_and_labels_that_change_are_not() -> None:
    params = knobs(
        train__optimizer="adamw", train__lr=0.01, train__warmup_ratio=0.0, train__precision="float32", model__width=64
    )
    size = {"examples": 4, "length": 16, "labels": 17, "steps": 60}
    same, fresh = (
        parse(BENCHES["overfit"], size | {"fresh": fresh}).run(params).numbers["overfit_loss"] for fresh in (False, True)
    )
    assert same < 0.05
    assert fresh > 2.5


def test_a_linear_autoencoder_does_as_principal_components_and_keeps_the_most_important() -> None:
    weights = [0.7**at for at in range(8)]
    for density in (1.0, 0.2):
        kept, loss = kept_and_loss(0, weights, 3, density, linear=True, steps=600, examples=256, lr=0.02)
        assert loss == pytest.approx(least_linear_loss(weights, 3, density), rel=0.05)
        assert [share > 0.5 for share in kept] == [True] * 3 + [False] * 5
    assert least_linear_loss(weights, 8, 0.2) == 0


def test_with_a_relu_the_dense_features_are_kept_as_by_principal_components_and_sparse_ones_beyond() -> None:
    weights = [0.7**at for at in range(8)]
    dense, sparse = (kept_and_loss(0, weights, 3, density, False, 600, 256, 0.02) for density in (1.0, 0.02))
    assert dense[1] == pytest.approx(least_linear_loss(weights, 3, 1.0), rel=0.05)
    assert sparse[1] < 0.6 * least_linear_loss(weights, 3, 0.02)
    assert sum(share > 0.5 for share in sparse[0]) > sum(share > 0.5 for share in dense[0]) == 3


# ------------------------------------------------------------------------------------------------------- what runs are


@pytest.mark.parametrize("name", [*FAULTS, *SANITY_FAULTS])
def test_every_fault_can_be_an_arm_of_a_study(name: str) -> None:
    parts = PARTS | {"vary": {"network": {"sound": {}, "sick": {"fault": name}}}, "check": [{"at_most": {"value": 9.0}}]}
    variants = list(grid.read_sweep(parts).variants(with_knobs(read_yaml(TOP / "params.yaml"), KNOBS)))
    assert [variant.fault for variant in variants] == ["", "", name, name]


@pytest.mark.parametrize(
    ("vary", "more", "problem"),
    [
        ({"arm": {"sick": {"fault": "no mast"}}}, {}, "fault: there is no 'no mast'. Did you mean 'no mask'?"),
        (
            {"arm": {"seen": {"task.kind": "vision", "prepare.dataset": "mnist1d"}}},
            {"measure": "exact_answers"},
            "measure: exact_answers is for language models only",
        ),
        ({"model.position": ["learned"]}, {"measure": "loss_beyond"}, "model.position: learned ends at the context"),
        (
            {"model.depth": [1]},
            {"measure": "fourier_share"},
            "measure: fourier_share is of numbers; use prepare.dataset modular",
        ),
        ({"bench.gain": [1.0]}, {}, "bench.gain: these runs are trainings"),
        ({"bench.gian": [1.0]}, {"bench": "signal"}, "bench.gian: there is no such knob. Did you mean 'gain'?"),
        ({"bench.gain": [-1.0]}, {"bench": "signal"}, "bench.gain: -1.0 is not above 0.0"),
    ],
)
def test_a_run_that_cannot_be_made_is_refused(vary: dict[str, Any], more: dict[str, Any], problem: str) -> None:
    played = grid.read_sweep(PARTS | {"vary": vary, "check": [{"at_most": {"value": 9.0}}]} | more)
    with pytest.raises(UserError) as caught:
        played.variants(read_yaml(TOP / "params.yaml"))
    assert caught.value.problems[0].startswith(problem)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"measure": ["train_loss", "los"]}, "measure: there is no 'los'"),
        ({"check": [{"optimum_moves_at_most": {"factor": 2, "measure": "los"}}]}, "check: optimum_moves_at_most: measure: "),
        ({"bench": "signals"}, "bench: there is no 'signals'. Did you mean 'signal'?"),
        ({"shows": ["inductoin"]}, "shows: there is no 'inductoin'. Did you mean 'induction'?"),
        ({"bench": "signal", "shows": "train_loss"}, "shows: there is no 'train_loss'. Known: signal, gradient"),
    ],
)
def test_a_grid_that_asks_for_what_there_is_not_is_refused(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        grid.read_sweep(PARTS | more)
    assert caught.value.problems[0].startswith(problem)


@pytest.mark.parametrize(("old", "new"), RENAMED_MEASURES.items())
def test_an_old_measure_is_one_line_that_says_the_new_one(old: str, new: str) -> None:
    assert new in MEASURES and old not in MEASURES
    with pytest.raises(UserError) as caught:
        grid.read_sweep(PARTS | {"measure": old})
    assert caught.value.problems == (f"measure: {old} was renamed {new}",)


def test_an_old_argument_of_a_claim_is_one_line_that_says_the_new_one() -> None:
    claim = {"measure": "signal", "foretold": "signal_predicted", "within": 0.25}
    with pytest.raises(UserError) as caught:
        grid.read_sweep(PARTS | {"bench": "signal", "measure": ["signal", "signal_predicted"], "check": [{"follows": claim}]})
    assert caught.value.problems == ("check.follows.foretold was renamed check.follows.predicted",)


@pytest.mark.parametrize(
    ("claim", "arguments", "results", "sentence"),
    [
        ("at_least", {"value": 2}, sized(2.5, noise=0.0), "it is exactly 2.5 (4 seeds); claimed: at least 2"),
        ("at_least", {"value": 2}, sized(2.5, seeds=1), "it is 2.5 (no CI, 1 seed); claimed: at least 2"),
        (
            "lies_between",
            {"low": -1, "high": 9},
            Results((Axis("arm", ("a", "b")),), np.zeros((2, 3))),
            "it is exactly 0 at both places (3 seeds); claimed: -1 to 9",
        ),
        (
            "lies_between",
            {"low": -1, "high": 9},
            sized(2.0, -0.5, noise=0.0),
            "it is lowest -0.5 (95 % CI -0.5 to -0.5) at arm arm -0.5, highest 2 (95 % CI 2 to 2) at arm arm 2.0; 4 seeds; "
            "claimed: -1 to 9",
        ),
        (
            "exceeds",
            PLANTED["exceeds"][0],
            apart(0.5, noise=0.0).at({"model.norm": "rms"}),
            "it at more minus that at less is exactly 0.5 (4 seeds, not in pairs, r = 0.00); claimed: at least 0.25",
        ),
        (
            "optimum_moves_at_least",
            {"factor": 4},
            planted(0.04, 0.01, noise=0.0, deviation=0.0),
            "the best train.lr moves by a factor of 4 (95 % CI 4 to 4, 4 seeds, not in pairs, r = 0.00): "
            "0.01 at model.width 1, 0.04 at model.width 0; claimed: at least 4",
        ),
    ],
)
def test_a_verdict_has_the_value_its_interval_and_what_was_claimed(
    claim: str, arguments: dict[str, Any], results: Results, sentence: str
) -> None:
    assert parse(CLAIMS[claim], arguments).judge({"it": results}).sentence == sentence
