"""`rally duel`: its error rate and power by simulation, its log, its seeds, what it refuses, and that a kill changes nothing.

`python tests/test_duel.py 20000` prints the table of docs/duel.md.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity import write_cached
from pipeline.lab.cli import main
from pipeline.lab.duel import log, patch, runs, session
from pipeline.lab.duel.calibrate import DISCARDED_WRONGLY, KEPT_WRONGLY, bounds
from pipeline.lab.duel.log import LOG
from pipeline.lab.duel.rule import ALPHA, DISCARD_BELOW, FIRST, KEEP_ABOVE, LAST, Options, Verdict, judge
from pipeline.lab.duel.runs import Pair, Runner
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml

TOP = Path(__file__).resolve().parents[1]
DUELS = 200  # simulated for each row of the table
PLAIN = Options()

# ------------------------------------------------------------------------------------------------------------- the rule


def scores(rng: np.random.Generator, gain: float, r: float, pairs: int) -> np.ndarray:
    """The gains of pairs: scores have standard deviation 1, and correlate by r within a pair."""
    shared = math.sqrt(r) * rng.normal(size=pairs)
    own = math.sqrt(1 - r) * rng.normal(size=(2, pairs))
    return (shared + own[0] + gain) - (shared + own[1])


def share_of_128(rng: np.random.Generator, pairs: int) -> np.ndarray:
    """The gains in accuracy of equals on 128 examples: few different values, and ties."""
    return (rng.binomial(128, 0.7, size=pairs) - rng.binomial(128, 0.7, size=pairs)) / 128


def ended(gains: np.ndarray, options: Options) -> tuple[Verdict, int]:
    """The verdict of a duel with these gains, and after how many pairs."""
    for pairs in range(1, options.most + 1):
        if (verdict := judge(gains[:pairs], options).verdict) is not Verdict.UNDECIDED:
            return verdict, pairs
    return Verdict.UNDECIDED, options.most


def rates(
    draw: Callable[[np.random.Generator], np.ndarray], count: int, options: Options = PLAIN
) -> tuple[dict[Verdict, float], float]:
    """How often each verdict is given, and the mean number of pairs."""
    rng = np.random.default_rng(7)
    found = [ended(draw(rng), options) for _ in range(count)]
    return {way: sum(verdict is way for verdict, _ in found) / count for way in Verdict}, sum(n for _, n in found) / count


def chance_limit(count: int) -> float:
    """How often equals may be kept in so many duels: 5 %, and three standard deviations of chance."""
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / count)


@pytest.mark.parametrize("most", [10, LAST])
def test_equals_are_kept_in_one_duel_of_twenty_at_most_and_looking_without_the_rule_is_caught(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, count = Options(most=most), DUELS
    kept, _ = rates(lambda rng: scores(rng, 0, 0.5, most), count, options)
    assert kept[Verdict.KEEP] <= chance_limit(count)
    shares, _ = rates(lambda rng: share_of_128(rng, most), count, options)
    assert shares[Verdict.KEEP] <= chance_limit(count)
    students = [2.92, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833] + [1.75] * 10  # the bound for a single look
    monkeypatch.setattr("pipeline.lab.duel.rule.KEEP_ABOVE", tuple(students))
    monkeypatch.setattr("pipeline.lab.duel.rule.DISCARD_BELOW", (-math.inf,) * len(students))
    often, _ = rates(lambda rng: scores(rng, 0, 0.5, most), count, options)
    assert often[Verdict.KEEP] > chance_limit(count), "a t test at every look keeps too many, and this test would see it"


@pytest.mark.parametrize("r", [0.0, 0.5])
def test_a_gain_of_two_standard_deviations_is_kept_and_early(r: float) -> None:
    kept, pairs = rates(lambda rng: scores(rng, 2, r, PLAIN.most), DUELS)
    assert kept[Verdict.KEEP] >= 0.8
    assert pairs < 7


def test_most_equals_are_discarded_early() -> None:
    kept, pairs = rates(lambda rng: scores(rng, 0, 0, PLAIN.most), DUELS)
    assert kept[Verdict.DISCARD] > 0.8
    assert pairs < 6.5


def test_the_bounds_are_those_of_their_simulation() -> None:
    rng = np.random.default_rng(1)
    draws = 100_000
    above = bounds(KEPT_WRONGLY[:6], 0.0, draws, rng, upper=True)
    below = bounds(DISCARDED_WRONGLY[:6], 1.0, draws, rng, upper=False)
    np.testing.assert_allclose(KEEP_ABOVE[:6], above, rtol=0.08)
    np.testing.assert_allclose(DISCARD_BELOW[:6], below, atol=0.12)
    assert len(KEEP_ABOVE) == len(DISCARD_BELOW) == len(KEPT_WRONGLY) == LAST - FIRST + 1
    assert sum(KEPT_WRONGLY) == pytest.approx(ALPHA)


finite = st.floats(-100, 100).map(lambda value: round(value, 3))


@given(st.lists(finite, min_size=FIRST, max_size=LAST), st.floats(0, 10))
def test_kept_is_what_has_its_whole_interval_above_the_smallest_gain_worth_keeping(gains: list[float], bar: float) -> None:
    standing = judge(np.array(gains), Options(bar, FIRST, LAST))
    low, mean, high = standing.gain
    assert low <= mean <= high
    if standing.verdict is Verdict.KEEP:
        assert low >= bar - 1e-9
    elif low < high:
        assert low <= bar + 1e-9


@given(st.lists(finite, min_size=FIRST, max_size=LAST), st.floats(0.01, 100))
def test_the_unit_of_the_metric_decides_nothing(gains: list[float], unit: float) -> None:
    assert judge(np.array(gains), PLAIN).verdict is judge(unit * np.array(gains), PLAIN).verdict


def test_what_never_varies_is_kept_by_no_number_of_pairs_and_equal_scores_end_at_once() -> None:
    assert judge(np.full(5, 0.25), PLAIN).verdict is Verdict.UNDECIDED
    same = judge(np.zeros(3), PLAIN)
    assert (same.verdict, same.reason) == (Verdict.DISCARD, "the scores are the same")
    assert judge(np.full(3, 0.25), Options(0.5)).verdict is Verdict.DISCARD
    assert judge(np.array([9.0, 9.1]), PLAIN).verdict is Verdict.UNDECIDED


def test_there_is_no_look_before_the_least_number_of_pairs() -> None:
    gains = np.array([1.0, 1.01, 1.02, 1.03, 1.04])
    assert [judge(gains[:n], Options(least=5)).verdict for n in range(6)] == 5 * [Verdict.UNDECIDED] + [Verdict.KEEP]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((-0.1, 3, 10), "--at-least -0.1: is not a gain"),
        ((math.nan, 3, 10), "--at-least nan: is not a gain"),
        ((0.0, 2, 10), "--least 2: use 3 to 20 pairs"),
        ((0.0, 3, 21), "--most 21: use --least (3) to 20 pairs"),
        ((0.0, 6, 5), "--most 5: use --least (6) to 20 pairs"),
    ],
)
def test_options_out_of_range_are_a_line(options: tuple[float, int, int], line: str) -> None:
    with pytest.raises(UserError, match=re.escape(line)):
        Options(*options)


# ----------------------------------------------------------------------------------------------------- a project of its own


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


PARTS = ("artifacts", "corpus", "engine", "networks", "params", "tasks", "tokenizers", "lab/training", "lab/duel")
FILES = ("*.py", "lab/studies/runs/run_variant.py", "evaluation/scores.py")  # with PARTS all code that a duel's identity has


def repository(folder: Path, *, whole: bool = False) -> Path:
    """A repository with a recipe that trains in a second, and with the code: all of it, or what needs no training."""
    inside = [path for name in PARTS for path in (TOP / "pipeline" / name).rglob("*.py")]
    inside += [path for name in FILES for path in (TOP / "pipeline").glob(name)]
    for path in (TOP / "pipeline").rglob("*") if whole else inside:
        if path.is_file() and path.suffix != ".pyc":
            (copy := folder / path.relative_to(TOP)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for name in (".gitattributes", ".gitignore", "params.schema.json"):
        shutil.copy(TOP / name, folder)
    stages = {name: {"deps": stage["deps"]} for name, stage in read_yaml(TOP / "dvc.yaml")["stages"].items()}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False), encoding="utf-8")
    if whole:
        shutil.copy(TOP / "dvc.yaml", folder)
    for name in ("data/none/README.md", "data/own/README.md", "tests/test_duel.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a file\n", encoding="utf-8")
    recipe = read_yaml(TOP / "params.yaml")
    recipe["prepare"] |= {"dataset": "markov", "generated_chars": 5000}
    recipe["tokenize"] |= {"kind": "char"}
    recipe["model"] |= {"depth": 1, "width": 16, "heads": 2, "context_length": 16}
    recipe["train"] |= {"steps": 20, "batch_size": 4, "validation_examples": 32, "validation_points": 2, "log_points": 4}
    recipe["runtime"] |= {"device": "cpu", "threads": 1, "progress": "none"}
    (folder / "params.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "x")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of the repository; for tests of refusals, which leave nothing, the repository itself; for slow ones all code."""
    folder = tmp_path / "project"
    if request.node.get_closest_marker("slow"):
        repository(folder, whole=True)
    elif request.node.get_closest_marker("parametrize"):
        folder = request.getfixturevalue("template")
    else:
        subprocess.run(["git", "clone", "-q", str(request.getfixturevalue("template")), str(folder)], check=True)
    monkeypatch.chdir(folder)
    return folder


