"""Claims as files: judged anew, stale by code, data, knobs or bounds, replayed, and made of studies and of experiments."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.lab.claim_files import adding, command, form, listing, replay
from pipeline.lab.claim_files.definition import definitions
from pipeline.lab.claim_files.digests import Digests
from pipeline.lab.claim_files.form import Change, ClaimFile
from pipeline.lab.claim_files.rewriting import of_study
from pipeline.lab.claim_files.standing import Project, Reason, Standing
from pipeline.lab.experiments.records import Experiment, State
from pipeline.lab.statistics import intervals
from pipeline.lab.studies.report import as_json, run_grid
from pipeline.lab.studies.runs.identity import study_identity
from pipeline.params.errors import UserError

TOP = Path(__file__).parents[1]
TINY = """\
tiny:
  says: Does a sigmoid shrink it? A few layers.
  predicts: It does.
  control: A relu does not.
  notice: Look.
  next: rally play tiny
  costs: a second
  reaches: it holds
  source: none
  bench: signal
  set: {bench.layers: 6, bench.width: 16, bench.examples: 8, runtime.progress: none}
  vary: {model.activation: [sigmoid, relu]}
  seeds: [1, 2]
  measure: first_gradient
  check:
  - at_most: {value: 0.5, where: {model.activation: sigmoid}}
  - at_most: {value: 1.0e-6, where: {model.activation: relu}, control: true}
"""
TRAINED = """\
trained:
  says: Does it learn? A few steps.
  predicts: Hardly.
  control: None.
  notice: Look.
  next: rally play trained
  costs: a second
  reaches: it holds
  source: none
  set:
    prepare.dataset: markov
    prepare.generated_chars: 4000
    tokenize.kind: char
    model.depth: 1
    model.width: 8
    model.heads: 1
    model.context_length: 8
    train.steps: 4
    train.batch_size: 2
    train.log_points: 2
    train.validation_points: 1
    train.validation_examples: 8
    train.snapshots: [1.0]
    runtime.threads: 1
    runtime.workers: 1
    runtime.progress: none
    runtime.device: cpu
  vary: {train.lr: [0.001, 0.01]}
  seeds: [1, 2]
  measure: validation_loss
  check:
  - at_least: {value: 0.1}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code, with two tiny studies; it is no repository."""
    ignored = shutil.ignore_patterns("__pycache__", "*.html", "*.css", "*.js", "*.png")
    shutil.copytree(TOP / "pipeline", tmp_path / "pipeline", ignore=ignored)
    (tmp_path / "studies").mkdir()
    (tmp_path / "data/own").mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(TOP / name, tmp_path / name)
    (tmp_path / "studies/tiny.yaml").write_text(TINY + TRAINED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def planted(name: str, values: Callable[[int, int], float] = lambda place, seed: 1.0 + place + 0.01 * seed) -> ClaimFile:
    """A claim file of a study whose values are those of a function, written."""
    project = Project()
    study = project.studies[name]
    places = math.prod(len(way) for way in study.runs.vary.values())
    seeds = range(101, 101 + len(study.runs.seeds))
    rows = {measure: [[values(at, seed) for seed in seeds] for at in range(places)] for measure in study.runs.measure}
    file = of_study(study, project.digests.rests(study, project.base), rows, {}, seeds, None, at="")
    form.write(name, file)
    return file


def played(name: str = "tiny") -> ClaimFile:
    """A claim file of a study that was played, written: its seeds are its own."""
    sweep, base = adding.study_of(name)
    outcome = run_grid(sweep, base)
    numbers = as_json(sweep, outcome) | {"identity": study_identity(name, sweep, base), "made_of": base.as_json()}
    Path("results").mkdir(exist_ok=True)
    Path(f"results/{name}.json").write_text(json.dumps(numbers))
    return adding.add_study(name)


def standing(name: str) -> Standing:
    return Project().standing(name)


def reasons(name: str) -> tuple[Reason, ...]:
    return standing(name).reasons


def with_study(file: str) -> None:
    """The project with a file of shipped studies."""
    shutil.copy(TOP / "studies" / file, "studies")


def change(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert text.count(old) >= 1
    Path(path).write_text(text.replace(old, new, 1))


def comment_in(path: str) -> None:
    Path(path).write_text(Path(path).read_text() + "# a comment\n")


def listed(*words: str) -> tuple[int, dict[str, Any]]:
    """(exit status, what is printed) of `rally claims --json WORDS`, which imports no torch."""
    script = (
        "import sys; from pipeline.lab.cli import app\n"
        f"try: app(['claims', '--json', *{words!r}])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, json.loads(done.stdout)


# ------------------------------------------------------------------------------------------------------------ what is stale


def test_a_touched_engine_makes_trained_claims_stale_and_no_other(project: Path) -> None:
    for file in ("sweeps.yaml", "soundness.yaml", "features.yaml"):
        with_study(file)
    for name in ("lr-sweep", "trained", "overfit-one-batch", "tiny", "superposition"):
        planted(name)
        assert not reasons(name)
    comment_in("pipeline/engine/loop.py")
    for name in ("lr-sweep", "trained", "overfit-one-batch"):  # the last is a bench that trains
        assert reasons(name) == (Reason("code", ("pipeline/engine",)),)
    assert not reasons("tiny") and not reasons("superposition")


TOUCHED: dict[str, set[str]] = {
    "pipeline/corpus/sources/table.py": {"trained"},
    "pipeline/tokenizers/char.py": {"trained"},
    "pipeline/tasks/lm.py": {"trained"},
    "pipeline/networks/activations.py": {"trained", "tiny"},
    "pipeline/networks/norms.py": {"trained"},
    "pipeline/lab/studies/benches/plain_stack.py": {"tiny"},
    "pipeline/lab/studies/measures/record.py": {"trained", "tiny"},
    "pipeline/lab/studies/measures/network_metrics.py": set(),  # these studies read no network
    "pipeline/probes/summary.py": set(),
    "pipeline/evaluate.py": set(),
    "pipeline/lab/studies/pictures/plot.py": set(),
    "pipeline/lab/studies/claims/bounds.py": set(),  # these are statistics, by which the kept values are judged
}


def commit_all() -> None:
    """Put params.yaml and the claim files into a commit of the project's own repository."""
    commit = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"]
    for words in (["git", "init", "-q"], ["git", "add", "params.yaml", "notebook"], commit):
        subprocess.run(words, check=True)


