"""Pictures and report: every form is drawn, the page holds everything and works offline, and hostile text stays text."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import io
import itertools
import json
import math
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from plotted_run import HOSTILE, TOY, change, gappy, leave_run, range_, readings
from sealing import sealed

from pipeline.artifacts.paths import EVALUATION, SAMPLES, TRAIN_CURVE, TRAIN_METRICS, VALIDATION_CURVE
from pipeline.figures import charts, doctor
from pipeline.figures import heatmap_png as pixels
from pipeline.figures import scatter as clouds
from pipeline.figures.chart_html import chart_view, grid_view, thinned
from pipeline.figures.forms import FORMS, draw, scale
from pipeline.figures.pictures import diagnosis, pictures
from pipeline.figures.report import page
from pipeline.figures.run import Run, read_run
from pipeline.figures.samples import inline, read_samples
from pipeline.figures.sections import SECTIONS
from pipeline.figures.style import colors, png, spread, ticks
from pipeline.figures.words import formatted, shown
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml
from pipeline.readings import About, Axis, Form, Reading, rounded_or_none

ROOT = Path(__file__).parent.parent
NAN = math.nan


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    leave_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    return read_run()


@pytest.fixture(scope="module")
def knobs() -> dict[str, Any]:
    values = read_yaml(ROOT / "params.yaml")
    return {section: values[section] for section in values if section not in ("seed", "plot", "runtime")}


class Parsed(html.parser.HTMLParser):
    """A page taken apart: its elements with their attributes, its visible text, its data and what it would run."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.data, self.scripts, self.styles = "", list[Any](), list[str](), list[str]()
        self._in: tuple[str, dict[str, str | None]] = ("", {})
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = (tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        self._in = ("", {})
        self.text += "\n"

    def handle_data(self, data: str) -> None:
        match self._in:
            case ("script", {"type": "application/json"}):
                self.data.append(json.loads(data))
            case ("script", _):
                self.scripts.append(data)
            case ("style", _):
                self.styles.append(data)
            case _:
                self.text += data


# ---------------------------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_one_that_a_reading_can_have_and_the_tests_below_draw_it(form: str) -> None:
    assert form in get_args(Form)
    assert form in {reading.form for reading in readings()}


def test_there_is_a_drawing_for_every_form_that_a_reading_can_have() -> None:
    assert set(FORMS) == set(get_args(Form))


@pytest.mark.parametrize("reading", [*readings(), gappy()], ids=lambda reading: reading.name)
def test_a_reading_is_drawn_in_its_form_with_its_quantity(reading: Reading) -> None:
    figure = draw(reading)
    image = imread(io.BytesIO(png(figure, 60)))
    assert image.shape[1] >= 300
    assert image[..., :3].std() > 0.02  # not an empty sheet
    labels = [text for axes in figure.axes for text in (axes.get_ylabel(), axes.get_xlabel())]
    wanted = reading.quantity if reading.form != "points" else str(reading.axes[2].ticks[1])
    assert wanted in labels


def test_a_gap_breaks_a_line_and_is_not_bridged() -> None:
    chart = charts.of_reading(gappy())
    assert [list(chart.pieces(line)) for line in chart.lines] == [[[(0, 1.0)], [(2, 3.0), (3, 4.0)]], [[(1, 2.0)]], []]
    view = chart_view(chart)
    assert [line["path"].count("M") for line in view["lines"]] == [2, 1, 0]
    assert [label["name"] for label in view["labels"]] == ["holed", "lone"] or [label["name"] for label in view["labels"]] == [
        "lone",
        "holed",
    ]


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm() -> None:
    axes = (Axis("step", [1]), Axis("block", [0, 1, 2, 3]))
    reading = Reading("zeros", "lines", "norm", "Says.", axes, [[0.0, 1.0, -1.0, 10.0]], logarithmic=True)
    chart = charts.of_reading(reading)
    assert [list(chart.pieces(line)) for line in chart.lines] == [[[(1, 1.0)], [(3, 10.0)]]]
    draw(reading)
    nothing = dataclasses.replace(reading, values=[[0.0, 0.0, 0.0, 0.0]])
    assert not charts.of_reading(nothing).y_limits().logarithmic
    draw(nothing)


@pytest.mark.parametrize("values", [[[NAN, NAN], [NAN, NAN]], [[2.0, 2.0], [2.0, 2.0]], [[0.0, 1.0], [NAN, -1.0]]])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_map_is_drawn_whatever_its_numbers_are(values: list[list[float]], logarithmic: bool) -> None:
    axes = (Axis("block", [0, 1]), Axis("step", [0, 1]))
    png(draw(Reading("odd", "heat", "share", "Says.", axes, rounded_or_none(values), logarithmic)), 50)
    four = (Axis("layer", [0]), Axis("head", [0]), *axes)
    png(draw(Reading("odd", "maps", "share", "Says.", four, rounded_or_none([[values]]), logarithmic)), 50)


def test_maps_carry_the_numbers_that_they_show() -> None:
    values = rounded_or_none([[0.1, 0.5, NAN], [1.0, 0.25, 0.7]])
    norm = scale(values, logarithmic=False)
    places = pixels.cells(values, norm)
    back = np.frombuffer(base64.b64decode(pixels.base64_text(places)), np.uint8).reshape(2, 3)
    assert (back == 255).tolist() == [[False, False, True], [False, False, False]]
    numbers = 0.1 + back / 254 * 0.9
    assert np.nanmax(np.abs(numbers - np.array(values, float))[back != 255]) <= 0.9 / 254 / 2 + 1e-9
    image = imread(io.BytesIO(base64.b64decode(pixels.data_uri(places).removeprefix("data:image/png;base64,"))))
    assert image.shape == (2, 3, 4)
    assert image[0, 2, 3] == 0  # what is not there is transparent, everything else is not
    assert image[..., 3].sum() == 5
    lightness = image[..., :3] @ np.array([0.2126, 0.7152, 0.0722])
    assert lightness[1, 0] > lightness[1, 2] > lightness[0, 1] > lightness[1, 1] > lightness[0, 0]


def test_a_scale_reaches_over_its_span_and_beyond_where_the_numbers_do() -> None:
    ends = [(norm.vmin, norm.vmax) for norm in (scale([[0.2, 0.3]], False, (0, 1)), scale([[0.2, 3.0]], False, (0, 1)))]
    assert ends == [(0, 1), (0, 3)]
    heat = Reading("share", "heat", "share", "Says.", (Axis("a", [1]), Axis("b", [1, 2])), [[0.2, 0.3]], span=(0, 1))
    view = grid_view(heat)
    assert (view["low"], view["high"]) == (0, 1)


@pytest.mark.parametrize("about", SECTIONS)
def test_every_subject_of_readings_has_a_section_of_the_page(about: str, run: Run, knobs: dict[str, Any]) -> None:
    assert set(SECTIONS) == set(get_args(About))
    asked = dataclasses.replace(gappy(f"asked_{about}"), about=about)
    [first, second] = [dataclasses.replace(one, about=about) for one in readings() if one.form in ("maps", "heat")]
    source = page(dataclasses.replace(run, readings=(asked, first, second)), knobs)
    headings = re.findall(r'<h3 class="section">(.*?)</h3>', source)
    assert headings == [SECTIONS[about]]
    places = [source.index(f'id="reading-{name}"') for name in ("weight_drift", f"asked_{about}", "attention")]
    assert places == sorted(places), "colour maps first, and what wants the whole width last"


def test_points_stand_where_their_numbers_say_and_a_name_in_the_middle_of_its_own() -> None:
    [reading] = [one for one in readings() if one.form == "points"]
    seen = clouds.view(reading)
    red, green, none = seen["series"]
    assert [len(red["dots"]), len(green["dots"]), len(none["dots"])] == [3, 2, 0]
    assert none["middle"] is None
    assert red["middle"] == (red["dots"][1][0], red["dots"][0][1]), "the median of both directions"
    across = [left for left, _ in red["dots"]]
    assert across == sorted(across), "what is larger stands farther to the right"
    assert max(top for _, top in red["dots"]) < min(top for _, top in green["dots"]), "what is higher stands above"
    assert all(0 < place < 100 for one in seen["series"] for dot in one["dots"] for place in dot)


def test_the_page_names_every_cluster_of_points(run: Run, knobs: dict[str, Any]) -> None:
    source = page(run, knobs)
    assert "<green>" in Parsed(source).text
    assert source.count('class="dot"') >= 5
    assert 'id="reading-embeddings"' in source


# ------------------------------------------------------------------------------------------------------------- pictures


def test_the_same_run_gives_the_same_bytes_and_no_picture_says_where_or_when(run: Run, knobs: dict[str, Any]) -> None:
    first, second = pictures(run, 60), pictures(read_run(), 60)
    assert first == second
    assert set(first) == {"doctor", "loss", "updates", "scores", *(reading.name for reading in readings())}
    for picture in first.values():
        assert set(re.findall(rb"tEXt|iTXt|zTXt|tIME|eXIf", picture)) == set()
    assert page(run, knobs) == page(read_run(), knobs)


def test_a_run_that_has_hardly_begun_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knobs: dict[str, Any]) -> None:
    leave_run(tmp_path, steps=50)
    monkeypatch.chdir(tmp_path)
    VALIDATION_CURVE.write_text("step,tokens,loss\n", encoding="utf-8")
    change(EVALUATION, scores=[])
    TRAIN_CURVE.write_text(
        "step,tokens,loss,lr,gradient_norm,clipped\n5,10,nan,0.1,,0\n10,20,4.1,0.1,0.0,0\n", encoding="utf-8"
    )
    sealed(tmp_path)
    run = dataclasses.replace(read_run(), readings=(), samples="")
    assert run.train["loss"] == [None, 4.1]
    assert set(pictures(run, 50)) == {"doctor", "loss", "updates"}
    assert "no score" in Parsed(page(run, knobs)).text


