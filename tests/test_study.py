"""Studies: every entry can be played, and what DVC is told is what the entry says."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides, to_hydra_overrides
from hypothesis import example, given, settings
from hypothesis import strategies as st
from page_checks import wrong_commands, wrong_knobs
from pages import Page

from pipeline.lab.dvc import exp_names
from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.dvc.overrides import KnobValue, hydra_text
from pipeline.lab.play_command import COURSE
from pipeline.lab.studies import entries, listing, recipes
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml

TOP = Path(__file__).parents[1]
ENTRIES = entries.read_entries(TOP / "studies")
EXPERIMENTS = [name for name, entry in ENTRIES.items() if not entry.scored]
SWEEPS = [name for name, entry in ENTRIES.items() if entry.sweep]

knobs = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without code: its knobs, its studies, and one stage that only looks at its knobs."""
    shutil.copy(TOP / "params.yaml", tmp_path)
    shutil.copytree(TOP / "studies", tmp_path / "studies")
    (tmp_path / "dvc.yaml").write_text("stages: {look: {cmd: grep -c . params.yaml > seen, params: [train], outs: [seen]}}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ----------------------------------------------------------------------------------------------------------- the entries


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_played(name: str, project: Path) -> None:
    [told] = commands(name)
    assert told[:5] == ["dvc", "exp", "run", "-n", name]
    assert told.count("-S") == len(ENTRIES[name].set)


@pytest.mark.parametrize("name", SWEEPS)
def test_every_place_of_every_grid_can_be_trained(name: str, project: Path) -> None:
    entry = ENTRIES[name]
    assert entry.sweep
    variants = list(entry.sweep.variants(recipes.apply_entry(base_params(), entry, ["train.log_points=7"]).sections))
    assert len({variant.place for variant in variants}) == math.prod(entry.sweep.shape)
    assert {variant.params.train.log_points for variant in variants} == {7}
    assert len({str(variant[1:]) for variant in variants}) == len(variants)


@pytest.mark.parametrize("name", SWEEPS)
def test_every_grid_says_what_it_predicts_and_has_a_control_that_could_show_it_wrong(name: str) -> None:
    entry = ENTRIES[name]
    assert entry.sweep
    assert len(entry.predicts) > 20 and len(entry.control) > 20
    assert entry.says.count("?") == 1, "a study asks a question"
    assert {check.control for _, check in entry.sweep.claims} == {True, False}
    assert len(entry.sweep.seeds) >= 3


@pytest.mark.parametrize("name", SWEEPS)
def test_every_grid_says_what_to_notice_and_which_command_comes_next(name: str) -> None:
    entry = ENTRIES[name]
    assert 2 <= len(re.findall(r"[.?!](?= |$)", " ".join(entry.notice.split()))) <= 6, "a few sentences"
    assert "trap" in entry.notice.lower(), "and the trap in it"
    page = Page(f"`{entry.next}`")
    assert [words[:2] for words in page.commands()] == [entry.next.split()[:2]]
    assert [*wrong_commands(page), *wrong_knobs(page)] == []


@pytest.mark.parametrize("name", ENTRIES)
def test_everything_about_an_entry_can_be_read(name: str) -> None:
    entry = ENTRIES[name]
    told = " ".join(listing.about(name, entry).split())
    for text in (name, entry.says, entry.predicts, entry.control, entry.costs, entry.reaches, entry.notice, entry.next):
        assert " ".join(text.split()) in told


def test_the_list_begins_with_the_course_and_has_every_entry_under_its_file() -> None:
    told = listing.listing(ENTRIES, TOP / "studies")
    course, *files = told.split("\n\n")
    assert "rally play day1: " in course and "rally play blind: " in course
    words = " ".join(told.split())
    for name, entry in ENTRIES.items():
        assert f"{name}: {entry.question} {' '.join(entry.costs.replace(', no download', '').split())}" in words
    assert all(len(line) <= listing.WIDTH for line in told.splitlines())
    headings = [file.splitlines()[0] for file in files]
    assert [re.sub(r".*/(.*)\)", r"\1", line) for line in headings] == sorted({entry.file for entry in ENTRIES.values()})


def test_a_question_is_told_apart_from_its_setting() -> None:
    entry = ENTRIES["vanishing-gradients"]
    assert entry.question == "With which activation does the gradient vanish on its way back through sixteen layers?"
    assert entry.explained.startswith("The slope of a sigmoid is at most a quarter")
    assert f"{entry.question} {entry.explained}" == entry.says


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("run:\n  set: {train.lr: 1.0}\n", "run: says: is missing"),
        ("run: 5\n", "run: is not an entry; an entry has says, set, costs, reaches, source"),
        (
            "run: {say: a}\n",
            "run: say: there is no such part. Did you mean 'says'? "
            "Known: says, set, costs, reaches, source, predicts, control, notice, next, "
            "vary, seeds, measure, check, bench, shows, draws, seen, search",
        ),
        ("run: {says: 5}\n", "run: says: 5 is not text"),
        ("run: {set: fast}\n", "run: set: holds no knobs (train.lr: 0.001 …)"),
        ("nanogpt-cpu: {}\n", "nanogpt-cpu: another study has an entry of this name"),
        ("e1: {}\n", "e1: this name means something else to git or DVC; use letters, digits, . and -, and not only a to f"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(content: str, problem: str, project: Path) -> None:
    (project / "studies" / "own.yaml").write_text(content)
    with pytest.raises(UserError) as caught:
        entries.read_entries()
    assert f"studies/own.yaml: {problem}" in caught.value.problems


@pytest.mark.parametrize("name", ["e1", "deadbeef", "a..b", ".a", "a.lock", "a b", "a/b", "a~1", ""])
def test_a_name_that_git_or_dvc_would_misread_is_refused(name: str, project: Path) -> None:
    with pytest.raises(UserError, match=f"^-n: '{re.escape(name)}' means something else"):
        commands("nanogpt-cpu", experiment=name)


GRID = """
run:
  says: a
  set: {train.steps: 7}
  costs: a
  reaches: a
  source: a
  predicts: a
  control: a
  notice: a
  next: a
"""


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ("  seeds: [1]", "vary: is missing; a study that varies knobs has vary, seeds, measure, check"),
        ("  vary: [train.lr]", "vary: holds no axes (knob: [value, value …], or name: {label: {knob: value}, …})"),
        ("  vary: {arm: {a: 1}}", "vary: a label holds no knobs (name: {label: {knob: value}, …})"),
        ("  seeds: [1, 1]", "seeds: [1, 1] is not a list of different whole numbers, such as [1, 2, 3]"),
        (
            "  measure: train_los",
            "measure: there is no 'train_los'. Did you mean 'train_loss'? Known: train_loss, validation_loss",
        ),
        ("  check: []", "check: holds no claims (- at_most: {value: 0.1})"),
        (
            "  check: [{optimum_moves_at_mast: {}}]",
            "check: there is no 'optimum_moves_at_mast'. Did you mean 'optimum_moves_at_most'?",
        ),
        ("  check: [{optimum_moves_at_most: {}}]", "check.optimum_moves_at_most.factor: is missing"),
        ("  check: [{optimum_moves_at_most: {factor: 0.5}}]", "check.optimum_moves_at_most.factor: 0.5 is not above 1.0"),
        ("  vary: {model.norm: [rms, layer]}", "check: optimum_moves_at_most: model.norm: has no increasing positive numbers"),
        (
            "  check: [{optimum_moves_at_most: {factor: 2, where: {seed: 1}}}]",
            "check: optimum_moves_at_most: where: the study does not vary 'seed'. Known: model.width, train.lr",
        ),
        (
            "  check: [{optimum_moves_at_most: {factor: 2, where: {model.width: 1}}}]",
            "check: optimum_moves_at_most: where: model.width is never 1. Known: 16, 32",
        ),
        (
            "  check: [{optimum_moves_at_most: {factor: 2, where: {train.lr: 0.1, model.width: 16}}}]",
            "check: optimum_moves_at_most: where: leaves no axis",
        ),
    ],
)
def test_a_wrong_grid_is_refused_with_its_place(parts: str, problem: str, project: Path) -> None:
    right = {
        "vary": "  vary: {model.width: [16, 32], train.lr: [0.01, 0.1]}",
        "seeds": "  seeds: [1, 2]",
        "measure": "  measure: train_loss",
        "check": "  check: [{optimum_moves_at_most: {factor: 2}}]",
    }
    word = parts.split(":")[0].strip()
    lines = [parts] if "is missing; a study" in problem else (right | {word: parts}).values()
    (project / "studies" / "own.yaml").write_text(GRID + "\n".join(lines) + "\n")
    with pytest.raises(UserError) as caught:
        entries.read_entries()
    assert any(line.startswith(f"studies/own.yaml: run: {problem}") for line in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-n", "x"], "lr-sweep: is a grid, not a single DVC experiment; leave out -n and --queue"),
        (["--queue"], "lr-sweep: is a grid, not a single DVC experiment; leave out -n and --queue"),
        (["-S", "train.lr=1"], "-S train.lr: the study varies this knob; override another one"),
        (["-S", "seed=4"], "-S seed: the study varies this knob; override another one"),
        (["-S", "train.steps=1,2"], "-S: a knob has several values; add it to the study's `vary` instead"),
        (["-S", "train.stepps=1"], "train.stepps: there is no such knob. Did you mean 'train.steps'? "),
    ],
)
def test_what_a_grid_cannot_be_played_with_is_one_line_before_torch_is_imported(
    arguments: list[str], problem: str, project: Path
) -> None:
    done = rally("play", "lr-sweep", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(problem)


def test_a_dry_run_of_a_grid_counts_its_trainings(project: Path) -> None:
    assert rally("play", "lr-sweep", "--dry-run").stdout == "21 trainings: 7 cells, 3 seeds\n"


# ------------------------------------------------------------------------------------------------------ what DVC is told


@settings(max_examples=300, deadline=None)
@given(knobs)
@example(["it's", r"a\'b", "c\\", "'", ""])
def test_a_value_comes_through_the_grammar_of_dvc_unchanged(value: KnobValue) -> None:
    [override] = to_hydra_overrides([f"section.knob={hydra_text(value)}"])
    assert not override.is_sweep_override()
    assert repr(override.value()) == repr(value)


def test_what_dvc_writes_into_params_yaml_is_what_the_entry_says(project: Path) -> None:
    [told] = commands("nanogpt-cpu", ["train.lr=3e-4", "evaluate.prompts=['a, b: \"c\"','d']"])
    apply_overrides("params.yaml", [word for flag, word in pairwise(told) if flag == "-S"])
    values = read_yaml(Path("params.yaml"))
    written = {knob: values[knob.split(".")[0]][knob.split(".")[1]] for knob in ENTRIES["nanogpt-cpu"].set}
    assert written == {**ENTRIES["nanogpt-cpu"].set, "train.lr": 3e-4}
    assert values["evaluate"]["prompts"] == ['a, b: "c"', "d"]


TURNED = {
    "vision": {"prepare.dataset": "mnist_5k", "prepare.shuffled_pixels": True, "train.shift": 2, "train.sampling": "epochs"},
    "classify": {"prepare.dataset": "sentiment", "prepare.dedup_threshold": 0.9, "train.class_weights": "balanced"},
    "language": {"train.curriculum": "easy_first"},
}


@pytest.mark.parametrize("kind", TURNED)
@pytest.mark.parametrize("name", ["nanogpt-cpu", "sentiment", "digits", "lr-sweep", "grokking", "mnist1d-order"])
def test_what_was_turned_for_another_kind_of_task_keeps_no_study_from_being_played(name: str, kind: str, project: Path) -> None:
    turned = {"task.kind": kind, **TURNED[kind]}
    Path("params.yaml").write_text(yaml.safe_dump(with_knobs(read_sections(Path("params.yaml")), turned), sort_keys=False))
    assert parse(Params, read_yaml(Path("params.yaml"))).task.kind == kind
    entry = ENTRIES[name]
    if entry.sweep:
        params = parse(Params, recipes.apply_entry(base_params(), entry, ["train.steps=7"]).sections)
    else:
        [told] = commands(name)
        apply_overrides("params.yaml", [word for flag, word in pairwise(told) if flag == "-S"])
        params = parse(Params, read_yaml(Path("params.yaml")))
    assert params.task.kind == entry.set.get("task.kind", "language")
    kept = {knob for knob in TURNED[kind] if params.task.kind == kind and knob not in entry.set}
    assert all(getattr(getattr(params, knob.split(".")[0]), knob.split(".")[1]) == turned[knob] for knob in kept)


def test_what_is_turned_in_words_is_not_turned_back(project: Path) -> None:
    with pytest.raises(UserError, match=r"train\.shift: 2 is for task\.kind vision, not classify; use 0"):
        commands("sentiment", ["train.shift=2"])


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "nanogpt-cpu"),
        (["train.lr=3e-4"], "nanogpt-cpu-lr3e-4"),
        (["train.lr=1e+1", "seed=2"], "nanogpt-cpu-lr1e1-seed2"),
        (["evaluate.prompts=[a,b]"], "nanogpt-cpu-prompts-04a5ff"),
    ],
)
def test_an_experiment_is_named_after_its_entry_and_the_knobs_that_were_turned(
    overrides: list[str], name: str, project: Path
) -> None:
    [told] = commands("nanogpt-cpu", overrides)
    assert told[4] == name