class Trainings:
    """Trainings that are drawn instead of run: which there were, and what they give.

    Attributes:
        gain: of the challenger, in nats.
        lost: (side, seed) of those that diverge.
        ends_at: the number of the training at which the process is killed.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.gain, self.noise, self.future = 0.0, 0.01, 0.0
        self.lost: set[tuple[str, int]] = set()
        self.ends_at = -1

    def train(self, runner: Runner, side: str, seed: int, tokens: Path) -> None:
        if len(self.done) == self.ends_at:
            raise KeyboardInterrupt
        self.done.append((side, seed))
        luck = np.random.default_rng([seed, side == "champion"]).normal()
        loss = 2 + 0.1 * np.sin(seed) + self.noise * luck - (self.gain if side == "challenger" else 0)
        found = {} if (side, seed) in self.lost else {"loss": float(loss), "accuracy": 1 / float(loss), "bits_per_byte": 2.0}
        result = {"scores": found, "seconds": 1.5, "future": self.future, "code": ""}
        write_cached(runner.kept(side, seed), result)


@pytest.fixture
def trainings(project: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    drawn = Trainings()
    monkeypatch.setattr(Runner, "_train", lambda self, side, seed, tokens: drawn.train(self, side, seed, tokens))
    monkeypatch.setattr(runs, "tokens_folder", lambda params: Path("tokens"))
    monkeypatch.setattr(session, "seconds_of", lambda challenge: 3.0)
    return drawn


class Rally:
    """`rally duel` in this process: its exit status and what it prints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys, self.err = monkeypatch, capsys, ""

    def __call__(self, *words: str) -> tuple[int, str]:
        self.monkeypatch.setattr("sys.argv", ["rally", "duel", *words])
        with pytest.raises(SystemExit) as left:
            main()
        out, self.err = self.capsys.readouterr()
        return int(left.value.code or 0), out

    def refused(self, *words: str) -> str:
        status, out = self(*words)
        assert (status, out) == (2, "")
        assert not LOG.exists()
        return self.err


