"""The course: every drill's truth can be read, every bet can be scored, and a day can be played in a pipe and at a terminal."""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from terminals import Terminal, terminals

from pipeline.doctor.case import Case
from pipeline.doctor.diagnose import HEALTHY, diagnose
from pipeline.figures.charts import Chart
from pipeline.lab.bets.outcomes import Outcome as Scored
from pipeline.lab.bets.outcomes import scores_of
from pipeline.lab.bets.question import Answer, ChoiceAnswer, NumberAnswer, OrderAnswer, Question, YesNoAnswer
from pipeline.lab.cli import main
from pipeline.lab.course.blind.draw import OFFERED, depth_of, draw
from pipeline.lab.course.blind.levels import LEVELS
from pipeline.lab.course.blind.picture import loss_chart
from pipeline.lab.course.blind.race import doctors_forecast, telling_signs
from pipeline.lab.course.blind.terminal import READINGS, show_run, shown_at
from pipeline.lab.course.computations.base import SMALL, small
from pipeline.lab.course.computations.steps import RADICAL
from pipeline.lab.course.computations.table import COMPUTATIONS
from pipeline.lab.course.day import Day, Drill
from pipeline.lab.course.reading import DAYS, blank_results, read_course, read_day
from pipeline.lab.course.runs import prepared
from pipeline.lab.course.truths.base import Found, Outcome
from pipeline.lab.course.truths.table import TRUTHS
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.studies.claims.results import Axis, Results
from pipeline.lab.studies.entries import read_entries
from pipeline.lab.studies.pages import terminal
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections
from pipeline.params.yaml12 import read_yaml

TOP = Path(__file__).parents[1]
ENTRIES = read_entries(TOP / "studies")
COURSE = [read_day(number, ENTRIES, TOP / "studies/course") for number in DAYS]
DRILLS = [(day, drill) for day in COURSE for drill in day.drills]
ASKING = [(day, drill) for day, drill in DRILLS if drill.question]

