"""`rally show`: the seeds of a variant as one row, in every state that an experiment can be in."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from recorded import FINDING, SCORES, leave_recorded_run, record, set_knobs, write

from pipeline.lab.dvc.queue import QUEUE, RUN_TASK, RUNS
from pipeline.lab.experiments import notes, table, variants
from pipeline.lab.experiments.curves import curve_of, curves_of
from pipeline.lab.experiments.read import UNSCORED, read_experiments
from pipeline.lab.experiments.records import Experiment, Group, Knob, State, grouped
from pipeline.lab.experiments.show import show
from pipeline.params.errors import UserError

SECTIONS = ("seed", "task", "prepare", "train", "model")


def one(name: str, seed: int = 1, *, lr: float = 0.1, kind: str = "language", data: str = "markov", **said: Any) -> Experiment:
    """An experiment that is done, of these scores and this finding."""
    state, finding, diverged = said.pop("state", State.DONE), said.pop("finding", "healthy"), said.pop("diverged", False)
    knobs: dict[str, Knob] = {"seed": seed, "task.kind": kind, "prepare.dataset": data, "train.lr": lr}
    about = {name: said.pop(name) for name in ("code", "missing") if name in said}
    return Experiment(name, name, "base", state, None, knobs, said, finding, diverged, **about)


# ----------------------------------------------------------------------------------------------------- seeds as one group


def test_what_differs_in_the_seed_alone_is_one_group_and_other_code_is_another() -> None:
    groups = grouped([one("a2", 2), one("b", lr=0.2), one("a1", 1), one("c", 3, code="other")])
    assert [[exp.name for exp in group.experiments] for group in groups] == [["a1", "a2"], ["b"], ["c"]]
    assert [variants.name_of(group) for group in groups] == ["a1 +1", "b", "c"]
    assert "seed" not in groups[0].knobs
    assert variants.differing(groups) == ["train.lr"]


@pytest.mark.parametrize("state", [State.FAILED, State.QUEUED, State.RUNNING, State.KILLED, State.DONE])
def test_of_one_seed_twice_the_one_with_a_result_counts(state: State) -> None:
    empty, full = one("empty", state=state), one("full", loss=1.0)
    for order in ([empty, full], [full, empty]):
        assert [exp.name for exp in grouped(order)[0].experiments] == ["full"]
    here = Experiment("workspace", "", "", State.DONE, None, full.knobs, {"loss": 2.0})
    assert [grouped(order)[0].name for order in ([full, here], [here, full])] == ["full", "full"]
    later = [one("early", loss=1.0), one("late", loss=2.0)]
    assert grouped(later)[0].values("loss") == {1: 2.0}
    assert notes.about_groups(grouped(later), later) == [
        "1 experiment with the knobs and the seed of another: `rally show --each` lists all"
    ]


def group(*experiments: Experiment) -> Group:
    [found] = grouped(experiments)
    return found


def test_a_mean_has_students_interval() -> None:
    score = variants.score_of(group(*(one(f"a{seed}", seed, loss=loss) for seed, loss in enumerate((1.0, 1.1, 1.3)))), "loss")
    assert score is not None
    # By hand: the mean is 3.4 / 3, the variance (0.1333² + 0.0333² + 0.1667²) / 2 = 0.023333, t for 2 degrees 4.30265.
    half = 4.30265 * (0.0233333 / 3) ** 0.5
    assert (score.interval.mean, score.n) == (pytest.approx(3.4 / 3), 3)
    assert (score.interval.low, score.interval.high) == (
        pytest.approx(3.4 / 3 - half, 1e-5),
        pytest.approx(3.4 / 3 + half, 1e-5),
    )
    assert variants.score_text(score) == "1.13 ± 0.38"


def test_an_interval_ends_where_a_score_can_be_no_better() -> None:
    score = variants.score_of(
        group(*(one(f"a{seed}", seed, accuracy=value) for seed, value in enumerate((0.98, 1.0)))), "accuracy"
    )
    assert score is not None
    # By hand: t for 1 degree is 12.706, the standard error 0.01.
    assert score.interval == (pytest.approx(0.99 - 0.12706, 1e-4), pytest.approx(0.99), 1.0)
    assert variants.score_text(score) == "0.99 (0.86 … 1.00)"


def test_one_seed_has_no_interval_and_equal_seeds_have_an_empty_one() -> None:
    alone = group(one("a", loss=1.23456))
    assert (variants.score_text(variants.score_of(alone, "loss")), variants.seeds_text(alone)) == ("1.235", "1 seed")
    assert variants._group_json(alone, ())["scores"] == {"loss": {"mean": 1.23456, "low": None, "high": None, "n": 1}}
    equal = group(*(one(f"a{seed}", seed, loss=0.1 + 0.2) for seed in range(3)))
    assert variants.score_text(variants.score_of(equal, "loss")) == "0.3 ± 0"
    assert variants.score_text(variants.score_of(equal, "accuracy")) == ""


MIXED = [
    one("a1", 1, loss=1.0),
    one("a2", 2, loss=1.2, finding="overfits"),
    one("a3", 3, diverged=True, finding="unstable", missing="diverged"),
    one("a4", 4, state=State.QUEUED, finding=""),
    one("a5", 5, state=State.FAILED, finding=""),
    one("a6", 6, state=State.QUEUED, finding=""),
]


def test_a_group_says_how_many_are_done_diverged_or_sick() -> None:
    found = group(*MIXED)
    assert variants.seeds_text(found) == "3 of 6 done"
    assert variants.states_text(found) == "2 queued, 1 failed"
    assert variants.sick_text(found) == "2 of 3"
    assert variants.findings(found) == {"healthy": 1, "overfits": 1, "diverged": 1}
    assert variants.findings_text(found) == "healthy 1, overfits 1, diverged 1"
    assert (score := variants.score_of(found, "loss")) is not None
    assert (score.interval.mean, score.n) == (pytest.approx(1.1), 2)
    assert "a mean is that of the seeds that did not diverge" in notes.about_groups([found], MIXED)
    assert variants.findings_text(group(one("b", finding=""), one("c", 2))) == "healthy"


def printed(capsys: pytest.CaptureFixture[str], experiments: list[Experiment], width: int = 200) -> list[str]:
    capsys.readouterr()
    table.print_table(table.uniform(variants.rows_of(grouped(experiments))), SECTIONS, width)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_the_table_has_a_row_a_group_and_columns_for_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    heading, _, first, second = printed(capsys, [*MIXED, one("b1", lr=0.2, loss=3.0)])
    assert heading.split() == ["Experiment", "seeds", "state", "loss", "sick", "finding", "lr"]
    assert first.split()[:8] == ["a1", "+5", "3", "of", "6", "done", "2", "queued,"]
    assert "1.1 (0.0 … 2.4)" in first and first.endswith("0.1")  # t for 1 degree 12.706, standard error 0.1
    assert second.split() == ["b1", "1", "seed", "–", "3", "0", "of", "1", "healthy", "0.2"]


def test_tasks_stand_apart_and_have_a_column_only_where_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(
        capsys,
        [
            one("a", loss=1.0),
            one("d1", kind="vision", data="digits", accuracy=0.9),
            one("d2", 2, kind="vision", data="digits", accuracy=0.8),
            one("b", lr=0.2, loss=2.0),
        ],
    )
    assert lines[0].split()[:3] == ["task", "data", "Experiment"]
    assert [line.split()[2] for line in lines[2:]] == ["a", "b", "d1"]
    assert "0.85 (0.21 … 1.00)" in lines[-1]


def test_in_a_narrow_terminal_the_least_important_columns_go(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"accuracy": 0.5, "loss": 1.0, "bits_per_byte": 2.0, "margin": 0.1, "above_entropy": 0.2}
    groups = [one(f"{name}{seed}", seed, lr=lr, **scores) for name, lr in (("a", 0.1), ("b", 0.2)) for seed in (1, 2)]
    wide, narrow = (printed(capsys, groups, width) for width in (200, 80))
    assert set(wide[0].split()) - set(narrow[0].split()) == {"above_entropy", "margin", "sick"}
    assert len(wide) == len(narrow) and max(map(len, narrow)) <= 80
    assert printed(capsys, groups, 60)[0].split() == ["Experiment", "seeds", "bits_per_byte", "finding", "lr"]


@pytest.mark.parametrize("seed", ["abc", None, float("nan"), float("inf"), "[1, 2]"])
def test_a_seed_that_is_no_number_counts_as_0(seed: Knob) -> None:
    assert Experiment("a", "a", "", State.DONE, None, {"seed": seed}).seed == 0


def test_of_other_tokenizers_only_bits_per_byte_compare() -> None:
    mixed = [
        one("char", loss=1.38629, bits_per_byte=2.0, accuracy=0.5),
        one("bpe", lr=0.2, loss=3.46574, bits_per_byte=2.0, margin=0.1),
        one("digits", kind="vision", accuracy=0.9, loss=0.3),
    ]
    kept, [line] = notes.without_per_token(mixed)
    assert "a token is 1 to 2.5 bytes" in line
    assert [dict(exp.scores) for exp in kept] == [
        {"bits_per_byte": 2.0},
        {"bits_per_byte": 2.0, "margin": 0.1},
        dict(mixed[2].scores),
    ]
    assert notes.without_per_token(mixed[1:]) == (mixed[1:], [])


# ------------------------------------------------------------------------------------------- what git and DVC's queue hold


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which every stage has run, committed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    leave_recorded_run(tmp_path)
    set_knobs(tmp_path, task={"kind": "language"})
    (tmp_path / ".gitignore").write_text("/.dvc\n/.rally\n")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "start")
    return tmp_path


def commit_of(lab: Path, scores: dict[str, Any], finding: dict[str, Any], **knobs: Any) -> str:
    """The commit of a run with these knobs; the working tree stays as it is."""
    set_knobs(lab, **knobs)
    write(lab, SCORES, json.dumps(scores))
    write(lab, FINDING, json.dumps(finding))
    record(lab)
    git("add", "-A")
    commit = git("commit-tree", git("write-tree"), "-p", "HEAD", "-m", "dvc: commit experiment")
    git("reset", "-q", "--hard")
    return commit


def experiment(lab: Path, name: str, loss: float | None, finding: str = "healthy", **knobs: Any) -> str:
    scores = {"accuracy": 0.5} | ({} if loss is None else {"loss": loss})
    commit = commit_of(lab, scores, {"finding": finding, "findings": [{"name": finding}]}, **knobs)
    head = git("rev-parse", "HEAD")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)
    return commit


def task(name: str, revision: str, folder: str = "in", *, done: bool = False, result: str | None = None) -> None:
    """A task in DVC's queue, as DVC 3.67 leaves it in its files."""
    entry = {"name": name, "stash_rev": revision, "baseline_rev": git("rev-parse", "HEAD")}
    body = base64.b64encode(json.dumps([[entry], {"copy_paths": []}, {}]).encode()).decode()
    (QUEUE / "broker" / folder).mkdir(parents=True, exist_ok=True)
    message = {"headers": {"id": name, "task": RUN_TASK}, "body": body}
    (QUEUE / "broker" / folder / f"1_{name}.celery.msg").write_text(json.dumps(message))
    if done:
        (QUEUE / "result").mkdir(exist_ok=True)
        (QUEUE / "result" / f"celery-task-meta-{name}").write_text("{}")
        write(Path(), str(RUNS / revision / f"{revision}.run"), json.dumps({"name": name, "result_hash": result}))