@pytest.fixture
def duel(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rally:
    return Rally(monkeypatch, capsys)


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]


def comparable(line: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in line.items() if name not in log.PASSING}


RATE = ("-S", "train.lr=0.004")

# ------------------------------------------------------------------------------------------------------- a duel and its log


def test_a_real_gain_is_kept_early_and_is_one_line_of_the_log(duel: Rally, trainings: Trainings) -> None:
    trainings.gain = 0.1
    status, out = duel(*RATE, "--json")
    assert status == 0
    assert json.loads(out) == lines()[0] and len(lines()) == 1
    [line] = lines()
    assert line["champion"]["commit"] == git("rev-parse", "HEAD")
    assert line["challenger"]["knobs"] == {"train.lr": 0.004} and line["challenger"]["patch"] is None
    assert line["verdict"] == "keep" and line["gain"]["low"] > 0
    pairs = len(line["seeds"])
    assert pairs < 10 and trainings.done[: 2 * pairs].count(("champion", 2)) == 1
    assert line["seconds"] == {"champion": 1.5 * pairs, "challenger": 1.5 * pairs}
    gains = np.subtract(line["values"]["champion"], line["values"]["challenger"])
    assert line["gain"]["mean"] == pytest.approx(gains.mean())
    assert "keep: after" in duel.err