def test_a_schedule_that_moves_has_a_chart_and_one_that_does_not_has_none(run: Run, knobs: dict[str, Any]) -> None:
    assert charts.schedules(run) == []
    lengths = [8.0 * (1 + row // 20) for row in range(len(run.train["step"]))]
    moved = dataclasses.replace(run, train=run.train | {"length": lengths})
    [chart] = charts.schedules(moved)
    assert chart.title == "Sequence length" and list(chart.lines[0].y) == lengths
    assert "Sequence length" in Parsed(page(moved, knobs)).text


@pytest.mark.parametrize("path", [TRAIN_CURVE, VALIDATION_CURVE, TRAIN_METRICS, EVALUATION, SAMPLES])
def test_a_file_that_is_missing_is_named(run: Run, path: Path) -> None:
    path.unlink()
    with pytest.raises(UserError, match=re.escape(f"{path}: not found")):
        read_run()


@pytest.mark.parametrize("damage", ["step,loss\n1,banana\n", "step,loss\n1\n", "step,loss\n1,2,3\n", 'step,loss\n1,"2'])
def test_a_damaged_curve_is_refused_and_named(run: Run, damage: str) -> None:
    TRAIN_CURVE.write_text(damage, encoding="utf-8")
    sealed(Path())
    with pytest.raises(UserError, match=re.escape(f"{TRAIN_CURVE}: is damaged")):
        read_run()


# ------------------------------------------------------------------------------------------------------------- the page


def test_the_page_holds_everything_of_the_run(run: Run, knobs: dict[str, Any]) -> None:
    parsed = Parsed(page(run, knobs))
    for section, values in knobs.items():
        assert section in parsed.text
        assert set(values) <= set(re.findall(r"\w+", parsed.text)), section
    for reading in readings():
        assert reading.says in parsed.text
        assert charts.title_of(reading.name) in parsed.text
    for score in run.scores:
        assert score.name in parsed.text
    assert "What light through ``` yonder\n```\nbreaks?" in parsed.text  # the sample as it was written
    assert "2.193" in parsed.text  # bits per byte
    assert "better than the 5-gram baseline by 0.447 (17 %)" in parsed.text
    curve = parsed.data[0]
    assert [line["name"] for line in curve["lines"]] == ["train", "validation"]
    assert [len(line["points"]) for line in curve["lines"]] == [200, 20]
    maps = next(data for data in parsed.data if "cells" in data and data["rows"]["name"] == "layer")
    assert len(maps["cells"]) == 16
    assert maps["across"]["ticks"] == [shown(token) for token in TOY]


def test_the_page_asks_nobody_for_anything(run: Run, knobs: dict[str, Any]) -> None:
    parsed = Parsed(page(run, knobs))
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "form", "base", "video", "audio", "source"), tag
        for name in ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href", "ping"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), f"{tag} {name}={value}"
        assert not re.search(r"url\(|@import|image-set", attributes.get("style") or "")
    assert not re.search(r"url\(|@import|image-set|https?:", "".join(parsed.styles))
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\b|https?:", "".join(parsed.scripts))
    policy = next(attributes["content"] for _, attributes in parsed.elements if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_page_allows_its_own_script_and_no_other(run: Run, knobs: dict[str, Any]) -> None:
    parsed = Parsed(page(run, knobs))
    (script,) = parsed.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(attributes["content"] or "" for _, attributes in parsed.elements if "http-equiv" in attributes)
    assert f"script-src 'sha256-{digest}'" in policy


def test_hostile_text_stays_text_wherever_it_comes_from(run: Run, knobs: dict[str, Any]) -> None:
    plain = Parsed(page(run, knobs))
    axis = Axis(HOSTILE, [HOSTILE, "b"])
    lines = Reading("evil", "lines", HOSTILE, HOSTILE, (axis, axis), [[1.0, 2.0], [3.0, 4.0]])
    maps = Reading("evil_maps", "maps", HOSTILE, HOSTILE, (axis, axis, axis, axis), [[[[1.0, 2.0]] * 2] * 2] * 2)
    heat = Reading("evil_heat", "heat", HOSTILE, HOSTILE, (axis, axis), [[1.0, 2.0]] * 2)
    scores = (*run.scores, dataclasses.replace(run.scores[0], name=HOSTILE, split="test"))
    samples = f"# x\n\n{HOSTILE}\n\n## `{HOSTILE}`\n\n```\n{HOSTILE}\n```\n"
    evil = dataclasses.replace(run, readings=(lines, maps, heat), scores=scores, samples=samples)
    evil_knobs = {**knobs, "prepare": {**knobs["prepare"], "dataset": HOSTILE}}
    parsed = Parsed(page(evil, evil_knobs))
    assert parsed.scripts == plain.scripts
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    assert {attributes.get("src", "")[:5] for tag, attributes in parsed.elements if tag == "img"} == {"data:"}  # type: ignore[index]
    assert parsed.text.count("<script>alert(1)</script>") >= 10
    assert "{{ 7 * 7 }}" in parsed.text
    assert "{{ 7 * 7 }}" in json.dumps(parsed.data)
    pictures(evil, 50)


def test_a_large_model_keeps_the_page_under_two_megabytes(run: Run, knobs: dict[str, Any]) -> None:
    tokens = list("the cat sat on the mat; the cat sat")
    row = [1 / (1 + key) for key in range(len(tokens))]
    axes = (Axis("layer", range_(12)), Axis("head", range_(12)), Axis("query", tokens), Axis("key", tokens))
    big = Reading("attention", "maps", "weight", "Says.", axes, [[[row] * len(tokens)] * 12] * 12)
    curve = {name: [float(value) for value in range(100_000)] for name in ("step", "loss", "lr", "gradient_norm", "targets")}
    assert len(page(dataclasses.replace(run, readings=(big,), train=curve), knobs).encode()) < 2_000_000


def test_more_maps_than_fit_come_as_images_alone(run: Run, knobs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.figures.report.CELLS", 200)
    data = [data for data in Parsed(page(run, knobs)).data if "cells" in data]
    assert [entry["cells"] is None for entry in data] == [False, True]  # the small map is kept, attention is too large


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bits": 1.0}, "better than the 5-gram baseline"),
        ({"bits": 3.0}, "worse than the 5-gram baseline"),
        ({"diverged": True, "stopped": "the loss jumped"}, "stopped: the loss jumped. Try"),
        ({"above_entropy": 0.0123}, "0.0123 nats per token above"),
        ({"bits": 900.0}, "worse than uniform guessing"),
    ],
)
def test_the_headline_says_how_good_it_is(run: Run, knobs: dict[str, Any], values: dict[str, Any], words: str) -> None:
    bits = values.pop("bits", 1.0)
    scores = tuple(dataclasses.replace(score, bits_per_byte=bits) if score.name == "model" else score for score in run.scores)
    told = dataclasses.replace(run, scores=scores, evaluation={**run.evaluation, **values}, progress={**run.progress, **values})
    assert words in Parsed(page(told, knobs)).text


# ----------------------------------------------------------------------------------------------------------- the doctor

BANDS = [(0.5, 4.0), (1e-4, 0.03), (None, 0.05), (2.0, None), (-0.1, 0.3), (0.0, 1.0), (None, 0.0), (-0.4, None), (0.0, None)]


def sign(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(("low", "high"), BANDS)
@given(values=st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=8))
def test_a_sign_is_in_the_middle_third_just_where_it_is_healthy_and_further_out_the_sicker(
    low: float | None, high: float | None, values: list[float]
) -> None:
    places = [doctor.place(sign(value, low, high)) for value in sorted(values)]
    assert places == sorted(places)
    for value, place in zip(sorted(values), places, strict=True):
        assert 0 <= place <= 1
        inside = (low is None or value >= low) and (high is None or value <= high)
        if inside:
            assert 1 / 3 - 1e-9 <= place <= 2 / 3 + 1e-9
        elif high is not None and value > high:
            assert place >= 2 / 3 - 1e-9
        else:
            assert place <= 1 / 3 + 1e-9


def test_the_page_says_what_the_doctor_found_with_command_and_evidence(run: Run, knobs: dict[str, Any]) -> None:
    parsed = Parsed(page(run, knobs))
    [finding] = run.diagnosis["findings"]
    for words in (finding["name"].capitalize(), finding["says"], finding["causes"][0]["command"], "gradient_ratio is 3e-05."):
        assert words in parsed.text
    ids = {attributes["id"] for _, attributes in parsed.elements if "id" in attributes}
    links = {str(attributes["href"]) for name, attributes in parsed.elements if name == "a"}
    assert {link[1:] for link in links} <= ids, "a link leads nowhere"
    assert "#reading-gradient_norm" in links
    twice = dataclasses.replace(run, diagnosis={**run.diagnosis, "findings": [finding, finding]})
    told = Parsed(page(twice, knobs)).text
    assert told.count(finding["causes"][0]["command"]) == 1
    assert len(re.findall(r"No residuals\s*: see above", told)) == 1
    healthy = dataclasses.replace(run, diagnosis={"finding": "healthy", "findings": [], "signs": run.diagnosis["signs"][:1]})
    assert "Diagnosis: healthy" in Parsed(page(healthy, knobs)).text


def test_the_picture_of_the_doctor_differs_with_the_signs(run: Run) -> None:
    drawn = diagnosis(run, 60)
    well = [{**one, "value": 0.2, "low": 0.0, "high": 1.0, "status": "healthy"} for one in run.diagnosis["signs"]]
    healthy = dataclasses.replace(run, diagnosis={"finding": "healthy", "findings": [], "signs": well})
    assert diagnosis(healthy, 60) != drawn
    assert diagnosis(run, 60) == drawn


def test_checked_steps_are_drawn_as_signs_and_the_doctor_shows_those_that_are_off(run: Run) -> None:
    sign = {**run.diagnosis["signs"][0], "picture": doctor.CHECKED, "value": 0.0, "low": None, "high": 0.001}
    checked = [{**sign, "name": "fine", "status": "healthy"}, {**sign, "name": "off", "value": 1.0, "status": "sick"}]
    axes = doctor.picture({**run.diagnosis, "signs": [*run.diagnosis["signs"], *checked]}).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert "off" in names and "fine" not in names
    axes = doctor.checked_steps(checked, "").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fine", "off"]
    assert axes.get_title(loc="left") == "Checked steps: 1 of 2 off"


# --------------------------------------------------------------------------------------------------------------- pieces


def test_samples_are_read_with_fences_of_any_length_and_kept_as_they_were_written() -> None:
    text = "# S\n\nintro\ngoes on\n\n## `a`b`\n\n### T 0\n\n````text\n# no heading\n```\n\n````\n\n~~~\ncut short"
    assert [(part.title, part.level, part.blocks) for part in read_samples(text)] == [
        ("S", 1, [("text", "intro goes on")]),
        ("`a`b`", 2, []),
        ("T 0", 3, [("code", "# no heading\n```\n"), ("code", "cut short")]),
    ]


def test_only_what_stands_between_backticks_is_code() -> None:
    assert inline("read `` a`b `` and `<i>`, **no**") == [
        (False, "read "),
        (True, "a`b"),
        (False, " and "),
        (True, "<i>"),
        (False, ", **no**"),
    ]


def test_a_spike_and_a_dip_survive_thinning() -> None:
    lone = {43_210: 100.0, 77_777: -100.0}
    points = [(float(x), lone.get(x, x % 7 / 7)) for x in range(100_000)]
    kept = thinned(points, most=600)
    assert len(kept) <= 602
    assert {(float(x), y) for x, y in lone.items()} <= set(kept)
    assert [x for x, _ in kept] == sorted({x for x, _ in kept})


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.01, 0.2))
def test_labels_are_spread_in_their_order_between_the_ends(places: list[float], gap: float) -> None:
    spots = spread(places, gap, 0.0, 1.0)
    order = sorted(range(len(places)), key=lambda index: (places[index], index))
    sorted_spots = [spots[index] for index in order]
    wanted = min(gap, 1 / max(1, len(places) - 1))
    assert all(later - earlier >= wanted - 1e-6 for earlier, later in itertools.pairwise(sorted_spots))
    assert all(-1e-6 <= spot <= 1 + 1e-6 for spot in spots)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_stand_between_the_ends(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 7
    assert found == sorted(set(found))
    slack = 1e-8 * (abs(low) + width)
    assert all(low - slack <= tick <= low + width + slack for tick in found)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.02, "0.02"), (1000, "1,000"), (3e-4, "3e-4"), (1.23456, "1.23"), (2.5e7, "2.5e7"), (None, "–"), (NAN, "–")],
)
def test_numbers_are_written_as_people_write_them(number: float | None, text: str) -> None:
    assert formatted(number) == text


@pytest.mark.parametrize(
    ("token", "text"), [(" ", "␣"), ("\n", "⏎"), (" the", "␣the"), ("block 1", "block 1"), ("a\x00b", "a�b")]
)
def test_invisible_tokens_are_made_visible(token: str, text: str) -> None:
    assert shown(token) == text


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_every_line_stands_out_from_its_paper(ordered: bool, dark: bool) -> None:
    """A contrast of at least 1.7 even at the pale end of the scale, where the label names the line all the same."""

    def luminance(color: str) -> float:
        parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper = luminance("#1d2126" if dark else "#ffffff")
    for color in colors(6, ordered, dark):
        bright, dim = sorted((luminance(color), paper), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) > 1.7, color