@pytest.mark.parametrize("name", ["", " ", "nope", "HEAD~5", "--all"])
def test_a_name_that_stands_for_nothing_is_one_line_that_says_what_to_use(lab: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"^\S.*of this name\. There is no experiment yet; `dvc exp run"):
        read_experiments([name])


def test_files_of_another_shape_do_not_hide_the_other_experiments(lab: Path) -> None:
    for name, finding, loss in (
        *(("none", {"finding": None, "findings": None}, 2.0), ("number", {"finding": 5, "findings": 5}, 3.0)),
        *(("words", {"finding": "", "findings": ["a"]}, 4.0), ("huge", {"finding": "healthy"}, 10**400)),
    ):
        commit = commit_of(lab, {"loss": loss}, finding, train__lr=0.5)
        head = git("rev-parse", "HEAD")
        git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)
    found = {exp.name: (exp.finding, dict(exp.scores), exp.diverged) for exp in read_experiments()}
    assert found["none"] == ("", {"loss": 2.0}, False) and found["number"] == ("", {"loss": 3.0}, False)
    assert found["words"] == ("", {"loss": 4.0}, False)
    assert found["huge"] == ("healthy", {}, True), "a float cannot hold it"


def test_every_state_is_told_apart_and_only_what_is_done_has_scores(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = experiment(lab, "done", 2.5, seed=2)
    waiting, failing, running, killed = (
        commit_of(lab, {"loss": 9.0}, {"finding": "healthy"}, seed=seed) for seed in (3, 4, 5, 6)
    )
    task("waits", waiting)
    task("fails", failing, "processed", done=True)
    task("was-done", done, "processed", done=True, result="abc")
    task("runs", running, "processed")
    task("killed", killed, "processed")
    monkeypatch.setattr("pipeline.lab.dvc.queue.was_killed", lambda revision: revision == killed)
    found = read_experiments()
    assert {(exp.name, exp.state.value, exp.seed, exp.scores.get("loss")) for exp in found} == {
        ("main", "done", 1, 1.0),
        ("workspace", "done", 1, 1.0),
        ("done", "done", 2, 2.5),
        ("waits", "queued", 3, None),
        ("fails", "failed", 4, None),
        ("runs", "running", 5, None),
        ("killed", "killed", 6, None),
    }
    assert [exp.name for exp in found[:2]] == ["main", "workspace"]
    assert {exp.finding for exp in found if exp.state is not State.DONE} == {""}
    assert notes.missing_numbers(found) == [
        "killed: was killed, and DVC still calls it running: end it with `dvc queue kill killed`,"
        " remove it with `dvc queue remove killed`",
        "fails: failed, so it has no scores: `dvc queue logs fails` says why, `dvc queue remove fails` removes it",
    ]
    [row] = grouped(found)
    assert (variants.seeds_text(row), variants.states_text(row)) == ("2 of 6 done", "1 queued, 1 failed, 1 running, 1 killed")


def test_what_runs_in_the_working_tree_or_beside_it_is_running(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = commit_of(lab, {}, {}, seed=7)
    head = git("rev-parse", "HEAD")
    write(lab, str(RUNS / "workspace/workspace.run"), json.dumps({"name": "here", "status": 2, "baseline_rev": head}))
    write(lab, str(RUNS / "workspace/workspace.json"), json.dumps({"pid": os.getpid()}))
    noted = {"name": "beside", "status": 2, "baseline_rev": head, "root_dir": str(lab)}
    write(lab, f".dvc/tmp/exps/standalone/run/{commit}/{commit}.run", json.dumps(noted))
    monkeypatch.setattr("pipeline.lab.dvc.queue.was_killed", lambda revision: False)
    running = {exp.name: exp.seed for exp in read_experiments() if exp.state is State.RUNNING}
    assert running == {"here": 1, "beside": 7}
    write(lab, str(RUNS / "workspace/workspace.run"), json.dumps({"name": "here", "status": 3, "baseline_rev": head}))
    assert [exp.name for exp in read_experiments() if exp.state is State.RUNNING] == ["beside"]


def test_a_diverged_run_has_no_scores_whether_its_loss_was_finite_or_not(lab: Path) -> None:
    experiment(lab, "infinite", None, "learns nothing", seed=2)
    experiment(lab, "stopped", 7.0, "diverged", seed=3)
    experiment(lab, "sick", 7.0, "unstable", seed=4)
    found = {exp.name: exp for exp in read_experiments()}
    assert [(found[name].diverged, bool(found[name].scores)) for name in ("infinite", "stopped", "sick", "main")] == [
        (True, False),
        (True, False),
        (False, True),
        (False, True),
    ]
    assert found["stopped"].missing.startswith("diverged, so it has no scores")


def test_numbers_of_other_knobs_are_not_there_and_the_reason_is(lab: Path) -> None:
    experiment(lab, "fine", 2.0, seed=2)
    set_knobs(lab, seed=9)
    git("add", "-A")
    stale = git("commit-tree", git("write-tree"), "-p", "HEAD", "-m", "x")
    head = git("rev-parse", "HEAD")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/stale", stale)
    found = {exp.name: exp for exp in read_experiments()}
    why = "seed is 9, and was 1 when train ran"
    assert found["workspace"].missing == f"no scores: {why}; `dvc repro` makes new ones"
    assert found["stale"].missing == f"no scores: {why}; `dvc exp apply stale`, then `dvc repro`"
    assert not found["stale"].scores and not found["stale"].finding
    assert (found["fine"].scores["loss"], found["fine"].missing) == (2.0, "")


def test_a_commit_without_scores_is_listed_without_a_word(lab: Path) -> None:
    git("rm", "-q", SCORES, FINDING)
    git("commit", "-qm", "no scores")
    found = read_experiments()
    assert [(exp.name, exp.missing, dict(exp.scores)) for exp in found] == [("main", UNSCORED, {}), ("workspace", UNSCORED, {})]
    assert notes.missing_numbers(found) == []


def test_names_commits_and_all_commits_are_found_and_others_are_a_clear_error(lab: Path) -> None:
    experiment(lab, "slow", 2.0, seed=2)
    experiment(lab, "fast", 3.0, seed=3)
    git("commit", "-q", "--allow-empty", "-m", "next")
    experiment(lab, "slow", 4.0, seed=4)
    assert [(exp.name, exp.seed) for exp in read_experiments(["slow"])] == [("slow", 4)], "this commit's first"
    assert [exp.name for exp in read_experiments(["fast", "workspace"])] == ["fast", "workspace"]
    assert {exp.seed for exp in read_experiments(["HEAD~1"])} == {1, 2, 3}
    assert [exp.name for exp in read_experiments()] == ["main", "workspace", "slow"]
    assert sorted(exp.seed for exp in read_experiments(all_commits=True)) == [1, 1, 1, 2, 3, 4]
    with pytest.raises(UserError, match=r"fats: there is no experiment, .*Did you mean 'fast'"):
        read_experiments(["fats"])


def test_experiments_of_other_code_stand_apart_and_a_line_says_how_to_see_it(lab: Path) -> None:
    write(lab, "pipeline/engine/loop.py", "old")
    git("add", "-A")
    git("commit", "-qm", "old code")
    experiment(lab, "old", 2.0, seed=2)
    write(lab, "pipeline/lab/show.py", "no stage runs this")
    git("add", "-A")
    git("commit", "-qm", "same code")
    experiment(lab, "same", 3.0, seed=3)
    write(lab, "pipeline/engine/loop.py", "new")
    found = [exp for exp in read_experiments(all_commits=True) if exp.name in ("old", "same", "workspace")]
    groups = grouped(found)
    assert [[exp.name for exp in group.experiments] for group in groups] == [["workspace"], ["old", "same"]]
    [line] = [line for line in notes.about_groups(groups, found) if line.startswith("code:")]
    assert f"`git diff {found[-1].commit[:7]} -- pipeline dvc.yaml`" in line


def test_the_curve_of_an_experiment_comes_from_dvcs_cache(lab: Path) -> None:
    md5 = "0123456789abcdef0123456789abcdef"
    curve = "step,loss\n1,2.5\n2,nan\n3,\n"
    write(lab, f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}", curve)
    commit = experiment(lab, "a", 2.0, seed=2)
    lock = yaml.safe_load(git("show", f"{commit}:dvc.lock"))
    entry = {"path": "metrics/train.csv", "hash": "md5", "md5": md5, "size": len(curve)}
    stale = {"path": "metrics/train.csv", "hash": "md5", "md5": "f" * 32, "size": 3}
    lock["stages"]["diagnose"]["deps"].append(stale)
    lock["stages"]["train"]["outs"].append(entry)
    write(lab, "dvc.lock", yaml.safe_dump(lock, sort_keys=False))
    git("add", "-A")
    other = git("commit-tree", git("write-tree"), "-p", "HEAD", "-m", "x")
    git("reset", "-q", "--hard")
    with_curve = one("x", loss=1.0)
    expected = {"step": [1.0, 2.0, 3.0], "loss": [2.5, None, None]}
    assert curve_of(Experiment("x", other, "base", State.DONE, None, with_curve.knobs, {"loss": 1.0})) == expected
    write(lab, "metrics/train.csv", curve)
    here = Experiment("workspace", "", "", State.DONE, None, {}, {"loss": 1.0})
    assert curves_of([here, Experiment("a", commit, "base", State.DONE, None, {}, {"loss": 1.0})]) == [expected, {}]


# ------------------------------------------------------------------------------------------------------------ the command


def said(capsys: pytest.CaptureFixture[str], *words: str, **options: bool) -> str:
    capsys.readouterr()
    assert show(words, **options) == 0
    return capsys.readouterr().out


@pytest.fixture
def variants_of_lr(lab: Path) -> Path:
    for name, seed, lr, loss in (("a1", 1, 0.1, 1.0), ("a2", 2, 0.1, 1.2), ("b1", 1, 0.2, 0.5), ("b2", 2, 0.2, 0.7)):
        experiment(lab, name, loss, "healthy" if lr == 0.1 else "overfits", seed=seed, train__lr=lr)
    git("commit", "-q", "--allow-empty", "-m", "next")
    git("tag", "next")
    return lab


def test_what_is_printed_has_a_row_a_variant_or_each(variants_of_lr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys)
    assert "4 experiments of other commits: `rally show -A`" in text
    assert "a1" not in text
    text = said(capsys, "--rev", "HEAD~1")
    rows = [line.split() for line in text.splitlines() if " +1 " in line]
    assert {(row[0], *row[2:4]) for row in rows} == {("a1", "2", "seeds"), ("b1", "2", "seeds")}
    each = said(capsys, "--rev", "HEAD~1", each=True)
    assert all(f" {name} " in each for name in ("a1", "a2", "b1", "b2"))


def test_json_is_one_object_with_all_that_the_table_says(variants_of_lr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(said(capsys, "a1", "a2", "b1", as_json=True))
    assert list(told) == ["groups", "notes"]
    first, second = told["groups"]
    assert (first["name"], first["seeds"], first["done"], first["task"]) == ("a1", [1, 2], 2, "language")
    assert first["knobs"]["differ"] == {"train.lr": 0.1} and second["knobs"]["differ"] == {"train.lr": 0.2}
    assert first["knobs"]["all"]["train.lr"] == 0.1 and "seed" not in first["knobs"]["all"]
    assert first["scores"]["loss"] == {
        "mean": pytest.approx(1.1),
        "low": 0.0,  # 1.1 - 12.706 * 0.1 is below what a loss can be
        "high": pytest.approx(1.1 + 1.27062, 1e-5),
        "n": 2,
    }
    assert (second["diverged"], second["sick"], second["findings"]) == (0, 1, {"overfits": 1})
    assert [(exp["name"], exp["seed"], exp["state"]) for exp in first["experiments"]] == [("a1", 1, "done"), ("a2", 2, "done")]
    assert datetime.fromisoformat(first["experiments"][0]["created"]).tzinfo is not None


def test_groups_and_experiments_are_sorted_by_a_score_or_a_knob(
    variants_of_lr: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def order(*words: str, each: bool = False) -> list[str]:
        text = said(capsys, "--rev", "HEAD~1", *words, each=each)
        return [word for line in text.splitlines() for word in line.split() if word in ("a1", "a2", "b1", "b2")]

    assert order("--sort-by", "loss") == ["b1", "a1"]
    assert order("--sort-by", "train.lr") == ["a1", "b1"]
    assert order("--sort-by", "loss", "--sort-order", "desc", each=True) == ["a2", "a1", "b2", "b1"]
    with pytest.raises(UserError, match=r"--sort-by: there is no score or knob 'los'\. Did you mean 'loss'"):
        show(["--sort-by", "los"])


def test_an_option_that_it_does_not_know_is_one_clear_line(lab: Path) -> None:
    with pytest.raises(UserError, match=r"rally show: unrecognized arguments: --drop; `dvc exp show` has more options"):
        show(["--drop", "--rev", "HEAD"])


def test_another_format_is_dvcs_own(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("pipeline.lab.experiments.show.run_dvc", lambda command: called.append(command) or 0)
    assert show(["--csv", "--drop", "x"], all_commits=True) == 0
    assert called == [["dvc", "exp", "show", "-A", "--csv", "--drop", "x"]]


def test_states_can_be_hidden_and_commits_counted(variants_of_lr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task("waits", commit_of(variants_of_lr, {}, {}, seed=3))
    assert " waits " in said(capsys, each=True)
    assert " waits " not in said(capsys, "--hide-queued", each=True)
    assert " workspace " not in said(capsys, "--hide-workspace", each=True)
    assert all(name in said(capsys, "-n", "2", each=True) for name in ("main", "a1", "b2"))
    assert "a1" not in said(capsys, "-T", each=True)


# -------------------------------------------------------------------------------------------------------------------- DVC

STAGE = """
stages:
  train:
    cmd: >-
      if grep -q 'lr. 666' params.yaml; then exit 1; fi;
      mkdir -p metrics; echo '{"loss" : 1.5}' > metrics/evaluate.json
    params: [seed, train]
    metrics:
      - metrics/evaluate.json:
          cache: false
"""


@pytest.mark.slow
def test_what_is_read_is_what_dvc_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def dvc(*words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True)
        assert done.returncode == 0 or "--run-all" in words, done.stderr
        return done.stdout

    write(tmp_path, "params.yaml", "seed: 1\ntrain:\n  lr: 1.0e-3\n  kinds: [a, b]\n")
    write(tmp_path, "dvc.yaml", STAGE)
    git("init", "-q", "-b", "main")
    dvc("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "start")
    dvc("exp", "run", "-n", "done", "-S", "seed=2")
    dvc("exp", "run", "--queue", "-n", "fails", "-S", "train.lr=666")
    dvc("exp", "run", "--queue", "-n", "queue-done", "-S", "seed=3")
    dvc("exp", "run", "--run-all")
    dvc("exp", "run", "--queue", "-n", "waits", "-S", "seed=4")
    git("checkout", "-q", ".")

    shown = json.loads(dvc("exp", "show", "--json"))
    of_dvc = {
        (row["revs"][0]["name"], row["revs"][0]["rev"], (row["executor"] or {"state": "success"})["state"], *knobs(row))
        for base in shown
        for row in base["experiments"] or ()
    }
    found = read_experiments()
    assert [exp.name for exp in found[:2]] == ["main", "workspace"]
    states = {State.DONE: "success", State.QUEUED: "queued", State.FAILED: "failed"}
    ours = {(exp.name, exp.commit, states[exp.state], exp.seed, exp.knobs["train.lr"]) for exp in found[2:]}
    assert ours == of_dvc and len(ours) == 4
    assert {exp.name: exp.scores.get("loss") for exp in found[2:]} == {
        "done": 1.5,
        "queue-done": 1.5,
        "fails": None,
        "waits": None,
    }
    created = {
        row["revs"][0]["name"]: row["revs"][0]["data"]["timestamp"] for base in shown for row in base["experiments"] or ()
    }
    assert {exp.name: exp.created.replace(tzinfo=None).isoformat() for exp in found[2:] if exp.created} == created


def knobs(row: dict[str, Any]) -> tuple[int, float]:
    values = row["revs"][0]["data"]["params"]["params.yaml"]["data"]
    return values["seed"], values["train"]["lr"]