def test_a_gain_that_is_real_but_too_small_is_not_kept(duel: Rally, trainings: Trainings) -> None:
    trainings.gain = 0.1
    status, out = duel(*RATE, "--at-least", "0.2")
    assert status == 1 and "discard: after 3 pairs" in out
    assert lines()[0]["rule"]["at_least"] == 0.2


def test_a_challenger_that_changes_no_score_is_discarded(duel: Rally, trainings: Trainings) -> None:
    trainings.noise = 0.0
    status, out = duel("-S", "train.log_points=5")
    assert status == 1 and "discard: after 3 pairs" in out and "the scores are the same" in out


def test_of_accuracy_more_is_better_and_of_a_loss_less() -> None:
    pair = Pair(1, 0.5, 0.75)
    assert (pair.gain("accuracy"), pair.gain("loss"), pair.gain("bits_per_byte")) == (0.25, -0.25, -0.25)
    assert Pair(1, None, 0.5).gain("loss") is None


def test_the_same_duel_again_is_not_fought_again(duel: Rally, trainings: Trainings) -> None:
    first = duel(*RATE)
    count = len(trainings.done)
    status, out = duel(*RATE)
    assert status == first[0] and len(trainings.done) == count and len(lines()) == 1
    assert "the line of this duel stands there" in out


def test_each_duel_has_seeds_of_its_own_that_begin_after_that_of_params_yaml(duel: Rally, trainings: Trainings) -> None:
    duel(*RATE)
    duel("-S", "train.lr=0.005")
    first, second = lines()
    assert first["seeds"][0] == 2
    assert second["seeds"][0] == first["seeds"][-1] + 1


def test_both_sides_of_a_pair_have_the_same_seed_and_data_and_one_draw_shares_them(duel: Rally, trainings: Trainings) -> None:
    posed = session.challenge(session.base_params(), ["train.lr=0.004"], None, "", "seed")
    one, other = posed.params("champion", 5), posed.params("challenger", 5)
    assert (one.seed, one.prepare.seed, other.seed, other.prepare.seed) == (5, 5, 5, 5)
    assert (one.train.lr, other.train.lr) == (read_yaml(Path("params.yaml"))["train"]["lr"], 0.004)
    shared = session.challenge(session.base_params(), ["train.lr=0.004"], None, "", "one")
    assert shared.params("champion", 5).prepare.seed == read_yaml(Path("params.yaml"))["prepare"]["seed"]