def test_a_knob_that_params_yaml_has_got_came_with_code_and_a_changed_one_did_not(project: Path) -> None:
    planted("trained")
    commit_all()
    assert reasons("trained") == ()
    change("params.yaml", "\n  z_loss:", "\n  brand_new: 1\n  z_loss:")
    assert reasons("trained") == (Reason("code", ("train.brand_new in params.yaml",)),)
    change("params.yaml", "\n  z_loss: 0", "\n  z_loss: 0.5")
    commit_all()
    assert reasons("trained") == (
        Reason("code", ("train.brand_new in params.yaml",)),
        Reason("claim", ("train.z_loss in params.yaml",)),
    )


def test_a_knob_that_moves_from_params_yaml_into_a_study_makes_nothing_stale(project: Path) -> None:
    planted("trained")
    commit_all()
    change("studies/tiny.yaml", "    train.steps: 4\n", "    train.steps: 4\n    train.z_loss: 0.0\n")
    assert reasons("trained") == ()
    change("params.yaml", "\n  z_loss: 0", "\n  z_loss: 0.5")  # the study has its own now
    assert reasons("trained") == ()
    assert (replay.replay("trained").file.history, reasons("trained")) == ([], ())
    change("studies/tiny.yaml", "train.z_loss: 0.0", "train.z_loss: 0.5")
    assert reasons("trained") == (Reason("claim", ("train.z_loss",)),)


def test_a_knob_of_a_bench_is_of_no_params_yaml_and_cannot_have_moved(project: Path) -> None:
    planted("tiny")
    assert reasons("tiny") == ()
    change("studies/tiny.yaml", "bench.layers: 6", "bench.layers: 5")
    assert reasons("tiny") == (Reason("claim", ("bench.layers",)),)


def test_a_knob_that_no_run_reads_makes_nothing_stale(project: Path) -> None:
    planted("trained")
    commit_all()
    change("params.yaml", "\n  vocab_size: ", "\n  vocab_size: 1")
    assert reasons("trained") == ()
    change("studies/tiny.yaml", "tokenize.kind: char", "tokenize.kind: bpe")
    change("params.yaml", "\n  dataset: shakespeare", "\n  dataset: tinyshakespeare")
    assert reasons("trained") == (Reason("data", ("tokenize.kind",)),)


def test_only_code_that_makes_its_numbers_makes_a_claim_stale(project: Path) -> None:
    for name in ("tiny", "trained"):
        planted(name)
    for touched, stale in TOUCHED.items():
        before = Path(touched).read_text()
        comment_in(touched)
        assert {name for name in ("tiny", "trained") if reasons(name)} == stale, touched
        Path(touched).write_text(before)


