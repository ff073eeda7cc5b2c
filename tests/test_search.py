"""Searches: spaces and budgets as written, a bowl with noise, how a search that was killed goes on, fresh scores."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.image import imread
from small import SMALL, TOP, write_tokens
from typer.testing import CliRunner

from pipeline.lab import cli
from pipeline.lab.betting.study_bets import offers
from pipeline.lab.budget.estimate import estimate
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.stand_ins.data_shape import Data
from pipeline.lab.studies import play as grids
from pipeline.lab.studies import recipes
from pipeline.lab.studies.entries import Entry, find_entry, read_entries
from pipeline.lab.studies.runs import identity
from pipeline.lab.studies.search import budget, picture, play, result, run, sampler
from pipeline.lab.studies.search.budget import Allowance, Costs
from pipeline.lab.studies.search.run import Task, Trial, Tried, loss_of, run_searches
from pipeline.lab.studies.search.sampler import SAMPLER_TYPES
from pipeline.lab.studies.search_space import SAMPLERS, Choice, Range, Search, Values, read_search
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml
from pipeline.tasks.base import Shape

LR = {"low": 1.0e-4, "high": 1.0, "scale": "log"}
SPEC: dict[str, Any] = {"knobs": {"train.lr": LR}, "budget": {"runs": 3}, "fresh": 2}
PARTS: dict[str, Any] = {
    "seeds": [1, 2],
    "measure": "validation_loss",
    "check": [
        {"at_most": {"value": 5.0, "where": {"score": "fresh", "sampler": "tpe"}}},
        {"at_most": {"value": 0.1, "where": {"score": "fresh", "sampler": "random"}, "control": True}},
    ],
}


def search(spec: dict[str, Any] | None = None, **parts: Any) -> Search:
    return read_search(SPEC | (spec or {}), PARTS | parts)


def random_samplers(made: Search) -> list[sampler.Sampler]:
    """Random search twice, for what needs no Optuna; the second of each search has points of its own."""
    return [sampler.RandomSampler(made.space, seed + 100 * at) for seed in made.sweep.seeds for at in range(len(SAMPLERS))]


# ---------------------------------------------------------------------------------------------------------------- the space


@pytest.mark.parametrize("name", SAMPLER_TYPES)
def test_every_sampler_is_one_that_a_study_may_name_and_asks_for_points_of_the_space(name: str) -> None:
    assert name in SAMPLERS
    if name == "tpe":
        pytest.importorskip("optuna")
    points = SAMPLER_TYPES[name]([Range("lr", 1e-4, 1.0, "log")], 1).ask(2)
    assert len(points) == 2
    assert all(1e-4 <= float(point["lr"]) <= 1.0 for point in points)


def test_a_range_is_even_on_its_scale_and_its_values_can_be_typed() -> None:
    rate, decay, width = (
        Range("lr", 1e-4, 1.0, "log"),
        Range("decay", 0.0, 0.3, "linear"),
        Range("width", 8, 11, "linear", whole=True),
    )
    assert [rate.value(at) for at in (0.0, 0.25, 0.5, 1.0)] == [1e-4, 1e-3, 1e-2, 1.0]
    assert rate.value(0.3) == 0.001585
    assert decay.value(0.5) == 0.15
    counts = [sum(width.value(at) == value for at in np.arange(0, 1, 0.001)) for value in (8, 9, 10, 11)]
    assert counts == [250] * 4 and width.value(1.0) == 11
    powers = [Range("width", 1, 8, "log", whole=True).value(at) for at in np.arange(0, 1, 0.001)]
    assert {type(value) for value in powers} == {int} and set(powers) == set(range(1, 9))
    assert powers.count(1) > 2 * powers.count(4)
    assert [Choice("norm", ("rms", "layer")).value(at) for at in (0.0, 0.49, 0.5, 1.0)] == ["rms", "rms", "layer", "layer"]


def test_near_the_end_of_a_range_is_said() -> None:
    rate = Range("lr", 1e-4, 1.0, "log")
    assert [rate.is_at_edge(value) for value in (1e-4, 1.5e-4, 2e-4, 0.5, 0.9)] == [True, True, False, False, True]
    assert [Range("width", 8, 99, "linear", whole=True).is_at_edge(value) for value in (8, 9, 99)] == [True, False, True]


@pytest.mark.parametrize(
    ("spec", "parts", "problem"),
    [
        ({"knobs": {}}, {}, "search: holds no knobs (knobs: {train.lr: {low: 1.0e-4, high: 0.1, scale: log}, …})"),
        ({"bugdet": 3}, {}, "search.bugdet: there is no such part. Did you mean 'budget'? Known: knobs, budget, fresh, batch"),
        ({}, {"vary": {"train.lr": [1]}}, "vary: a search has none; leave it out"),
        ({"knobs": {"train.lr": [0.1]}}, {}, "search.knobs.train.lr: [0.1] is not {low: 1.0e-4, high: 0.1, scale: log}, nor"),
        ({"knobs": {"a.b": LR | {"step": 1}}}, {}, "search.knobs.a.b.step: there is no such part. Known: low, high, scale"),
        ({"knobs": {"a.b": LR | {"scale": "lin"}}}, {}, "search.knobs.a.b.scale: there is no 'lin'. Did you mean 'linear'?"),
        (
            {"knobs": {"a.b": LR | {"low": 2}}},
            {},
            "search.knobs.a.b: 2 to 1.0 is not a range; use two numbers, the lower one first",
        ),
        (
            {"knobs": {"a.b": LR | {"low": 0.0}}},
            {},
            "search.knobs.a.b.low: 0.0 has no logarithm; use a number above 0, or scale",
        ),
        ({"knobs": {"seed": [1, 2]}}, {}, "search.knobs.seed: the seed is nothing to search for: its best value would be luck"),
        ({"budget": 30}, {}, "search.budget: is not one of {runs: 30}, {flops: 1.0e+13}, {minutes: 5}, for each search"),
        ({"budget": {"hours": 1}}, {}, "search.budget: there is no 'hours'. Known: runs, flops, minutes"),
        ({"budget": {"runs": 2.5}}, {}, "search.budget.runs: 2.5 is not a whole number above 0"),
        ({"budget": {"runs": 10**9}}, {}, "search.budget.runs: 1000000000 are more than 100000; use fewer"),
        ({"budget": {"flops": 10**400}}, {}, "search.budget.flops: 1000"),
        ({"knobs": {"a.b": LR | {"high": 10**400}}}, {}, "search.knobs.a.b: 0.0001 to 1000"),
        ({"knobs": {"a.b": {"low": -1e308, "high": 1e308, "scale": "linear"}}}, {}, "search.knobs.a.b: -1e+308 to 1e+308 is"),
        ({"knobs": {"a.b": [1, 2, 1]}}, {}, "search.knobs.a.b: [1, 2, 1] has a value twice"),
        ({"fresh": 1}, {}, "search.fresh: 1 is not a whole number from 2 to 999"),
        ({}, {"measure": ["train_loss", "validation_loss"]}, "measure: a search is for the best value of one measure, not 2"),
        ({}, {"seeds": [1001]}, "seeds: 1001 is not from 0 to 999; on those above it the winners of a search are scored again"),
        (
            {},
            {"check": [{"at_most": {"value": 1, "where": {"sampler": "gp"}}}]},
            "check: at_most: where: sampler is never 'gp'.",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_place(spec: Any, parts: Any, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        read_search({**SPEC, **spec}, PARTS | parts)
    assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems


def test_the_ends_of_the_space_are_checked_against_the_knobs_before_anything_runs() -> None:
    base = BaseParams(read_sections(TOP / "params.yaml"))
    knobs = {"train.lr": LR | {"high": 1000.0}, "train.optimiser": ["sgd", "adamw"], "model.norm": ["rms", "no_norm"]}
    with pytest.raises(ParamsError) as caught:
        play.check(search({"knobs": knobs}), base)
    said = "\n".join(caught.value.problems)
    assert "train.lr: 1000.0 is above 100" in said
    assert "train.optimiser: there is no such knob. Did you mean 'train.optimizer'?" in said
    assert "model.norm: there is no 'no_norm'." in said


# ---------------------------------------------------------------------------------------------------------------- samplers

BOWL = search(
    {
        "knobs": {"train.lr": LR, "train.weight_decay": {"low": 1.0e-3, "high": 10.0, "scale": "log"}},
        "budget": {"runs": 40},
        "fresh": 20,
    },
    seeds=list(range(10)),
)


def height(values: Values) -> float:
    """A bowl over two knobs whose lowest point is 1."""
    away = (math.log10(values["train.lr"] / 0.02), math.log10(values["train.weight_decay"] / 0.3))
    return 1 + away[0] ** 2 + away[1] ** 2


def noisy(tasks: Sequence[Task]) -> list[float]:
    """The bowl with noise of 5 %, another draw for each run, and nothing where the learning rate is too high."""
    noise = [0.05 * np.random.default_rng([task.seed, *task.place]).normal() for task in tasks]
    return [math.inf if t.values["train.lr"] > 0.5 else height(t.values) + n for t, n in zip(tasks, noise, strict=True)]


def test_the_optimum_of_a_noisy_bowl_is_found_within_forty_runs_and_the_best_found_is_too_good() -> None:
    pytest.importorskip("optuna")
    tried = run_searches(BOWL, run.samplers_of(BOWL), noisy, Allowance(40))
    assert all(len(one.trials) == 40 and len(one.fresh) == 20 for one in tried)
    near = {name: sum(height(one.winner.values) <= 1.1 for one in tried if one.sampler == name) for name in SAMPLERS}
    assert near["tpe"] >= 8, near
    assert near["random"] < near["tpe"], "what blind luck finds as often is no test of a search"
    found = result.scores(BOWL, tried)
    assert found.values.shape == (2, 2, 10)
    best, again = (found.at({"score": score, "sampler": "tpe"}).values for score in ("found", "fresh"))
    assert (again - best).mean() > 0.02, "the winner was chosen for its luck, too"
    truth = np.array([height(one.winner.values) for one in tried if one.sampler == "tpe"])
    assert abs((again - truth).mean()) < 0.02, "fresh seeds are honest"
    said = dict(result.too_good(BOWL, found))
    assert (
        "the best found is better than its fresh score by 0.0" in said["tpe"]
        and "95 % CI" in said["tpe"]
        and "10 seeds" in said["tpe"]
    )


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_search_that_was_killed_asks_for_the_same_points_and_runs_only_the_rest(kind: str) -> None:
    if kind == "tpe":
        pytest.importorskip("optuna")
    made = search({"knobs": BOWL_KNOBS | {"model.norm": ["rms", "layer"]}, "batch": 3})
    make = [sampler.SAMPLER_TYPES[kind]] * len(SAMPLERS)

    def samplers() -> list[sampler.Sampler]:
        return [of(made.space, seed) for seed in made.sweep.seeds for of in make]

    kept: dict[str, float] = {}
    asked: list[str] = []
    ran: list[str] = []
    most = math.inf

    def score(tasks: Sequence[Task]) -> list[float]:
        values = []
        for task, value in zip(tasks, noisy(tasks), strict=True):
            key = str((task.place, task.seed, dict(task.values)))
            asked.append(key)
            if key not in kept:
                if len(ran) >= most:
                    raise KeyboardInterrupt
                ran.append(key)
                kept[key] = json.loads(json.dumps(value))  # as it is read from a file
            values.append(kept[key])
        return values

    whole = run_searches(made, samplers(), score, Allowance(20))
    points = [one.trials for one in whole]
    reference = list(asked)
    kept.clear(), asked.clear(), ran.clear()
    most = 47  # in the middle of a round
    with pytest.raises(KeyboardInterrupt):
        run_searches(made, samplers(), score, Allowance(20))
    asked.clear()
    before, most = len(kept), math.inf
    ran.clear()
    again = run_searches(made, samplers(), score, Allowance(20))
    assert [one.trials for one in again] == points
    assert asked == reference
    assert before == 47 and len(ran) == len(reference) - before
    assert [one.fresh for one in again] == [one.fresh for one in whole]


BOWL_KNOBS = {"train.lr": LR, "train.weight_decay": {"low": 1.0e-3, "high": 10.0, "scale": "log"}}


def test_what_is_asked_in_a_round_is_asked_before_anything_of_it_is_told() -> None:
    made = search({"batch": 4})
    said: list[tuple[str, int]] = []

    class Listening(sampler.RandomSampler):
        def ask(self, count: int) -> list[Values]:
            said.append(("ask", count))
            return super().ask(count)

        def tell(self, losses: Sequence[float]) -> None:
            said.append(("tell", len(losses)))

    run_searches(made, [Listening(made.space, seed) for seed in range(4)], lambda tasks: [1.0] * len(tasks), Allowance(6))
    assert said == [("ask", 4)] * 4 + [("tell", 4)] * 4 + [("ask", 2)] * 4 + [("tell", 2)] * 4


def test_points_do_not_depend_on_how_many_are_asked_at_once() -> None:
    one, other = (sampler.RandomSampler(BOWL.space, 3) for _ in range(2))
    assert one.ask(6) == [*other.ask(1), *other.ask(3), *other.ask(2)]
    assert len({tuple(point.values()) for point in sampler.RandomSampler(BOWL.space, 4).ask(50)}) == 50


def test_a_diverged_training_is_a_bad_value_and_a_higher_accuracy_a_low_loss() -> None:
    assert loss_of(math.inf, higher_is_better=False) == loss_of(math.inf, higher_is_better=True) == math.inf
    assert loss_of(math.nan, higher_is_better=True) == math.inf
    assert (loss_of(0.9, higher_is_better=True), loss_of(0.9, higher_is_better=False)) == (-0.9, 0.9)
    pytest.importorskip("optuna")
    lost = run_searches(search(), run.samplers_of(search()), lambda tasks: [math.inf] * len(tasks), Allowance(12))
    found = result.scores(search(), lost)
    assert not np.isfinite(found.values).any()
    assert [said for _, said in result.too_good(search(), found)] == [
        "a winner diverged, among the searches or on fresh seeds"
    ] * 2
    assert picture.draw_search(search(), lost, "Why?", [])


def test_without_optuna_one_line_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError) as caught:
        run.samplers_of(search())
    [line] = caught.value.problems
    assert line.startswith("search: needs the package optuna; `pip install -c constraints.txt -e '.[search]'`")


# ----------------------------------------------------------------------------------------------------------------- budgets


def scored(allowed: Allowance, made: Search) -> list[Tried]:
    return run_searches(made, random_samplers(made), lambda tasks: [height_of(task) for task in tasks], allowed)


def height_of(task: Task) -> float:
    return float(task.values["train.lr"])


def test_flops_are_spent_until_the_next_run_does_not_fit() -> None:
    made = search({"knobs": {"train.lr": LR, "train.steps": {"low": 10, "high": 40, "scale": "linear"}}})
    tried = scored(Allowance(100, flops=200.0, cost=lambda values: values["train.steps"]), made)
    for one in tried:
        assert one.spent == sum(trial.values["train.steps"] for trial in one.trials)
        assert 200 - 40 < one.spent <= 200
    with pytest.raises(UserError, match=r"takes more than the whole budget; use more"):
        scored(Allowance(100, flops=9.0, cost=lambda values: values["train.steps"]), made)


def test_only_knobs_that_change_the_cost_are_estimated_again() -> None:
    made = search({"knobs": {"train.lr": LR, "model.width": [16, 32], "model.norm": ["rms", "none"]}})
    asked: list[Values] = []

    def estimate(values: Values) -> float:
        asked.append(values)
        return 7.0 * values["model.width"]

    costs = Costs(made, estimate)
    assert costs.counted == {"model.width"}
    asked.clear()
    points = [{"train.lr": lr, "model.width": width, "model.norm": "rms"} for lr in (0.1, 0.2, 0.3) for width in (16, 32)]
    assert [costs.of(point) for point in points] == [112.0, 224.0] * 3
    assert len(asked) == 2


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one small search."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    for name in ("pipeline", "data"):
        (tmp_path / name).symlink_to(TOP / name)
    (tmp_path / "studies").mkdir()
    text = "# Small: for tests.\n\n" + yaml.safe_dump({"small-search": SMALL_ENTRY}, sort_keys=False)
    (tmp_path / "studies" / "small.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL_ENTRY: dict[str, Any] = {
    "says": "Which rate is best? Of a small network.",
    "predicts": "A middle one.",
    "control": "Random search.",
    "set": {
        "prepare.dataset": "markov",
        "prepare.generated_chars": 4000,
        "prepare.seed": 1,
        "tokenize.kind": "char",
        "train.optimizer": "sgd",
        "train.precision": "float32",
        "train.steps": 4,
        "train.validation_points": 1,
    }
    | {
        f"{section}.{knob}": value
        for section in SMALL
        for knob, value in SMALL[section].items()
        if knob not in ("steps", "validation_points")
    },
    "search": SPEC | {"knobs": {"train.lr": {"low": 1.0e-3, "high": 100.0, "scale": "log"}, "model.norm": ["layer", "none"]}},
    **PARTS,
    "notice": "Look at the stars. The trap: there is none.",
    "next": "rally play small-search",
    "costs": "20 trainings, a second, no download",
    "reaches": "nothing",
    "source": "nobody",
}


def small() -> tuple[Entry, Search, BaseParams]:
    entry = find_entry("small-search", read_entries())
    assert entry.search and entry.sweep is None
    return entry, entry.search, recipes.apply_entry(BaseParams(read_sections(Path("params.yaml"))), entry)


def kept() -> dict[str, int]:
    """When each training that is kept was written."""
    return {path.name: path.stat().st_mtime_ns for path in Path(".rally/sweeps/runs").iterdir()}


def test_a_search_is_told_side_by_side_with_its_control_and_goes_on_from_kept_runs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    entry, made, base = small()
    page = play.play_search("small-search", entry, made, base)
    said, first = capsys.readouterr().out, kept()
    numbers = json.loads(Path("results/small-search.json").read_text())
    assert "20 trainings: 2 samplers x 2 searches x 3 runs, and 8 of the winners on fresh seeds" in said
    assert "score found" in said and "score fresh" in said and "2 seeds, one draw of the data" in said
    rows = [line.split()[0] for line in said.splitlines() if line.split()[:1] in (["tpe"], ["random"])]
    assert rows == ["tpe", "random"]
    for part in ("Predicted", "Control", "Too good", "held:", "failed, as it should:", "Notice", "results/small-search.png"):
        assert part in said
    assert [(one["sampler"], one["seed"], len(one["trials"]), len(one["fresh"])) for one in numbers["searches"]] == [
        ("tpe", 1, 3, 2), ("random", 1, 3, 2), ("tpe", 2, 3, 2), ("random", 2, 3, 2),
    ]  # fmt: skip
    for number, one in enumerate(numbers["searches"]):
        finite = [trial["value"] for trial in one["trials"] if trial["value"] is not None]
        assert one["found"] == min(finite)
        best, again = (numbers["values"]["validation_loss"][at + number % 2 * 2 + number // 2] for at in (0, 4))
        assert (best, again) == (one["found"], pytest.approx(np.mean(one["fresh"]), abs=2e-5))
        assert one["fresh"][0] != one["found"]
    assert imread("results/small-search.png").std() > 0.02
    assert "1e-3 to" not in page.read_text() and "0.001 to 100, log" in page.read_text()
    assert identity.has_results("small-search", run.search_identity("small-search", made, base))
    other = replace(made, sweep=replace(made.sweep, seeds=(3,)))
    assert not identity.has_results("small-search", run.search_identity("small-search", other, base))

    next(Path(".rally/sweeps/runs").iterdir()).unlink()  # as if it had been killed before that run
    again = run_searches(made, run.samplers_of(made), run.Trainings(made, base).score, Allowance(3))
    assert sum(kept()[name] != first.get(name) for name in kept()) == 1 and kept().keys() == first.keys()
    assert [result.search_json(one) for one in again] == numbers["searches"]


def test_minutes_become_runs_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, made, base = small()
    seconds = iter((6.0, 60.0, 1e9))
    monkeypatch.setattr(budget, "_seconds", lambda *_: next(seconds))
    monkeypatch.setattr(run, "make_data", lambda _: {"": write_tokens(project / "tokens")})
    timed = replace(made, budget=budget_of(made, "minutes", 1))
    assert run.Trainings(timed, base).allowance("a").runs == 10
    assert run.Trainings(timed, base).allowance("a").runs == 10, "a slower machine later changes nothing"
    assert run.Trainings(timed, base).allowance("b").runs == 1
    with pytest.raises(UserError, match=r"search\.budget\.minutes: 1 are too few for a single run"):
        run.Trainings(timed, base).allowance("c")


@pytest.mark.slow
def test_flops_are_those_of_rally_budget(project: Path) -> None:
    _, made, base = small()
    counted = replace(made, budget=budget_of(made, "flops", 1e9))
    allowed = run.Trainings(counted, base).allowance("a")
    one = allowed.cost({"train.lr": 0.1, "model.norm": "layer"})
    assert allowed.runs == int(1e9 / one) > 10
    params = parse(Params, with_knobs(base.sections, {"model.norm": "layer"}))
    vocabulary = json.loads(next(Path(".rally/sweeps/tokenize").rglob("meta.json")).read_text())["vocabulary"]
    assert one == estimate(params, Data(Shape(vocabulary), None, ""), clock=False).flops
    with pytest.raises(UserError, match=r"search\.budget\.flops: 10 are too few for a single run, which takes"):
        run.Trainings(replace(made, budget=budget_of(made, "flops", 10)), base).allowance("a")


def budget_of(made: Search, unit: Any, amount: float) -> Any:
    return made.budget._replace(unit=unit, amount=amount)


# ---------------------------------------------------------------------------------------------------------------- commands


def test_rally_play_says_how_many_runs_a_search_has_and_refuses_what_it_is_not(project: Path) -> None:
    def said(*words: str) -> str:
        done = CliRunner().invoke(cli.app, ["play", "small-search", *words])
        return done.output if done.exception is None else str(done.exception)

    total = "20 trainings: 2 samplers x 2 searches x 3 runs, and 8 of the winners on fresh seeds"
    assert total in said("--dry-run")
    assert "28 trainings" not in said("--dry-run") and "30 trainings" in said("--dry-run", "--seeds", "3")
    assert said("--dry-run", "-n", "a") == "small-search: is a search, not a single DVC experiment; leave out -n and --queue"
    assert said("--dry-run", "--seeds", "1000").startswith("seeds: 1000 is not from 0 to 999")
    assert said("--dry-run", "-S", "train.lr=0.1") == "-S train.lr: the study varies this knob; override another one"
    assert said("--dry-run", "-S", "train.batch_size=4,8") == (
        "-S: a knob has several values; add it to the study's `search` instead"
    )
    assert "Which rate is best?" in said("--about")
    with pytest.raises(UserError, match=r"is a search, not a grid; `rally play small-search` asks what you expect"):
        list(offers("small-search"))
    with pytest.raises(UserError, match="is a search, not a grid"):
        grids.play_study("small-search")


def test_winners_at_the_end_of_a_range_are_told() -> None:
    made = search()
    tried = [Tried(name, seed, [Trial({"train.lr": lr}, 1.0, 1.0)], (1.0, 2.0)) for (name, lr), seed in
             zip((("tpe", 0.9), ("random", 0.8), ("tpe", 0.1), ("random", 0.1)), (1, 1, 2, 2), strict=True)]  # fmt: skip
    assert result.at_edges(made, tried) == [
        "train.lr: 2 of 4 winners lie at an end of its range (0.0001 to 1, log): a better value may lie beyond"
    ]
    assert result.at_edges(made, tried[2:]) == []


def test_optuna_stores_nothing() -> None:
    """Its database is never imported, in a process that has asked it and told it."""
    pytest.importorskip("optuna")
    stores = {"sqlalchemy", "alembic"}
    before = stores & sys.modules.keys()
    tpe = sampler.TpeSampler(BOWL.space, 1)
    for _ in range(12):
        tpe.tell([height(values) for values in tpe.ask(1)])
    assert stores & sys.modules.keys() == before


def test_every_shipped_search_has_a_control_and_its_ends_are_knobs() -> None:
    entries = read_entries(TOP / "studies")
    searches = {name: entry for name, entry in entries.items() if entry.search}
    assert searches
    for name in searches:
        entry = find_entry(name, entries)
        assert entry.search
        assert {claim.control for _, claim in entry.search.sweep.claims} == {True, False}
        sections = with_knobs(read_yaml(TOP / "params.yaml"), entry.set)
        play.check(entry.search, BaseParams(sections))
