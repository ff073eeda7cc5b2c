"""Scaling laws: what a fit recovers, what it refuses, points from files, the best size of a budget, advice."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from file_server import serving
from small import knobs

from pipeline.lab.cli import main
from pipeline.lab.scaling import own, published
from pipeline.lab.scaling.fit import Fit, fit_law, law_of
from pipeline.lab.scaling.forecast import Advice, advice, between, forecast, seeds_spread
from pipeline.lab.scaling.hindcast import hindcast
from pipeline.lab.scaling.isoflops import by_budget, exponent, minimum
from pipeline.lab.scaling.law import Cost, Law, best_use, cost_of
from pipeline.lab.scaling.points import COLUMNS, FEWEST, RANGES, Point, check_enough, parse_points, read_points
from pipeline.lab.scaling.published import PUBLISHED
from pipeline.params.errors import UserError

LAW = Law(1.817, 478.0, 0.347, 2143.0, 0.367)  # a refit of the published points
SMALL = Law(3.37, 60.0, 0.75, 80.0, 0.6)  # as a ladder of small models on a text of known entropy
ROWS = [(2e8, 1e18, 3.5)] * FEWEST


OUTLIERS = ((2.0e9, 3.4), (2.3e9, 3.8), (2.6e9, 3.8), (3.0e9, 4.7), (6.8e9, 5.0))  # about as in the published points


def drawn(law: Law, sizes: Sequence[float], flops: float, noise: float, seed: int = 1, seeds: int = 1) -> list[Point]:
    """Points of a law at one budget, with noise of this share of the excess."""
    rng = np.random.default_rng(seed)
    points = []
    for size in np.repeat(sizes, seeds):
        tokens = flops / (6 * size)
        excess = float(law.excess(np.array([size]), np.array([tokens]))[0])
        points.append(Point(float(size), tokens, flops, law.entropy + excess * math.exp(noise * rng.normal())))
    return points


def around_best(law: Law, budgets: Sequence[float], noise: float, seeds: int = 1, first: int = 0) -> list[Point]:
    """Points of six sizes around the best one of each budget."""
    shares = np.array([0.3, 0.5, 0.8, 1.2, 2.0, 3.2])
    groups = [
        drawn(law, (shares * best_use(law, flops).size).tolist(), flops, noise, seed=first + at, seeds=seeds)
        for at, flops in enumerate(budgets)
    ]
    return [point for group in groups for point in group]


@pytest.fixture(scope="module")
def points() -> list[Point]:
    """A quarter as many as the published points, over their sizes and compute."""
    return around_best(LAW, np.geomspace(6e18, 3e21, 9).tolist(), 0.01)


@pytest.fixture(scope="module")
def fit(points: list[Point]) -> Fit:
    return fit_law(points, bootstraps=30)


@pytest.fixture(scope="module")
def rungs() -> list[Point]:
    """A small ladder with two seeds."""
    return around_best(SMALL, [1e10, 5e10, 2.5e11], 0.02, seeds=2)


@pytest.fixture(scope="module")
def fixed(rungs: list[Point]) -> Fit:
    """Its fit with the entropy known."""
    return fit_law(rungs, SMALL.entropy, bootstraps=30)


# --------------------------------------------------------------------------------------------------------------- the fit


@pytest.mark.parametrize("letter", LAW.numbers())
def test_a_fit_recovers_the_law_that_points_were_drawn_from(fit: Fit, letter: str) -> None:
    low, high = fit.interval(lambda law: law.numbers()[letter], level=0.98)
    assert low <= LAW.numbers()[letter] <= high
    assert low < fit.law.numbers()[letter] < high


def test_a_few_outliers_change_the_advice_far_below_the_points(points: list[Point], fit: Fit) -> None:
    """As the five highest of the published losses do: large models with few tokens, whose loss lies above the law."""
    worse = [Point(size, 1e19 / (6 * size), 1e19, loss) for size, loss in OUTLIERS]
    other = fit_law([*points, *worse], bootstraps=1).law
    far, near = ([best_use(law, flops).tokens_per_parameter for law in (fit.law, other)] for flops in (5e16, 1e20))
    assert far[1] > 1.5 * far[0]
    assert near[1] == pytest.approx(near[0], rel=0.25), "among the points they change little"


def test_a_known_entropy_narrows_the_intervals(rungs: list[Point], fixed: Fit) -> None:
    free = fit_law(rungs, bootstraps=30)
    assert fixed.law.entropy == SMALL.entropy and not free.known
    assert all(law.entropy == SMALL.entropy for law in fixed.again)
    for letter in ("alpha", "beta"):
        (low, high), (lower, higher) = (one.interval_of(letter) for one in (fixed, free))
        assert high - low < higher - lower, letter
    place = np.array([5e5]), np.array([1e7])  # a hundred times the compute
    (low, high), (lower, higher) = (one.interval(lambda law: float(law.excess(*place)[0])) for one in (fixed, free))
    assert high - low < 0.7 * (higher - lower), "the excess of a far larger run"


def test_equal_points_give_equal_fits(rungs: list[Point], fixed: Fit) -> None:
    again = fit_law(rungs, SMALL.entropy, bootstraps=3)
    assert (again.law, again.again, again.spread) == (fixed.law, fixed.again[:3], fixed.spread)


def test_too_few_points_or_too_little_compute_is_refused(rungs: list[Point]) -> None:
    with pytest.raises(UserError, match=r"^7 points: a law has up to five numbers; use 8 points or more$"):
        check_enough(rungs[:7])
    with pytest.raises(UserError, match=r"span a factor of 5 in compute: an exponent cannot be read"):
        check_enough([point for point in rungs if point.flops < 1e11])
    one_size = [Point(2e3, point.tokens, point.flops, point.loss) for point in rungs]
    with pytest.raises(UserError, match=r"fewer than 3 different values of the size; a law needs more"):
        fit_law(one_size)


def test_a_loss_below_the_known_entropy_is_refused(rungs: list[Point]) -> None:
    with pytest.raises(UserError, match=r"losses are not above the entropy of 9\.0000 nats per token"):
        fit_law(rungs, 9.0)


# -------------------------------------------------------------------------------------------------------------- forecasts


def test_a_law_of_the_right_form_misses_the_last_budget_by_the_noise_alone(rungs: list[Point]) -> None:
    found = hindcast(rungs, SMALL.entropy)
    assert found is not None and found.error < 0.06, "runs have a noise of 0.02, and the exponents are of two budgets"
    assert (found.sizes, found.last, found.factor) == (6, pytest.approx(2.5e11), pytest.approx(5))
    assert found.error_at(2.5e11 * 25) == pytest.approx(2 * found.error), "twice as far in the logarithm"
    assert found.error_at(3e11) == found.error, "near the last budget it is not less"


def test_too_few_budgets_are_not_hindcast(rungs: list[Point]) -> None:
    assert hindcast(rungs, None) is None, "with E to be fitted two budgets say too little of a third"
    assert hindcast([point for point in rungs if point.flops < 1e11], SMALL.entropy) is None


def test_a_recent_fit_is_closer_to_the_near_budgets(rungs: list[Point]) -> None:
    moved = [point._replace(loss=point.loss + 0.02) if point.flops < 2e10 else point for point in rungs]
    plain, recent = (law_of(moved, SMALL.entropy, recency) for recency in (0.0, 2.0))
    last = [point for point in moved if point.flops > 1e11]
    place = np.array([point.size for point in last]), np.array([point.tokens for point in last])
    off = [float(np.abs(law.loss(*place) - [point.loss for point in last]).mean()) for law in (plain, recent)]
    assert off[1] < 0.8 * off[0]


@pytest.mark.slow
def test_eight_of_ten_runs_lie_in_the_forecasts_of_planted_laws() -> None:
    """Forecasts of the next budget, from other noise each time, against one run of it."""
    inside, count, place = 0, 30, (6e4, 1.25e12 / (6 * 6e4))
    for seed in range(count):
        rng = np.random.default_rng(seed)
        noisy = around_best(SMALL, [1e10, 5e10, 2.5e11], 0.02, first=100 * seed)
        said = forecast(fit_law(noisy, SMALL.entropy, bootstraps=25), *place)
        truth = float(SMALL.excess(np.array(place[:1]), np.array(place[1:]))[0]) * math.exp(0.02 * rng.normal())
        inside += said.low <= SMALL.entropy + truth <= said.high
        assert said.low < said.median < said.high
    assert 18 <= inside <= 29, "80 % of 30 are 24"


def test_seeds_that_differ_more_widen_the_forecast(rungs: list[Point], fixed: Fit) -> None:
    place = (6e4, 1e6)
    narrow, wide = forecast(fixed, *place), forecast(fixed, *place, seeds_spread=0.2)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert seeds_spread(rungs[::2], SMALL.entropy) == 0.0, "no two runs are alike"
    assert 0 < seeds_spread(rungs, None) < seeds_spread(rungs, SMALL.entropy)


# --------------------------------------------------------------------------------------------------------------- isoFLOPs


def test_the_best_size_of_a_budget_is_the_lowest_point_of_a_parabola(rungs: list[Point]) -> None:
    found = [minimum(group) for group in by_budget(rungs)]
    for one in found:
        assert not one.edge
        assert one.low <= one.size <= one.high
        assert 0.6 < one.size / best_use(SMALL, one.flops).size < 1.6
    assert exponent(found) == pytest.approx(SMALL.token_exponent / (SMALL.token_exponent + SMALL.size_exponent), abs=0.12)


def test_a_best_size_at_an_edge_is_said_to_be_one(rungs: list[Point]) -> None:
    middle = by_budget(rungs)[1]
    best = best_use(SMALL, middle[0].flops).size
    assert minimum([point for point in middle if point.size < best]).edge == "largest"
    assert minimum([point for point in middle if point.size > best]).edge == "smallest"
    upside_down = [point._replace(loss=10 - point.loss) for point in middle]
    assert minimum(upside_down).edge in ("largest", "smallest"), "the lowest of a hill is one of its ends"
    assert minimum([point for point in middle if point.size in (middle[0].size, middle[-1].size)]).edge == "flat"
    assert exponent([minimum(upside_down)]) is None


def test_budgets_are_told_apart_by_their_flops() -> None:
    made = [point for flops in (1e10, 1.1e10, 5e10) for point in drawn(SMALL, [1e3, 2e3, 4e3], flops, 0.0)]
    assert [len(group) for group in by_budget(made)] == [6, 3]


# ----------------------------------------------------------------------------------------------------------------- advice


def test_the_best_use_of_compute_is_hoffmanns_closed_form() -> None:
    for flops in (1e18, 1e22):
        ratio = LAW.size_exponent * LAW.size_factor / (LAW.token_exponent * LAW.token_factor)
        shared = LAW.size_exponent + LAW.token_exponent
        size = ratio ** (1 / shared) * (flops / 6) ** (LAW.token_exponent / shared)
        assert best_use(LAW, flops).size == pytest.approx(size, rel=0.02)
    assert best_use(LAW, 4.9e16).tokens_per_parameter == pytest.approx(28, abs=1)


def test_the_cost_of_points_is_read_from_them(points: list[Point]) -> None:
    assert (cost_of(points).factor, cost_of(points).exponent) == pytest.approx((6, 1))
    dear = [point._replace(flops=50 * point.size**0.8 * point.tokens) for point in points]
    assert (cost_of(dear).factor, cost_of(dear).exponent) == pytest.approx((50, 0.8))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_laws_advise_about_twenty_tokens_at_the_scale_of_their_points(name: str) -> None:
    assert 10 < best_use(PUBLISHED[name], 1e21).tokens_per_parameter < 80


def test_the_kept_table_is_what_the_refit_says(fit: Fit) -> None:
    for row in published.TABLE:
        assert row.low < row.tokens_per_parameter < row.high
        assert best_use(LAW, row.flops).tokens_per_parameter == pytest.approx(row.tokens_per_parameter, rel=0.04)
    low, high = published.TABLE[0], advice(fit, Cost(), 1e12)
    assert high.low < low.tokens_per_parameter < high.high


def test_advice_between_rows_lies_between_them_and_goes_on_beyond_them() -> None:
    table = [Advice(1e10, 10, 5, 20), Advice(1e12, 20, 10, 40)]
    assert between(table, 1e11) == pytest.approx(Advice(1e11, math.sqrt(200), math.sqrt(50), math.sqrt(800)))
    assert between(table, 1e14).tokens_per_parameter == pytest.approx(40)


def test_a_ladder_of_this_text_is_asked_first_and_published_fits_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = knobs(prepare__dataset="markov", tokenize__kind="char")
    assert own.advice_text(params, 5e16) == (
        "best at 5e16 FLOPs: 28 (22 to 40), say published fits, far below their smallest run"
    )
    table = [[1e9, 10, 8, 12], [1e11, 12, 9, 15]]
    content = {"data": own.data_key(params), "compute": [1e9, 1e11], "advice": table}
    own.write_ladder("mine", content)
    assert own.advice_text(params, 1e11) == "best at 1e11 FLOPs: 12 (9 to 15), says your ladder mine"
    assert "published" in own.advice_text(params, 1e16), "far above the ladder"
    assert "published" in own.advice_text(knobs(prepare__dataset="repeats"), 1e11), "another text"
    own.write_ladder("other", content | {"data": {}})
    assert set(own.read_ladders()) == {"mine", "other"}
    for broken in ("[]", "{}", '{"ladders": [1]}', '{"ladders": {"mine": null}}'):
        own.LEDGER.write_text(broken)
        with pytest.raises(UserError, match=r"notebook/ladder\.json: "):
            own.read_ladders()
    for rows in ([table[0], table[0]], [], table[:1], [[1e9, 10, 8, math.nan], table[1]], [[1e9, 10], table[1]], [1, 2]):
        own.LEDGER.write_text(json.dumps({"ladders": {"mine": content | {"advice": rows}}}))
        assert "published" in own.advice_text(params, 1e11), "this is no table of advice"
    own.LEDGER.write_text("{")
    assert "published" in own.advice_text(params, 1e11), "a damaged file is no reason not to estimate"


# -------------------------------------------------------------------------------------------------------- points of files


def table(head: str, *rows: tuple[object, ...]) -> str:
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)])


@pytest.mark.parametrize("column", COLUMNS)
def test_every_name_of_a_column_is_understood(column: str) -> None:
    for name in COLUMNS[column]:
        head = {"size": "N", "flops": "C", "tokens": "D", "loss": "loss"} | {column: name.upper()}
        point = parse_points(table(",".join(head.values()), *[(1e6, 6e14, 1e8, 3.0)] * FEWEST), "x.csv")[0]
        assert point == Point(1e6, 1e8, 6e14, 3.0)


@pytest.mark.parametrize("column", RANGES)
def test_a_number_beyond_its_range_is_refused_with_the_range(column: str) -> None:
    least, most = RANGES[column]
    row = {"size": 1e6, "flops": 6e14, "tokens": 1e8, "loss": 3.0}
    for value, is_taken in ((least, True), (most, True), (least / 2, False), (most * 2, False)):
        text = table(",".join(row), *[(row | {column: value}).values()] * FEWEST)
        if is_taken:
            assert getattr(parse_points(text, "x.csv")[0], column) == value
            continue
        with pytest.raises(UserError, match=re.escape(f"use {least:g} to {most:g}")):
            parse_points(text, "x.csv")


def test_tokens_and_flops_stand_in_for_each_other() -> None:
    of_flops = parse_points(table("Model Size,Training FLOP,loss", *ROWS), "x.csv")
    of_tokens = parse_points(table("params,tokens,loss", *[(2e8, 1e18 / 1.2e9, 3.5)] * FEWEST), "x.csv")
    assert of_flops[0] == pytest.approx(of_tokens[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table("size,loss", *ROWS), "has no column for the flops or tokens (it has: size, loss); name one 'Training FLOP'"),
        (table("flops,loss", *ROWS), "has no column for the size"),
        (table("size,flops,loss", *ROWS[:5]), "has 5 rows; a law has up to five numbers, use 8 rows or more"),
        (table("size,flops,loss", *ROWS, (2e8, -1e18, 3.5)), "line 10: flops is '-1e+18'; use a number above 0"),
        (table("size,flops,loss", *ROWS, (2e8, 1e18, "nan")), "line 10: loss is 'nan'; use a number above 0"),
        (table("size,flops,loss", *ROWS, (2e8,)), "line 10: flops is ''; use a number above 0"),
        (
            table("a,b", *ROWS),
            "no column for the size and the loss and the flops or tokens (it has: a, b); name one 'Model Size'",
        ),
        (table("size,flops,loss", (), *ROWS, (2e8, 1e18, "3,5")), "line 11: has 4 cells, the head 3; write decimals with a"),
        (table("size,flops,loss", *ROWS, (1e200, 1e18, 3.5)), "line 10: size is '1e+200'; use 1 to 1e+15"),
        (table("size,flops,loss", *ROWS, (2e8, 1e18, 1e300)), "line 10: loss is '1e+300'; use 1e-09 to 1000"),
        (table("size,flops,loss", *ROWS, (2e8, 1e18, "inf")), "line 10: loss is 'inf'; use 1e-09 to 1000"),
        (table('size,"flops,loss', *ROWS), "has no column for the loss and the flops or tokens (it has: size, flops,loss 2"),
        (table("size,flops,loss", *[(2e8, 1e18, 3.5)] * 10_001), "has 10,001 rows; use at most 10,000"),
        (table("size,flops,loss", *ROWS), "span a factor of 1 in compute"),
        ("size,flops,loss\n" + "x" * (1 << 24), "has more than 16,777,216 bytes"),
        ("\n\n", "is empty; use a head such as params,tokens,loss"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_exit_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    (tmp_path / "x.csv").write_text(text)
    monkeypatch.setattr("sys.argv", ["rally", "ladder", "--points", str(tmp_path / "x.csv")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_many_bad_cells_are_counted() -> None:
    with pytest.raises(UserError) as caught:
        parse_points(table("size,flops,loss", *[(2e8, 0, 3.5)] * 20), "x.csv")
    assert len(caught.value.problems) == 6
    assert caught.value.problems[-1] == "x.csv: 15 more such cells"
    with pytest.raises(UserError, match="No such file"):
        read_points(Path("nowhere.csv"))


# ------------------------------------------------------------------------------------------------------ published points


@pytest.fixture
def published_file(points: list[Point], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    """A stand-in for the published file, by whose size and ends it is recognized here."""
    content = table("Model Size,Training FLOP,loss", *((one.size, one.flops, one.loss) for one in points)).encode()
    columns_of = [[one.size for one in points], [one.flops for one in points], [one.loss for one in points]]
    monkeypatch.setattr(published, "ENDS", tuple((min(values), max(values)) for values in columns_of))
    monkeypatch.setattr(published, "BYTES", len(content))
    monkeypatch.setattr(published, "ROWS", len(points))
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    return content


def test_published_points_are_fetched_once(published_file: bytes, points: list[Point]) -> None:
    with serving(published_file) as server:
        first = published.fetch_points(server.url)
        assert published.fetch_points(server.url) == first
        assert len(server.asked) == 1
    assert len(first) == len(points)
    assert published.cached_copy().read_bytes() == published_file


def test_another_file_at_the_address_is_refused_and_not_kept(published_file: bytes) -> None:
    changed = published_file.replace(b"5", b"6")
    with serving(published_file + b"\n") as longer, serving(changed) as other:
        with pytest.raises(UserError, match=r"and the published points have [\d,]+; if you have the file, use --points FILE"):
            published.fetch_points(longer.url)
        with pytest.raises(UserError, match="these are not the 54 published points"):
            published.fetch_points(other.url)
    assert not published.cached_copy().exists()


def test_a_server_that_cannot_answer_is_one_line(published_file: bytes) -> None:
    with serving(published_file) as server:
        server.statuses.append(404)
        with pytest.raises(UserError, match=r"the server answers 404; if you have the file, use --points FILE"):
            published.fetch_points(server.url)
        url = server.url
    with pytest.raises(UserError, match=r"cannot be fetched \("):
        published.fetch_points(url)


def test_the_address_is_of_a_fixed_commit() -> None:
    assert f"/{published.COMMIT}/" in published.URL and len(published.COMMIT) == 40


# ------------------------------------------------------------------------------------------------------------- the command


def test_points_are_fitted_with_and_without_the_highest_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rungs: list[Point]
) -> None:
    text = table("size,tokens,flops,loss", *rungs)
    (tmp_path / "mine.csv").write_text(text)
    monkeypatch.setattr("pipeline.lab.ladder.play.RESULTS", tmp_path)
    monkeypatch.setattr("pipeline.lab.ladder.play.fit_law", functools.partial(fit_law, bootstraps=5))
    words = [
        "ladder",
        "--points",
        str(tmp_path / "mine.csv"),
        "--entropy",
        "3.37",
        "--leave-out",
        "1",
        "--at",
        "1e12",
        "--json",
    ]
    monkeypatch.setattr("sys.argv", ["rally", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["all"]["points"], said["without_highest"]["points"]) == (36, 35)
    assert said["all"]["entropy_is_known"] and said["all"]["law"]["E"] == 3.37
    assert "at 1e+12 FLOPs: " in err and "without the 1 highest losses" in err
    assert (tmp_path / "points-mine.png").stat().st_size > 10_000
