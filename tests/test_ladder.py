"""Ladders: the runs that budgets pay for, the forecast before the top runs and its score after it, branched decays."""

from __future__ import annotations

import functools
import itertools
import json
import math
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small import TOP, knobs

from pipeline.artifacts.paths import meta_of, tokenizer_of, tokens_of
from pipeline.artifacts.writing import write_json
from pipeline.corpus.sources.generated.markov import ALPHABET, entropy_rate, sample_chain
from pipeline.identity import read_cached
from pipeline.lab.bets.bet import open_bets, read_bets
from pipeline.lab.bets.question import NumberAnswer
from pipeline.lab.cli import main
from pipeline.lab.dvc.base_params import base_params
from pipeline.lab.ladder import climb, ladders, shown
from pipeline.lab.ladder.branches import NEEDED, check_branches, decay_begins, train_branched
from pipeline.lab.ladder.climb import climb_rungs, climb_top, forecast_top
from pipeline.lab.ladder.floor import CHAINS, floor_of
from pipeline.lab.ladder.ladders import Ladder, Rung, find_ladder, read_ladders, with_sizes
from pipeline.lab.ladder.runs import COUNTS, Run, runs_of, train_all
from pipeline.lab.scaling.fit import fit_law
from pipeline.lab.scaling.forecast import forecast
from pipeline.lab.scaling.law import Law, best_use
from pipeline.lab.scaling.own import LEDGER
from pipeline.lab.studies.grid import Variant
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.tokenizers.char import CharTokenizer

SMALL = Law(3.37, 60.0, 0.75, 80.0, 0.6)
TINY: dict[str, Any] = {
    "says": "A tiny ladder",
    "measured": "in tests",
    "known": True,
    "set": {
        **read_ladders()["zipf"].knobs,
        "prepare.alphabet_size": 8,
        "prepare.generated_chars": 40_000,
        "model.depth": 1,
        "model.context_length": 8,
        "model.base_width": 4,
        "train.batch_size": 2,
        "train.validation_examples": 512,
        "runtime.device": "cpu",
        "runtime.progress": "none",
    },
    "rungs": [
        {"flops": 1.0e6, "widths": [4, 8, 12]},
        {"flops": 3.0e6, "widths": [4, 8, 12]},
        {"flops": 1.0e7, "widths": [4, 8, 12]},
    ],
    "top": {"flops": 3.0e7, "widths": [8, 12]},
    "seeds": [1],
}


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one tiny ladder."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "pipeline").symlink_to(TOP / "pipeline")
    (tmp_path / "data/own").mkdir(parents=True)
    git("init", "-q", "-b", "main")
    (tmp_path / "ladders.yaml").write_text(yaml.safe_dump({"tiny": TINY}), encoding="utf-8")
    monkeypatch.setattr(ladders, "FILE", tmp_path / "ladders.yaml")
    monkeypatch.setattr("pipeline.lab.ladder.runs.FEWEST_STEPS", 5)
    return tmp_path