@pytest.mark.parametrize(
    ("overrides", "problems"),
    [
        (["train.lr"], ["-S train.lr: is not KNOB=VALUE, such as train.lr=0.01"]),
        (["+train.lr=1"], ["-S +train.lr=1: is not KNOB=VALUE, such as train.lr=0.01"]),
        (
            ["train.lr=fast", "model.heads=5"],
            ["model.heads: 5 does not divide width 128; use 4", "train.lr: 'fast' is not a number"],
        ),
        (["seed.x=1"], ["seed.x: there is no such knob; seed is not a section"]),
        (["seed=1,2"], ["-S: these are 2 experiments (a knob has several values); use --queue for all of them"]),
        (["seed=1,-2"], ["seed: -2 is below 0"]),
    ],
)
def test_a_wrong_knob_is_refused_before_dvc_starts(overrides: list[str], problems: list[str], project: Path) -> None:
    with pytest.raises(UserError) as caught:
        commands("nanogpt-cpu", overrides)
    assert sorted(caught.value.problems) == problems


def test_a_value_that_dvc_cannot_read_is_one_line(project: Path) -> None:
    with pytest.raises(UserError, match=r"\A-S train\.lr=\[1: [^\n]*\Z"):
        commands("nanogpt-cpu", ["train.lr=[1"])