SEED_SAYS = (
    "1 layer, 5M params, toy dataset, check the forward pass",
    "print activations",
    "attention maps",
    "toy inputs",
    "dimensions",
    "add gradient clipping, test learning rates, inspect loss",
    "radical changes",
    "increase sequence length, analyze attention weights, tweak optimizer",
    "gradient flow",
    "curriculum",
    "residual connections, different activation",
    "unusual dropout schedules",
    "skip connections, vision nets",
    "compile all observations, scale slightly larger, repeat",
    "measure progress through understanding",
    "keep a log of experiments",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which nothing was played."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    shutil.copytree(TOP / "studies", tmp_path / "studies")
    for name in ("none", "own"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "pipeline").symlink_to(TOP / "pipeline")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def opened() -> Iterator[list[Terminal]]:
    with terminals() as some:
        yield some


def named(pair: Any) -> str:
    return pair.name if isinstance(pair, Drill | Day) else str(pair)


# ------------------------------------------------------------------------------------------------------------ the drills


@pytest.mark.parametrize("sentence", SEED_SAYS)
def test_every_sentence_of_the_plan_has_its_drill(sentence: str) -> None:
    assert any(sentence in drill.seed_says for _, drill in DRILLS)


def test_no_drill_claims_a_sentence_that_the_plan_has_not() -> None:
    assert {sentence for _, drill in DRILLS for sentence in drill.seed_says} <= set(SEED_SAYS)


def test_drills_have_names_of_their_own_over_all_days() -> None:
    names = [drill.name for _, drill in DRILLS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("day", COURSE, ids=named)
def test_a_day_ends_with_the_blind_fault_of_its_level_and_two_or_three_numbers_to_remember(day: Day) -> None:
    assert [drill.run.blind for drill in day.drills][-1] == day.number
    assert 2 <= len(day.remember) <= 3
    assert 0 < day.minutes["quick"] <= min(day.minutes["whole"], 15)


@pytest.mark.parametrize(("day", "drill"), DRILLS, ids=named)
def test_a_drill_says_what_to_notice_and_what_comes_next(day: Day, drill: Drill) -> None:
    notice = drill.notice or ENTRIES[drill.run.play].notice
    assert len(notice.split()) > 20
    assert drill.then.startswith(("rally ", "./run "))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(("day", "drill"), ASKING, ids=named)
def test_the_truth_of_every_bet_can_be_read_and_who_bets_it_gets_full_marks(day: Day, drill: Drill, quick: bool) -> None:
    entry = ENTRIES.get(drill.run.play)
    known = ENTRIES
    if entry:
        sweep, _ = prepared(drill.run, entry, BaseParams(read_sections(TOP / "params.yaml")), quick=quick)
        known = {**ENTRIES, drill.run.play: replace(entry, sweep=sweep)}
    assert drill.truth and drill.question
    outcome = drill.truth.outcome(blank_results(drill.run, known))
    assert outcome.truth is not None
    perfect = answer_of(drill.question, outcome)
    assert scores_of(drill.question, perfect, Scored(outcome.truth))[0].value == pytest.approx(0, abs=1e-9)


def answer_of(question: Question, outcome: Outcome) -> Answer:
    """The answer of someone who knows."""
    truth = outcome.truth
    match question.kind:
        case "number":
            assert isinstance(truth, float)
            return NumberAnswer(truth, truth, truth)
        case "choice":
            assert truth in question.choices
            return ChoiceAnswer({label: float(label == truth) for label in question.choices})
        case "order":
            assert isinstance(truth, tuple) and sorted(truth) == sorted(question.choices)
            return OrderAnswer(truth)
        case _:
            assert isinstance(truth, bool)
            return YesNoAnswer(float(truth))


def test_the_course_asks_every_kind_of_question() -> None:
    assert {drill.question.kind for _, drill in ASKING if drill.question} == {"number", "choice", "order", "yesno"}


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_every_computation_answers_a_drill(name: str) -> None:
    assert any(drill.run.do == name for _, drill in DRILLS)


@pytest.mark.parametrize("knob", SMALL)
def test_the_small_training_of_the_computations_sets_knobs_that_exist(knob: str) -> None:
    section, _, name = knob.partition(".")
    assert name in read_sections(TOP / "params.yaml")[section]


@pytest.mark.parametrize("change", RADICAL)
def test_every_radical_change_can_be_trained_and_changes_the_recipe(change: str) -> None:
    base = BaseParams(read_sections(TOP / "params.yaml"))
    assert (small(base, RADICAL[change]) == small(base, {})) == (change == "as it is")


# --------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"notcie": "x"}, "one: notcie: a drill has no such part. Did you mean 'notice'? Known: name, run, notice, then, "),
        ({"run": {"play": "lr-swep"}}, "one: run.play: there is no 'lr-swep'. Did you mean 'lr-sweep'?"),
        ({"run": {"play": "nanogpt-cpu"}}, "one: run.play: nanogpt-cpu is a single experiment, not a grid; use commands:"),
        ({"run": {}}, "one: run: runs nothing; give it play, blind, commands or do"),
        ({"run": {"do": "weigths"}}, "one: run.do: there is no 'weigths'. Did you mean 'weights'?"),
        ({"run": {"blind": 7}}, "one: run.blind: there is no level 7. Known: 1, 2, 3, 4, 5"),
        ({"run": {"commands": ["rm -r x"]}}, "one: run.commands: 'rm -r x' is not a command of rally or dvc"),
        ({"bet": {"kind": "nubmer", "truth": {}}}, "one: bet.kind: there is no 'nubmer'. Did you mean 'number'?"),
        ({"bet": {"kind": "number", "truth": {"valeu": {}}}}, "one: bet.truth: there is no 'valeu'. Did you mean 'value'?"),
        (
            {"bet": {"kind": "number", "naive": 1, "truth": {"value": {"of": "excess_los", "at": {"train.lr": 0.01}}}}},
            "one: bet.truth: the study does not take 'excess_los'. Did you mean 'excess_loss'?",
        ),
        (
            {"bet": {"kind": "number", "naive": 1, "truth": {"value": {"of": "excess_loss", "at": {"train.lr": 7}}}}},
            "one: bet.at: train.lr is never 7. Known: 0.0001",
        ),
        (
            {"bet": {"kind": "number", "naive": 1, "truth": {"value": {"of": "excess_loss"}}}},
            "one: bet.at: leaves several places; give a label of train.lr",
        ),
        (
            {"bet": {"kind": "yesno", "truth": {"best": {"of": "excess_loss", "along": "train.lr"}}}},
            "one: bet.truth: answers number or choice, not yesno",
        ),
        (
            {"bet": {"kind": "number", "truth": {"best": {"of": "excess_loss", "along": "train.lr"}}}},
            "one: bet.naive: is missing: the number of someone who did not think",
        ),
        ({"bet": {"kind": "yesno", "truth": {"claim": {"number": 9}}}}, "one: bet.truth: there is no claim 9"),
        ({"question": None}, "one: question: is missing"),
    ],
)
def test_a_wrong_drill_is_refused_with_its_place(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    day = read_yaml(TOP / "studies/course/day1.yaml")
    truth = {"best": {"of": "excess_loss", "along": "train.lr"}}
    drill = {
        "name": "one",
        "question": "Which?",
        "bet": {"kind": "number", "naive": 1, "logarithmic": True, "truth": truth},
        "run": {"play": "lr-sweep"},
        "notice": "x",
        "then": "rally play lr-sweep",
        **change,
    }
    drill = {part: value for part, value in drill.items() if value is not None}
    (tmp_path / "day1.yaml").write_text(yaml.safe_dump({**day, "remember": [], "drills": [drill]}))
    with pytest.raises(UserError) as caught:
        read_day(1, ENTRIES, tmp_path)
    assert any(line.startswith(f"{tmp_path}/day1.yaml: {problem}") for line in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"titel": "x"}, "titel: a day has no such part. Did you mean 'title'?"),
        ({"card": {"says": "x"}}, "command: is missing"),
        ({"remember": ["{loss-befor}"]}, "remember: there is no drill 'loss-befor'. Did you mean 'loss-before'?"),
    ],
)
def test_a_wrong_day_is_refused_with_its_place(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    (tmp_path / "day1.yaml").write_text(yaml.safe_dump(read_yaml(TOP / "studies/course/day1.yaml") | change))
    with pytest.raises(UserError, match=f"day1.yaml: {problem.split('.')[0]}"):
        read_day(1, ENTRIES, tmp_path)


# ---------------------------------------------------------------------------------------------------------------- truths

GRID = (Axis("arm", ("a", "b")), Axis("rate", (0.1, 1.0, 10.0)))
VALUES = np.array([[[3.0, 3.2], [1.0, 1.2], [2.0, 2.2]], [[0.5, 0.7], [4.0, 4.2], [np.inf, 6.0]]])
PLANTED = Found(
    {"loss": Results(GRID, VALUES)}, ["held", "undecided"], {"share": 0.25, "count": 3, "head": "1.2", "none": math.nan}
)


@pytest.mark.parametrize(
    ("name", "arguments", "truth"),
    [
        ("value", {"of": "loss", "at": {"arm": "a", "rate": 0.1}}, 3.1),
        ("value", {"of": "loss", "at": {"arm": "a", "rate": 0.1}, "plus_ln": 64}, 3.1 + math.log(64)),
        ("value", {"of": "loss", "at": {"arm": "b", "rate": 10.0}}, None),
        ("difference", {"of": "loss", "along": "arm", "first": "a", "second": "b", "at": {"rate": 0.1}}, 2.5),
        ("ratio", {"of": "loss", "along": "rate", "first": 0.1, "second": 1.0, "at": {"arm": "a"}}, math.sqrt(3.0 * 3.2 / 1.2)),
        ("larger", {"of": "loss", "along": "arm", "first": "a", "second": "b", "at": {"rate": 0.1}}, True),
        ("larger", {"of": "loss", "along": "arm", "first": "a", "second": "b", "at": {"rate": 10.0}}, False),
        ("best", {"of": "loss", "along": "rate", "at": {"arm": "a"}}, 1.0),
        ("best", {"of": "loss", "along": "arm", "at": {"rate": 0.1}, "highest": True, "as_label": True}, "a"),
        ("moved", {"of": "loss", "along": "rate", "start": {"arm": "a"}, "end": {"arm": "b"}}, 0.1),
        ("best_ratio", {"of": "loss", "along": "rate", "across": "arm", "first": "a", "second": "b"}, 1.1 / 0.6),
        ("winner", {"of": "loss", "along": "rate", "across": "arm"}, "b"),
        ("order", {"of": "loss", "along": "arm", "at": {"rate": 0.1}}, ("a", "b")),
        ("claim", {"number": 1}, True),
        ("claim", {"number": 2}, False),
        ("computed", {"of": "share"}, 0.25),
        ("computed", {"of": "count"}, 3.0),
        ("computed", {"of": "head"}, "1.2"),
        ("computed", {"of": "none"}, None),
    ],
)
def test_a_truth_is_read_from_the_results(name: str, arguments: dict[str, Any], truth: Any) -> None:
    found = TRUTHS[name](**arguments).outcome(PLANTED).truth
    assert found == (pytest.approx(truth) if isinstance(truth, float) else truth)
    assert type(found) is type(truth)


@pytest.mark.parametrize("name", TRUTHS)
def test_a_truth_that_is_told_nothing_is_refused_in_words(name: str) -> None:
    with pytest.raises(UserError, match=r"^(truth|at): "):
        TRUTHS[name](**({"number": 3} if name == "claim" else {})).outcome(PLANTED)


def test_every_way_to_read_a_truth_is_known_by_the_tests_and_to_a_drill() -> None:
    used = {type(drill.truth) for _, drill in ASKING}
    assert used <= set(TRUTHS.values())
    assert {"value", "best", "order", "claim", "computed"} <= {name for name, kind in TRUTHS.items() if kind in used}


@pytest.mark.parametrize(
    ("outcome", "unit", "text"),
    [
        (Outcome(4.2641), "nats", "4.264 nats"),
        (Outcome(4_998_400.0), "weights", "4,998,400 weights"),
        (Outcome(True), "", "yes"),
        (Outcome(("b", "a")), "", "b > a"),
        (Outcome(None, why="a run diverged"), "", "nothing to score (a run diverged)"),
    ],
)
def test_an_outcome_is_said_as_people_say_it(outcome: Outcome, unit: str, text: str) -> None:
    assert outcome.text(unit) == text


@pytest.mark.parametrize("depth", [1, 2])
def test_the_heads_of_all_layers_are_listed_and_drawn(depth: int, project: Path) -> None:
    knobs = {"model.depth": depth, "model.heads": 2, "model.width": 16, "train.steps": 2, "train.log_points": 1}
    found = COMPUTATIONS["previous-token heads"].run(
        BaseParams(read_sections(Path("params.yaml"))), {**knobs, "train.validation_points": 0}, "the value of the"
    )
    names = [f"{layer}.{head}" for layer in range(1, depth + 1) for head in (1, 2)]
    assert found.lines[1].split() == ["layer.head", *names]
    shares = [[float(share) for share in line.split()[-len(names) :]] for line in found.lines[2:]]
    assert len(shares) == 4 and all(0 < share < 1 for row in shares for share in row)
    assert found.values["head"] == names[int(np.argmax(shares[1]))] or len(set(shares[1])) < len(names)
    assert found.values["share"] == pytest.approx(max(shares[1]), abs=0.005)
    assert found.picture is not None and len([axes for axes in found.picture.axes if axes.images]) == 2 * len(names)


# ------------------------------------------------------------------------------------------------------- the blind fault


@pytest.mark.parametrize("level", LEVELS)
def test_one_draw_in_five_is_healthy_and_the_right_answer_can_always_be_given(level: int) -> None:
    drawn = [draw(level, number) for number in range(1000)]
    assert 0.15 < np.mean([one.truth == HEALTHY for one in drawn]) < 0.25
    assert all(one.truth in one.choices and len(one.choices) == OFFERED + 1 for one in drawn)
    assert {one.run.fault for one in drawn} == {"", *LEVELS[level]}


@pytest.mark.parametrize("level", LEVELS)
def test_a_draw_can_be_repeated_and_its_depth_gives_nothing_away(level: int) -> None:
    sections = read_sections(TOP / "params.yaml")
    assert vars(draw(level, 11).run) == vars(draw(level, 11).run) and draw(level, 11).choices == draw(level, 11).choices
    depths = {one.truth: one.run.params(sections).model.depth for one in (draw(level, number) for number in range(60))}
    assert len(depths) > 3 and set(depths.values()) == {depth_of(level)}


def test_every_fault_can_be_drawn_on_some_day() -> None:
    assert set(FAULTS) == {fault for faults in LEVELS.values() for fault in faults}


LEAKING = Case(
    train={"step": [2.0, 80.0, 160.0], "loss": [3.4, 1.0, 0.2], "gradient_norm": [1.0, 0.5, 0.2]},
    validation={"step": [160.0], "loss": [0.2]},
    progress={"diverged": False, "stopped": ""},
    sanity={"loss": 3.47, "uniform": 3.466, "future": 3.1, "across_batch": 0.0},
    levels={"uniform": 3.466, "unigram": 3.4, "bigram": 2.5, "entropy": 2.49, "overlap": 0.0},
)


def test_the_report_of_a_blind_run_says_nothing_of_findings_or_the_fault(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = next(one for one in (draw(1, number) for number in range(100)) if one.run.fault == "no mask")
    show_run(terminal.console(), drawn, LEAKING, seen := diagnose(LEAKING))
    shown = capsys.readouterr().out
    assert "Losses of simpler models: uniform 3.47" in " ".join(shown.split())
    assert "change of a prediction with a later token 3.1 up to 0" in " ".join(shown.split())
    for word in ("sick", "odd", seen.finding, drawn.run.fault, FAULTS["no mask"].cause):
        assert word not in shown
    assert isinstance(chart := loss_chart(LEAKING), Chart) and len(chart.levels) == 4


def test_the_signs_that_a_blind_run_shows_exist() -> None:
    from pipeline.doctor.signs.table import SIGNS

    assert set(READINGS) <= set(SIGNS)
    assert all(len(shown_at(level)) >= 8 for level in LEVELS)


def test_the_doctor_bets_on_what_it_has_found_and_can_name_the_signs() -> None:
    choices = draw(1, 0).choices
    forecast = doctors_forecast(LEAKING, ("healthy", "no causal mask", "shuffled targets"))
    assert sum(forecast.values()) == pytest.approx(1)
    assert max(forecast, key=forecast.__getitem__) == "no causal mask"
    assert set(doctors_forecast(Case(), choices)) == set(choices)
    assert doctors_forecast(Case(), choices)[HEALTHY] == pytest.approx(0.756, abs=0.001)
    assert "future_leak" in telling_signs(diagnose(LEAKING), "no causal mask")


# --------------------------------------------------------------------------------------------------------------- playing


def plain(shown: str) -> str:
    """What a terminal shows, on one line, without its colours."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", shown).split())


def rally(*words: str) -> subprocess.CompletedProcess[str]:
    """A command in this process, which has imported what the command imports."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["rally", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return subprocess.CompletedProcess(words, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def test_the_map_shows_every_drill_and_what_is_done(project: Path) -> None:
    before = rally("play", "course").stdout
    assert all(f"{day.name}.{day.drills.index(drill) + 1} {drill.name}" in before for day, drill in DRILLS)
    assert "✓" not in before
    done = rally("play", "day1.2", "--yes")
    assert done.returncode == 0, done.stderr
    assert "It was      655,360 attention weights" in done.stdout
    assert "Next: rally play day1.1 (count-weights)" in done.stdout
    assert "✓ day1.2 attention-weights      655,360 attention weights" in rally("play", "course").stdout
    file = project / "studies/course/day1.yaml"
    file.write_text(file.read_text().replace("tokens: 256", "tokens: 128"))
    assert "! day1.2 attention-weights      changed since" in rally("play", "course").stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["day9"], "day9: there is no such day; the course has day1 to day5"),
        (["day1.99"], "day1.99: there is no such drill; day1 has 9"),
        (
            ["day1", "-S", "seed=1"],
            "day1: is a part of the course, which takes --yes, --quick, --details, --level, --seed; leave out the rest",
        ),
        (["dayone"], "dayone: there is no such day. Did you mean 'day1'? The course has day1 to day5"),
        (["blind", "--level", "12"], "--level 12: there is no such level; use 1 to 5, one for each day of the course"),
    ],
)
def test_a_part_of_the_course_that_is_not_there_is_one_line(words: list[str], problem: str, project: Path) -> None:
    done = rally("play", *words)
    assert (done.returncode, done.stderr) == (2, problem + "\n")


