"""Journeys: what a user types, in temporary clones, from the first `dvc repro` to sharing with a colleague.

Slow, so `./run pytest -m slow` runs them. RALLY_KILLS says how many random moments the kill test tries (default 4; half as
many where classes are told), RALLY_KILLS_SUMMARY names a file that is told how it went.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from small import TOP, stages

from pipeline.artifacts.checksums import sha256_of
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.yaml12 import read_yaml

pytestmark = pytest.mark.slow

SMALL = {
    "prepare": {"dataset": "markov", "generated_chars": 20000},
    "model": {"depth": 2, "width": 32, "heads": 2, "context_length": 32, "window": 8},
    "train": {
        "steps": 60,
        "batch_size": 8,
        "accumulation_steps": 1,
        "log_points": 20,
        "validation_points": 5,
        "validation_examples": 16,
    },
    "evaluate": {"sample_tokens": 20, "ngram_order": 3},
    "runtime": {"device": "cpu", "threads": 1, "progress": "lines", "checkpoint_seconds": 0.05},
}
BIN = Path(sys.executable).parent


def clone(folder: Path) -> Path:
    """A repository with the files of this checkout, small knobs, and one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        is_result = name.startswith("metrics/") and Path(name).name not in ("README.md", ".gitignore")
        if (TOP / name).is_file() and name != "dvc.lock" and not is_result:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, folder / name)
    values = read_yaml(TOP / "params.yaml")
    for section, small in SMALL.items():
        values[section] |= small
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "a clone"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


def environment() -> dict[str, str]:
    """No activated environment: dvc must find its own interpreter for the stages."""
    return {**os.environ, "PATH": "/usr/local/bin:/usr/bin:/bin"}


def run(folder: Path, *words: str, status: int = 0, timeout: float = 600) -> str:
    """What a command of the environment's bin folder says."""
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:]], cwd=folder, env=environment(), capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def ran(said: str) -> list[str]:
    """The stages that a command ran."""
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]


def hashes(folder: Path) -> dict[str, str]:
    """Of everything that the stages left, by path; those of dvc.lock too."""
    left = [path for top in ("models", "metrics", "plots", "data/raw", "data/tokens") for path in (folder / top).rglob("*")]
    found = {str(path.relative_to(folder)): sha256_of(path) for path in left if path.is_file() and path.name != ".gitignore"}
    for stage, content in read_yaml(folder / "dvc.lock")["stages"].items():
        found |= {f"dvc.lock {stage} {out['path']}": out["md5"] for out in content["outs"]}
    return found


def commit(folder: Path) -> None:
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "a run"], cwd=folder, check=True)