def test_an_undecided_duel_goes_on_where_it_ended_even_in_another_clone(duel: Rally, trainings: Trainings) -> None:
    trainings.gain, trainings.noise = 0.006, 0.01
    status, out = duel(*RATE, "--most", "3")
    assert status == 1 and "undecided: after 3 pairs" in out and "--most 6" in out
    shutil.rmtree(".rally")
    trainings.done.clear()
    duel(*RATE, "--most", "6")
    first, second = lines()
    assert second["seeds"][:3] == first["seeds"] and second["values"]["champion"][:3] == first["values"]["champion"]
    assert {seed for _, seed in trainings.done} == set(second["seeds"][3:])
    assert second["seconds"]["champion"] == 1.5 * len(second["seeds"][3:])


def test_a_duel_that_was_stopped_trains_nothing_twice_and_ends_with_the_same_line(duel: Rally, trainings: Trainings) -> None:
    for at in (0, 1, 4):
        trainings.ends_at = at
        assert duel(*RATE)[0] == 130
        assert not LOG.exists()
    trainings.ends_at = -1
    duel(*RATE)
    assert len(trainings.done) == len(set(trainings.done))
    [resumed] = lines()
    shutil.rmtree(".rally")
    LOG.unlink()
    duel(*RATE)
    assert [comparable(line) for line in lines()] == [comparable(resumed)]


def test_a_challenger_that_diverges_is_discarded_and_a_champion_that_does_is_not_counted(
    duel: Rally, trainings: Trainings
) -> None:
    trainings.gain, trainings.lost = 0.1, {("challenger", 3)}
    status, out = duel(*RATE)
    assert status == 1 and "the challenger diverged with seed 3" in out and lines()[0]["seeds"] == [2, 3]
    assert lines()[0]["gain"]["low"] is None
    trainings.lost = {("champion", 4)}
    status, out = duel("-S", "train.lr=0.005")
    assert status == 0 and "not counted, because the champion diverged: seed 4" in out
    assert lines()[1]["values"]["champion"][0] is None


def test_a_dry_run_says_what_it_would_train_and_trains_nothing(duel: Rally, trainings: Trainings) -> None:
    status, out = duel(*RATE, "--dry-run", "--json", "--most", "5")
    assert status == 0 and not trainings.done and not LOG.exists()
    told = json.loads(out)
    assert (told["trainings"], told["seconds"], told["seeds"]) == (10, 15.0, [2, 3, 4, 5, 6])
    assert "up to 10 trainings, about 15 seconds" in duel(*RATE, "--dry-run", "--most", "5")[1]


def test_two_duels_at_once_are_refused(duel: Rally, trainings: Trainings) -> None:
    with session.exclusive_lock(session.private_folder("duel") / "lock"):
        assert "another duel runs in this clone" in duel.refused(*RATE)


def test_a_damaged_log_is_named_before_anything_is_trained(duel: Rally, trainings: Trainings) -> None:
    LOG.parent.mkdir()
    LOG.write_text('{"date": "2026"}\n', encoding="utf-8")
    status, _ = duel(*RATE)
    assert status == 2 and "notebook/duels.jsonl: line 1 is not that of a duel" in duel.err and not trainings.done


SOUND = {part: {} for part in log.PARTS} | {
    "date": "2026-01-01",
    "metric": "loss",
    "draws": "seed",
    "verdict": "keep",
    "seeds": [2],
    "champion": {"identity": "a"},
    "challenger": {"identity": "b"},
    "values": {"champion": [1.5], "challenger": [None]},
}


