"""A study as it is played: what it says in a pipe and at a terminal, its page, and its picture."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.colors import to_rgba
from terminals import Terminal, terminals

from pipeline.figures.style import LINES
from pipeline.lab.bets.bet import read_bets
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.studies import play, report
from pipeline.lab.studies.claims.base import Status, Verdict
from pipeline.lab.studies.claims.results import Axis, Results
from pipeline.lab.studies.claims.table import CLAIMS
from pipeline.lab.studies.entries import Entry, find_entry, read_entries
from pipeline.lab.studies.grid import Sweep
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.measures.record import Record
from pipeline.lab.studies.pages import page, rulings, terminal
from pipeline.lab.studies.pages.tables import cell
from pipeline.lab.studies.pictures import panels, plot
from pipeline.lab.studies.recipes import apply_entry
from pipeline.lab.studies.runs.identity import already_run, study_identity
from pipeline.params.load import read_sections
from pipeline.params.parse import parse

TOP = Path(__file__).parents[1]
RATES = (0.001, 0.01, 0.1, 1.0)
TINY: dict[str, Any] = {
    "says": "Does a sigmoid shrink it? Sixteen <b>layers</b> of a few weights.",
    "predicts": "It does.",
    "control": "A tanh does not.",
    "bench": "signal",
    "set": {"bench.layers": 6, "bench.width": 16, "bench.examples": 8, "bench.gain": 1.0, "runtime.threads": 1},
    "vary": {"model.activation": ["sigmoid", "tanh"]},
    "seeds": [1, 2, 3],
    "measure": "first_gradient",
    "shows": "gradient",
    "check": [
        {"at_most": {"value": 0.1, "where": {"model.activation": "sigmoid"}}},
        {"at_most": {"value": 0.1, "where": {"model.activation": "tanh"}, "control": True}},
    ],
    "notice": "Look at the slope. The trap: there is none.",
    "next": "rally play tiny -S bench.layers=8",
    "costs": "6 runs, a second, no download",
    "reaches": "less",
    "source": "nobody",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one small study."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "tiny.yaml").write_text("# Tiny: for tests.\n\n" + yaml.safe_dump({"tiny": TINY}, sort_keys=False))
    (tmp_path / "pipeline").symlink_to(TOP / "pipeline")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def opened() -> Iterator[list[Terminal]]:
    with terminals() as some:
        yield some


def tiny() -> tuple[Entry, Sweep, BaseParams]:
    entry = find_entry("tiny", read_entries())
    assert entry.sweep
    return entry, entry.sweep, apply_entry(BaseParams(read_sections(Path("params.yaml"))), entry)


# --------------------------------------------------------------------------------------------------------------- in words


PLAYED = """\
tiny
Does a sigmoid shrink it?
Sixteen <b>layers</b> of a few weights.

Predicted   It does.
Control     A tanh does not.
Runs        N runs: N cells, N seeds; a second, no download

gradient norm, first layer / last  first_gradient, N seeds, mean and N % CI
model.activation        mean over seeds
INTERVAL
INTERVAL

Claim       held: gradient norm, first layer / last is at most N with model.activation sigmoid
            found: N (N % CI N to N, N seeds)
Control     failed, as it should: gradient norm, first layer / last is at most N with
            model.activation tanh
            found: N (N % CI N to N, N seeds)
            A control is a claim that must fail here: it shows that the test can say no.

