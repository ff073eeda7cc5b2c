"""The benchmark of the doctor: its runs, its figures, and that a small one ends as the large one does."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from small import TOP

from pipeline.artifacts.paths import private_folder
from pipeline.doctor.case import Case
from pipeline.doctor.causes.table import CAUSES
from pipeline.doctor.diagnose import diagnose
from pipeline.doctor.signs.base import FITTED
from pipeline.doctor.signs.table import SIGNS
from pipeline.lab.doctor import reported, run_case
from pipeline.lab.doctor.benchmark import (
    Outcome,
    cases_of,
    confusion,
    diagnosed,
    error_rates,
    run_benchmark,
    run_unseen,
    table_of,
)
from pipeline.lab.doctor.cases import FITTED_ON, HELD_OUT, KNOWN, RECIPES, TASKS, VARIANTS, BenchmarkRun, benchmark_runs
from pipeline.lab.doctor.confusion_plot import draw
from pipeline.lab.doctor.fit_ranges import fitted, lines
from pipeline.lab.doctor.reported import REPORTED, Reported, verdict
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.faults.base import Fault, nothing
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.faults.unseen import UNSEEN
from pipeline.lab.statistics.share import Share
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml

BASE = read_yaml(TOP / "params.yaml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone, as the current directory."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "pipeline").symlink_to(TOP / "pipeline")
    (tmp_path / "data/own").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------------------------------ runs


@pytest.mark.parametrize("task", TASKS)
def test_every_fault_runs_once_per_seed_and_recipe_with_valid_knobs(task: str) -> None:
    runs = list(benchmark_runs({task: TASKS[task]}, seeds=3, healthy=len(VARIANTS)))
    sick = [(one.fault, one.recipe, one.seed) for one in runs if one.fault]
    assert sick == [(fault, recipe, seed) for fault in FAULTS for seed, recipe in enumerate(RECIPES, start=1)]
    well = [one for one in runs if not one.fault]
    assert len({json.dumps(one.params(BASE).model_dump()) for one in well}) == len(VARIANTS)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_fault_is_put_on_top_of_a_recipe(recipe: str) -> None:
    healthy, fast = (BenchmarkRun("markov", recipe, 1, fault).params(BASE) for fault in ("", "rate x30"))
    assert fast.train.lr == pytest.approx(30 * healthy.train.lr)
    assert healthy.train.lr == RECIPES[recipe]["train.lr"]


def test_no_task_is_in_both_halves() -> None:
    assert sorted((*FITTED_ON, *HELD_OUT)) == sorted(TASKS)
    assert not set(FITTED_ON) & set(HELD_OUT)


# ---------------------------------------------------------------------------------------------------------------- counting


@pytest.mark.parametrize(("hits", "of"), [(0, 30), (1, 30), (27, 30), (180, 180)])
def test_a_share_has_wilsons_interval(hits: int, of: int) -> None:
    wanted = scipy.stats.binomtest(hits, of).proportion_ci(0.95, method="wilson")
    assert Share(hits, of).interval == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def outcome(fault: str, finding: str, *causes: str) -> Outcome:
    return Outcome(BenchmarkRun("markov", "house", 1, fault), finding, causes, causes[1:], None)


def test_found_right_and_false_are_counted() -> None:
    outcomes = [
        outcome("rate x30", "unstable", "learning rate too high", "no warm-up"),
        outcome("rate x30", "unstable", "no warm-up", "dead units", "learning rate too high"),
        outcome("no mask", "healthy"),
        outcome("", "healthy"),
        outcome("", "unstable", "learning rate too high"),
    ]
    found = {name: (rate.hits, rate.count) for name, rate in error_rates(outcomes).items()}
    assert found == {
        "found": (2, 3),
        "right cause among the first 2": (1, 3),
        "the same with the knobs hidden": (1, 3),
        "false alarms": (1, 2),
    }
    assert confusion(outcomes) == {
        "rate x30": {"learning rate too high": 1, "no warm-up": 1},
        "no mask": {"healthy": 1},
        "healthy": {"healthy": 1, "learning rate too high": 1},
    }
    figure = draw(confusion(outcomes), "What was found.")
    assert "no warm-up" in [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_an_unknown_fault_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"there is no 'rate x3'\. Did you mean 'rate x30'"):
        run_benchmark(BaseParams(BASE), seeds=1, healthy=0, only=["rate x3"])


def test_a_bound_lies_between_the_last_healthy_run_and_the_sick_ones() -> None:
    def case(loss: float) -> Case:
        levels = {"uniform": 4.0, "unigram": 3.0, "bigram": 2.0}
        return Case(train={"step": [1.0, 2.0], "loss": [4.0, loss]}, levels=levels)

    well = {BenchmarkRun("markov", "house", number): case(2.0 + 0.1 * number) for number in range(3)}
    sick = {BenchmarkRun("markov", "house", number, "labels shuffled"): case(3.0) for number in range(4)}
    found = fitted(well | sick)["beyond_unigram"]
    assert SIGNS["beyond_unigram"].range.origin == FITTED
    assert (found.low, found.sick_low) == pytest.approx((0.6, 0.4))
    assert "beyond_unigram: Range(FITTED, low=0.6, sick_low=0.4)," in list(lines({"beyond_unigram": found}))


# ----------------------------------------------------------------------------------------------------------- a small benchmark


@pytest.mark.slow
def test_a_small_benchmark_finds_the_faults_and_is_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"train.steps": 100, "prepare.generated_chars": 60_000}
    wanted = [BenchmarkRun("markov", "house", 1, fault, small) for fault in ("", "rate x30", "no mask", "frozen block")]
    done: list[Any] = []
    cases = cases_of(wanted, BASE, lambda: done.append(1))
    assert len(done) == len(wanted)
    outcomes = {one.run.fault: one for one in diagnosed(cases)}
    assert not outcomes.pop("").found
    assert all(one.found and one.right for one in outcomes.values())
    assert len(list(private_folder("trial").glob("*.json"))) == len(wanted)
    monkeypatch.setattr(run_case, "run_one", None)  # nothing may be trained again
    again = {run: run_case.case_of(run, BASE) for run in wanted}
    assert [diagnose(again[run]) for run in wanted] == [diagnose(cases[run]) for run in wanted]


@pytest.mark.parametrize("name", KNOWN)
def test_a_kept_case_depends_on_the_code_of_its_fault_alone(name: str) -> None:
    files = run_case.code_of(name)
    assert all((TOP / file).exists() for file in files)
    assert Path("pipeline/lab/faults/base.py") in files
    inject = KNOWN[name].inject
    assert inject is nothing or Path(inspect.unwrap(inject).__code__.co_filename) in [TOP / file for file in files]


# ------------------------------------------------------------------------------------------- runs that take no part in the fit


@pytest.mark.parametrize("name", REPORTED)
def test_a_reported_run_has_valid_knobs_and_causes_that_exist(name: str) -> None:
    one = REPORTED[name]
    assert one.run().params(BASE)
    assert set(one.right) <= set(CAUSES)
    assert one.before in ("healthy", "right", "found", "silent")


def test_what_is_said_of_a_reported_run_is_judged() -> None:
    healthy, sick = Reported("gpt", (), "right"), Reported("gpt", ("shuffled targets",), "silent")
    flat = Case(levels={"uniform": 4.0, "unigram": 3.0, "bigram": 2.0}, validation={"step": [1.0], "loss": [3.0]})
    assert verdict(sick, flat)[2] == "right"
    assert verdict(Reported("gpt", ("dead units",), "silent"), flat)[2] == "found"
    assert verdict(healthy, flat)[2] == "alarm"
    fine = Case(levels=flat.levels, validation={"step": [1.0], "loss": [2.0]})
    assert [verdict(one, fine)[2] for one in (healthy, sick)] == ["right", "silent"]
    assert reported.table_of({"one head": fine}).row_count == 1


def test_unseen_faults_take_part_in_no_fit_and_without_any_the_benchmark_says_so() -> None:
    runs = benchmark_runs(TASKS, seeds=3, healthy=2)
    assert not {one.fault for one in runs} & set(UNSEEN)
    if not UNSEEN:
        with pytest.raises(UserError, match=r"unseen\.py has no faults yet"):
            run_unseen(BaseParams(BASE), seeds=1, healthy=0)


def test_an_unseen_fault_is_counted_and_never_right_without_a_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KNOWN, "odd", Fault("something odd", ""))
    monkeypatch.setitem(KNOWN, "long memory", Fault("momentum .999", "momentum too long", knobs={"train.momentum": 0.999}))
    runs = list(benchmark_runs(HELD_OUT, 1, 1, ["odd", "long memory"]))
    assert [one.fault for one in runs] == ["odd", "long memory", ""] * len(HELD_OUT)
    assert BenchmarkRun("markov", "house", 1, "long memory").params(BASE).train.momentum == 0.999
    outcomes = [
        Outcome(runs[0], "unstable", ("",), ("",), None),
        Outcome(runs[1], "unstable", ("momentum too long",), (), None),
    ]
    assert [(one.found, one.right) for one in outcomes] == [(True, False), (True, True)]
    assert table_of("unseen", outcomes).row_count == 2