@pytest.mark.parametrize(
    "damage",
    [
        {"seeds": None},
        {"seeds": ["2"]},
        {"seeds": []},
        {"champion": 5},
        {"challenger": {}},
        {"date": 2026},
        {"values": [1.5]},
        {"values": {"champion": [1.5]}},
        {"values": {"champion": [1.5], "challenger": ["1.5"]}},
        {"values": {"champion": [1.5], "challenger": [math.nan]}},
        {"values": {"champion": [1.5], "challenger": [10**400]}},
    ],
)
def test_a_line_of_the_log_of_another_shape_is_named(
    damage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    LOG.parent.mkdir()
    LOG.write_text(f"{json.dumps(SOUND)}\n", encoding="utf-8")
    assert log.read_log() == [SOUND]
    LOG.write_text(f"{json.dumps(SOUND)}\n{json.dumps(SOUND | damage)}\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2 is not that of a duel"):
        log.read_log()


def test_a_new_line_leaves_the_bytes_before_it_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LOG.parent.mkdir()
    before = json.dumps(SOUND | {"date": "?"}).encode().replace(b"?", b"\xff")  # no UTF-8
    LOG.write_bytes(before)
    log.append(SOUND)
    assert LOG.read_bytes() == before + b"\n" + json.dumps(SOUND).encode() + b"\n"


# -------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "rally duel: has no challenger; give knobs"),
        (["-S", "seed=7"], "seed: both sides are trained with the same seeds, so a changed seed alone can never win"),
        (["-S", "prepare.seed=7", *RATE], "prepare.seed: both sides are trained with the same seeds"),
        (["-S", "runtime.threads=2"], "runtime: describes the machine, not the model"),
        (["-S", "evaluate.top_k=3"], "evaluate.top_k: a duel neither trains nor scores with it"),
        (["-S", "model.depth=1"], "model.depth: is so in the last commit already"),
        (["-S", "prepare.generated_chars=6000"], "prepare.generated_chars: changes the data that both are scored on"),
        (["-S", "task.kind=classify", "-S", "prepare.dataset=dyck"], "task.kind: changes what both are scored on"),
        (["-S", "train.validation_examples=1"], "train.validation_examples: changes how both are scored"),
        (["-S", "train.lr=0.1,0.2"], "-S: these are 2 challengers"),
        (["-S", "train.lrr=0.1"], "train.lrr: there is no such knob"),
        (["-S", "train.lr"], "-S train.lr: is not KNOB=VALUE"),
        ([*RATE, "--metric", "los"], "--metric: there is no 'los'. Did you mean 'loss'?"),
        ([*RATE, "--draws", "two"], "--draws: there is no 'two'"),
        (["-S", "tokenize.kind=bpe", "--metric", "loss"], "--metric loss: is per token"),
        ([*RATE, "--least", "2"], "--least 2: use 3 to 20 pairs"),
        (["--patch", "nowhere.diff"], "nowhere.diff: No such file or directory"),
    ],
)
def test_what_is_no_challenger_is_a_line(words: list[str], line: str, duel: Rally, trainings: Trainings) -> None:
    assert line in duel.refused(*words)
    assert not trainings.done


def test_other_tokens_are_compared_by_bits_per_byte(duel: Rally, trainings: Trainings) -> None:
    duel("-S", "tokenize.kind=bpe")
    assert lines()[0]["metric"] == "bits_per_byte"


def test_a_leak_is_no_gain(duel: Rally, trainings: Trainings) -> None:
    trainings.gain, trainings.future = 1.0, 0.3
    assert duel(*RATE)[0] == 2
    assert "the champion sees what it predicts: |gradient| 0.3" in duel.err and not LOG.exists()


# --------------------------------------------------------------------------------------------------------------- patches


def patched(project: Path, file: str, old: str, new: str) -> str:
    """A patch that replaces a text in a file of the last commit, and leaves the working tree as it is."""
    path = project / file
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    git("add", "-AN", ".")
    (project.parent / "change.diff").write_text(
        subprocess.run(["git", "diff"], check=True, capture_output=True, text=True).stdout
    )
    git("reset", "-q", "--hard")
    git("clean", "-qfd")
    return str(project.parent / "change.diff")


LOOP = "pipeline/engine/loop.py"
CLIP = ("norm + 1e-6", "norm + 1e-5")
HALF_RATE = ("step(learning_rate(share_done, train))", "step(0.5 * learning_rate(share_done, train))")