Notice      Look at the slope. The trap: there is none.
Picture     results/tiny.png
Page        results/tiny.html
Next        rally play tiny -S bench.layers=N
"""


def test_a_pipe_gets_question_prediction_control_tables_verdicts_and_what_comes_next(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is no terminal: nobody is asked, and whether the outcome is here is not looked for.
    monkeypatch.setattr(play, "already_run", lambda *_: pytest.fail("looked for"))
    played = play.play_study("tiny", asks=True)
    said = capsys.readouterr().out
    assert not re.search(r"\x1b| $", said, re.MULTILINE), "plain, and no line ends in blanks"
    words = re.sub(r"-?\d[\d.]*(e-\d+)?", "N", said)
    words = re.sub(r"^ *(sigmoid|tanh) .*$", "INTERVAL", words, flags=re.MULTILINE).replace("─", "")
    assert [line.split() for line in words.splitlines() if line] == [line.split() for line in PLAYED.splitlines() if line]
    assert [verdict.status for verdict in played.verdicts] == [Status.HELD, Status.FAILED]
    assert all(path.exists() for path in (played.picture, played.page, played.numbers))
    assert not Path("notebook").exists()


def test_fewer_seeds_while_one_waits_and_knobs_of_ones_own(project: Path) -> None:
    played = play.play_study("tiny", ["bench.layers=4"], seeds=[5, 6, 7, 8], quick=True)
    assert played.sweep.seeds == (5, 6, 7)
    assert played.found["first_gradient"].values.shape == (2, 3)


def claim(**arguments: Any) -> tuple[str, Any]:
    return "at_most", parse(CLAIMS["at_most"], {"value": 1.0, **arguments})


def judged(*statuses: Status, needed: int | None = None, standing: str = "") -> tuple[Sweep, list[Verdict]]:
    controls = {Status.FAILED, Status.PASSED}
    claims = tuple(claim(control=status in controls) for status in statuses)
    sweep = Sweep((Axis("arm", ("a",)),), ((),), (1, 2, 3), ("train_loss",), claims)
    return sweep, [Verdict(status, "", "x is at most 1", "0.5", needed, standing) for status in statuses]


@pytest.mark.parametrize(
    ("statuses", "tone", "sentence"),
    [
        ((Status.HELD, Status.FAILED), "good", "The claim held; the control failed, as it should."),
        ((Status.HELD, Status.HELD, Status.FAILED), "good", "Both claims held; the control failed, as it should."),
        ((Status.HELD, Status.REFUTED, Status.FAILED), "bad", "1 of 2 claims held; 1 refuted; the control failed"),
        ((Status.UNDECIDED, Status.FAILED), "open", "0 of 1 claim held; 1 undecided"),
        ((Status.HELD, Status.PASSED), "bad", "0 of 1 control failed, as it should; and a control that holds makes"),
    ],
)
def test_all_verdicts_make_one_sentence(statuses: tuple[Status, ...], tone: str, sentence: str) -> None:
    found, said = rulings.headline(*judged(*statuses))
    assert found == tone
    assert sentence in said


def test_a_verdict_says_on_which_seeds_it_stands() -> None:
    seen, fresh = (judged(Status.HELD, Status.FAILED, standing=standing) for standing in ("seen", "fresh"))
    assert [ruling.status for ruling in rulings.rulings("tiny", *seen)] == [
        "held, on the seeds it was made with",
        "failed, as it should",
    ]
    assert rulings.headline(*seen)[1].endswith("; on the seeds that its bounds were made with.")
    assert rulings.headline(*fresh)[1].endswith("; on fresh seeds.")


def test_a_control_that_held_is_loud() -> None:
    [ruling] = rulings.rulings("tiny", *judged(Status.PASSED))
    assert (ruling.status, ruling.tone) == ("HELD, AND SHOULD NOT", "bad")
    assert ruling.advice.startswith("This control should have failed.")


def test_what_is_undecided_says_how_many_seeds_would_decide_it_and_by_which_command() -> None:
    [ruling] = rulings.rulings("tiny", *judged(Status.UNDECIDED, needed=7))
    assert ruling.advice == "7 seeds in all would decide it: rally play tiny --seeds 4-7"
    [unknown] = rulings.rulings("tiny", *judged(Status.UNDECIDED))
    assert "100 seeds would not decide it" in unknown.advice


def test_a_narrow_terminal_has_labels_on_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_parts(terminal.Console(width=24, markup=False, highlight=False), [("Notice", "a word " * 8)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Notice"
    assert all(len(line) <= 24 for line in lines)


@pytest.mark.parametrize(
    ("values", "logarithmic", "text"),
    [
        ([2.5, 2.502, 2.504], False, "2.5020 ± 0.0050"),
        ([1000.0, 1000.0, 1000.0], False, "1,000"),
        ([1.0, 10.0, 100.0], True, "10 (0.0328 to 3,049)"),
        ([2.5], False, "2.5"),
        ([2.5, math.inf], False, "1 of 2 diverged"),
    ],
)
def test_a_cell_has_as_many_digits_as_its_interval(values: list[float], logarithmic: bool, text: str) -> None:
    found = Results((), np.array(values), logarithmic)
    assert cell(found, found.values) == text


# ---------------------------------------------------------------------------------------------------------- the prediction


def test_at_a_terminal_the_learner_is_asked_before_the_prediction_is_shown(project: Path, opened: list[Terminal]) -> None:
    opened.append(shell := Terminal("play", "tiny"))
    asked = " ".join(shell.read_until("Enter = no bet.").split())
    assert "Does a sigmoid shrink it?" in asked
    assert "Will this hold? Gradient norm, first layer / last is at most 0.1 with model.activation sigmoid." in asked
    assert "It does." not in asked and "A tanh does not." not in asked
    shell.read_until("> ")
    shell.type("n 70\r")
    after = shell.read_until("rally play tiny -S")
    assert after.index("It does.") < after.index("held") < after.index("Your bet")
    assert "You said no, with 70 %; it was yes." in " ".join(after.split())
    assert shell.exit_status() == 0
    [bet] = read_bets()
    assert (bet.target.name, bet.late) == ("study tiny: claim 1", False)
    assert bet.outcome and bet.outcome.truth is True
    assert "You said no, with 70 %" in Path("results/tiny.html").read_text()

    opened.append(again := Terminal("play", "tiny"))
    assert "Will this hold?" not in again.read_until("rally play tiny -S"), "its outcome is known"


def test_with_yes_nobody_is_asked(project: Path, opened: list[Terminal]) -> None:
    opened.append(shell := Terminal("play", "tiny", "--yes"))
    assert "Will this hold?" not in shell.read_until("rally play tiny -S")
    assert shell.exit_status() == 0
    assert read_bets() == []


def test_a_study_has_another_identity_with_other_knobs_seeds_or_claims(project: Path) -> None:
    _, sweep, base = tiny()
    own = study_identity("tiny", sweep, base)
    assert study_identity("tiny", sweep, base) == own
    other = {
        study_identity("tiny", replace(sweep, seeds=(4, 5, 6)), base),
        study_identity("tiny", replace(sweep, claims=sweep.claims[:1]), base),
        study_identity("tiny", sweep, replace(base, sections={**base.sections, "bench": {"layers": 5}})),
        study_identity("another", sweep, base),
    }
    assert len(other | {own}) == 5


def test_an_outcome_is_known_once_the_study_was_played(project: Path) -> None:
    entry, sweep, base = tiny()
    assert not already_run("tiny", sweep, base)
    play.play_grid("tiny", entry, sweep, base)
    assert already_run("tiny", sweep, base)
    assert not already_run("tiny", replace(sweep, seeds=(4, 5, 6)), base)


# ---------------------------------------------------------------------------------------------------------------- the page


class Parts(HTMLParser):
    """What a page has: ids, where it points to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.points: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.ids += [str(value)] if name == "id" else []
            self.points += [str(value)] if name in ("src", "href") else []

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_every_part_and_needs_no_network(project: Path) -> None:
    played = play.play_study("tiny")
    found = Parts(played.page.read_text(encoding="utf-8"))
    assert {"prediction", "control", "picture", "notice", "verdicts", "tables", "next", "made-of"} <= set(found.ids)
    assert "bet" not in found.ids, "nobody has bet"
    assert all(point.startswith(("#", "data:image/png;base64,")) for point in found.points)
    assert "default-src 'none'" in played.page.read_text(encoding="utf-8")
    text = " ".join(found.text.split())
    for words in (TINY["says"], TINY["predicts"], TINY["control"], TINY["notice"], TINY["next"], "studies/tiny.yaml"):
        assert all(sentence in text for sentence in re.split(r"(?<=\?) ", words))
    assert "layers 6" in text and "Seeds: 1, 2, 3." in text and "model.activation sigmoid, tanh" in text
    assert "The claim held; the control failed, as it should." in text
    assert "b" not in found.tags[: found.tags.index("ul")], "a text of a study is no markup"


