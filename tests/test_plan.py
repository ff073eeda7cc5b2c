"""The plan of experiments: its sizes, its file, its page, its order, its forecasts and its checkpoints."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.doctor.case import Case
from pipeline.doctor.diagnose import diagnose
from pipeline.doctor.plan_file import read_expected
from pipeline.doctor.signs.plan import NUMBERS, PLAN, Checkpoint, cut, full_rate_steps, judged
from pipeline.lab.bets.bet import read_bets
from pipeline.lab.bets.question import NumberAnswer
from pipeline.lab.cli import main
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.plan import form, play, standing
from pipeline.lab.plan import page as pages
from pipeline.lab.plan.checkpoints import Interval, as_json, checkpoints
from pipeline.lab.plan.command import _problems
from pipeline.lab.plan.draft import HEAD_ROOM, Wish, draft
from pipeline.lab.plan.forecast import forecast, tokens_of
from pipeline.lab.plan.form import Plan
from pipeline.lab.plan.law import SIZES, law, trouble
from pipeline.lab.plan.page import MEANINGS, span
from pipeline.lab.plan.shapes import Net, nearest, nets, ranked
from pipeline.lab.plan.speed import assumed
from pipeline.lab.plan.steps import Course, Run, course_of, runs_at_most
from pipeline.lab.scaling.own import LEDGER as LADDER
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.readings import Axis, Reading

TOP = Path(__file__).parents[1]
BASE = read_sections(TOP / "params.yaml")


@pytest.fixture(scope="module")
def first() -> Plan:
    """The plan for a 12 GB card, as if none were here."""
    return draft(Wish("first", 12, 2.0, clock=False), BASE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------------------------------- the sizes


def test_the_sizes_fit_the_card_and_the_hours_and_hold_together(first: Plan) -> None:
    assert all(first.tier(name).bytes <= HEAD_ROOM * 12 * 2**30 for name in form.TIERS)
    low, middle, high = first.set.seconds
    assert low < middle < high, "the card is not here, so its speed is a range"
    assert middle == pytest.approx(2 * 3600, rel=0.01)
    assert 6 < first.set.parameters / first.point.parameters < 12
    assert 10e6 < first.set.parameters < 30e6, "what the fits say for two hours at about 10 TFLOP/s"
    for name in form.TIERS:
        tier = first.tier(name)
        params = parse(Params, with_knobs(BASE, {**first.base, **tier.set}))
        assert params.train.steps * params.train.batch_size * params.model.context_length == tier.tokens


def test_a_larger_card_and_more_hours_have_a_larger_network() -> None:
    def best(hours: float, card: float) -> int:
        return ranked(hours * 3600, 480e6, 4096, assumed(card), SIZES)[0].net.parameters

    assert best(0.5, 12) < best(2, 12) < best(8, 12)
    assert best(2, 12) < best(2, 24)


def test_fifty_million_weights_see_few_tokens_in_two_hours_and_the_plan_says_so(first: Plan) -> None:
    [note] = [note for note in first.notes if "do not fit" in note]
    few, many = map(float, re.findall(r"see ([\d.]+) to ([\d.]+) tokens each", note)[0])
    assert few < 4 < many < 10


def test_a_narrow_network_is_slower_than_its_flops_say_and_a_shallow_step_waits_for_its_kernels() -> None:
    card = assumed(12)
    assert card.seconds(1e12, 6, 64, 1, card.low) > 1.5 * card.seconds(1e12, 6, 1024, 1, card.low)
    assert card.seconds(1.0, 6, 512, 1, card.low) > 1e-3
    assert "guess" in card.source and "range" in card.source


def test_a_shape_counts_its_weights_as_the_network_does(first: Plan) -> None:
    knobs = first.set.set
    net = Net(*(knobs[f"model.{name}"] for name in ("depth", "width", "heads", "context_length")), first.vocabulary, 4.0)
    assert net.parameters == pytest.approx(first.set.parameters, rel=1e-3)
    assert nearest(net.parameters, net, nets(first.vocabulary, on_card=True)) == net


def test_times_too_short_and_cards_too_small_are_refused() -> None:
    with pytest.raises(UserError, match="--hours 1e-09: is too short"):
        draft(Wish("x", None, 1e-9, clock=False), BASE)
    with pytest.raises(UserError, match="1 GB card: too little memory"):
        draft(Wish("x", 1, 2.0, clock=False), BASE)
    with pytest.raises(UserError, match=r"there is no text 'tinystory'\. Did you mean 'tinystories'"):
        draft(Wish("x", 12, 2.0, "tinystory", clock=False), BASE)


@pytest.mark.parametrize(
    ("card", "cpu", "hours", "said"),
    [
        (0.0, False, 2.0, "--card 0"),
        (12.0, False, -1.0, "--hours -1"),
        (12.0, False, None, "--hours: is missing"),
        (None, False, 2.0, "--card: is missing"),
        (12.0, True, 2.0, "give one"),
        (math.nan, False, 2.0, "--card nan"),
        (5000.0, False, 2.0, "--card 5000: cannot be the memory of a card in GB; use 1 to 1000"),
        (12.0, False, math.inf, "--hours inf"),
    ],
)
def test_wrong_options_are_refused_in_a_line(card: float | None, cpu: bool, hours: float | None, said: str) -> None:
    [problem] = _problems(card, cpu=cpu, hours=hours)
    assert said in problem


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "x"), "--card: is missing"),
        (("--data", "tinystories"), "--hours: is missing"),
        (("--card", "12", "show", "first"), "rally plan show: is of a written plan, without --card"),
        (("show", "../x"), "there is no plan '../x'. There is none yet; `rally plan --card 12 --hours 2 --name first`"),
        (("show", "x" * 300), "there is no plan"),
        (("run", ""), "there is no plan ''"),
        (("--card", "12", "--hours", "2", "--name", "x" * 300), "use up to 40 letters"),
        (("--card", "12", "--hours", "2", "--data", ""), "--data: there is no text ''"),
    ],
)
def test_a_wrong_command_ends_with_status_2_and_writes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, project)
    monkeypatch.setattr("sys.argv", ["rally", "plan", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not form.FOLDER.exists()


# -------------------------------------------------------------------------------------------------------------- the file


def test_a_plan_comes_back_from_its_file_as_it_was(first: Plan, project: Path) -> None:
    path = form.write(first)
    assert form.read("first") == first
    assert form.plans() == ["first"]
    with pytest.raises(UserError, match="is in use"):
        form.write(first)
    assert form.read("first") == first
    assert "rally plan run first" in path.read_text()


def test_the_name_of_a_plan_in_place_of_a_command_is_answered_with_the_commands(
    first: Plan, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, project)
    form.write(first)
    monkeypatch.setattr("sys.argv", ["rally", "plan", "first"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "is a plan; use `rally plan show first` or `rally plan run first`" in capsys.readouterr().err


def test_a_range_of_times_has_one_unit() -> None:
    assert span([4000.0, 8000.0, 13320.0]) == "1.1 h to 3.7 h"
    assert span([8000.0] * 3) == "2.2 h"


def with_option(plan: dict[str, Any], **changes: object) -> list[dict[str, Any]]:
    """The stages with the first option of the first one changed."""
    check, *others = plan["stages"]
    return [check | {"options": [check["options"][0] | changes]}, *others]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan | {"hours": -2}, "hours"),
        (lambda plan: plan | {"stages": []}, "stages"),
        (lambda plan: plan | {"extra": 1}, "extra"),
        (lambda plan: {name: part for name, part in plan.items() if name != "set"}, "set"),
        (lambda plan: plan | {"name": "other"}, "not that of the file"),
        (lambda plan: plan | {"stages": [*plan["stages"], plan["stages"][0]]}, "two have one name"),
        (lambda plan: plan | {"stages": [{"name": "x", "question": "?", "tier": "huge", "options": []}]}, "huge"),
        (lambda plan: plan | {"stages": [{"name": "x", "question": "?", "tier": "game", "of": "lr"}]}, "not a stage before"),
        (lambda plan: plan | {"data": {}}, "data: has no prepare.dataset"),
        (lambda plan: plan | {"point": plan["point"] | {"set": {}}}, "point.set: has no model.depth"),
        (
            lambda plan: plan | {"set": plan["set"] | {"set": plan["set"]["set"] | {"train.batch_size": 0}}},
            "whole number above 0",
        ),
        (lambda plan: plan | {"stages": with_option(plan, set={"train.steps": [1]})}, "train.steps is [1]; use a whole number"),
        (lambda plan: plan | {"stages": with_option(plan, label="\x1b[31m")}, "stages.0.options.0.label"),
        (lambda plan: plan | {"stages": [plan["stages"][0] | {"again": 10**9}]}, "again: 1000000000 is above 100"),
    ],
)
def test_a_plan_that_was_edited_into_something_impossible_is_refused(
    first: Plan, project: Path, change: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    path = form.write(first)
    path.write_text(yaml.safe_dump(change(yaml.safe_load(path.read_text())), sort_keys=False))
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        form.read("first")
    assert all(line.startswith(str(path)) for line in refused.value.problems)


def test_an_unknown_plan_is_named_with_those_that_are_there(first: Plan, project: Path) -> None:
    with pytest.raises(UserError, match="There is none yet"):
        form.read("frist")
    form.write(first)
    with pytest.raises(UserError, match="Did you mean 'first'"):
        form.read("frist")
    form.path_of("first").write_text("- a list")
    with pytest.raises(UserError, match="holds no plan"):
        form.read("first")
    for name in ("../x", "a b", "e1", "x.lock", "01", "é", "x" * 41):
        with pytest.raises(UserError, match="--name"):
            form.check_free(name)


def test_what_is_no_plan_is_not_listed_and_nothing_is_written_over_it(project: Path) -> None:
    form.FOLDER.mkdir(parents=True)
    form.path_of("folder").mkdir()
    form.path_of("link").symlink_to("nowhere")
    form.path_of("odd name").write_text("x")
    assert form.plans() == []
    for name in ("folder", "link"):
        with pytest.raises(UserError, match="is in use"):
            form.check_free(name)
        with pytest.raises(UserError, match="There is none yet"):
            form.read(name)
    form.FOLDER.rename("plans")
    form.FOLDER.write_text("x")
    with pytest.raises(UserError, match="notebook/plans: is not a folder"):
        form.check_free("first")


# -------------------------------------------------------------------------------------------------------------- the page


def test_the_page_says_what_for_how_long_and_when_to_stop(first: Plan) -> None:
    text = pages.page(first)
    for said in ("a guess", "time per run", "lr", "confirm", "step 0", "step 1000", "50 %", "stop", "do not fit", "8 % free"):
        assert said in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "Nothing was written" in pages.page(first, written=False)
    shown = json.loads(json.dumps(pages.as_json(first)))
    assert shown["runs"]["lr"] == 11 and shown["forecast"]["low"] < shown["forecast"]["high"]
    assert shown["checkpoints"][0]["at"] == "step 0"


def shown_in_documents(card: int) -> str:
    """Made again by `rally plan --card 12 --hours 2 --no-measure --name first`, where there is no such card."""
    text = (TOP / "docs/plan.md").read_text()
    blocks = dict(block.split("\n", 1) for block in re.findall(r"```\n(\$ .*?)\n```", text, re.DOTALL))
    return blocks[f"$ rally plan --card {card} --hours 2 --name first"]


def test_the_documents_show_the_plan_for_12_gb_as_it_is_printed(first: Plan) -> None:
    assert shown_in_documents(12) == pages.page(first)


@pytest.mark.slow
def test_the_documents_show_the_plan_for_24_gb_as_it_is_printed() -> None:
    assert shown_in_documents(24) == pages.page(draft(Wish("first", 24, 2.0, clock=False), BASE))


@pytest.mark.parametrize("name", MEANINGS)
def test_each_number_of_a_checkpoint_has_words(name: str) -> None:
    assert name in NUMBERS
    assert len(MEANINGS[name]) <= 34


@pytest.mark.parametrize("name", NUMBERS)
def test_each_number_of_a_checkpoint_bears_an_empty_run(name: str) -> None:
    assert NUMBERS[name](Case()) is None
    assert name in MEANINGS


# ------------------------------------------------------------------------------------------------------------- the order


def losses(first: Plan, best: float, noise: float = 0.004) -> Callable[[Run], float]:
    """A world in which a learning rate is best, and nothing else matters."""

    def of(run: Run) -> float:
        chance = random.Random(f"{run.name}{run.seed}").gauss(0, noise)
        away = math.log2(run.knobs.get("train.lr", 0.03) / best)
        return SIZES.loss(first.tier(run.tier).parameters, tokens_of(run)) + 0.02 * away**2 + chance

    return of


def played(first: Plan, world: Callable[[Run], float], most: int = 99) -> tuple[Course, list[Run]]:
    """A plan that is played in a world: where it stands in the end, and its runs in order."""
    kept: dict[str, float] = {}
    runs: list[Run] = []
    while (course := course_of(first, lambda run: kept.get(run.name))).next and len(runs) < most:
        runs.append(course.next)
        kept[course.next.name] = world(course.next)
    return course, runs


def test_a_plan_is_played_to_its_end_and_finds_the_best_rate(first: Plan) -> None:
    course, runs = played(first, losses(first, best=0.02))
    assert course.next is None
    assert [run.name for run in runs] == [f"first-{number:02d}" for number in range(1, len(runs) + 1)]
    assert course.found["train.lr"] in (0.01, 0.02, 0.04)
    assert [one.stage for one in course.outcomes] == [stage.name for stage in first.stages]
    assert len(runs) == sum(count for _, count in runs_at_most(first))
    assert runs[-1].knobs["train.lr"] == course.found["train.lr"] and runs[-1].tier == "set"
    for run in runs:
        parse(Params, with_knobs(BASE, run.knobs))


def test_a_range_is_widened_once_where_the_best_value_is_at_its_end(first: Plan) -> None:
    _, runs = played(first, losses(first, best=0.3))
    rates = [run.knobs["train.lr"] for run in runs if run.stage == "lr" and run.seed == 1]
    assert rates == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16]


def test_what_is_better_by_chance_is_not_taken(first: Plan) -> None:
    course, _ = played(first, losses(first, best=0.02, noise=0.02))
    by_stage = {one.stage: one for one in course.outcomes}
    kept = [by_stage[name].winner for name in ("batch", "decay", "schedule", "shape", "stability")]
    assert kept.count("as it is") >= 4


def test_a_batch_that_wins_leaves_the_larger_sizes_their_tokens(first: Plan) -> None:
    plain = losses(first, best=0.02)
    course, runs = played(first, lambda run: plain(run) - (1.0 if run.knobs["train.batch_size"] == 256 else 0.0))
    last = runs[-1]
    assert next(one for one in course.outcomes if one.stage == "batch").winner == "64k tokens per step"
    assert last.knobs["train.batch_size"] == 256
    assert tokens_of(last) == pytest.approx(first.set.tokens, rel=1e-3)


@pytest.mark.parametrize("batch", [128, 256])
def test_the_best_rate_is_confirmed_beside_the_next_lower_one_as_the_batch_left_them(first: Plan, batch: int) -> None:
    plain = losses(first, best=0.025, noise=0.0)  # 0.02 is best, 0.04 comes second
    _, runs = played(first, lambda run: plain(run) - (1.0 if run.knobs["train.batch_size"] == batch else 0.0))
    rates = [run.knobs["train.lr"] for run in runs if run.stage == "confirm"]
    factor = (batch / 128) ** 0.5
    assert rates == pytest.approx([0.02 * factor] * 3 + [0.01 * factor] * 3, rel=0.01)


def test_without_a_lower_rate_the_best_is_confirmed_beside_the_runner_up(first: Plan) -> None:
    _, runs = played(first, losses(first, best=0.001, noise=0.0))
    rates = [run.knobs["train.lr"] for run in runs if run.stage == "confirm"]
    assert rates == [0.00125] * 3 + [0.0025] * 3, "the range was widened once, and not further"


def test_a_run_that_diverged_is_done_and_never_wins(first: Plan) -> None:
    world = losses(first, best=0.02)
    course, _ = played(first, lambda run: math.inf if run.knobs.get("train.lr", 0) >= 0.04 else world(run))
    assert course.next is None and course.found["train.lr"] <= 0.02


def test_a_stage_is_not_begun_before_the_one_before_it_has_a_winner(first: Plan) -> None:
    course, runs = played(first, losses(first, best=0.02), most=5)
    assert [one.stage for one in course.outcomes] == ["check", "precision"]
    assert course.next is not None and course.next.stage == "lr" and len(runs) == 5


# --------------------------------------------------------------------------------------------------------- the forecasts


def test_forecasts_narrow_as_runs_end_and_hold_most_of_the_time(first: Plan) -> None:
    inside, widths = [], []
    world = losses(first, best=0.02)
    course, runs = played(first, world)
    for number, run in enumerate(runs):
        expected = forecast(first, run, course.done[:number])
        assert expected.low < expected.median < expected.high
        inside.append(expected.low <= course.done[number][1] <= expected.high)
        widths.append(expected.high - expected.low)
    assert sum(inside) / len(inside) >= 0.6
    assert widths[0] > widths[-2]


def test_without_any_run_or_law_a_forecast_is_wide_and_says_why(first: Plan) -> None:
    run = course_of(first, lambda run: None).next
    assert run is not None
    other = first.model_copy(update={"data": {"prepare.dataset": "shakespeare"}})
    assert "guess" in forecast(other, run, []).because
    known = other.model_copy(update={"levels": {"unigram": 5.0, "bigram": 4.0, "entropy": 3.5}})
    expected = forecast(known, run, [])
    assert 3.4 < expected.low < expected.high <= 5.0 and "bigram" in expected.because


def test_the_law_is_that_of_the_own_ladder_where_there_is_one_for_the_text(project: Path) -> None:
    assert law("markov") is SIZES
    LADDER.parent.mkdir()
    numbers = {"E": 1.0, "A": 10.0, "alpha": 0.3, "B": 20.0, "beta": 0.3}
    own = {"count": "all", "data": {"dataset": "markov", "tokenizer": "char"}, "entropy": 1.0, "fit": {"law": numbers}}
    own["top"] = [{"forecast": [1.9, 2.0, 2.2]}]
    LADDER.write_text(json.dumps({"ladders": {"mine": own}}))
    found = law("markov")
    assert found.loss(1e6, 1e6) == pytest.approx(1.0 + 30 / 1e6**0.3)
    assert "own ladder 'mine'" in found.source and found.error == pytest.approx(0.15)
    assert found.is_of("markov", 32, {"entropy": 1.01}) and not found.is_of("markov", 32, {"entropy": 2.5})
    assert law("tinystories") is SIZES, "the ladder is of another text"
    LADDER.write_text(json.dumps({"ladders": {"mine": {**own, "data": {"dataset": "markov", "tokenizer": "bpe"}}}}))
    assert not law("markov").is_of("markov", 1024, {}), "losses of two vocabularies cannot be compared"
    wrong = (
        {},
        {"ladders": 3},
        {"ladders": {"mine": {**own, "fit": {"law": numbers | {"A": -1}}}}},
        {"ladders": {"mine": {**own, "count": "blocks"}}},
    )
    for broken in ("no json", "[]", "[" * 100_000, '{"ladders": {"x": 1}}', *map(json.dumps, wrong)):
        LADDER.write_text(broken)
        assert law("markov") is SIZES
        assert trouble().startswith("notebook/ladder.json") == (broken not in map(json.dumps, wrong[2:])), "damage is said"
    for number in ({"alpha": 400.0}, {"A": 10**400}, {"E": -3.0}):
        LADDER.write_text(json.dumps({"ladders": {"mine": {**own, "fit": {"law": numbers | number}}}}))
        assert law("markov") is SIZES, "no run has such a law"
    LADDER.unlink()
    assert trouble() == ""


# ----------------------------------------------------------------------------------------------------------- checkpoints


EXPECTED = Interval(2.0, 2.2, 2.4, "a test")


def healthy(steps: int = 1500, warm_up: int = 0) -> Case:
    """A run on 64 symbols that learns as it should; a row of its curve for each two steps."""
    at = list(range(2, steps + 1, 2))
    rate = [min(1.0, step / warm_up) if warm_up else 1.0 for step in at]
    fallen = [2.2 + 1.96 * math.exp(-step / 60) for step in at]
    return Case(
        train={"step": at, "loss": fallen, "lr": rate, "gradient_norm": [1.0] * len(at), "clipped": [0.0] * len(at)},
        validation={"step": [steps], "loss": [2.2]},
        progress={"step": steps, "diverged": False},
        sanity={"loss": 4.16, "uniform": 4.159, "start_excess": 0.0, "logit_variance": 0.1, "future": 0.0, "across_batch": 0.0},
        levels={"uniform": 4.159, "unigram": 4.0, "bigram": 3.0},
        readings={"dead_units": dead([0.0, 0.0, 0.0], steps)},
        knobs={"train": {"steps": steps, "grad_clip": 1.0}},
        plan={"checkpoints": [as_json(one) for one in checkpoints(steps, EXPECTED)]},
    )


def dead(shares: list[float], steps: int) -> Reading:
    axes = (Axis("block", ["block 1"]), Axis("step", [0, 50, steps]))
    return Reading("dead_units", "heat", "share", "Healthy: 0.", axes, [shares])


def missed(case: Case) -> set[tuple[str, str]]:
    return {(one.checkpoint.at, one.checkpoint.what) for one in judged(case) if not one.held}


def with_loss(case: Case, change: Callable[[int, float], float]) -> Case:
    rows = zip(case.train["step"], case.train["loss"], strict=True)
    return replace(case, train={**case.train, "loss": [change(int(step or 0), loss or 0.0) for step, loss in rows]})


def test_a_healthy_run_meets_every_checkpoint_and_a_run_without_a_plan_has_none() -> None:
    found = judged(healthy())
    assert {one.checkpoint.at for one in found} == {
        "step 0",
        "step 1",
        "step 10",
        "step 100",
        "step 1000",
        "10 %",
        "25 %",
        "50 %",
        "end",
    }
    assert all(one.held for one in found)
    assert diagnose(replace(healthy(), knobs={})).checkpoints
    bare = diagnose(replace(healthy(), plan={}))
    assert not bare.checkpoints and "checkpoints" not in bare.as_json()
    assert not {sign.name for sign in bare.signs} & PLAN.keys()


SPOILT: dict[str, tuple[Callable[[Case], Case], tuple[str, str]]] = {
    "sees the future": (lambda case: replace(case, sanity={**case.sanity, "future": 0.1}), ("step 0", "future_leak")),
    "mixes examples": (lambda case: replace(case, sanity={**case.sanity, "across_batch": 0.1}), ("step 0", "batch_leak")),
    "starts high": (lambda case: replace(case, sanity={**case.sanity, "loss": 6.0}), ("step 0", "start_loss")),
    "starts odd": (lambda case: replace(case, sanity={**case.sanity, "start_excess": 0.4}), ("step 0", "start_excess")),
    "is told the text": (lambda case: replace(case, levels={**case.levels, "overlap": 0.9}), ("step 0", "overlap")),
    "jumps at once": (lambda case: with_loss(case, lambda at, loss: 5.0 if at == 2 else loss), ("step 1", "rise_at_start")),
    "goes uphill": (lambda case: with_loss(case, lambda at, loss: 4.6), ("step 10", "training_loss")),
    "stays at unigram": (lambda case: with_loss(case, lambda at, loss: 4.0), ("step 100", "training_loss")),
    "is too good": (lambda case: with_loss(case, lambda at, loss: 0.01), ("step 100", "training_loss")),
    "peaks": (lambda case: with_loss(case, lambda at, loss: 6.0 if at == 40 else loss), ("step 100", "highest_loss")),
    "loses units": (lambda case: replace(case, readings={"dead_units": dead([0.0, 0.9, 0.9], 1500)}), ("step 100", "dead")),
    "stays at bigram": (lambda case: with_loss(case, lambda at, loss: max(loss, 3.05)), ("step 1000", "training_loss")),
    "is slow": (lambda case: with_loss(case, lambda at, loss: max(loss, 3.5)), ("25 %", "training_loss")),
    "ends high": (lambda case: replace(case, validation={"step": [1500], "loss": [2.5]}), ("end", "validation_loss")),
    "ends too low": (lambda case: replace(case, validation={"step": [1500], "loss": [1.5]}), ("end", "validation_loss")),
}
"""How a run can be spoilt, and the checkpoint that it must miss."""


@pytest.mark.parametrize("name", SPOILT)
def test_a_run_that_is_spoilt_misses_its_checkpoint_and_is_off_plan(name: str) -> None:
    spoil, place = SPOILT[name]
    case = spoil(healthy())
    assert place in missed(case)
    found = next(finding for finding in diagnose(case).findings if finding.name == "off plan")
    assert set(found.evidence) <= PLAN.keys()
    row = next(one for one in diagnose(case).as_json()["checkpoints"] if not one["held"])
    assert row["missed"]


def test_what_comes_later_does_not_excuse_or_spoil_what_came_before() -> None:
    late = with_loss(healthy(), lambda at, loss: 9.0 if at > 1200 else loss)
    assert {at for at, _ in missed(late)} <= {"end"}
    assert cut(healthy(), "step 100").train["step"][-1] == 100  # type: ignore[union-attr]
    assert cut(healthy(), "25 %").train["step"][-1] in (374, 376)  # type: ignore[union-attr]
    assert cut(healthy(), "step 0").readings["dead_units"].values == [[0.0]]  # type: ignore[union-attr]


def test_steps_of_a_warm_up_count_as_their_rate() -> None:
    counted = dict(full_rate_steps(healthy(warm_up=100)))
    assert counted[100] == pytest.approx(51, abs=1)
    assert counted[200] == pytest.approx(151, abs=1)
    slow = with_loss(healthy(warm_up=200), lambda at, loss: 4.16 if at < 120 else 2.4)
    assert missed(slow) == missed(healthy()), "step 100 is step 200 here"


def test_a_run_that_was_stopped_has_missed_what_it_did_not_reach() -> None:
    case = healthy(steps=60)
    case = replace(case, knobs={"train": {"steps": 1500}}, plan=healthy().plan, progress={"stopped": "rose", "diverged": True})
    assert {"step 100", "step 1000", "end"} <= {at for at, _ in missed(case)}


def test_a_run_with_other_knobs_than_the_plan_says_is_not_compared() -> None:
    case = with_loss(healthy(), lambda at, loss: 4.6)
    assert missed(replace(case, plan={**case.plan, "knobs": {"train.steps": 1500}})) == missed(case) != set()
    assert judged(replace(case, plan={**case.plan, "knobs": {"train.steps": 1501}})) == []


def test_a_checkpoint_whose_baseline_is_unknown_is_not_judged() -> None:
    case = healthy()
    known = {name: value for name, value in case.levels.items() if name != "bigram"}
    assert ("step 1000", "training_loss") not in {
        (one.checkpoint.at, one.checkpoint.what) for one in judged(replace(case, levels=known))
    }


# --------------------------------------------------------------------------------------------------- a run and its file


def a_run(first: Plan) -> Run:
    run = course_of(first, lambda run: None).next
    assert run is not None
    return run


def test_the_command_of_a_run_is_an_ordinary_experiment_with_all_its_knobs(first: Plan) -> None:
    words = play.command(a_run(first), BaseParams(BASE, {"train.lr": (0.5, 0.03)}))
    assert words[:5] == ["dvc", "exp", "run", "-n", "first-01"]
    knobs = dict(word.split("=", 1) for word in words[6::2])
    assert knobs["plan.path"] == "notebook/plans/first/01.yaml"
    assert knobs["train.lr"] == "0.03", "what an earlier experiment left in params.yaml is reset"
    assert knobs["prepare.dataset"] == "tinystories" and knobs["train.steps"] == "200" and knobs["seed"] == "1"


def test_the_file_of_a_run_is_read_back_by_the_doctor(first: Plan, project: Path) -> None:
    play.write_expected(a_run(first), EXPECTED)
    content = read_expected(Path("notebook/plans/first/01.yaml"))
    assert content["forecast"]["median"] == 2.2
    assert [Checkpoint(**row) for row in content["checkpoints"]] == list(checkpoints(200, EXPECTED))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": "step -1"}, "not a place"),
        ({"what": "deadd"}, "Did you mean 'dead'"),
        ({"high": "many"}, "finite number"),
        ({"high": None}, "finite number"),
        ({"low": 5.0, "high": 1.0}, "no run can meet both"),
        ({"plus": {"trigram": 1.0}}, "Did you mean 'bigram'"),
        ({"plus": {"bigram": 7}}, "not a share"),
        ({"plus": 3}, "not baselines"),
        ({"missed": 3}, "not a text"),
        ({"hihg": 3}, "Did you mean 'high'"),
    ],
)
def test_a_checkpoint_that_was_edited_into_something_impossible_is_refused(
    project: Path, change: Mapping[str, Any], said: str
) -> None:
    path = Path("run.yaml")
    path.write_text(yaml.safe_dump({"checkpoints": [{"at": "step 100", "what": "dead", "high": 0.3} | change]}))
    with pytest.raises(UserError, match=re.escape(said)):
        read_expected(path)


def test_a_file_without_checkpoints_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        read_expected(Path("none.yaml"))
    Path("knobs.yaml").write_text(yaml.safe_dump({"knobs": 3, "checkpoints": [{"at": "end", "what": "dead", "high": 0.3}]}))
    with pytest.raises(UserError, match="knobs: 3 is not"):
        read_expected(Path("knobs.yaml"))
    Path("empty.yaml").write_text("{}")
    with pytest.raises(UserError, match="has no list"):
        read_expected(Path("empty.yaml"))


def test_a_forecast_is_a_bet_of_the_plan_made_once_and_scored(first: Plan, project: Path) -> None:
    run = a_run(first)
    play._bet(run, EXPECTED)
    play._bet(run, Interval(1.0, 1.1, 1.2, "a second look after an interruption"))
    [bet] = read_bets()
    assert bet.who == "plan" and not bet.late
    assert isinstance(bet.answer, NumberAnswer) and bet.answer.low == 2.0
    [line] = play.settle_open({run.name: 2.3})
    assert "inside" in line and "held 1 of 1" in line
    assert play.settle_open({run.name: 2.3}) == []


def test_an_experiment_of_the_same_name_with_other_knobs_is_not_taken_for_a_run(
    first: Plan, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(first)
    there = with_knobs(BASE, {**run.knobs, "plan.path": "notebook/plans/first/01.yaml"})
    files = {"params.yaml": yaml.safe_dump(there), "metrics/evaluate.json": json.dumps({"loss": 2.5})}
    monkeypatch.setattr(standing, "commit_of", lambda name: "c0ffee")
    monkeypatch.setattr(standing, "git", lambda *words: files.get(words[-1].partition(":./")[2]))
    assert standing.loss_of(run) == 2.5
    files["metrics/evaluate.json"] = json.dumps({"diverged": True})
    assert standing.loss_of(run) == math.inf
    files["params.yaml"] = yaml.safe_dump(with_knobs(there, {"train.steps": 7}))
    with pytest.raises(UserError, match=r"train\.steps 7, not 200"):
        standing.loss_of(run)