def test_a_patch_is_a_challenger_and_leaves_no_trace(project: Path, duel: Rally, trainings: Trainings) -> None:
    trainings.gain = 0.1
    change = patched(project, LOOP, *CLIP)
    before = git("status", "--porcelain")
    assert duel("--patch", change)[0] == 0
    [line] = lines()
    assert line["challenger"]["patch"]["files"] == [LOOP] and len(line["challenger"]["patch"]["sha256"]) == 64
    assert line["challenger"]["identity"] != line["champion"]["identity"]
    LOG.unlink()
    LOG.parent.rmdir()
    assert git("status", "--porcelain") == before and git("worktree", "list").count("\n") == 0
    assert not Path(".rally/duel/code").exists()


def test_each_side_has_its_own_code_whatever_is_being_edited(project: Path) -> None:
    change = patch.read_patch(Path(patched(project, LOOP, *CLIP)))
    (project / LOOP).write_text("being edited\n")
    with patch.exported(patch.committed_tree(), change.tree) as (champion, challenger):
        assert (champion / LOOP).read_text() == (TOP / LOOP).read_text()
        assert CLIP[1] in (challenger / LOOP).read_text()
        assert (challenger / "pipeline/lab/duel/one_run.py").exists()
    assert not champion.exists() and not challenger.exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("tests/test_duel.py", "a file", "no test", "touches tests/test_duel.py, which tests what the code does"),
        ("params.yaml", "seed: 1", "seed: 2", "touches params.yaml, which holds the knobs; use -S"),
        ("dvc.yaml", "stages:", "stages: # all", "touches dvc.yaml, which holds the stages"),
        ("pipeline/params/model.py", "import", "import ", "touches pipeline/params/model.py, which holds the knobs"),
        ("pipeline/evaluation/scores.py", "import", "import ", "pipeline/evaluation/scores.py, which measures"),
        ("pipeline/tasks/lm.py", "import", "import ", "pipeline/tasks/lm.py, which computes the loss"),
        ("pipeline/engine/sanity.py", "import", "import ", "engine/sanity.py, which checks that a network does not see"),
        ("pipeline/lab/duel/rule.py", "import", "import ", "pipeline/lab/duel/rule.py, which runs and judges the duel"),
        ("README.md", "", "hello", "touches README.md, which belongs neither to a network"),
        ("pipeline/networks/weights.bin", "", "0", "networks/weights.bin, which would be no plain Python file"),
        (LOOP, "total / targets, correct / targets", "0.0, 1.0", "changes validate in pipeline/engine/loop.py, which measures"),
    ],
)
def test_a_patch_that_changes_the_yardstick_is_refused(
    file: str, old: str, new: str, line: str, project: Path, duel: Rally, trainings: Trainings
) -> None:
    assert line in duel.refused("--patch", patched(project, file, old, new))


def test_a_second_validate_below_the_first_is_seen(project: Path, duel: Rally, trainings: Trainings) -> None:
    below = "\n\ndef validate(progress, task, train, runtime, interrupted):\n    return 0.0, 1.0\n\n\ndef _is_due("
    assert "changes validate in" in duel.refused("--patch", patched(project, LOOP, "\n\ndef _is_due(", below))


def test_a_patch_that_does_not_apply_or_is_empty_is_refused(project: Path, duel: Rally, trainings: Trainings) -> None:
    change = patched(project, LOOP, *CLIP)
    (project / LOOP).write_text((project / LOOP).read_text().replace("norm + 1e-6", "norm + 1e-7"))
    git("commit", "-qam", "another")
    assert "does not apply to the last commit" in duel.refused("--patch", change)
    Path(change).write_text("")
    assert "does not apply to the last commit: " in duel.refused("--patch", change)


def test_code_that_scores_depend_on_must_be_committed_and_other_edits_take_no_part(
    project: Path, duel: Rally, trainings: Trainings
) -> None:
    lm = project / "pipeline/tasks/lm.py"
    lm.write_text(lm.read_text() + "\n")
    assert "pipeline/tasks/lm.py: differs from the last commit, which is the champion" in duel.refused(*RATE)
    git("checkout", "-q", ".")
    (project / LOOP).write_text((project / LOOP).read_text() + "\n")
    assert duel(*RATE)[0] in (0, 1)
    assert f"{LOOP}: edited since the last commit; both sides start from that commit's code" in duel.err


