"""The page of a comparison: what it says first, what it draws in a browser, and that it stays small, offline and readable."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from compared import compared, curve, experiment, neighbours, sweep, variant
from parsed import Parsed

from pipeline.figures.words import knob_text
from pipeline.lab.comparison.comparison import Comparison, Importance, Ruling
from pipeline.lab.comparison.page.answer import answer
from pipeline.lab.comparison.page.curves import POINTS, curves_of
from pipeline.lab.comparison.page.differences import MOST, rows
from pipeline.lab.comparison.page.knob_axes import knob_axes
from pipeline.lab.comparison.page.page import page, write_page
from pipeline.lab.comparison.page.variants import Variant, key, variants, varied
from pipeline.lab.experiments.records import Group, Knob, grouped

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
HOSTILE = "</script><x-evil a=\"1\" b='2'>&amp;{{x}}-->"
LONG = "a" + "nameofmanyletters" * 12


def of(*losses: Sequence[float | None], knob: str = "train.lr", minimizes: bool = True) -> Comparison:
    """Variants with these losses of their seeds, and the differences between them; their knob is 1, 2, 3, …"""
    values: list[Knob] = list(range(1, len(losses) + 1))
    made = [one for value, some in zip(values, losses, strict=True) for one in variant(f"v{value}", {knob: value}, some)]
    groups = tuple(grouped(made))
    return Comparison(groups, "loss", minimizes, tuple(compared(a, b, minimizes) for a, b in _pairs(groups)), None, ())


def _pairs(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    return [(one, other) for place, one in enumerate(groups) for other in groups[place + 1 :]]


def ordered(comparison: Comparison) -> list[Variant]:
    knobs = varied(comparison.groups)
    return variants(comparison.groups, comparison.metric, comparison.minimizes, knobs)


# ------------------------------------------------------------------------------------------------------- what it says


def test_a_decided_comparison_names_the_best_variant_its_lead_and_its_chance() -> None:
    said = answer(one := of([2.0, 2.01, 2.02], [2.3, 2.31, 2.29]), ordered(one))
    assert said.tone == "good"
    assert said.verdict == "Decided: v1-s1 (lr 1) is the best of 2, ahead of the next, v2-s1 (lr 2)."
    assert re.fullmatch(
        r"Loss 2\.010 ± 0\.025 over 3 seeds; ahead by 0\.290 \(95 % interval: 0\.26\d to 0\.31\d\); the chance that it is the "
        r"better one is over 99\.9 %\.",
        said.lead,
    ), said.lead


def test_where_more_is_better_the_highest_is_the_best_and_its_lead_is_positive() -> None:
    said = answer(one := of([2.0, 2.01, 2.02], [2.3, 2.31, 2.29], minimizes=False), ordered(one))
    assert said.verdict.startswith("Decided: v2-s1 (lr 2) is the best of 2")
    assert "ahead by 0.290" in said.lead


def test_an_undecided_comparison_says_so_first_and_gives_the_command_that_would_decide_it() -> None:
    one = of([2.0, 2.1, 2.2], [2.2, 2.21, 2.3])
    said = answer(one, ordered(one))
    assert said.tone == "open"
    assert said.verdict.startswith("Undecided: v1-s1 (lr 1) has the lowest loss, but may be no better than the next")
    assert "interval: −0." in said.lead
    text = Parsed(page(one)).text
    assert "more seeds each would tell, if it is as large as it looks." in text
    assert one.differences[0].command in text
    assert text.index("Undecided: ") < text.index("Undecided, and what would decide it") < text.index("P(better)")


@pytest.mark.parametrize(
    ("comparison", "verdict"),
    [
        (of([2.0, 2.1]), "There is nothing to compare v1-s1 with: it is the only variant."),
        (of([2.0, 2.1], [math.inf, 2.0]), "There is nothing to compare v1-s1 (lr 1) with: no other variant has a finite loss."),
        (of([math.inf, 2.0], [math.inf, math.inf]), "Every variant with a result diverged, so none has a loss to compare."),
        (of([None], [None]), "No variant has a loss yet, so there is nothing to compare."),
        (replace(of([2.0, 2.1], [2.2, 2.3]), differences=()), "It was not compared with the next, v2-s1 (lr 2)"),
    ],
)
def test_what_cannot_be_answered_is_said_in_words(comparison: Comparison, verdict: str) -> None:
    said = answer(comparison, ordered(comparison))
    assert verdict in said.verdict
    assert said.tone in ("open", "bad")
    text = Parsed(page(comparison)).text
    assert verdict in text
    assert (said.command == "rally compare v1-s1 v2-s1") == ("not compared" in verdict) == ("rally compare" in text)


def test_what_is_not_comparable_has_its_reason() -> None:
    plain = of([2.0, 2.1], [2.2, 2.3])
    apart = replace(
        plain.differences[0],
        ruling=Ruling.NOT_COMPARABLE,
        gap=None,
        needed=None,
        command="",
        reason="other data: toy and shakespeare",
    )
    said = answer(one := replace(plain, differences=(apart,)), ordered(one))
    assert said.verdict.endswith("but cannot be compared with the next, v2-s1 (lr 2): other data: toy and shakespeare.")
    assert Parsed(page(one)).text.count("Not comparable") == 1


def test_what_a_command_would_make_comparable_stands_with_what_is_undecided() -> None:
    plain = of([2.0, 2.01], [2.3, 2.31])
    command = "./run dvc exp run --queue -n a -S seed=3\n./run dvc exp run --queue -n b -S seed=3"
    untuned = replace(plain.differences[0], ruling=Ruling.NOT_COMPARABLE, command=command, reason="lr was tuned for one alone")
    source = page(replace(plain, differences=(untuned,)))
    text = Parsed(source).text
    assert text.index("Undecided, and what would decide it") < text.index("Lr was tuned for one alone.") < text.index(command)
    assert text.count(command) == 2, "here, and in the row of the difference"


def test_a_seed_that_diverged_without_a_score_takes_its_variant_from_the_best() -> None:
    lost = replace(experiment("v1-s3", {"train.lr": 1, "seed": 3}, math.inf), scores={})
    made = [*variant("v1", {"train.lr": 1}, [1.0, 1.1]), lost, *variant("v2", {"train.lr": 2}, [2.0, 2.1])]
    one = Comparison(tuple(grouped(made)), "loss", True, (), None, ())
    assert [(each.label, each.mean, each.diverged, each.seeds) for each in ordered(one)] == [
        ("v2-s1", 2.05, 0, 2),
        ("v1-s1", None, 1, 3),
    ]
    text = Parsed(page(one)).text
    assert "1 of 3 diverged" in text and "1 variant diverged with at least one seed and cannot be the best" in text


def test_variants_of_other_data_and_knobs_that_change_no_training_are_left_out() -> None:
    def made(name: str, data: str, lr: float, workers: int) -> list[Group]:
        return grouped(variant(name, {"prepare.dataset": data, "train.lr": lr, "runtime.workers": workers}, [2.0, 2.1]))

    groups = (*made("a", "toy", 0.1, 1), *made("b", "toy", 0.2, 2))
    twin = replace(groups[0], experiments=tuple(replace(one, commit="b" * 40) for one in groups[0].experiments))
    text = Parsed(page(Comparison(groups, "loss", True, (), None, ()), (*made("c", "other", 0.1, 1), twin, *groups))).text
    assert "c-s1" not in text and "1 variant of other tasks or data is left out." in text
    assert "train.lr" in text and "workers" not in text
    assert "a-s1 (c0ffee0)" in text and f"a-s1 ({'b' * 7})" in text, "of other code, with equal knobs"


def test_one_seed_has_no_interval_and_the_page_says_so() -> None:
    one = of([2.0], [2.2])
    assert "without an interval: one seed each has no spread" in answer(one, ordered(one)).lead
    assert "+0.2, without an interval" in Parsed(page(one)).text


def test_the_knob_that_matters_is_named_or_why_that_is_not_known() -> None:
    whole, _ = sweep()
    text = Parsed(page(whole)).text
    assert "The knob that matters most is model.width: it explains 58 % of the differences (51 to 66 %)." in text
    assert "0.016 at 32, 0.008 at 64, 0.004 at 128, 0.002 at 256" in text
    assert "train.lr and model.width 9 %" in text and "model.width and model.position" not in text
    refused = replace(whole, importance=Importance("loss", 12, {}, {}, None, "12 variants of 3 knobs: 24 are needed"))
    text = Parsed(page(refused)).text
    assert text.count("12 variants of 3 knobs: 24 are needed") == 2
    assert "How much of the differences" not in text


# ------------------------------------------------------------------------------------------------- what it is made of


def test_every_row_has_what_differs_its_interval_and_its_ruling() -> None:
    one = of([2.0, 2.01, 2.02], [2.3, 2.31, 2.29], [2.0, 2.05, 2.01])
    made = rows(one, {key(each.group): each for each in ordered(one)})
    assert [(row.change, row.ruling) for row in made.rows] == [
        ("train.lr 1 → 2", "lr 2 is worse"),
        ("train.lr 1 → 3", "Undecided"),
        ("train.lr 2 → 3", "lr 3 is better"),
    ]
    worse, undecided, better = made.rows
    assert worse.low is not None and worse.low > 50, "its interval lies above 0"
    assert better.high is not None and better.high < 50
    assert undecided.low is not None and undecided.high is not None and undecided.low < 50 < undecided.high
    assert [row.change for row in made.open] == ["train.lr 1 → 3"]


def test_of_too_many_differences_undecided_ones_stay_and_the_page_counts_the_rest() -> None:
    whole, _ = sweep()
    made = rows(whole, {key(each.group): each for each in ordered(whole)})
    assert len(made.rows) == MOST and made.hidden == len(whole.differences) - MOST
    assert {row.tone for row in made.rows} == {"good", "bad", "open"}
    assert f"{made.hidden} differences are not shown" in Parsed(page(whole)).text


def test_a_knob_has_the_axis_that_its_values_ask_for() -> None:
    def scale(*values: Knob) -> str:
        groups = grouped(experiment(f"e{at}", {"k": value, "seed": 1}, 2.0) for at, value in enumerate(values))
        (axis,) = knob_axes(["k"], variants(groups, "loss", True, ["k"]))
        inside = [place for place in axis.places if place is not None]
        assert min(inside) > 0 and max(inside) < 1 and len({*inside}) == len(axis.labels)
        assert len(axis.light) == len(axis.dark) == len(axis.labels)
        return axis.scale

    assert scale(0.001, 0.01, 0.1) == "logarithmic"
    assert scale(32, 64, 128) == "logarithmic"
    assert scale(1, 2, 3) == "linear"
    assert scale(-1.0, 0.0, 2.0) == "linear"
    assert scale(0.0, 0.01, 0.1) == "steps", "a logarithmic axis has no place for 0"
    assert scale("rope", "learned", None) == "steps"
    assert scale(True, False) == "steps"


def test_a_missing_value_has_no_place_on_an_axis() -> None:
    groups = grouped(
        [
            experiment("a", {"k": 1, "seed": 1}, 2.0),
            experiment("b", {"k": 2, "seed": 1}, 2.1),
            experiment("c", {"seed": 1}, 2.2),
        ]
    )
    (axis,) = knob_axes(["k"], variants(groups, "loss", True, ["k"]))
    assert axis.places[2] is None and axis.values == [0, 1, None]
    assert [knob_text(value) for value in (None, True, "", 3e-4, 65536)] == ["–", "true", '""', "3e-4", "65536"]


def test_a_curve_is_the_mean_over_seeds_and_their_range_as_far_as_all_of_them_go() -> None:
    one = of([2.0, 2.1], [2.2, 2.3])
    names = [each.name for each in one.groups[0].experiments]
    steps = [float(step) for step in range(1, 2001)]
    first = {"step": steps, "loss": [3.0 - step / 2000 for step in steps], "validation_loss": [None] * 1999 + [2.5]}
    second = {"step": steps[:1500], "loss": [4.0 - step / 2000 for step in steps[:1500]], "targets": steps[:1500]}
    found = {curve.column: curve for curve in curves_of(ordered(one), {names[0]: first, names[1]: second})}
    assert set(found) == {"loss", "validation_loss"}
    loss = found["loss"]
    assert len(loss.steps) <= POINTS + 1 and loss.steps[-1] == 1500 and loss.stops
    at = len(loss.steps) // 2
    assert loss.mean[at] == pytest.approx(3.5 - loss.steps[at] / 2000, rel=1e-4)
    assert (loss.low[at] + 0.5, loss.high[at] - 0.5) == pytest.approx((loss.mean[at], loss.mean[at]), rel=1e-4)
    assert (found["validation_loss"].seeds, found["validation_loss"].low) == (1, [])


def test_a_curve_ends_where_a_seed_diverges() -> None:
    one = of([2.0, math.inf])
    names = [each.name for each in one.groups[0].experiments]
    lost = {"step": [1.0, 2.0, 3.0], "loss": [3.0, math.inf, math.nan]}
    (found,) = curves_of(ordered(one), {names[0]: {"step": [1.0, 2.0, 3.0], "loss": [3.0, 2.0, 1.0]}, names[1]: lost})
    assert found.steps == [1] and found.stops
    assert curves_of(ordered(one), {names[0]: {"step": [1.0], "loss": [math.inf]}}) == []


# ------------------------------------------------------------------------------------------------- what it must not do


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole, curves = sweep()
    return write_page(whole, (), tmp_path_factory.mktemp("compared") / "page.html", curves)


def test_names_and_values_are_text_only_own_scripts_may_run_and_nobody_is_asked() -> None:
    made = [
        *variant(HOSTILE, {"model.kind": HOSTILE, HOSTILE: 1}, [2.0, 2.1]),
        *variant("b", {"model.kind": "<b>", HOSTILE: 2}, [2.2, 2.3]),
    ]
    groups = tuple(grouped(made))
    apart = replace(compared(*groups), reason=HOSTILE, command=f"rally duel {HOSTILE}")
    whole = Comparison(groups, "loss", True, (apart,), Importance("loss", 2, {}, {}, None, HOSTILE), (), (HOSTILE,))
    curves = {made[0].name: {"step": [1.0], HOSTILE: [2.0]}}
    source = page(whole, (), curves)
    parsed = Parsed(source)
    assert "x-evil" not in [tag for tag, _ in parsed.elements]
    assert parsed.text.count(HOSTILE) > 8
    data, *scripts = parsed.scripts
    assert json.loads(data)["variants"][0]["name"] == f"{HOSTILE}-s1"
    policy = next(given["content"] or "" for _, given in parsed.elements if given.get("http-equiv"))
    assert "default-src 'none'" in policy and policy.count("sha256-") == len(scripts) == 2
    assert not {"link", "iframe", "object", "embed", "form"} & {tag for tag, _ in parsed.elements}
    assert not any(name.startswith("on") for _, given in parsed.elements for name in given)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
    assert page(whole, (), curves) == source, "equal comparisons give equal pages"


def test_the_page_of_200_experiments_with_curves_stays_under_a_megabyte_and_a_half(written: Path, tmp_path: Path) -> None:
    assert sum(len(group.experiments) for group in sweep()[0].groups) == 200
    assert 500_000 < written.stat().st_size < 1_500_000
    alone = [
        experiment(f"single-{at}", {"train.lr": 1e-4 * 1.05**at, "seed": 1}, 2 + at / 500, accuracy=0.1) for at in range(200)
    ]
    long = curve(2.0, 0.01, np.random.default_rng(3), False)
    groups = tuple(grouped(alone))
    many = Comparison(groups, "loss", True, tuple(neighbours(groups[:20])), None, ())
    path = write_page(many, (), tmp_path / "page.html", {one.name: long for one in alone})
    assert 400_000 < path.stat().st_size < 1_500_000


def test_all_that_varies_is_named_and_further_variants_are_in_the_table() -> None:
    whole, _ = sweep()
    part = replace(whole, groups=whole.groups[:4], differences=())
    source = page(part, whole.groups)
    parsed = Parsed(source)
    assert all(name in parsed.text for name in ("model.width", "train.lr", "model.position", "accuracy", "doctor"))
    assert sum(tag == "tr" for tag, _ in parsed.elements) == 1 + len(whole.groups)
    assert sum(given.get("class") == "compared" for tag, given in parsed.elements if tag == "tr") == 4
    assert "task.kind" not in source, "it does not vary"
    targets = {given["id"] for _, given in parsed.elements if given.get("id")}
    assert {str(given["href"])[1:] for tag, given in parsed.elements if tag == "a"} <= targets


# ---------------------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def opened(written: Path) -> Iterator[Browser]:
    with Browser(written, width=1600) as browser:
        yield browser


@pytest.fixture
def browser(opened: Browser, written: Path) -> Browser:
    """The page as it is first opened."""
    opened.resize(1600, 900)
    opened.open(written)
    return opened


CURVES = "[...document.querySelectorAll('#curves path.curve[data-variant]')].map((path) => Number(path.dataset.variant))"
FIRST = "[...document.querySelectorAll('[data-table] tbody tr:not([hidden])')].map((row) => row.cells[{}].textContent.trim())"
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


@in_a_browser
def test_variants_are_switched_on_and_off_by_click_and_key(browser: Browser) -> None:
    assert browser.see(CURVES) == list(range(7)), "the best seven"
    assert browser.see("document.querySelectorAll('#curves path.band').length") == 7
    browser.see("document.querySelectorAll('.chips button')[2].click()")
    assert browser.see(CURVES) == [0, 1, 3, 4, 5, 6]
    color = "getComputedStyle(document.querySelector('#curves path.curve[data-variant=\"6\"]')).stroke"
    before = browser.see(color)
    browser.see("document.querySelectorAll('.chips button')[20].focus()")
    browser.press("Enter")
    assert 20 in browser.see(CURVES)
    assert browser.see("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert browser.see(color) == before, "a line keeps its colour while others come and go"
    strokes = browser.see(
        "[...document.querySelectorAll('#curves path.curve[data-variant]')].map((path) => getComputedStyle(path).stroke"
        " + path.getAttribute('stroke-dasharray'))"
    )
    assert len(set(strokes)) == len(strokes) == 7, "one look a variant"
    browser.see("document.querySelector('[data-none]').click()")
    assert browser.see(CURVES) == [] and "Switch a variant on" in browser.see(
        "document.querySelector('#curves .stage').textContent"
    )


@in_a_browser
def test_a_step_is_read_by_keys_and_axes_become_logarithmic(browser: Browser) -> None:
    browser.see("document.querySelector('#curves .stage').focus()")
    browser.press("ArrowLeft")
    tip = "document.querySelector('#curves .tip')?.innerText"
    assert browser.see(tip).startswith("step 600\n") and len(browser.see(tip).splitlines()) == 8
    assert browser.see("document.querySelector('[data-said]').textContent").startswith("step 600: ")
    browser.press("ArrowLeft")
    assert browser.see(tip).startswith("step 580\n")
    browser.press("Escape")
    assert browser.see(tip) is None
    path = "document.querySelector('#curves path.curve[data-variant]').getAttribute('d')"
    linear = browser.see(path)
    browser.see("document.querySelector('[data-log-x]').click()")
    assert browser.see(path) != linear
    browser.see("document.querySelector('[data-column]').value = 'loss'")
    browser.see("document.querySelector('[data-column]').dispatchEvent(new Event('change'))")
    assert browser.see("document.querySelector('#curves .name').textContent") == "loss"


@in_a_browser
def test_the_table_sorts_by_any_column_by_key_and_is_filtered(browser: Browser) -> None:
    assert browser.see("document.querySelector('[data-table] thead [aria-sort=ascending]').textContent") == "loss"
    browser.see("document.querySelectorAll('[data-table] thead button')[4].focus()")
    browser.press("Enter")
    rates = [float(text) for text in browser.see(FIRST.format(4))]
    assert rates == sorted(rates) and len(rates) == 64
    assert browser.see("document.activeElement.parentNode.getAttribute('aria-sort')") == "ascending"
    assert browser.see("document.querySelectorAll('[data-table] [aria-sort=ascending]').length") == 1
    browser.press("Enter")
    assert browser.see(FIRST.format(4))[0] == "0.128"
    browser.see("document.querySelectorAll('[data-table] thead button')[1].click()")
    assert "diverged" in browser.see(FIRST.format(1))[-1]
    browser.see("document.querySelectorAll('[data-table] thead button')[5].click()")
    assert browser.see(FIRST.format(5))[0] == "learned"
    browser.see("document.querySelector('[data-filter]').value = 'W256 rope'")
    browser.see("document.querySelector('[data-filter]').dispatchEvent(new Event('input'))")
    assert len(browser.see(FIRST.format(0))) == 8
    assert browser.see("document.querySelector('[data-count]').textContent") == "8 of 64"


@in_a_browser
def test_scores_stand_over_each_knob_coloured_by_another_and_are_read_by_keys(browser: Browser) -> None:
    panel = "document.querySelector('[data-panel=\"1\"] .stage')"
    finite = 64 - 6
    assert browser.see(f"{panel}.querySelectorAll('circle, .beyond').length") == finite
    assert browser.see(f"{panel}.querySelectorAll('.lost').length") == 6, "a cross for each that diverged"
    fills = f"new Set([...{panel}.querySelectorAll('circle')].map((dot) => getComputedStyle(dot).fill)).size"
    choose = (
        "(() => {{ const one = document.querySelector('{}'); one.value = '{}'; one.dispatchEvent(new Event('change')); }})()"
    )
    assert browser.see(fills) == 8, "by the rate"
    browser.see(choose.format("[data-color]", 2))
    assert browser.see(fills) == 2, "by the position"
    assert browser.see("document.querySelector('[data-legend]').innerText").split() == ["model.position", "learned", "rope"]
    browser.see(choose.format("[data-color]", ""))
    assert browser.see(fills) == 1
    browser.see(f"{panel}.focus()")
    browser.press("ArrowRight")
    said = browser.see("document.querySelector('[data-knob-said]').textContent")
    assert re.match(
        r"lr0\.001-w\d+-\w+-s1, loss [\d.]+ \([\d.]+ to [\d.]+\), \d seeds, width \d+, lr 0\.001, position", said
    ), said
    assert browser.see("document.querySelectorAll('#knobs .at').length") == 3, "the same variant in every picture"
    browser.see(choose.format("[data-over]", 0))
    assert browser.see("[...document.querySelectorAll('[data-panel]')].filter((one) => !one.hidden).length") == 1


@in_a_browser
def test_every_control_is_reached_by_tab(browser: Browser) -> None:
    name = "((one) => one.id || Object.keys(one.dataset)[0] || one.className || one.tagName)(document.activeElement)"
    reached = set()
    for _ in range(140):
        browser.press("Tab")
        reached.add(browser.see(name))
    assert {
        "theme",
        "copy",
        "column",
        "logY",
        "logX",
        "best",
        "none",
        "stage",
        "tone",
        "over",
        "color",
        "log",
        "whole",
        "filter",
    } <= reached


@in_a_browser
@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_a_narrow_window_and_a_wide_one_and_asks_nobody(browser: Browser, width: int) -> None:
    browser.resize(width, 900)
    browser.see("document.querySelector('details').open = true")
    assert browser.see(FITS)
    small = browser.see(
        "[...document.querySelectorAll('main *')].filter((one) => one.childElementCount === 0 && one.textContent.trim()"
        " && parseFloat(getComputedStyle(one).fontSize) < 11).length"
    )
    assert small == 0, "letters that nobody can read"
    assert browser.asked_for() == []
    assert browser.complaints() == []


@in_a_browser
def test_odd_comparisons_have_a_page_too(browser: Browser, tmp_path: Path) -> None:
    long = Comparison(
        groups := tuple(grouped([*variant(LONG, {"a.k": LONG}, [2.0, 2.1]), *variant("b", {"a.k": "x"}, [2.2, 2.3])])),
        "loss",
        True,
        (compared(*groups),),
        None,
        (),
    )
    forty = of(*([2.0 + at / 50, 2.01 + at / 50] for at in range(40)))
    curves = {
        one.name: {"step": [0.0, 1.0], "loss": [3.0, one.scores["loss"]]} for group in forty.groups for one in group.experiments
    }
    broken = {one.name: {"step": [0.0], "loss": [0.0]} for one in of([0.0]).groups[0].experiments}
    odd = [
        (of([2.0]), {}),
        (of([0.0]), broken),
        (of([math.inf], [math.inf]), {}),
        (of([None]), {}),
        (of([2.0, 2.0], [2.0, 2.0]), {}),
        (long, {}),
        (forty, curves),
    ]
    for place, (comparison, given) in enumerate(odd):
        path = write_page(comparison, (), tmp_path / f"{place}.html", given)
        for width in (400, 1600):
            browser.resize(width, 900)
            browser.open(path)
            assert browser.see(FITS), place
            for control in ("[data-log]", "[data-log-x]", "[data-log-y]"):
                browser.see(f"document.querySelector('{control}')?.click()")
            assert browser.complaints() == [], place
    chosen = (
        browser.see("document.querySelectorAll('.chips button').length"),
        browser.see("document.querySelectorAll('[aria-pressed=true]').length"),
    )
    assert chosen == (40, 7)


@in_a_browser
def test_without_its_script_the_answer_the_table_and_the_differences_are_there_in_the_dark_too(written: Path) -> None:
    with Browser(written, script=False, dark=True) as browser:
        assert browser.see("document.querySelector('.verdict').innerText").startswith("Undecided: ")
        assert browser.see("document.querySelectorAll('[data-table] tbody tr').length") == 64
        assert browser.see("document.querySelectorAll('.differences li').length") == MOST
        assert browser.see("document.querySelectorAll('.knob-bars div').length") == 3
        assert "drawn by the script" in browser.see("document.querySelector('#curves').innerText")
        controls = "[...document.querySelectorAll('button, select, input')].filter((one) => one.offsetParent).length"
        assert browser.see(controls) == 0, "none that would do nothing"
        assert browser.see("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
