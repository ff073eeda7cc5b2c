"""`rally bet`: what can be bet on, what is told, and what came of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from test_journey import clone, run

from pipeline.artifacts.paths import EVALUATION
from pipeline.figures.words import formatted
from pipeline.lab.bets.bet import Bet, begin, open_bets, place, read_bets, settle
from pipeline.lab.bets.ledger import LEDGER
from pipeline.lab.bets.question import NumberAnswer, Question, Target, YesNoAnswer
from pipeline.lab.betting import experiment_bets
from pipeline.lab.betting.shown import PICTURE
from pipeline.lab.betting.study_bets import offers, offers_of, settled_truth
from pipeline.lab.cli import main
from pipeline.lab.studies.claims.base import Status
from pipeline.lab.studies.entries import read_entries
from pipeline.lab.studies.report import run_grid, write_results
from pipeline.lab.studies.runs.identity import RESULTS
from pipeline.params.yaml12 import read_yaml

TOP = Path(__file__).parents[1]
SWEEPS = {name: entry for name, entry in read_entries(TOP / "studies").items() if entry.sweep}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of its own, with two small studies: of signals, and of a learning rate."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml", ".gitattributes", ".gitignore"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "data/own").mkdir(parents=True)
    (tmp_path / "pipeline").symlink_to(TOP / "pipeline")
    signals = read_yaml(TOP / "studies/signals.yaml")["signal-through-relu"]
    signals["set"] |= {"bench.width": 64, "bench.examples": 8, "bench.layers": 4}
    signals |= {"seeds": [1, 2, 3], "vary": signals["vary"] | {"bench.gain": [1.0, 2.0]}}
    (tmp_path / "studies/small.yaml").write_text(yaml.safe_dump({"signals": signals}, sort_keys=False), encoding="utf-8")
    shutil.copy(TOP / "studies/sweeps.yaml", tmp_path / "studies")
    shutil.copy(TOP / "studies/anchors.yaml", tmp_path / "studies")
    git("init", "-q", "-b", "main")
    git("config", "user.email", "someone@example.com")
    git("config", "user.name", "someone")
    git("add", "-A")
    git("commit", "-q", "-m", "x")
    return tmp_path


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def rally(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rally:
    return Rally(monkeypatch, capsys)


class Rally:
    """`rally bet` with words, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        self.monkeypatch.setattr("sys.argv", ["rally", "bet", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        assert ended.value.code == status, err
        return out if status == 0 else out + err


def play_signals() -> None:
    """Run the small study and write its results."""
    [offer, *_] = offers("signals")
    entry = read_entries()["signals"]
    write_results("signals", entry, offer.sweep, offer.base, run_grid(offer.sweep, offer.base))


# ----------------------------------------------------------------------------------------------------------------- studies


def test_a_study_says_what_can_be_bet_on(rally: Rally) -> None:
    told = rally("lr-sweep").splitlines()
    assert told[0].startswith("Claim 1 of lr-sweep: ") and told[0].endswith("Will it hold?")
    assert told[1] == "    rally bet lr-sweep yes 80"
    assert any("a control that should fail" in line for line in told)
    assert told[-1] == "    rally bet lr-sweep LOW..HIGH --measure excess_loss"
    assert not LEDGER.exists()


@pytest.mark.parametrize("name", SWEEPS)
def test_every_claim_of_every_study_can_be_bet_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP)
    found = list(offers_of(name, SWEEPS[name]))
    sweep = SWEEPS[name].sweep
    assert sweep and [offer.claim for offer in found if offer.claim] == list(range(1, len(sweep.claims) + 1))
    assert len({offer.target for offer in found}) == len(found)
    assert len({offer.target.identity for offer in found}) == 1


def test_a_bet_on_a_claim_is_placed_and_settled_by_the_results(rally: Rally) -> None:
    assert "Noted: yes, with 80 %.\nNext: rally play signals" in rally("signals", "yes", "80")
    assert "Noted: no, with 80 % (80 %: you gave no probability)." in rally("signals", "n", "--claim", "2")
    assert rally("settle").count("has not run; `rally play signals` runs it") == 2
    play_signals()
    verdicts = json.loads((RESULTS / "signals.json").read_text())["verdicts"]
    told = rally("settle").splitlines()
    assert len(told) == 2
    for line, verdict in zip(told, verdicts, strict=True):
        held = {Status.HELD: "it was yes", Status.PASSED: "it was yes", Status.REFUTED: "it was no", Status.FAILED: "it was no"}
        assert held.get(verdict["status"], "so the bet stays open") in line
    assert "Late: it has begun or ended" in rally("signals", "yes", "99")
    numbers = json.loads((RESULTS / "signals.json").read_text())
    (RESULTS / "signals.json").write_text(json.dumps(numbers | {"identity": "another"}))
    assert "results/signals.json is of other knobs or seeds; `rally play signals` runs those of the bet" in rally("settle")
    assert open_bets(), "results of other seeds settle nothing"


def on_the_best_rate(rates: list[float], losses: list[list[float | None]]) -> tuple[object, str]:
    """What came of a bet on the best rate, by results that hold these losses."""
    target = Target("study lr-sweep: best train.lr by excess_loss", "abc")
    bet = place(Question("?", "number", logarithmic=True), target, NumberAnswer(0.01, 0.02, 0.04), already_run=False)
    RESULTS.mkdir(exist_ok=True)
    values = [value for place in losses for value in place]
    results = {"identity": "abc", "axes": [{"name": "train.lr", "labels": rates}], "seeds": [1, 2], "verdicts": []}
    (RESULTS / "lr-sweep.json").write_text(json.dumps(results | {"values": {"excess_loss": values}}))
    return settled_truth(bet)


def test_the_best_value_is_read_off_the_results(project: Path) -> None:
    truth, _ = on_the_best_rate([0.01, 0.02, 0.04, 0.08], [[2.0, 2.0], [1.0, 1.0], [2.0, 2.0], [None, None]])
    assert isinstance(truth, tuple)
    assert truth[0] == pytest.approx(0.02)
    assert truth[1] == pytest.approx((0.02, 0.02))


def test_a_best_value_at_the_edge_leaves_the_bet_open(project: Path) -> None:
    truth, why = on_the_best_rate([0.01, 0.02, 0.04], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert (truth, why) == (None, "the best value lies at an edge of the grid, so the bet stays open")


def test_a_number_is_a_bet_on_the_best_value(rally: Rally) -> None:
    told = rally("lr-sweep", "0.01..0.03")
    assert told.startswith("At which train.lr is validation loss above the source's entropy")
    assert "Noted: 0.01 … 0.03, an 80 % interval." in told
    assert "÷ or × 1.25: you gave no width, and this is the usual one" in rally("lr-sweep", "0.01")


# ------------------------------------------------------------------------------------------------------------- experiments


def experiment(name: str, scores: dict[str, float]) -> None:
    """An experiment of HEAD, as DVC leaves it, with scores and without a dvc.lock that contradicts them."""
    head = git("rev-parse", "HEAD")
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/evaluate.json").write_text(json.dumps(scores))
    git("add", "-A")
    git("commit", "-q", "-m", "dvc")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", "HEAD")
    git("reset", "-q", "--hard", head)


def test_a_bet_on_a_score_of_an_experiment_is_settled_by_it(rally: Rally) -> None:
    assert "Next: dvc exp run -n wide …, then rally bet settle" in rally("exp", "wide", "3.02..3.10", "--measure", "loss")
    assert "Noted: 0.5 ± 1.5, an 80 % interval." in rally("exp", "wide", "-1..2", "--measure", "margin")
    assert rally("settle").count("has not run; `dvc exp run -n wide` runs it") == 2
    ledger = LEDGER.read_bytes()
    experiment("wide", {"loss": 3.06})
    LEDGER.parent.mkdir(exist_ok=True)
    LEDGER.write_bytes(ledger)
    value, why = experiment_bets.score_of("exp wide: loss")
    assert value == 3.06 or "dvc.lock" in why
    assert "Late: it has begun or ended" in rally("exp", "wide", "3", "--measure", "loss")
    assert experiment_bets.is_known("wide") and not experiment_bets.is_known("narrow")


@pytest.mark.slow
def test_a_bet_on_an_experiment_is_scored_by_what_dvc_runs_and_one_after_it_is_late(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    bet = ("rally", "bet", "exp", "narrow", "1..9", "--measure", "loss")
    assert "Next: dvc exp run -n narrow …, then rally bet settle" in run(folder, *bet)
    assert "exp narrow: loss: has not run" in run(folder, "rally", "bet", "settle")
    placed = (folder / LEDGER).read_bytes()
    run(folder, "dvc", "exp", "run", "-n", "narrow", "-S", "model.width=16", "-S", "train.steps=20", "evaluate")
    assert (folder / LEDGER).read_bytes() == placed
    loss = json.loads((folder / EVALUATION).read_text())["loss"]
    assert f"it was {formatted(loss, 4)}" in run(folder, "rally", "bet", "settle")
    assert "no bet is open" in run(folder, "rally", "bet", "settle")
    listed = run(folder, "rally", "bet")
    assert "exp narrow: loss" in listed and "You: 80 % intervals held 1 of 1" in listed
    assert "Late: it has begun or ended" in run(folder, *bet)
    run(folder, "rally", "bet", "settle")
    listed = run(folder, "rally", "bet")
    assert "1 bet was late (the runs had begun) and not counted." in listed and "held 1 of 1" in listed


# ------------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["lr-swep", "yes"], "studies: there is no 'lr-swep'. Did you mean 'lr-sweep'?"),
        (["lr-sweep", "yes", "--claim", "9"], "--claim 9: lr-sweep has claims 1 to "),
        (["lr-sweep", "maybe"], "maybe: is not a number; write an 80 % interval"),
        (["lr-sweep", "0.1", "--measure", "los"], "--measure los: lr-sweep measures excess_loss"),
        (["signals", "5"], "signals: has no best value on one line of numbers; bet on a claim: rally bet signals yes 80"),
        (["exp"], "rally bet exp: names no experiment; write rally bet exp NAME 3.02..3.10 --measure loss"),
        (["exp", "wide", "3"], "--measure: is missing. Known: loss, "),
        (["exp", "wide", "3", "--measure", "los"], "--measure: there is no 'los'. Did you mean 'loss'?"),
        (["exp", "e1", "3", "--measure", "loss"], "e1: means something else to git or DVC"),
        (["exp", "wide", "--measure", "loss"], "rally bet exp wide: no answer; write an 80 % interval"),
        (["settle", "now"], "rally bet settle: takes no further words, and was given 'now'"),
        (["check", "it"], "rally bet check: takes no further words, and was given 'it'"),
        (["--claim", "1"], "rally bet: --measure and --claim say what of a study or experiment"),
        (["exp", "wide", "3", "--claim", "1"], "rally bet exp: --claim is of a study; leave it out"),
    ],
)
def test_what_cannot_be_bet_is_one_line(words: list[str], line: str, rally: Rally) -> None:
    told = rally(*words, status=2)
    assert told.startswith(line) and told.count("\n") == 1
    assert not LEDGER.exists()


# ---------------------------------------------------------------------------------------------------------------- the list


def scored(count: int, who: str = "learner") -> list[Bet]:
    """So many bets, two thirds of which were right."""
    bets = []
    for number in range(count):
        target = Target(f"{who} {number}", f"{who} {number}")
        bet = place(Question("?", "yesno"), target, YesNoAnswer(0.7), already_run=False, who=who)  # type: ignore[arg-type]
        settle(bet, number % 3 > 0)
        bets.append(bet)
    return bets


def test_without_bets_it_says_how_to_begin(rally: Rally) -> None:
    for words in ([], ["check"], ["--check"]):
        assert rally(*words).startswith("notebook/bets.jsonl: no bets yet. `rally bet lr-sweep` shows")
    assert rally("settle") == "no bet is open\n"
    assert not LEDGER.exists()


def test_below_ten_scored_bets_there_is_no_picture(rally: Rally) -> None:
    scored(9)
    told = rally()
    assert "9 scored bets with a width or a probability: 10 are needed before a picture says anything" in told
    assert (told.count(" right \n"), told.count(" wrong \n")) == (6, 3), told
    assert not PICTURE.exists()


def test_from_ten_on_there_is_a_picture_with_the_forecasts_of_the_lab(rally: Rally) -> None:
    scored(10)
    scored(3, "doctor")
    late = Target("late", "late")
    begin(late)
    place(Question("?", "yesno"), late, YesNoAnswer(0.7), already_run=False)
    told = rally()
    assert "You: said about 70 %: right 6 of 10" in told
    assert "The doctor: said about 70 %: right 2 of 3" in told
    assert "1 bet was late (the runs had begun) and not counted." in told
    assert f"Picture: {PICTURE}" in told and PICTURE.exists()


def test_an_altered_line_is_named_and_the_status_is_one(rally: Rally) -> None:
    scored(2)
    assert rally("check") == "notebook/bets.jsonl: no line was altered, removed or inserted since it was written\n"
    LEDGER.write_text(LEDGER.read_text().replace("0.7", "0.9", 1))
    told = rally("check", status=1)
    assert "notebook/bets.jsonl: line 1: was altered: line 2 follows what it was before" in told
    assert "`git log -p notebook/bets.jsonl` shows who changed what" in told
    assert "notebook/bets.jsonl: line 1: was altered" in rally(), "the list says so too"
    assert len(read_bets()) == 3, "the bet as it was made, and the altered one, which nothing has settled"