def test_the_first_drill_takes_a_bet_at_a_terminal_and_scores_it(project: Path, opened: list[Terminal]) -> None:
    opened.append(shell := Terminal("play", "day1"))
    assert "How many weights does it have?" in " ".join(shell.read_until("Enter = no bet.").split())
    shell.read_until("> ")
    shell.type("4.9e6..5.1e6\r")
    shell.read_until("Noted: ")
    shown = plain(shell.read_until("> "))
    assert "It was 4,998,400 weights" in shown
    assert "Your 80 % intervals so far held 1 of 1." in shown
    assert "Enter: next drill (attention-weights); q: stop here" in shown
    shell.type("q\r")
    shell.read_until("rally play day1.2")
    assert shell.exit_status() == 0
    assert "count-weights          4,998,400 weights, bet won" in rally("play", "course").stdout
    opened.append(again := Terminal("play", "day1.1"))
    before = " ".join(again.read_until("How many weights").split())
    assert "a bet on them is scored apart and does not count" in before


@pytest.mark.parametrize(("key", "line", "status"), [("q\r", "Stopped; no bet.", 0), ("\x03", "Stopped.", 130)])
def test_q_or_ctrl_c_instead_of_a_bet_ends_the_day_and_says_where_it_goes_on(
    key: str, line: str, status: int, project: Path, opened: list[Terminal]
) -> None:
    opened.append(shell := Terminal("play", "day1"))
    shell.read_until("Enter = no bet.")
    shell.read_until("> ")
    shell.type(key)
    shown = shell.read_until("Next: rally play day1.1 (count-weights)")
    assert line in shown and "Traceback" not in shown
    assert shell.exit_status() == status
    assert "✓" not in rally("play", "course").stdout