def test_each_experiment_of_a_grid_has_a_name_of_its_own_that_tells_its_values(project: Path) -> None:
    told = commands("nanogpt-cpu", ["seed=range(0,2)", "train.lr=1e-3,1e-2"], queue=True)
    assert [words[4] for words in told] == [f"nanogpt-cpu-seed{seed}-lr{lr}" for lr in ("0.001", "0.01") for seed in (0, 1)]
    assert all(words[5] == "--queue" for words in told)
    assert told[1][-1] == "seed=1" and "train.lr=0.001" in told[1]
    named = commands("nanogpt-cpu", ["seed=3,4", "train.steps=9"], experiment="mine", queue=True)
    assert [words[4] for words in named] == ["mine-seed3", "mine-seed4"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["seed=1,2"], ["seed=3,4"]),
        (["evaluate.prompts=[a,b],[c]"], ["evaluate.prompts=[d],[e]"]),
        (["prepare.path='data/a long way/to go',data/own"], ["prepare.path='data/a long way/to stay',data/there"]),
        (["train.lr=1e-3", "seed=1,2"], ["train.lr=1e-4", "seed=1,2"]),
    ],
)
def test_two_grids_of_other_values_never_share_a_name(one: list[str], other: list[str], project: Path) -> None:
    names = [words[4] for asked in (one, other) for words in commands("nanogpt-cpu", asked, queue=True)]
    assert len(set(names)) == len(names) == 4
    assert all(map(exp_names.is_valid_name, names))