# -------------------------------------------------------------------------------------------------------- real trainings


def test_a_training_is_scored_by_loss_accuracy_and_bits_per_byte(tmp_path: Path) -> None:
    from small import knobs, write_tokens

    from pipeline.artifacts.reading import read_json
    from pipeline.artifacts.writing import write_json
    from pipeline.lab.duel import one_run  # which needs torch

    tokens = write_tokens(tmp_path / "tokens")
    about = {"tokens": {"validation": 100}, "bytes": {"validation": 205}, "first_token_bytes": {"validation": 7}}
    write_json(tokens / "meta.json", read_json(tokens / "meta.json") | about)
    found = one_run.train(knobs(), tokens)
    assert found["scores"]["bits_per_byte"] == pytest.approx(found["scores"]["loss"] / math.log(2) / 2, rel=1e-5)
    assert 0 <= found["scores"]["accuracy"] <= 1
    assert found["future"] == 0 and found["code"] == str(TOP / "pipeline")


COMMAND = [sys.executable, "-c", "from pipeline.lab.cli import main; main()", "duel", "--yes", "--most", "3"]


def duels(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], env=environment(), capture_output=True, text=True)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TOP), "RALLY_CACHE": os.environ["RALLY_CACHE"]}


@pytest.mark.slow
def test_a_duel_of_a_patch_that_was_killed_ends_with_the_line_that_it_would_have_had(project: Path) -> None:
    change = patched(project, LOOP, *HALF_RATE)
    begun = subprocess.Popen([*COMMAND, "--patch", change], env=environment(), start_new_session=True)
    kept = project / ".rally/duel/runs"
    while len([*kept.glob("*.json")]) < 3:
        assert begun.poll() is None
        time.sleep(0.05)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    times = {path: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    assert not LOG.exists()
    resumed = duels("--patch", change)
    assert resumed.returncode == 1, resumed.stderr
    assert all(path.stat().st_mtime_ns == then for path, then in times.items()), "nothing was trained twice"
    [line] = lines()
    LOG.unlink()
    shutil.rmtree(kept)
    assert duels("--patch", change).returncode == 1
    assert [comparable(again) for again in lines()] == [comparable(line)]
    assert line["values"]["champion"] != line["values"]["challenger"], "the patch was at work"


@pytest.mark.slow
def test_a_patch_that_fails_is_told_with_its_last_line(project: Path) -> None:
    done = duels("--patch", patched(project, LOOP, HALF_RATE[0], "step(nothing)"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "the challenger failed with seed 2: NameError: name 'nothing' is not defined"
    assert not LOG.exists()


# ----------------------------------------------------------------------------------------------------------------- table


def table(count: int) -> Iterator[str]:
    """The lines of the table in docs/duel.md."""
    yield "| true gain | correlation | kept | discarded | undecided | trainings, mean |"
    yield "|---|---|---|---|---|---|"
    for gain in (0, 0.5, 1, 2):
        for r in (0.0, 0.5):

            def draw(rng: np.random.Generator, gain: float = gain, r: float = r) -> np.ndarray:
                return scores(rng, gain, r, PLAIN.most)

            yield _row(f"{gain} sd | {r:g}", draw, count)
    yield _row("0, accuracy of 128 examples | 0", lambda rng: share_of_128(rng, PLAIN.most), count)


def _row(title: str, draw: Callable[[np.random.Generator], np.ndarray], count: int) -> str:
    share, pairs = rates(draw, count)
    return f"| {title} | {' | '.join(f'{100 * share[way]:.1f} %' for way in Verdict)} | {2 * pairs:.1f} |"


if __name__ == "__main__":
    for row in table(int(sys.argv[1])):
        print(row)