def test_the_page_has_the_bet_beside_the_prediction(project: Path) -> None:
    entry, sweep, base = tiny()
    outcome = report.run_grid(sweep, base)
    text = page.page("tiny", entry, sweep, base, outcome.found, outcome.verdicts, b"", "You said <no>.")
    assert "You said &lt;no&gt;." in text
    assert "bet" in Parts(text).ids and "The machine's prediction" in Parts(text).text


# ------------------------------------------------------------------------------------------------------------- the picture


def drawn(measure: str, values: Any, *claims: tuple[str, dict[str, Any]], axis: Axis | None = None) -> Any:
    """The axes of the picture of one measure over one axis."""
    values = np.array(values, dtype=np.float64)
    axes = (axis or Axis("arm", tuple("abcdefgh"[: len(values)])),)
    made = tuple((name, parse(CLAIMS[name], arguments)) for name, arguments in claims)
    sweep = Sweep(axes, ((),), tuple(range(values.shape[-1])), (measure,), made)
    found = {measure: Results(axes, values, MEASURES[measure].logarithmic)}
    [only] = panels.draw_study(sweep, found, {}, "Why?", ["held: it"]).axes
    return only


@pytest.mark.parametrize(
    ("measure", "values"),
    [("overfit_loss", [[0.0, 0.001, 0.01], [4.1, 4.2, 4.3]]), ("validation_accuracy", [[0.0, 0.1, 0.0], [1.0, 0.9, 1.0]])],
)
def test_neither_an_interval_nor_a_bound_is_drawn_where_the_measure_cannot_be(measure: str, values: Any) -> None:
    kind = MEASURES[measure]
    axes = drawn(measure, values, ("at_most", {"value": 0.05}), ("at_least", {"value": 0.9, "control": True}))
    for patch in axes.patches:
        assert patch.get_y() >= kind.low and patch.get_y() + patch.get_height() <= max(kind.high, axes.get_ylim()[1])
    low, high = axes.get_ylim()
    assert kind.low - 0.05 * (high - low) < low < kind.low, "a dot at the end is seen whole, and no more"
    lines = drawn(measure, values, axis=Axis("train.lr", (0.01, 0.1)))
    for band in lines.collections:
        ends = band.get_paths()[0].vertices[:, 1]
        assert ends.min() >= kind.low and ends.max() <= kind.high