def test_another_measure_in_the_table_makes_no_claim_stale_and_a_changed_one_does(project: Path) -> None:
    planted("tiny")
    table = "pipeline/lab/studies/measures/metrics.py"
    change(
        table,
        '    "overfit_loss": Measure(',
        '    "another": Measure("another", number("another")),\n    "overfit_loss": Measure(',
    )
    assert not reasons("tiny")
    change(table, 'number("first_gradient")', 'number("signal")')
    assert reasons("tiny") == (Reason("code", ("how the measures are computed",)),)


def test_changed_data_knobs_seeds_and_bounds_are_named(project: Path) -> None:
    with_study("sweeps.yaml")
    planted("lr-sweep")
    change("studies/sweeps.yaml", "prepare.dataset: markov", "prepare.dataset: zipf_bigram")
    assert reasons("lr-sweep") == (Reason("data", ("prepare.dataset",)),)
    planted("trained")
    change("studies/tiny.yaml", "train.steps: 4", "train.steps: 5")
    change("studies/tiny.yaml", "value: 0.1}", "value: 0.2}")
    change("studies/tiny.yaml", "train.lr: [0.001, 0.01]", "train.lr: [0.001, 0.1]")
    assert reasons("trained") == (Reason("claim", ("check 1: at_least.value", "train.steps", "vary train.lr")),)
    planted("tiny")
    change("studies/tiny.yaml", "seeds: [1, 2]", "seeds: [1, 2, 3]")
    assert reasons("tiny") == (Reason("claim", ("seeds",)),)


def test_a_knob_of_params_yaml_that_a_study_leaves_alone_counts_where_its_runs_read_it(project: Path) -> None:
    for name in ("tiny", "trained"):
        planted(name)
    change("params.yaml", "grad_clip: 0.0", "grad_clip: 2.0")
    assert reasons("trained") == (Reason("claim", ("knobs of params.yaml",)),)
    assert not reasons("tiny")
    change("params.yaml", "grad_clip: 2.0", "grad_clip: 0.0")
    change("params.yaml", "validation_share: 0.1", "validation_share: 0.2")
    assert reasons("trained") == (Reason("data", ("knobs of params.yaml, or the file at prepare.path",)),)


def test_a_file_without_a_study_and_a_damaged_one_are_listed_and_stop_nothing(project: Path) -> None:
    file = planted("tiny")
    form.write("gone", file)
    form.path_of("broken").write_text("status: held\n")
    form.path_of("worse").write_text("- [")
    change_of_rows = file.model_copy(update={"values": {"first_gradient": [[1.0, 2.0]]}})
    form.write("short", change_of_rows)
    found = {one.name: one for one in listing.standings(Project())}
    assert found["gone"].reasons == (Reason("claim", ("there is no study gone",)),)
    assert "question: field required; `git checkout" in found["broken"].reasons[0].text()
    assert ": is not YAML" in found["worse"].reasons[0].text()
    assert "are not 2 places with 2 seeds each" in found["short"].reasons[0].text()
    assert not found["tiny"].is_stale
    assert not listing.passes(list(found.values()))


# --------------------------------------------------------------------------------------------------------------- verdicts