AFTER_TOKENIZE = sorted(stages(without=("prepare", "tokenize")))


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `dvc repro` has run, committed; tests copy it."""
    folder = clone(tmp_path_factory.mktemp("first"))
    assert sorted(ran(run(folder, "dvc", "repro"))) == sorted(stages())
    commit(folder)
    return folder


@pytest.fixture
def lab(ran_once: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "lab"
    shutil.copytree(ran_once, folder, symlinks=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.first
@pytest.mark.parametrize("share", [1 / 2, pytest.param(1, marks=pytest.mark.campaign)])
def test_the_main_job_beats_every_baseline_on_text_that_it_never_read(share: float, tmp_path: Path) -> None:
    """Real text, the knobs of params.yaml: as they stand seven minutes on one core; half of the steps do it, too.

    It needs pip's index for the plays. One thread, as everywhere in the tests: two that share their cores with another test's
    process took four times as long as one, and then the time that it may take at most.
    """
    folder = clone(tmp_path)
    shutil.copy(TOP / "params.yaml", folder)
    values = read_yaml(folder / "params.yaml")
    values["runtime"]["threads"] = 1
    values["train"]["steps"] = round(share * values["train"]["steps"])
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    run(folder, "dvc", "repro", timeout=1800)
    scores = json.loads((folder / "metrics/evaluate.json").read_text())["scores"]
    for split in ("validation", "test"):
        bits = {row["name"]: row["bits_per_byte"] for row in scores if row["split"] == split}
        assert len(bits) == 6
        assert bits.pop("model") < min(bits.values()), (split, bits)


def test_a_second_repro_runs_nothing_and_another_clone_leaves_the_same_bytes(ran_once: Path, tmp_path: Path) -> None:
    assert ran(run(ran_once, "dvc", "repro")) == []
    other = clone(tmp_path)
    run(other, "dvc", "repro")
    assert hashes(other) == hashes(ran_once)


def test_an_experiment_runs_what_its_knob_reaches_and_nothing_before_it(lab: Path) -> None:
    assert sorted(ran(run(lab, "dvc", "exp", "run", "-n", "slow", "-S", "train.lr=3e-4"))) == AFTER_TOKENIZE
    assert ran(run(lab, "dvc", "exp", "run", "-n", "dots", "-S", "plot.dpi=90")) == ["plot"]
    before = read_yaml(lab / "params.yaml")
    assert before["train"]["lr"] == 3e-4
    shown = json.loads(run(lab, "dvc", "exp", "show", "--json"))
    ran_here = [one for row in shown for group in row["experiments"] or [] for one in group["revs"]]
    names = {one["name"] for one in ran_here}
    assert {"slow", "dots"} <= names
    table = run(lab, "rally", "show", "--each")
    columns = table.split("Created")[1].split("\n")[0]
    assert "lr" in columns
    assert "bits_per_byte" in columns
    assert "finding" in columns
    assert "readings." not in table
    assert "pipeline/" not in table
    assert "train.lr" in run(lab, "dvc", "params", "diff", "main", "slow")
    compared = run(lab, "dvc", "metrics", "diff", "main", "slow")
    assert all(name in compared for name in ("bits_per_byte", "readings.effective_rank", "readings.attention_entropy"))
    findings = [one["data"]["metrics"]["metrics/doctor.json"]["data"] for one in ran_here]
    assert [list(finding) for finding in findings] == [["finding"]] * len(ran_here)
    run(lab, "dvc", "exp", "apply", "slow")
    assert read_yaml(lab / "params.yaml")["plot"]["dpi"] != 90


def row_of(table: str, name: str) -> list[str]:
    """The cells of an experiment's row in what `rally show` prints."""
    [line] = [line.split() for line in table.splitlines() if f" {name} " in line and line.strip().startswith("language")]
    return line


def has_scores(table: str, name: str) -> bool:
    return sum(word.count(".") == 1 and word.replace(".", "").replace("-", "").isdigit() for word in row_of(table, name)) > 3


def test_every_knob_of_the_data_makes_other_data_though_the_run_cache_forgets_its_name(lab: Path) -> None:
    size = read_yaml(lab / "params.yaml")["prepare"]["generated_chars"]
    assert "prepare" in ran(run(lab, "dvc", "exp", "run", "-S", f"prepare.generated_chars={size + 1000}", "prepare"))
    assert (lab / "data/raw/train.txt").stat().st_size == size + 1000