@pytest.mark.slow
def test_a_blind_fault_is_named_at_a_terminal_and_the_doctor_races(project: Path, opened: list[Terminal]) -> None:
    opened.append(shell := Terminal("play", "blind", "--seed", "3"))
    shell.read_until("Enter = no bet.", seconds=300)
    shell.read_until("> ")
    shell.type("no causal mask 70\r")
    shown = plain(shell.read_until("--seed 3"))
    assert "no causal mask: the causal mask is missing" in shown
    assert "it was no causal mask, to which you gave 70 %" in shown
    assert "The doctor gave it" in shown
    assert "so you are ahead" in shown or "so the doctor is ahead" in shown
    assert shell.exit_status() == 0


LONG = (2, 3, 4, 5)  # days of two to twelve minutes of computing, too long for every check


@pytest.mark.parametrize(
    "day",
    [pytest.param(day, marks=pytest.mark.campaign if day.number in LONG else pytest.mark.slow) for day in COURSE],
    ids=named,
)
def test_a_day_is_played_to_its_end_in_a_pipe(day: Day, project: Path) -> None:
    words = [sys.executable, "-m", "pipeline.lab.cli", "play", day.name, "--yes", "--quick", "--seed", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"The end of day {day.number}" in done.stdout
    assert done.stdout.count("It was ") == sum(drill.question is not None for drill in day.drills)


def test_all_days_are_read_at_once(project: Path) -> None:
    assert [day.number for day in read_course(ENTRIES)] == list(DAYS)