def test_other_statistics_change_the_verdict_of_the_same_values(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted("tiny", lambda place, seed: (0.1 if place == 0 else 1.0) + 0.001 * seed)
    assert standing("tiny").status == "held" and not reasons("tiny")
    monkeypatch.setattr(intervals, "quantile", lambda *_: 1e6)  # intervals that hold everything
    comment_in("pipeline/lab/statistics/intervals.py")
    assert standing("tiny").status == "undecided"
    assert reasons("tiny") == (Reason("verdict", ("statistics",)),)
    replay.replay("tiny")
    assert form.read("tiny").status == "undecided" and not reasons("tiny")


def test_a_verdict_that_was_edited_is_found(project: Path) -> None:
    planted("tiny", lambda place, seed: 2.0 + 0.001 * seed)
    change("notebook/claims/tiny.yaml", "status: refuted", "status: held")
    assert reasons("tiny") == (Reason("verdict", ("the file was edited",)),)


@pytest.mark.parametrize(
    ("shrunk", "kept", "status"),
    [(0.1, 1.0, "held"), (0.9, 1.0, "refuted"), (0.1, 1e-9, "undecided"), (math.inf, 1.0, "refuted")],
)
def test_the_status_of_a_claim_is_that_of_its_checks_and_its_controls(
    shrunk: float, kept: float, status: str, project: Path
) -> None:
    file = planted("tiny", lambda place, seed: (shrunk if place == 0 else kept) * (1 + 0.001 * (seed - 100)))
    assert file.status == status
    assert form.read("tiny") == file, "what is written is what is read, infinity too"


# ----------------------------------------------------------------------------------------------------------------- replay


def test_a_changed_bound_needs_no_run_and_makes_the_claim_explored_until_fresh_seeds_confirm_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert played().kind == "exploratory", "these are the seeds that the study was made with"
    fresh = replay.replay("tiny", fresh=True).file
    assert (fresh.kind, fresh.scope.seeds, fresh.scope.looked_at) == ("confirmatory", [3, 4], [1, 2])
    change("studies/tiny.yaml", "value: 0.5", "value: 0.4")
    with monkeypatch.context() as patch:
        patch.setattr(replay, "run", lambda *_: pytest.fail("something ran"))
        changed = replay.replay("tiny").file
    assert (changed.kind, changed.values) == ("exploratory", fresh.values)
    assert changed.history[-1] == Change(at="", changed="check 1: at_most.value", before=0.5, after=0.4, seen=True)
    again = replay.replay("tiny", fresh=True).file
    assert (again.kind, again.scope.seeds, again.scope.looked_at) == ("confirmatory", [5, 6], [1, 2, 3, 4])
    assert again.history[-1].changed == "seeds of the values" and not again.history[-1].seen
    assert [line.changed for line in again.history] == ["seeds of the values", "check 1: at_most.value", "seeds of the values"]


def test_a_replay_on_the_same_code_changes_no_byte(project: Path) -> None:
    played()
    before = form.path_of("tiny").read_bytes()
    assert "nothing is stale" in replay.replay("tiny").text
    replay.replay("tiny", again=True)
    adding.add_study("tiny")
    assert form.path_of("tiny").read_bytes() == before


def test_a_changed_knob_runs_again(project: Path) -> None:
    before = played()
    change("studies/tiny.yaml", "bench.layers: 6", "bench.layers: 5")
    after = replay.replay("tiny").file
    assert after.values != before.values and not reasons("tiny")
    assert [(line.changed, line.before, line.after, line.seen) for line in after.history] == [("bench.layers", 6, 5, True)]


def test_a_sample_that_is_equal_carries_all_values_over_and_one_that_is_not_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = played()
    comment_in("pipeline/networks/activations.py")
    assert "2 of 4 runs were made and are equal" in replay.replay("tiny", sample=2).text
    after = form.read("tiny")
    assert after.rests_on.code != before.rests_on.code
    assert after.model_copy(update={"rests_on": before.rests_on}) == before
    assert not reasons("tiny")
    first = before.values["first_gradient"][0][0]
    change("notebook/claims/tiny.yaml", str(first), str(first * 1.01))
    comment_in("pipeline/networks/activations.py")
    text = form.path_of("tiny").read_bytes()
    with pytest.raises(SystemExit) as ended:
        command.replay("tiny", sample=2)
    assert ended.value.code == 1
    assert "first_gradient of place 1, seed 1 is" in capsys.readouterr().out
    assert form.path_of("tiny").read_bytes() == text
    change("studies/tiny.yaml", "value: 0.5", "value: 0.4")
    with pytest.raises(UserError, match="a sample says nothing of that"):
        replay.replay("tiny", sample=2)


@pytest.mark.slow
def test_a_training_replayed_on_the_same_code_changes_no_byte_whether_its_runs_are_kept_or_not(project: Path) -> None:
    played("trained")
    before = form.path_of("trained").read_bytes()
    for records in (None, ".rally/sweeps/runs", ".rally"):  # kept, trained again, with the data made again
        if records:
            shutil.rmtree(records)
        replay.replay("trained", again=True)
        assert form.path_of("trained").read_bytes() == before


# ------------------------------------------------------------------------------------------------------- what claims are of


def test_a_study_that_was_not_played_or_is_another_now_is_one_line(project: Path) -> None:
    with pytest.raises(UserError, match=r"results/tiny\.json: is not there; `rally play tiny --fresh`"):
        adding.add_study("tiny")
    played()
    change("studies/tiny.yaml", "value: 0.5", "value: 0.4")
    with pytest.raises(UserError, match="is of other knobs or bounds than tiny has now"):
        adding.add_study("tiny")


def test_results_count_as_they_are_only_where_the_code_that_made_them_is_this(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run(["git", *words], check=True)
    played()
    monkeypatch.setattr(adding, "run", lambda *_: pytest.fail("something ran"))
    file = adding.add_study("tiny")
    assert file.values == form.read("tiny").values
    comment_in("pipeline/engine/loop.py")
    adding.add_study("tiny")
    comment_in("pipeline/networks/activations.py")
    with pytest.raises(pytest.fail.Exception, match="something ran"):
        adding.add_study("tiny")


def experiment(name: str, lr: float, seed: int, **scores: float) -> Experiment:
    knobs: dict[str, Any] = {"train.lr": lr, "seed": seed}
    return Experiment(name, f"{name}-commit", "base", State.DONE, None, knobs, scores)


LOW = [experiment(f"low-{seed}", 1e-4, seed, loss=2.0 + 0.001 * seed, accuracy=0.4) for seed in (1, 2, 3)]
HIGH = [experiment(f"high-{seed}", 1e-3, seed, loss=1.9 + 0.001 * seed, accuracy=0.5) for seed in (1, 2, 3, 4)]


def test_a_claim_on_experiments_is_judged_over_the_seeds_that_all_have() -> None:
    check = adding.read_check("exceeds: {measure: loss, more: low-1, less: high-1, by: 0.02}")
    file = adding.claim_on([*LOW, *HIGH], ["low-1", "high-1"], [check])
    assert (file.status, file.kind, file.scope.seeds) == ("held", "exploratory", [1, 2, 3])
    assert file.predicts == "loss at low-1 exceeds that at high-1 by at least 0.02"
    assert file.values == {"loss": [[2.001, 2.002, 2.003], [1.901, 1.902, 1.903]]}
    assert file.rests_on.experiments["high-1"] == ["high-1-commit", "high-2-commit", "high-3-commit"]
    too_much = adding.read_check("exceeds: {measure: loss, more: low-1, less: high-1, by: 0.2}")
    assert adding.claim_on([*LOW, *HIGH], ["low-1", "high-1"], [too_much]).status == "refuted"
    assert adding.claim_on([LOW[0], HIGH[0]], ["low-1", "high-1"], [check]).status == "undecided", "one seed decides nothing"


@pytest.mark.parametrize(
    ("arms", "check", "line"),
    [
        (["low-1", "hihg-1"], "at_most: {measure: loss, value: 2}", "there is no experiment 'hihg-1'. Did you mean 'high-1'?"),
        (["low-1", "low-2"], "at_most: {measure: loss, value: 2}", "low-1 and low-2 differ in their seed alone"),
        (["low-1", "high-1"], "at_most: {value: 2}", "names no measure. Known: accuracy, loss"),
        (["low-1", "high-1"], "at_most: {measure: los, value: 2}", "low-1: has no score 'los'. Did you mean 'loss'?"),
        (["low-1", "high-4"], "exceeds: {measure: loss, more: a, less: b, by: 1}", "experiment is never 'a'"),
    ],
)
def test_what_cannot_be_claimed_on_experiments_is_one_line(arms: list[str], check: str, line: str) -> None:
    with pytest.raises(UserError) as refused:
        adding.claim_on([*LOW, *HIGH], arms, [adding.read_check(check)])
    assert line in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "../out", "a b", "a/b", ".a", "-x", "a" * 101])