def test_no_score_stands_beside_knobs_code_or_data_that_it_is_not_of(lab: Path) -> None:
    assert all(has_scores(run(lab, "rally", "show", "--each"), name) for name in ("workspace", "main"))
    first = run(lab, "rally", "doctor")
    set_knobs(lab, {"seed": 2})
    table = run(lab, "rally", "show", "--each")
    assert "workspace: no scores: seed is 2, and was 1 when train ran; `dvc repro` makes new ones" in table
    assert (has_scores(table, "workspace"), has_scores(table, "main")) == (False, True)
    told = run(lab, "rally", "doctor", status=1)
    assert told.startswith("This is the diagnosis of another run: seed is 2, and was 1 when train ran.")
    assert "healthy:" not in told.partition("\n")[2].replace("(healthy:", "")
    set_knobs(lab, {"seed": 1})
    assert run(lab, "rally", "doctor") == first

    run(lab, "dvc", "exp", "run", "-n", "alone", "-S", "train.lr=0.5", "train")
    table = run(lab, "rally", "show", "--each")
    assert (has_scores(table, "alone"), has_scores(table, "workspace"), has_scores(table, "main")) == (False, False, True)
    assert "evaluate has not run on the models/trained that train wrote" in table
    said = run(lab, "rally", "sample", "--prompt", "a", "--tokens", "3")
    assert "another run" not in said, "the model is of these knobs"
    subprocess.run(["git", "checkout", "-q", "."], cwd=lab, check=True)  # and no `dvc checkout`
    said = run(lab, "rally", "sample", "--prompt", "a", "--tokens", "3")
    assert "models/trained: this model is of another run: models/trained is not what train wrote; `dvc repro` trains" in said
    assert has_scores(run(lab, "rally", "show", "--each"), "workspace"), "they are of the committed knobs, as dvc.lock says"

    code = lab / "pipeline/evaluation/scores.py"
    code.write_text(code.read_text() + "# other\n")
    table = run(lab, "rally", "show", "--each")
    assert "pipeline/evaluation has changed since evaluate ran" in table
    assert (has_scores(table, "workspace"), has_scores(table, "main")) == (False, True)
    commit(lab)
    table = run(lab, "rally", "show", "--each")
    assert not has_scores(table, "main"), "a commit whose scores are of other code"
    assert "1 experiment of other commits: `rally show -A`" in table
    everywhere = run(lab, "rally", "show", "--each", "-A")
    assert "alone" in everywhere
    assert "experiments of other commits" not in everywhere
    assert len([line for line in everywhere.splitlines() if line.strip().startswith("language")]) == 4