# ------------------------------------------------------------------------------------------- what a study stands on


@pytest.fixture
def committed(project: Path) -> Path:
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run(["git", *words], check=True)
    return project


def set_knobs(**knobs: Any) -> None:
    turned = {name.replace("__", "."): value for name, value in knobs.items()}
    Path("params.yaml").write_text(yaml.safe_dump(with_knobs(read_sections(Path("params.yaml")), turned), sort_keys=False))


def test_a_grid_stands_on_the_commits_knobs_and_names_what_is_turned(committed: Path) -> None:
    set_knobs(model__dropout=0.5, train__label_smoothing=0.2, runtime__threads=1)
    played, entry = base_params(), ENTRIES["lr-sweep"]
    assert not {"model.dropout", "train.label_smoothing"} & recipes.overridden_knobs(entry, [])
    at_commit = yaml.safe_load(subprocess.run(["git", "show", "HEAD:params.yaml"], capture_output=True, check=True).stdout)
    assert played.sections["train"] == at_commit["train"]
    assert played.sections["runtime"]["threads"] == 1, "where and how it runs is no part of what was committed"
    [line] = played.notes()
    assert "model.dropout 0.5 (commit: 0.0), train.label_smoothing 0.2 (commit: 0.0)" in line and "--as-is" in line
    assert "dropout" not in played.notes(overridden={"model.dropout"})[0]
    assert recipes.apply_entry(base_params(as_is=True), entry).sections["train"]["label_smoothing"] == 0.2
    assert "Used: model.dropout 0.5 (commit: 0.0)" in base_params(as_is=True).notes()[0]
    done = rally("play", "lr-sweep", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "21 trainings: 7 cells, 3 seeds\n")
    assert "train.label_smoothing 0.2 (commit: 0.0)" in done.stderr