def test_a_claim_has_a_name_that_is_a_file_of_its_folder(name: str, project: Path) -> None:
    with pytest.raises(UserError, match="is not a name of a claim"):
        adding.add_experiments(name, ["a", "b"], ["exceeds: {measure: loss, more: a, less: b, by: 0.02}"])
    with pytest.raises(UserError, match="is a control, which must not hold"):
        adding.add_experiments("mine", ["a", "b"], ["at_most: {measure: loss, value: 2, control: true}"])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("", "", "is empty"),
        ("", "- 1", "holds no claim"),
        ("  seeds: [101, 102]", "  seeds: [101, 101]", r"scope.seeds: \[101, 101\] are not one seed or more, each once"),
        ("  measure: [first_gradient]", "  measure: []", "runs.measure: names no measure"),
        ("  seeds: [101, 102]", "  seeds: []", r"scope.seeds: \[\] are not one seed or more"),
    ],
)
def test_a_file_of_another_shape_is_listed_with_its_reason(old: str, new: str, says: str, project: Path) -> None:
    planted("tiny", lambda place, seed: 0.1 + 0.001 * seed)
    path = form.path_of("tiny")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else new, encoding="utf-8")
    with pytest.raises(UserError, match=says):
        form.read("tiny")
    [reason] = standing("tiny").reasons
    assert reason.kind == "file"