def test_a_queued_experiment_that_fails_has_no_scores_and_a_killed_one_is_named_with_the_way_out(lab: Path) -> None:
    run(lab, "dvc", "exp", "run", "--queue", "-n", "fails", "-S", "model.heads=16", "-S", "model.width=48")
    run(lab, "dvc", "exp", "run", "--run-all")
    table = run(lab, "rally", "show", "--each")
    assert "Failed" in row_of(table, "fails")
    assert not has_scores(table, "fails")
    assert "fails: failed, so it has no scores: `dvc queue logs fails`" in table

    run(lab, "dvc", "exp", "run", "--queue", "-n", "long", "-S", "train.steps=200000")
    words = [str(BIN / "dvc"), "exp", "run", "--run-all"]  # which follows a worker that it starts
    with subprocess.Popen(words, cwd=lab, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as follower:
        try:
            until(lambda: any(lab.glob(".dvc/tmp/exps/tmp*/metrics/train.json")) and bool(at_work(lab, "run/*")))
            table = run(lab, "rally", "show", "--each")
            assert "Running" in row_of(table, "long")
            assert not has_scores(table, "long")
        finally:
            for process in (*at_work(lab, "celery"), *at_work(lab, "run/*")):
                os.kill(process, signal.SIGKILL)
            follower.kill()
    table = run(lab, "rally", "show", "--each")
    assert "Killed" in row_of(table, "long")
    killed = "long: was killed, and DVC still calls it running: end it with `dvc queue kill long`"
    assert killed in table
    [away] = (lab / ".dvc/tmp/exps").glob("tmp*")
    shutil.rmtree(away)
    assert killed in run(lab, "rally", "show", "--each"), "also where its folder is gone, where DVC shows nothing"
    run(lab, "dvc", "queue", "kill", "long")
    run(lab, "dvc", "queue", "remove", "long")
    assert "long" not in run(lab, "rally", "show", "--each").partition("workspace")[2]


def at_work(folder: Path, where: str) -> list[int]:
    """The processes that DVC's queue has noted and that have not ended."""
    noted = [json.loads(file.read_text()) for file in folder.glob(f".dvc/tmp/exps/{where}/*.json")]
    return [process["pid"] for process in noted if process["returncode"] is None]


def until(is_so: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


CLASSIFIERS: dict[str, dict[str, Any]] = {
    "brackets": {"task.kind": "classify", "prepare.dataset": "dyck", "model.causal": False, "model.embedding_mixer": "none"},
    "digits": {"task.kind": "vision", "prepare.dataset": "digits", "model.network": "mlp", "model.embedding_mixer": "none"},
}


def settings(knobs: dict[str, Any]) -> list[str]:
    """Knobs as `dvc exp run` is told of them."""
    return [word for knob, value in knobs.items() for word in ("-S", f"{knob}={json.dumps(value)}")]


def set_knobs(folder: Path, knobs: dict[str, Any]) -> None:
    """The same by hand, in params.yaml."""
    values = with_knobs(read_sections(folder / "params.yaml"), knobs)
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def test_experiments_of_three_tasks_stand_apart_and_what_compares_in_one_column(lab: Path) -> None:
    for name, turned in CLASSIFIERS.items():
        run(lab, "dvc", "exp", "run", "-n", name, *settings(turned))
    main = next(row for row in json.loads(run(lab, "dvc", "exp", "show", "--json")) if row["name"] == "main")
    ran_here = {one["name"]: one["data"] for group in [{"revs": [main]}, *main["experiments"]] for one in group["revs"]}
    measured = {name: data["metrics"]["metrics/evaluate.json"]["data"] for name, data in ran_here.items()}
    assert measured.keys() == {"main", *CLASSIFIERS}
    assert all({"accuracy", "loss", "margin"} <= numbers.keys() for numbers in measured.values())
    assert [name for name, numbers in measured.items() if "bits_per_byte" in numbers] == ["main"]
    lines = [line.split() for line in run(lab, "rally", "show", "--each").splitlines() if line.strip()]
    heading = next(line for line in lines if line[:3] == ["task", "data", "Experiment"])
    assert {"accuracy", "loss", "bits_per_byte"} < set(heading)
    kinds = [line[0] for line in lines if line[0] in ("language", "classify", "vision")]
    assert kinds == sorted(kinds, key=kinds.index), "the experiments of a task stand together"
    run(lab, "rally", "setup")
    run(lab, "dvc", "plots", "diff", "main", *CLASSIFIERS, "-o", "page")
    page = (lab / "page/index.html").read_text(encoding="utf-8")
    assert "Accuracy on validation examples" in page
    assert all(f'"{name}"' in page for name in measured)
    assert '<script src="http' not in page


def test_plots_of_several_experiments_stand_on_one_page_that_needs_no_network(lab: Path) -> None:
    run(lab, "rally", "setup")
    run(lab, "dvc", "exp", "run", "-n", "slow", "-S", "train.lr=3e-4")
    run(lab, "dvc", "plots", "diff", "main", "slow", "-o", "page")
    page = (lab / "page/index.html").read_text(encoding="utf-8")
    for title in ("Loss", "Learning rate", "Gradient norm"):
        assert f'"{title}"' in page or title in page
    assert '<script src="http' not in page
    assert '"slow"' in page
    pictures = {path.name for path in (lab / "page/static").iterdir()}
    for name in ("doctor", "loss", "scores", "activation_rms", "attention"):
        assert sum(picture.endswith(f"_{name}.png") for picture in pictures) == 2, (name, pictures)


def test_queued_and_temporary_experiments_run_beside_the_workspace(lab: Path) -> None:
    workspace = hashes(lab)
    run(lab, "dvc", "exp", "run", "--queue", "-n", "queued", "-S", "seed=7")
    subprocess.run(
        [str(BIN / "dvc"), "queue", "start"],
        cwd=lab,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    assert sorted(ran(run(lab, "dvc", "exp", "run", "--temp", "-n", "temporary", "-S", "seed=8"))) == AFTER_TOKENIZE
    deadline = time.monotonic() + 300
    while "Success" not in (status := run(lab, "dvc", "queue", "status")) and time.monotonic() < deadline:
        assert "Failed" not in status, run(lab, "dvc", "queue", "logs", "queued")
        time.sleep(1)
    assert "Success" in status
    assert hashes(lab) == workspace
    names = run(lab, "dvc", "exp", "list", "--name-only")
    assert {"queued", "temporary"} <= set(names.split())


def test_what_one_clone_computed_another_pulls_and_computes_nothing(lab: Path, tmp_path: Path) -> None:
    shared, upstream = tmp_path / "shared", tmp_path / "upstream.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(upstream)], check=True)
    run(lab, "dvc", "remote", "add", "-d", "team", str(shared))
    commit(lab)
    subprocess.run(["git", "remote", "add", "origin", str(upstream)], cwd=lab, check=True)
    subprocess.run(["git", "push", "-q", "origin", "main"], cwd=lab, check=True)
    run(lab, "dvc", "push")
    run(lab, "dvc", "exp", "run", "-n", "slow", "-S", "train.lr=3e-4")
    run(lab, "dvc", "exp", "push", "origin", "slow")

    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", str(upstream), str(other)], check=True)
    run(other, "dvc", "pull")
    assert ran(run(other, "dvc", "repro")) == []
    run(other, "dvc", "exp", "pull", "origin", "slow")
    run(other, "dvc", "exp", "apply", "slow")
    assert ran(run(other, "dvc", "repro")) == []
    assert hashes(other) == hashes(lab)


KILLS = int(os.environ.get("RALLY_KILLS", "4"))
# (command, what is learned, how many kills): with a class to tell, every stage has something to do again.
KILLED = [
    ("repro", "text", KILLS),
    ("exp run", "text", KILLS),
    ("repro", "brackets", -(-KILLS // 2)),
    ("exp run", "digits", -(-KILLS // 2)),
]


@pytest.mark.parametrize(("command", "learned", "tries"), KILLED, ids=[" of ".join(row[:2]) for row in KILLED])
def test_killed_at_random_moments_the_same_command_ends_bit_by_bit_as_an_unbroken_run(
    command: str, learned: str, tries: int, lab: Path, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    steps = 200 * tries  # so many that the training is still under way at the last kill
    knobs = CLASSIFIERS.get(learned, {}) | {"seed": 5, "train.steps": steps}
    words = ["repro"] if command == "repro" else ["exp", "run", *settings(knobs)]
    if command == "repro":
        set_knobs(lab, knobs)
    unbroken = tmp_path / "unbroken"
    shutil.copytree(lab, unbroken, symlinks=True)
    run(unbroken, "dvc", *words)
    expected = hashes(unbroken)
    resumed, mended = 0, list[str]()
    for attempt in range(tries):
        log = (tmp_path / "log").open("w+")
        process = subprocess.Popen(
            [str(BIN / "dvc"), *words], cwd=lab, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        if attempt:
            time.sleep(moments.uniform(0, 7))  # into DVC's own work, the start of the stage, and its steps
        else:  # once at least when there is something to go on from
            while len(list(lab.glob(".rally/checkpoints/*/step-*"))) < 4:  # two of the run before, and two
                assert process.poll() is None
                time.sleep(0.01)
        kill = os.killpg if attempt % 2 else os.kill  # everybody, or DVC alone, which leaves its stage behind
        kill(process.pid, signal.SIGKILL)
        process.wait()
        mended += run(lab, "rally", "repair").splitlines()  # as ./run does where it sees a trace of a kill
        resumed += "resuming from the checkpoint" in Path(log.name).read_text()
    said = run(lab, "dvc", *words)
    assert resumed + ("resuming from the checkpoint" in said) > 0
    assert hashes(lab) == expected, f"seed {seed}"
    assert (lab / ".git/HEAD").read_text() == "ref: refs/heads/main\n"
    if summary := os.environ.get("RALLY_KILLS_SUMMARY"):
        with Path(summary).open("a") as file:
            how = f"{tries} kills (seed {seed}), {resumed} in a run that had resumed; at last {ran(said)}"
            file.write(f"{command} of {learned}: {how}; {dict(Counter(mended))}\n")