@pytest.mark.parametrize("as_is", [False, True])
def test_a_recipe_sets_back_what_is_turned_unless_it_is_asked_not_to(as_is: bool, committed: Path) -> None:
    set_knobs(model__dropout=0.3, evaluate__prompts=["mine"])
    assert not {"model.dropout", "evaluate.prompts"} & ENTRIES["digits"].set.keys()
    [told] = recipes.experiment_commands("digits", ["train.steps=7"], base=base_params(as_is=as_is))
    apply_overrides("params.yaml", [word for flag, word in pairwise(told) if flag == "-S"])
    values = read_yaml(Path("params.yaml"))
    assert (values["model"]["dropout"], values["evaluate"]["prompts"] == ["mine"]) == ((0.3, True) if as_is else (0.0, False))
    assert values["train"]["steps"] == 7


def test_a_recipe_whose_knobs_are_as_committed_says_no_more_than_it_sets(committed: Path) -> None:
    [told] = recipes.experiment_commands("digits", base=base_params())
    assert told == commands("digits")[0]
    assert base_params().notes() == []


def test_a_knob_that_the_commit_does_not_know_came_with_changed_code_and_stays(committed: Path) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(re.sub(r"(?m)^  smear: .*\n|^  dropout: .*\n", "", text))
    subprocess.run(["git", "commit", "-qam", "older"], check=True)
    Path("params.yaml").write_text(text.replace("  dropout: 0.0", "  dropout: 0.5"))
    assert base_params().sections["model"]["dropout"] == 0.5
    assert base_params().changed_knobs == {}


