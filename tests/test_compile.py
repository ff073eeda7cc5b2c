"""The page of all observations: what stands on it, which next steps are proposed, and that equal notebooks give equal bytes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main
from seeded import KNOBS, variant

from pipeline.lab.bets.bet import Bet
from pipeline.lab.bets.outcomes import Outcome
from pipeline.lab.bets.question import NumberAnswer, Question, Target
from pipeline.lab.cli import app
from pipeline.lab.comparison.comparison import Comparison, Interaction, Ruling
from pipeline.lab.dvc.overrides import check_overrides, expand_grid, params_overrides
from pipeline.lab.experiments.records import Group, Knob
from pipeline.lab.provenance.origin import flatten
from pipeline.lab.statistics.intervals import ALPHA, Interval
from pipeline.lab.studies.entries import read_entries
from pipeline.lab.summary.compose import document
from pipeline.lab.summary.document import markdown
from pipeline.lab.summary.gather import duel_lines, finding_counts, in_order, treatment
from pipeline.lab.summary.grids import grid_of, played_grids
from pipeline.lab.summary.next_plays import missed_by, surprises, undecided_claims
from pipeline.lab.summary.next_runs import confounded, edges, experiments_to_run, open_questions, retuned, treated
from pipeline.lab.summary.page import html
from pipeline.lab.summary.records import ClaimLine, Grid, Notebook, Place, Treatment
from pipeline.lab.summary.request import EMPTY, accepts, compile_all, json_of, next_steps
from pipeline.lab.summary.settings import Setting, settings_of
from pipeline.lab.summary.step import MOST, MOST_OF_A_KIND, Kind, Step, cost_of, ranked
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml

TOP = Path(__file__).resolve().parents[1]
SMALL = {"train.steps": 100}
LOW, MIDDLE, HIGH = [2.10, 2.11, 2.12], [2.20, 2.21, 2.19], [2.30, 2.31, 2.29]
NEAR = [2.13, 2.08, 2.15]  # cannot be told from LOW


def setting(*groups: Group, metric: str | None = None, base: Mapping[str, Knob] = KNOBS) -> Setting:
    """The only setting of some variants."""
    (found,) = settings_of([one for group in groups for one in group.experiments], metric, base)
    return found


def rates(values: Mapping[float, Sequence[float]], **knobs: Knob) -> list[Group]:
    """A variant for each learning rate."""
    return [variant(f"lr{rate}", scores, train__lr=rate, **knobs) for rate, scores in values.items()]


# -------------------------------------------------------------------------------------------------------------- settings


def test_tasks_and_data_are_settings_of_their_own_each_with_its_metric() -> None:
    language = [variant("a", LOW), variant("b", HIGH, train__lr=0.1)]
    images = [
        variant(name, scores, "accuracy", task__kind="vision", prepare__dataset="digits", train__lr=rate)
        for name, scores, rate in (("c", [0.90, 0.91, 0.92], 0.03), ("d", [0.80, 0.81, 0.79], 0.1))
    ]
    other = variant("e", LOW, prepare__seed=4)
    found = settings_of([one for group in (*images, other, *language) for one in group.experiments], None, KNOBS)
    assert [(one.title, one.metric, one.best and one.best.name) for one in found] == [
        ("language, markov, prepare.seed 3", "bits_per_byte", "a"),
        ("language, markov, prepare.seed 4", "bits_per_byte", "e"),
        ("vision, digits", "accuracy", "c"),
    ]
    assert found[1].comparison is None
    assert {one.metric for setting in found for one in setting.differences} == {"bits_per_byte", "accuracy"}


def test_seeds_are_one_variant_and_the_best_stands_first_unless_a_seed_diverged() -> None:
    found = setting(
        variant("worse", HIGH, train__lr=0.1),
        variant("lost", [1.9, 1.9, 1.9], diverged=[4], train__lr=0.3),
        variant("best", LOW),
    )
    assert [one.name for one in found.groups] == ["lost", "best", "worse"]
    assert found.best is found.groups[1]


def test_all_differences_of_the_page_share_one_correction() -> None:
    close = [variant("a", [2.10, 2.11, 2.12]), variant("b", [2.14, 2.135, 2.155], train__lr=0.1)]
    alone = setting(*close)
    (before,) = alone.differences
    assert before.ruling is Ruling.WORSE and before.p is not None and before.adjusted is not None
    assert ALPHA / 4 < before.p < ALPHA, "decided alone, and not beside three more"
    more = [
        variant(name, scores, prepare__seed=4, train__lr=rate)
        for name, scores, rate in (("c", LOW, 0.03), ("d", NEAR, 0.1), ("e", [2.11, 2.12, 2.09], 0.3))
    ]
    both = settings_of([one for group in (*close, *more) for one in group.experiments], None, KNOBS)
    after = both[0].differences[0]
    assert sum(len(one.differences) for one in both) == 4
    assert after.ruling is Ruling.UNDECIDED and after.adjusted is not None and after.adjusted > ALPHA
    assert after.gap and before.gap and after.gap.high - after.gap.low > before.gap.high - before.gap.low
    assert after.needed and after.needed > 3 and "seed=4" in after.command


def test_a_metric_that_nothing_has_is_refused_and_one_that_some_have_decides_there_alone() -> None:
    groups = [variant("a", LOW, also={"loss": 1.0}), variant("b", [0.9, 0.8], "accuracy", task__kind="vision")]
    experiments = [one for group in groups for one in group.experiments]
    assert [one.metric for one in settings_of(experiments, "loss", KNOBS)] == ["loss", "accuracy"]
    with pytest.raises(UserError, match=r"--metric los: there is no such score.*loss"):
        settings_of(experiments, "los", KNOBS)


# ----------------------------------------------------------------------------------------------------- what to try next


def test_the_best_value_at_an_edge_is_extended_and_one_inside_is_not() -> None:
    at_edge = setting(*rates({0.01: HIGH, 0.03: MIDDLE, 0.1: LOW}))
    (step,) = edges(at_edge, KNOBS)
    assert "-S train.lr=0.33 -S seed=1,2,3" in step.command and step.cost == "3 runs"
    assert "is the best of the 3 values" in step.reason and "largest" in step.reason
    inside = setting(*rates({0.01: HIGH, 0.03: LOW, 0.1: MIDDLE}))
    assert not list(edges(inside, KNOBS))
    two = setting(*rates({0.03: HIGH, 0.1: LOW}))
    assert [one.kind for one in edges(two, KNOBS)] == [Kind.EDGE]
    assert not list(edges(setting(*rates({0.03: LOW, 0.1: NEAR})), KNOBS)), "of two that do not differ neither is an edge"
    words = setting(variant("a", LOW, train__optimizer="adamw"), variant("b", HIGH))
    assert not list(edges(words, KNOBS)), "names have no edge"
    beyond_lost = setting(*rates({0.01: HIGH, 0.03: MIDDLE, 0.1: LOW}), variant("far", [], diverged=[1], train__lr=0.3))
    assert not list(edges(beyond_lost, KNOBS)), "it diverged beyond"


def test_a_value_that_a_knob_cannot_have_is_not_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP)
    shares = [variant(f"w{share}", scores, train__warmup_ratio=share) for share, scores in ((0.4, HIGH), (0.9, LOW))]
    found = Notebook([setting(*shares)], base={**KNOBS, "train.warmup_ratio": 0.4})
    assert [one.kind for one in experiments_to_run(found)] == [Kind.EDGE]
    assert not next_steps(found)


def test_undecided_with_few_seeds_asks_for_more_and_a_decided_or_long_repeated_one_does_not() -> None:
    (step,) = open_questions(setting(variant("a", LOW), variant("b", [2.14, 2.09, 2.17], train__lr=0.1)))
    assert step.kind is Kind.UNDECIDED and "seed=" in step.command and "3 each of" in step.reason
    assert not list(open_questions(setting(variant("a", LOW), variant("b", HIGH, train__lr=0.1))))
    equal = setting(variant("a", [2.1, 2.1, 2.1]), variant("b", [2.1, 2.1, 2.1], train__lr=0.1))
    assert not list(open_questions(equal)), "no number of seeds tells"
    many = setting(variant("a", LOW * 3), variant("b", [2.14, 2.09, 2.17] * 3, train__lr=0.1))
    assert many.differences[0].ruling is Ruling.UNDECIDED
    assert not list(open_questions(many)), "nine seeds each"


def moving(found: Setting, *moved: Interaction) -> Setting:
    assert isinstance(found.comparison, Comparison)
    return replace(found, comparison=replace(found.comparison, interactions=moved))


def test_an_interaction_asks_to_tune_again_where_that_was_not_done() -> None:
    grid = [
        variant(f"{name}{rate}", [score + 0.1 * abs(place - best) for score in LOW], train__lr=rate, train__optimizer=name)
        for name, best in (("muon", 2), ("adamw", 0))
        for place, rate in enumerate((0.01, 0.03, 0.1))
    ]
    found = setting(*grid)
    assert not list(retuned(moving(found), KNOBS))
    moved = Interaction("train.lr", "train.optimizer", {"muon": 0.1, "adamw": 0.01})
    (finer,) = retuned(moving(found, moved), KNOBS)
    assert finer.kind is Kind.INTERACTION and "train.lr=0.017" in finer.command
    untuned = setting(*grid, variant("sgd", LOW, train__optimizer="sgd"))
    (there,) = retuned(moving(untuned, moved), KNOBS)
    assert "-n sgd-lr" in there.command and "train.lr=0.01,0.1" in there.command and "train.optimizer=sgd" in there.command


def test_a_knob_that_never_moved_alone_is_moved_and_one_that_did_is_not() -> None:
    base, both = variant("base", HIGH), variant("both", LOW, train__lr=0.1, model__depth=6)
    found = {one.command.partition(" -S ")[2] for one in confounded(setting(base, both), KNOBS)}
    assert found == {
        "train.lr=0.1 -S model.depth=3 -S seed=1,2,3",
        "model.depth=6 -S train.lr=0.03 -S seed=1,2,3",
    }
    alone = setting(base, both, variant("one", MIDDLE, train__lr=0.1))
    assert not [one for one in confounded(alone, KNOBS) if "train.lr=0.03" in one.command], "lr moved alone"
    assert not list(confounded(alone, KNOBS)), "and then depth did, too"


OVERFITS = Treatment("b", "overfits", "too_little_decay", "train.weight_decay", "dvc exp run -S train.weight_decay=0.2")


def test_a_finding_is_looked_into_once_on_the_variant_itself() -> None:
    groups = [variant("a", HIGH, train__weight_decay=0.1), variant("b", LOW, train__lr=0.1, train__weight_decay=0.1)]
    (step,) = treated(setting(*groups), [OVERFITS, replace(OVERFITS, experiment="b-seed2")], KNOBS)
    assert "-S train.lr=0.1 -S train.weight_decay=0.2" in step.command, "with its other knobs"
    assert step.kind is Kind.FINDING and step.about_best and "overfits in b" in step.reason
    tried = variant("c", LOW, train__lr=0.1, train__weight_decay=0.2)
    assert not list(treated(setting(*groups, tried), [OVERFITS], KNOBS)), "somebody tried it"
    assert not list(treated(setting(*groups), [], KNOBS))


def test_the_cause_of_a_diagnosis_is_the_first_with_a_command() -> None:
    causes = [{"name": "bug", "command": ""}, {"name": "rate", "knob": "train.lr", "command": "dvc exp run -S train.lr=0.1"}]
    content = json.dumps({"findings": [{"name": "slow", "causes": causes}, {"name": "other", "causes": causes}]}).encode()
    assert treatment("a", content) == [Treatment("a", "slow", "rate", "train.lr", "dvc exp run -S train.lr=0.1")]
    for nothing in (None, b"", b"[]", b'{"findings": []}', b'{"findings": [{"name": "slow", "causes": []}]}'):
        assert treatment("a", nothing) == []
    for command in (5, ["a"], 'dvc exp run -S "a'):
        odd = {"findings": [{"name": 3, "causes": [{"name": 2, "command": command}]}]}
        assert treatment("a", json.dumps(odd).encode()) == []


def grid(**changed: object) -> Grid:
    place = Place("train.lr 0.1", {"loss": Interval(1.0, 1.1, 1.2)})
    plain = Grid("lr-sweep", "Which rate?", (place,) * 7, (1, 2, 3), (("at_most", "undecided", "says so"),))
    return replace(plain, **changed)  # type: ignore[arg-type]


def test_an_undecided_claim_of_a_study_gets_as_many_seeds_again() -> None:
    (step,) = undecided_claims(grid())
    assert (step.command, step.cost) == ("rally play lr-sweep --seeds 4-6", "21 runs")
    for other in (
        grid(verdicts=(("at_most", "held", ""),)),
        grid(seeds=tuple(range(1, 10))),
        grid(own_seeds=False),
        grid(is_known=False),
    ):
        assert not list(undecided_claims(other))


def bet(low: float, high: float, truth: float, name: str = "study lr-sweep: best train.lr by loss", **changed: object) -> Bet:
    question = Question("?", "number", logarithmic=bool(changed.pop("logarithmic", False)))
    plain = Bet("1", "learner", Target(name, "x"), question, NumberAnswer(low, low, high), "2026-01-01", False, Outcome(truth))
    return replace(plain, **changed)  # type: ignore[arg-type]


def test_a_forecast_that_missed_by_more_than_two_intervals_is_replicated() -> None:
    played = Notebook(grids=[grid()], bets=[bet(1.0, 2.0, 4.5)])
    (step,) = surprises(played)
    assert (step.kind, step.command, step.cost) == (Kind.SURPRISE, "rally play lr-sweep --fresh", "21 runs")
    for other in (bet(1.0, 2.0, 3.9), bet(1.0, 2.0, 1.5), bet(1.0, 2.0, 9.0, late=True), bet(1.0, 2.0, 9.0, outcome=None)):
        assert not list(surprises(replace(played, bets=[other])))
    assert not list(surprises(replace(played, bets=[bet(1.0, 2.0, 9.0, "day1 rate")]))), "nothing repeats a drill"
    assert missed_by(bet(1.0, 10.0, 2000.0, logarithmic=True)) == pytest.approx(2.3, abs=0.01)


def test_a_missed_forecast_of_an_experiment_asks_for_two_more_seeds() -> None:
    found = Notebook([setting(variant("a", LOW))], bets=[bet(1.0, 1.1, 2.1, "exp a: bits_per_byte")], base=KNOBS)
    (step,) = surprises(found)
    assert step.command.endswith("-S seed=4,5") and step.cost == "2 runs"


def test_at_most_five_steps_and_of_no_kind_more_than_two() -> None:
    steps = [Step(kind, f"{kind.name} {number}", "1 run", "why", number < 3, number) for kind in Kind for number in range(4)]
    found = ranked(steps)
    assert len(found) == MOST
    assert max(sum(one.kind is kind for one in found) for kind in Kind) == MOST_OF_A_KIND
    assert [one.command for one in found[:3]] == ["EDGE 2", "EDGE 1", "UNDECIDED 2"], "about the best first, then by kind"
    assert ranked(reversed(steps)) == found
    assert ranked(steps, lambda command: "EDGE" not in command)[0].kind is Kind.UNDECIDED


def test_no_two_steps_queue_the_same_experiment() -> None:
    steps = [Step(Kind.UNDECIDED, f"shared\nline {number}", "1 run", "why") for number in range(2)]
    assert [one.command for one in ranked(steps)] == ["shared\nline 0"]


def test_the_cost_counts_the_runs_of_all_lines() -> None:
    assert (
        cost_of("./run dvc exp run -S seed=1,2\n./run dvc exp run -S train.lr=0.1 -S seed=4", 1500) == "3 runs of 1,500 steps"
    )
    assert cost_of("./run dvc exp run -S 'prepare.mixture=[a,b]' -S seed=4") == "1 run"
    assert cost_of("./run dvc exp run -S seed=4", 1) == "1 run of 1 step"


def test_the_cost_is_that_of_the_steps_which_the_command_sets() -> None:
    assert cost_of("./run dvc exp run -S train.steps=100 -S seed=4", 1800) == "1 run of 100 steps"
    two = "./run dvc exp run -S train.steps=100,3000\n./run dvc exp run -S seed=4"
    assert cost_of(two, 1800) == "3 runs of 100 to 3,000 steps"


# ----------------------------------------------------------------------------------------------------------- whole pages


def real_base() -> dict[str, Knob]:
    """The knobs of params.yaml; a list as one text."""
    knobs = flatten(read_yaml(TOP / "params.yaml"))
    return {name: value if isinstance(value, Knob) else str(value) for name, value in knobs.items()}


def whole(base: Mapping[str, Knob]) -> Notebook:
    """A notebook with something for every rule, of knobs that params.yaml has."""
    made = [
        *rates({0.01: HIGH, 0.03: MIDDLE, 0.1: LOW}, train__weight_decay=0.1),
        variant("near", NEAR, train__lr=0.1, train__weight_decay=0.3),
        variant("both", MIDDLE, train__lr=0.1, model__depth=6, train__weight_decay=0.2),
        variant("lost|one", [2.5, 2.6, 2.5], diverged=[4, 5], train__lr=0.3, model__depth=6),
    ]
    real = [
        replace(one, knobs={**base, **one.knobs, "train.steps": 1500}, finding="overfits" if one.name == "lr0.1" else "")
        for group in made
        for one in group.experiments
    ]
    settings = settings_of(real, None, base)
    return Notebook(
        settings,
        [grid(verdicts=(("at_most", "undecided", "loss is at most 1"), ("at_most, a control", "held, and should not", "x")))],
        [
            ClaimLine("grokking", "held", "exploratory", 3, "it comes late"),
            ClaimLine("old", "refuted", "", 3, "x", "stale: code (a)"),
        ],
        [bet(1.0, 2.0, 4.5), bet(1.0, 2.0, 1.5), bet(1.0, 2.0, 1.5, outcome=None)],
        [replace(OVERFITS, experiment="lr0.1", knob="train.ema_decay", command="dvc exp run -S train.weight_decay=0.4")],
        finding_counts(real),
        base,
    )


def test_each_duel_stands_there_once_with_its_last_verdict() -> None:
    sides = {
        "champion": {"commit": "83ca61d0" * 5, "identity": "a"},
        "challenger": {"knobs": {"train.lr": 0.03}, "patch": None, "identity": "b"},
    }
    first = {"date": "2026-12-01T10:00:00Z", "metric": "loss", "draws": "data", "seeds": [3, 4], "verdict": "undecided"}
    gain = {"mean": 0.02, "low": -0.01, "high": 0.05}
    later = {**first, "date": "2026-12-02T10:00:00Z", "seeds": [3, 4, 5], "verdict": "keep"}
    patch = {"patch": {"sha256": "0", "files": ["pipeline/engine/loop.py"]}, "identity": "c"}
    other = {**first, "challenger": patch, "gain": {"mean": None, "low": None, "high": None}}
    found = duel_lines([{**sides, **first, "gain": gain}, {**sides, **other}, {**sides, **later, "gain": gain}])
    assert [(one.change, one.pairs, one.verdict) for one in found] == [
        ("train.lr 0.03", 3, "keep"),
        ("patch of pipeline/engine/loop.py", 2, "undecided"),
    ]
    text = markdown(document(Notebook(duels=found), []))
    assert "train.lr 0.03" in text
    assert "0.02 (-0.01 … 0.05)" in text


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> dict[str, Knob]:
    monkeypatch.chdir(TOP)
    return real_base()


def test_every_command_of_a_page_can_be_typed(project: dict[str, Knob]) -> None:
    found = whole(project)
    steps = [*experiments_to_run(found), *undecided_claims(found.grids[0]), *surprises(found)]
    assert {Kind.EDGE, Kind.UNDECIDED, Kind.SURPRISE, Kind.FINDING, Kind.CONFOUNDED} <= {one.kind for one in steps}
    rally = typer.main.get_command(app)
    for line in [line for one in steps for line in one.command.splitlines()]:
        words = shlex.split(line)
        if words[0] == "rally":
            rally.commands[words[1]].make_context(words[1], words[2:])  # type: ignore[attr-defined]
            assert words[2] == "lr-sweep"
            continue
        assert words[:4] == ["./run", "dvc", "exp", "run"]
        overrides = [words[at + 1] for at, word in enumerate(words) if word == "-S"]
        assert len(words) == 7 + 2 * len(overrides), "nothing but --queue, -n NAME and -S"
        assert check_overrides(expand_grid(params_overrides(overrides)))
    assert not accepts("./run dvc exp run -S train.no_such=1")


def test_a_page_has_all_parts_and_equal_notebooks_give_equal_bytes(project: dict[str, Knob]) -> None:
    found = whole(project)
    text = markdown(document(found, next_steps(found)))
    again = whole(project)
    turned = replace(
        again,
        settings=settings_of(
            [one for setting in reversed(again.settings) for group in reversed(setting.groups) for one in group.experiments],
            None,
            project,
        ),
    )
    assert markdown(document(turned, next_steps(turned))) == text, "whatever the order in which they are read"
    for part in (
        "## What was played",
        "## Differences",
        "## Which knob mattered",
        "## Interactions",
        "## Claims, bets, duels and findings",
        "## What to try next",
        "lost\\|one",
        "2 of 5",
        "Not known: ",
        "no difference seen; so many seeds would have seen ±",
        "| old | refuted |",
        "stale: code (a)",
        "outside",
        "| overfits | 1 |",
        "| diverged | 2 |",
        "held, and should not",
        "1. ",
        "Cost: 3 runs of 1,500 steps",
    ):
        assert part in text, part
    assert text.endswith("\n") and "2026" not in text
    page = html(document(found, next_steps(found)))
    assert page.count("<section ") == 6 and "<script src" not in page and "http" not in page.partition("<body>")[2]
    assert html(document(found, next_steps(found))) == page
    data = json.loads(json.dumps(json_of(found, next_steps(found))))
    assert len(data["next"]) <= MOST and data["bets"] == {"placed": 3, "scored": 2, "open": 1}


def test_a_name_that_looks_like_markup_stays_text(project: dict[str, Knob]) -> None:
    found = Notebook([setting(variant("<b>x</b>", LOW), variant("b", HIGH, train__lr=0.1))], base=project)
    assert "<b>x</b>" not in html(document(found, []))


def test_a_committed_page_does_not_change_the_name_of_a_variant() -> None:
    (one,) = variant("x", [2.1]).experiments
    old = replace(one, name="0a1b2c3", commit="a" * 40, baseline="")
    head = replace(one, name="main", commit="c" * 40, baseline="")
    tree = replace(one, name="workspace", commit="", baseline="")
    assert setting_name([old, head, tree]) == setting_name([head, tree]) == "main"


def setting_name(experiments: Sequence[object]) -> str:
    (found,) = settings_of(in_order(experiments), None, KNOBS)  # type: ignore[arg-type]
    return found.groups[0].name


def test_a_study_is_read_from_its_results() -> None:
    content = {
        "axes": [{"name": "train.lr", "labels": [0.1, 0.3]}],
        "seeds": [1, 2],
        "values": {"excess_loss": [0.1, 0.2, 0.1, None]},
        "verdicts": [{"claim": "at_most", "status": "held", "says": "it is"}],
    }
    found = grid_of("gone", content, None)
    assert [(place.label, place.diverged) for place in found.places] == [("train.lr 0.1", 0), ("train.lr 0.3", 1)]
    inside = found.places[0].values["excess_loss"]
    assert inside and inside.low < 0.1 < inside.mean < 0.2 < inside.high
    assert found.places[1].values["excess_loss"] is None and not found.is_known


def test_results_that_cannot_be_read_are_named_and_others_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.lab.summary.grids.read_entries", lambda: read_entries(TOP / "studies"))
    sound: dict[str, Any] = {"axes": [{"name": "train.lr", "labels": [0.1]}], "seeds": [1], "values": {}, "verdicts": []}
    (tmp_path / "grokking.json").write_text(json.dumps(sound))
    (tmp_path / "compare.json").write_text("[]")  # not a study's
    assert [one.name for one in played_grids(tmp_path)[0]] == ["grokking"] and not played_grids(tmp_path)[1]
    for damage in (
        *({"seeds": None}, {"axes": [5]}, {"axes": [{"name": "a", "labels": []}], "values": {"loss": [1.0]}}),
        *(
            {"values": {"loss": [1.0, 2.0, "x"]}},
            {"values": []},
            {"verdicts": [{}]},
            {"held_out": 5, "values": {"loss": [1.0]}},
        ),
    ):
        (tmp_path / "lr-sweep.json").write_text(json.dumps(sound | damage))
        grids, [line] = played_grids(tmp_path)
        assert len(grids) == 1 and "lr-sweep.json is damaged" in line and "`rally play lr-sweep`" in line, damage
    (tmp_path / "lr-sweep.json").write_text(json.dumps(sound)[:-9])
    assert len(played_grids(tmp_path)[1]) == 1


def test_a_command_with_a_line_break_in_a_knob_is_not_proposed() -> None:
    line = "./run dvc exp run --queue -n a -S 'model.norm=a\nb'"
    assert not accepts(line) and cost_of(line)


def test_an_empty_notebook_says_what_to_play_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.lab.summary import request

    monkeypatch.setattr(request, "notebook", lambda **_: Notebook())
    monkeypatch.setattr(request, "write_text", lambda *_: pytest.fail("an empty notebook has no page"))
    compile_all(all_commits=False, since="", metric=None, as_json=False, open_page=False)
    assert capsys.readouterr().out == f"{EMPTY}\n"
    assert EMPTY.count("\n") == 0 and "rally play vanishing-gradients" in EMPTY
    compile_all(all_commits=False, since="", metric=None, as_json=True, open_page=False)
    assert json.loads(capsys.readouterr().out)["settings"] == []