def test_a_claim_has_the_colour_of_no_line() -> None:
    axes = drawn("train_loss", [[1.0, 1.1], [3.0, 3.1]], ("at_most", {"value": 2.0}))
    assert all(patch.get_hatch() for patch in axes.patches)
    red, green, blue, _ = axes.patches[0].get_edgecolor()
    assert max(red, green, blue) - min(red, green, blue) < 0.1, "grey"
    assert all(to_rgba(color) != (red, green, blue, 1.0) for color in LINES)


def test_the_flat_part_is_every_place_that_cannot_be_told_from_the_lowest() -> None:
    far, near, best = [2.0, 2.01, 2.02], [1.03, 0.98, 1.02], [1.0, 1.01, 0.99]
    for values, stretches in (
        ([far, near, best, far], [(0.01, 0.1)]),
        ([near, far, best, far], [(0.001, 0.001), (0.1, 0.1)]),
        ([far[:1], near[:1], best[:1], far[:1]], []),  # a single seed says nothing of that
        ([[math.inf, 1.0]] * 4, []),
    ):
        axes = drawn("train_loss", values, axis=Axis("train.lr", RATES))
        bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 6]
        assert [(round(low * 1.14, 3), round(high / 1.14, 3)) for low, high in bars] == stretches
        assert ("not to be told apart" in [text.get_text() for text in axes.texts]) == bool(stretches)


def test_a_runaway_place_does_not_press_the_rest_flat() -> None:
    values = [[0.6, 0.62], [0.05, 0.051], [0.03, 0.032], [5.0, 6.0]]
    axes = drawn("excess_loss", values, axis=Axis("train.lr", RATES))
    assert axes.get_yscale() == "log" and axes.get_ylim()[1] > 5
    assert (
        drawn("excess_loss", [[0.1, 0.11], [0.05, 0.051], [0.09, 0.1]], axis=Axis("train.lr", RATES[:3])).get_yscale()
        == "linear"
    )


def test_a_valley_with_a_bound_somewhere_keeps_its_flat_part() -> None:
    valley = [[0.6, 0.62], [0.05, 0.051], [0.03, 0.032], [5.0, 6.0]]
    best = ("optimum_lies_between", {"low": 0.01, "high": 0.1, "ends_worse_by": 1})
    control = ("at_most", {"value": 0.04, "where": {"train.lr": 0.001}, "control": True})
    axes = drawn("excess_loss", valley, best, control, axis=Axis("train.lr", RATES))
    assert any(line.get_linewidth() == 6 for line in axes.lines) and axes.get_yscale() == "log"


def test_a_claim_about_one_of_several_lines_has_its_colour() -> None:
    axes = (Axis("arm", ("a", "b")), Axis("train.lr", RATES))
    bound = parse(CLAIMS["at_most"], {"value": 2.0, "where": {"arm": "b", "train.lr": 0.1}})
    sweep = Sweep(axes, ((), ()), (1, 2), ("train_loss",), (("at_most", bound),))
    results = Results(axes, np.arange(16.0).reshape(2, 4, 2))
    [picture] = panels.draw_study(sweep, {"train_loss": results}, {}, "", []).axes
    first, second = (line.get_color() for line in picture.lines[:2])
    assert first != second
    assert [patch.get_edgecolor() for patch in picture.patches] == [to_rgba(second)]


def test_a_curve_is_drawn_for_every_seed() -> None:
    place = {
        (0, seed): Record(curve=[{"step": step, "loss": float(step > 3 + seed)} for step in range(8)]) for seed in range(3)
    }
    results = Results((Axis("arm", ("a",)),), np.ones((1, 3)))
    sweep = Sweep(results.axes, ((),), (1, 2, 3), ("train_loss",), (), shows=("train_loss",))
    went = panels.draw_study(sweep, {"train_loss": results}, place, "", []).axes[0]
    assert len(went.lines) == 3
    assert {value for line in went.lines for value in np.asarray(line.get_ydata())} == {0.0, 1.0}, "no slope that no run has"


def test_the_picture_has_the_question_above_and_each_verdict_below() -> None:
    sweep = Sweep((Axis("arm", ("a",)),), ((),), (1, 2), ("train_loss",), (claim(),))
    figure = panels.draw_study(
        sweep, {"train_loss": Results(sweep.axes, np.ones((1, 2)))}, {}, "Why so?", ["held: it", "refuted: that"]
    )
    assert figure.get_suptitle() == "Why so?"
    assert figure.get_supxlabel().splitlines() == ["• held: it", "• refuted: that", plot.KEY]