@pytest.mark.parametrize("before", ["no repository", "no commit", "params.yaml in no commit", "no YAML in the commit"])
def test_without_a_commit_to_ask_a_study_stands_on_params_yaml_and_says_so(before: str, project: Path) -> None:
    set_knobs(train__lr=0.5)
    if before != "no repository":
        subprocess.run(["git", "init", "-q"], check=True)
    if before in ("params.yaml in no commit", "no YAML in the commit"):
        text = Path("params.yaml").read_text()
        Path("params.yaml").write_text("train: {lr")
        file = "dvc.yaml" if before == "params.yaml in no commit" else "params.yaml"
        subprocess.run(f"git add {file} && git commit -qm start", shell=True, check=True)
        Path("params.yaml").write_text(text)
    played = base_params()
    assert played.sections["train"]["lr"] == 0.5
    assert played.notes() == ["params.yaml: is not in any commit; the study uses it as it is here"]


def test_a_result_says_of_which_commit_and_code_it_is(committed: Path) -> None:
    Path("pipeline").mkdir()
    Path("pipeline/tracked.py").write_text("1\n")
    subprocess.run("git add -A && git commit -qm code", shell=True, check=True)
    Path("pipeline/tracked.py").write_text("2\n")
    Path("pipeline/new.py").write_text("3\n")
    set_knobs(train__lr=0.5)
    told = base_params().as_json()
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert (told["commit"], told["changed"]) == (head, ["pipeline/tracked.py", "pipeline/new.py"])
    assert told["knobs"]["train"]["lr"] == 0.03
    assert told["params_yaml"] == {"train.lr": {"here": "0.5", "commit": "0.03"}}


# --------------------------------------------------------------------------------------------------------------- playing


@pytest.mark.slow
def test_playing_runs_the_experiment_that_was_printed(project: Path) -> None:
    dvc = [sys.executable, "-m", "dvc"]
    for command in (["git", "init", "-q"], [*dvc, "init", "-q"], ["git", "add", "."], ["git", "commit", "-qm", "start"]):
        subprocess.run(command, check=True)
    done = rally("play", "nanogpt-cpu", "-S", "train.lr=3e-4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("$ dvc exp run -n nanogpt-cpu-lr3e-4 -S prepare.dataset=tinyshakespeare -S ")
    train = read_yaml(Path("params.yaml"))["train"]
    assert (train["lr"], train["optimizer"]) == (3e-4, "adamw")
    names = subprocess.run(["git", "for-each-ref", "refs/exps"], capture_output=True, text=True, check=True).stdout
    assert "/nanogpt-cpu-lr3e-4\n" in names
    shown = rally("show", "--each")
    assert shown.returncode == 0
    assert "nanogpt-cpu-lr3e-4 " in shown.stdout


def test_a_dry_run_prints_the_command_and_does_nothing(project: Path) -> None:
    before = Path("params.yaml").read_bytes()
    done = rally("play", "nanogpt-cpu", "--dry-run")
    assert done.returncode == 0
    assert re.fullmatch(r"\$ dvc exp run -n nanogpt-cpu( -S \S+)+\n", done.stdout)
    assert Path("params.yaml").read_bytes() == before


def test_a_name_that_is_not_there_gets_a_suggestion(project: Path) -> None:
    done = rally("play", "nanogpt-cup")
    assert (done.returncode, done.stderr) == (
        2,
        f"studies: there is no 'nanogpt-cup'. Did you mean 'nanogpt-cpu'? Known: {', '.join((*COURSE, *ENTRIES))}\n",
    )


def commands(name: str, overrides: Sequence[str] = (), experiment: str | None = None, queue: bool = False) -> list[list[str]]:
    """What is played where params.yaml is as it was committed."""
    base = BaseParams(read_sections(Path("params.yaml")))
    return recipes.experiment_commands(name, overrides, experiment=experiment, queue=queue, base=base)


def rally(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {str(TOP)!r}); from pipeline.lab.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