def rally(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of the command."""
    monkeypatch.setattr("sys.argv", ["rally", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


# ----------------------------------------------------------------------------------------------------- the ladders as data


@pytest.mark.parametrize("name", read_ladders())
def test_every_ladder_has_what_a_law_needs_and_knobs_that_can_be_used(name: str) -> None:
    ladder = find_ladder(name)
    flops = [rung.flops for rung in ladder.rungs]
    assert flops == sorted(flops)
    assert flops[-1] / flops[0] >= 10 and ladder.top.flops >= 3 * flops[-1]
    assert sum(len(rung.widths) for rung in ladder.rungs) >= 8
    for width in {width for rung in (*ladder.rungs, ladder.top) for width in rung.widths}:
        params = parse(Params, with_knobs(read_sections(TOP / "params.yaml"), {**ladder.knobs, "model.width": width}))
        check_branches(params)
    assert ladder.known == (params.prepare.dataset in CHAINS)
    assert ladder.says and ladder.measured


@pytest.mark.parametrize("name", CHAINS)
def test_the_lowest_loss_is_that_of_the_rule_on_the_very_examples_that_are_validated(name: str, tmp_path: Path) -> None:
    params = knobs(
        prepare__dataset=name,
        prepare__alphabet_size=4,
        prepare__seed=5,
        tokenize__kind="char",
        model__context_length=7,
        train__validation_examples=5,
    )
    rows = CHAINS[name](params.prepare)
    text = b"".join(sample_chain(rows, 100, np.random.default_rng(1))).decode()
    tokenizer = CharTokenizer.learn([text[::-1]], 0, has_end=False)
    write_json(meta_of(tmp_path), {"vocabulary": tokenizer.vocabulary})
    tokenizer.save(tokenizer_of(tmp_path))
    np.save(tokens_of(tmp_path, "validation"), tokenizer.encode(text).astype(np.uint8))

    windows = [text[start : start + 8] for start in range(0, 99, 7)]  # each one's first symbol has no target
    chosen = [windows[round(at)] for at in (0, 3.4, 7, 10.4, 14)]
    pairs = [pair for window in chosen for pair in itertools.pairwise(window)]
    known = {symbol: place for place, symbol in enumerate(ALPHABET.decode())}
    expected = -sum(math.log(rows[known[one], known[other]]) for one, other in pairs) / len(pairs)
    assert floor_of(params, tmp_path) == pytest.approx(expected, rel=1e-12)
    assert abs(expected - entropy_rate(rows)) > 0.01, "the entropy of the chain is another number"


def test_a_size_is_added_to_the_budget_that_it_names() -> None:
    ladder = find_ladder("zipf")
    first = ladder.rungs[0]
    wider = with_sizes(ladder, [f"{first.flops:.3g}:64", f"{ladder.top.flops:.3g}:160"])
    assert wider.rungs[0].widths == (*first.widths, 64) and wider.rungs[1:] == ladder.rungs[1:]
    assert wider.top.widths[-1] == 160
    assert with_sizes(ladder, [f"{first.flops:.3g}:{first.widths[0]}"]) == ladder, "it is there already"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("zip",), "there is no 'zip'. Did you mean 'zipf'?"),
        (("--add", "64"), "--add 64: is not FLOPS:WIDTH, such as 8e+09:64"),
        (("--add", "0:64"), "--add 0:64: is not FLOPS:WIDTH"),
        (("--add", "...:64"), "--add ...:64: is not FLOPS:WIDTH"),
        (("--add", "1e3:64"), "ladder zipf has no budget of 1000 FLOPs; its budgets: 8e+09,"),
        (("--count", "some"), "--count some: is neither all nor blocks"),
        (("-S", "model.width=8"), "-S model.width: the ladder varies this knob; override another one"),
        (("-S", "train.lr=0.1,0.2"), "-S: a knob has several values; a ladder takes one"),
        (("--at", "1e12"), "--entropy, --leave-out and --at: are of --points"),
        (("--points", "x.csv", "--branched"), "--points: nothing is trained; leave out"),
        (("--points", ""), "--points: is empty; name a CSV file, or chinchilla"),
        (("plays", "--points", "x.csv"), "rally ladder plays --points: a ladder and a file; leave one out"),
        (("-S", "train.lr=banana"), "train.lr: 'banana' is not a number"),
        (("--points", "."), "Is a directory"),
        (("--points", "x.csv"), "x.csv: No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_status_2(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(TOP / "params.yaml", tmp_path)
    shutil.copy(TOP / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert rally(monkeypatch, "ladder", *words) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and error.count(said) == 1
    assert not (tmp_path / ".rally").exists(), "nothing was begun"


# ------------------------------------------------------------------------------------- a climb over runs that are a formula


def planted(rungs: Sequence[float], top: float, tmp_path: Path) -> list[Run]:
    """Runs that are never trained, of five sizes around the best of each budget."""
    runs = []
    for place, flops in (*enumerate(rungs), (-1, top)):
        for at, share in enumerate((0.3, 0.6, 1.0, 1.8, 3.2) if place >= 0 else (1.0,)):
            size = round(best_use(SMALL, flops).size * share)
            tokens = round(flops / (6 * size))
            params = knobs(seed=1, train__steps=10 + 100 * at + 10_000 * (place + 1))
            variant = Variant((place + 1, at, 1), params)
            runs.append(Run(place, at, variant, {"all": size, "blocks": size // 2}, tokens, 6.0 * size * tokens, tmp_path))
    return runs


def by_law(runs: Sequence[Run], advance: Callable[[], None]) -> dict[int, float]:
    """The losses that the law says, with noise of 1 % of the excess."""
    rng = np.random.default_rng(len(runs))
    found = {}
    for at, run in enumerate(runs):
        excess = float(SMALL.excess(np.array([float(run.sizes["all"])]), np.array([float(run.tokens)]))[0])
        found[at] = SMALL.entropy + excess * math.exp(0.01 * rng.normal())
        advance()
    return found


def quiet(count: int) -> AbstractContextManager[Callable[[], None]]:
    return nullcontext(lambda: None)


@pytest.fixture(autouse=True)
def few_bootstraps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty in place of two hundred, which is enough to see that there are some."""
    monkeypatch.setattr(climb, "fit_law", functools.partial(fit_law, bootstraps=20))


@pytest.fixture
def climbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Run], climb.Climbed]:
    """A climb of three rungs, in an empty folder, before the top has run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "is_done", property(lambda run: False))
    runs = planted([1e10, 5e10, 2.5e11], 1e12, tmp_path)
    return runs, climb_rungs(runs, "all", SMALL.entropy, by_law, quiet)


def test_the_forecast_stands_in_the_ledger_before_the_top_runs_and_is_scored_after_it(
    climbed: tuple[list[Run], climb.Climbed],
) -> None:
    runs, below = climbed
    forecasts = forecast_top("planted", runs, below)
    [bet] = read_bets()
    assert (bet.who, bet.late, bet.outcome) == ("ladder", False, None)
    assert isinstance(bet.answer, NumberAnswer) and bet.answer.median == pytest.approx(forecasts[0].said.median)
    assert bet.question.naive == min(point.loss for point in below.points)
    ran: list[int] = []

    def train(some: Sequence[Run], advance: Callable[[], None]) -> dict[int, float]:
        ran.append(len(open_bets()))
        return by_law(some, advance)

    [scored] = climb_top("planted", forecasts, train, quiet)
    assert ran == [1], "the bet was open when the run began"
    [bet] = read_bets()
    assert bet.outcome is not None and bet.outcome.truth == pytest.approx(scored.loss)
    assert bet.counts_as_interval and scored.is_inside
    assert abs(scored.error(SMALL.entropy) or 1) < 0.15
    assert scored.scored[0].startswith("the ladder said ")
    assert forecast_top("planted", runs, below)[0].said == pytest.approx(scored.said), "it is not forecast again"
    assert len(read_bets()) == 1


def bent(runs: Sequence[Run], advance: Callable[[], None]) -> dict[int, float]:
    """Losses of no law: beyond some size a network can say all that there is to say, as on a chain of 64 symbols."""
    found = {}
    for at, run in enumerate(runs):
        size, tokens = run.sizes["all"], run.tokens
        of_size = SMALL.size_factor / size**SMALL.size_exponent * math.exp(-size / 30_000)
        found[at] = SMALL.entropy + of_size + SMALL.token_factor / tokens**SMALL.token_exponent
    return found


def test_the_interval_holds_the_error_of_the_laws_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "is_done", property(lambda run: False))
    runs = planted([1e10, 5e10, 2.5e11, 1.25e12], 6e12, tmp_path)
    below = climb_rungs(runs, "all", SMALL.entropy, bent, quiet)
    assert below.tested is not None and below.tested.recency > 0, "the near rungs tell more"
    assert below.tested.error > 2 * below.fit.spread
    top = runs[-1]
    form = (below.tested.error_at(top.flops), below.tested.sizes)
    size, tokens, truth = float(top.sizes["all"]), float(top.tokens), bent([top], lambda: None)[0]
    (low, _, high), (lower, _, higher) = (forecast(below.fit, size, tokens, form=given) for given in (None, form))
    assert lower < low and high < higher
    assert lower <= truth <= higher
    said = shown.tested_line(below.tested, known=True)
    assert said.startswith("without the last rung, the law misses its 5 sizes by") and "to the power" in said


def test_a_forecast_of_a_run_that_is_here_is_late(
    climbed: tuple[list[Run], climb.Climbed], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, below = climbed
    monkeypatch.setattr(Run, "is_done", property(lambda run: True))
    [one] = forecast_top("planted", runs, below)
    assert one.late and read_bets()[0].late


def test_diverged_runs_are_left_out_and_counted_where_too_many_are(tmp_path: Path) -> None:
    runs = planted([1e10, 5e10, 2.5e11], 1e12, tmp_path)

    def some(chosen: Sequence[Run], advance: Callable[[], None]) -> dict[int, float]:
        return by_law(chosen, advance) | {3: math.inf}

    found = climb_rungs(runs, "all", SMALL.entropy, some, quiet)
    assert len(found.points) == len(found.runs) - 1
    with pytest.raises(UserError, match=r"^0 points: .* \(15 of 15 runs diverged\)$"):
        climb_rungs(runs, "all", None, lambda chosen, advance: dict.fromkeys(range(len(chosen)), math.inf), quiet)


@pytest.mark.parametrize("count", COUNTS)
def test_what_n_counts_is_a_choice(count: str, tmp_path: Path) -> None:
    runs = planted([1e10, 5e10, 2.5e11], 1e12, tmp_path)
    found = climb_rungs(runs, count, SMALL.entropy, by_law, quiet)
    assert found.points[0].size == runs[0].sizes[count]
    assert count in shown.COUNTED


def test_a_best_size_at_an_edge_comes_with_the_command_that_extends(climbed: tuple[list[Run], climb.Climbed]) -> None:
    _, below = climbed
    ladder = Ladder("mine", "", "", True, {}, (Rung(1e10, (8, 16, 32)),) * 3, Rung(1e12, (64,)), (1,))
    widths = [rung.widths for rung in ladder.rungs]
    edges = [below.minima[0]._replace(edge=edge, flops=1e10) for edge in ("smallest", "largest", "flat")]
    smallest, largest, flat = shown.minima_lines(ladder, edges, widths)
    assert smallest.endswith("a better one may lie beyond; extend: rally ladder mine --add 1e+10:4")
    assert largest.endswith("extend: rally ladder mine --add 1e+10:48")
    assert "no parabola" in flat
    for text in (smallest, largest):
        assert with_sizes(ladder, [text.rpartition(" ")[2]]) != ladder
    inside = list(shown.minima_lines(ladder, below.minima, widths))
    assert all(" to " in line for line in inside[:3]) and inside[3].startswith("best N grows as FLOPs^0.4")


# --------------------------------------------------------------------------------------------------------------- branches


@pytest.mark.parametrize(("knob", "value"), NEEDED)
def test_runs_that_would_not_begin_alike_share_no_plateau(knob: str, value: object) -> None:
    good = knobs(**{f"train__{name}": needed for name, needed in NEEDED})
    check_branches(good)
    others = {"schedule": "cosine", "curriculum": "easy_first"}
    other = others.get(knob, 0.5 if isinstance(value, float) else 3)
    bad = good.model_copy(update={"train": good.train.model_copy(update={knob: other})})
    with pytest.raises(UserError, match=rf"^train\.{knob}: is {other}; --branched needs {value}"):
        check_branches(bad)


def test_the_decay_begins_where_the_rate_is_still_at_its_peak() -> None:
    from pipeline.engine.schedules import learning_rate

    for steps in (7, 10, 99, 1001):
        for share in (0.2, 0.5, 1.0):
            params = knobs(
                train__steps=steps, train__cooldown_ratio=share, train__schedule="trapezoid", train__warmup_ratio=0.0
            )
            begins = decay_begins(params)
            rates = {learning_rate(step / steps, params.train) for step in range(begins)}
            assert rates <= {params.train.lr}


@pytest.mark.slow
def test_a_tiny_ladder_is_climbed_resumed_and_branched(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rally(monkeypatch, "ladder", "tiny", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "11 trainings, each with its own full schedule; about " in said
    assert not LEDGER.exists()

    assert rally(monkeypatch, "ladder", "tiny", "--json") == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content == json.loads(LEDGER.read_text())["ladders"]["tiny"]
    assert len(content["runs"]) == 9 and len({run["record"] for run in content["runs"]}) == 9
    for run in content["runs"]:
        assert any(0.9 < run["flops"] / flops < 1.1 for flops in (1e6, 3e6, 1e7))
        assert run["sizes"]["blocks"] < run["sizes"]["all"] and run["loss"] > content["entropy"]
    assert content["fit"]["entropy_is_known"] and content["fit"]["law"]["E"] == content["entropy"]
    assert [one["width"] for one in content["top"]] == [8, 12]
    assert all(one["loss"] and not one["late"] for one in content["top"])
    assert "written before it runs" in err and "the ladder said" in err
    assert Path("results/ladder-tiny.png").stat().st_size > 10_000
    kinds = [json.loads(line)["kind"] for line in Path("notebook/bets.jsonl").read_text().splitlines()]
    assert kinds == ["made", "made", "begun", "begun", "scored", "scored"]

    [_, last] = sorted(Path(".rally/sweeps/runs").glob("*.json"), key=lambda path: path.stat().st_mtime)[-2:]
    kept = {path: path.read_bytes() for path in Path(".rally/sweeps/runs").glob("*.json")}
    times = {path: path.stat().st_mtime_ns for path in kept}
    last.unlink()
    assert rally(monkeypatch, "ladder", "tiny", "--json") == 0
    out, err = capsys.readouterr()
    assert "10 are here already, 1 to train" in err
    assert {path: path.read_bytes() for path in kept} == kept
    assert [path for path in kept if path.stat().st_mtime_ns != times[path]] == [last]
    assert json.loads(out)["top"] == content["top"], "the forecasts that were made stay"

    ladder = find_ladder("tiny")
    base = base_params(as_is=True)
    base = replace(base, sections=with_knobs(base.sections, ladder.knobs))
    runs = runs_of(ladder, base)
    whole = train_all(runs, lambda: None)
    shutil.rmtree(".rally/sweeps/runs")
    assert train_branched(runs, lambda: None) == whole
    assert {run.record.name: read_cached(run.record) for run in runs} == {
        path.name: json.loads(text)["content"] for path, text in kept.items()
    }, "the same bytes as full runs"


def test_a_dry_run_downloads_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = TINY | {"set": {**TINY["set"], "prepare.dataset": "tinystories"}}
    (project / "ladders.yaml").write_text(yaml.safe_dump({"tiny": tiny}), encoding="utf-8")
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first")
    monkeypatch.setattr("pipeline.lab.ladder.play.runs_of", lambda *_: pytest.fail("this would make the data"))
    assert rally(monkeypatch, "ladder", "tiny", "--dry-run") == 0
    assert "Its text, tinystories (2.2 GB), is not here yet" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_a_budget_that_pays_for_too_few_steps_is_refused(project: Path) -> None:
    ladder = replace(find_ladder("tiny"), top=Rung(3e7, (8, 512)))
    base = base_params(as_is=True)
    with pytest.raises(UserError, match=r"^width 512 at 3e\+07 FLOPs: is \d+ steps; leave it out, or use a budget of"):
        runs_of(ladder, replace(base, sections=with_knobs(base.sections, ladder.knobs)))