def test_a_folder_or_a_path_is_no_claim(project: Path) -> None:
    planted("tiny")
    with pytest.raises(UserError, match=r"there is no '\.\./claims/tiny'"):
        form.read("../claims/tiny")
    form.path_of("odd").mkdir()
    assert "odd.yaml: is not a file" in standing("odd").reasons[0].text()


def test_a_study_of_another_shape_is_left_out(project: Path) -> None:
    parts = {"set": "{}", "vary": "{train.lr: [1]}", "check": "[]", "seeds": "[1]", "measure": "loss"}
    known = {*definitions()}
    for part, wrong in (
        ("set", "null"),
        ("set", "[1]"),
        ("set", "{5: 3}"),
        ("vary", "[1]"),
        ("vary", "null"),
        ("check", "[5]"),
    ):
        entry = ", ".join(f"{word}: {value}" for word, value in (parts | {part: wrong}).items())
        (project / "studies/odd.yaml").write_text(f"odd: {{{entry}}}\n")
        assert {*definitions()} == known, (part, wrong)


def test_what_is_no_claim_is_one_line() -> None:
    for text, line in (("loss < 2", "is not a claim, such as"), ("exeeds: {by: 1}", "Did you mean 'exceeds'?")):
        with pytest.raises(UserError, match=line.replace("?", r"\?")):
            adding.read_check(text)


# --------------------------------------------------------------------------------------------------------------- the command


def test_the_list_needs_no_torch_and_its_check_fails_on_what_is_stale_or_refuted(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted("tiny", lambda place, seed: (0.1 if place == 0 else 1.0) + 0.001 * seed)
    status, found = listed("--check")
    [one] = found["claims"]
    assert (status, one["name"], one["status"], one["kind"], one["stale"]) == (0, "tiny", "held", "confirmatory", [])
    assert found["without_file"] == ["trained"]
    change("studies/tiny.yaml", "value: 0.5", "value: 0.4")
    status, found = listed("--check")
    assert (status, found["claims"][0]["stale"]) == (1, [{"kind": "claim", "about": ["check 1: at_most.value"]}])
    listing.say([standing("tiny")], ["trained"])
    said = capsys.readouterr().out
    assert "stale: claim (check 1: at_most.value)" in said and "1 claims: 1 held; 1 of them stale" in said
    change("studies/tiny.yaml", "value: 0.4", "value: 0.5")
    planted("tiny", lambda place, seed: 2.0 + 0.001 * seed)
    assert not reasons("tiny") and not listing.passes([standing("tiny")]), "refuted"


# ------------------------------------------------------------------------------------------------------- the shipped claims

MISSING: dict[str, str] = {}
"""Shipped studies without a claim file, each with the reason."""


def test_every_shipped_study_has_a_readable_claim_file_or_a_reason_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP)
    studies = definitions()
    for name in form.names():
        file = form.read(name)
        assert file.rests_on.experiments or name in studies, f"{name}: there is no such study"
        assert file.checks and file.scope.seeds and all(MISSING.values())
        assert Digests().paths(file.runs), name
    assert {name for name in studies if name not in form.names()} == set(MISSING), "a study with a file is not missing"


def fresh_table() -> list[str]:
    """The rows of the table "On fresh seeds" in docs/studies.md: `python tests/test_claims.py` prints them."""
    rows = []
    for name in sorted(definitions()):
        if name not in form.names():
            rows.append(f"| {name} | not yet | | | | |")
            continue
        file = form.read(name)
        seeds = f"{file.scope.seeds[0]} to {file.scope.seeds[-1]}"
        counts = [sum(check.verdict == verdict for check in file.checks) for verdict in ("held", "refuted", "undecided")]
        failed = sum(check.verdict == "failed, as it should" for check in file.controls)
        said = " | ".join(str(count or "–") for count in counts)
        rows.append(f"| {name} | {seeds} | {said} | {failed} of {len(file.controls)} |")
    return rows


def test_the_page_of_the_studies_says_what_fresh_seeds_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP)
    page = Path("docs/studies.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in fresh_table() if row not in page] == [], "`python tests/test_claims.py` prints the table"


if __name__ == "__main__":
    print(*fresh_table(), sep="\n")
