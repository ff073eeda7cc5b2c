"""The run on one page: a single HTML file that asks nothing of any network and reads well without its script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from pipeline.figures import charts, classes, doctor
from pipeline.figures import scatter as clouds
from pipeline.figures.chart_html import chart_view, grid_view
from pipeline.figures.class_page import accuracy_bar, class_view
from pipeline.figures.headline import headline
from pipeline.figures.run import Run
from pipeline.figures.samples import inline, read_samples
from pipeline.figures.sections import by_question
from pipeline.figures.style import formatted, heat, shown
from pipeline.readings import Reading

HERE = Path(__file__).parent
CELLS = 600_000  # numbers of colour maps that the page carries for pointing at; beyond, it carries the images alone

Knobs = Mapping[str, Mapping[str, Any]]
"""{section: {knob: value}}."""


def page(run: Run, knobs: Knobs) -> str:
    """The whole page. Everything that comes from a run is escaped, and only the page's own script is allowed to run."""
    environment = templates(HERE)
    environment.filters.update(
        said=formatted, shown=shown, inline=inline, knob=_knob, percent=classes.percent, between=classes.between
    )
    script = (HERE / "report.js").read_text(encoding="utf-8")
    told = [classes.accuracy(run)] if run.classes else []
    curves = [charts.loss(run), *told, charts.learning_rate(run), charts.gradient_norm(run), *charts.dials(run)]
    return environment.get_template("report.html.jinja").render(
        headline=headline(run, knobs),
        diagnosis=_diagnosis(run.diagnosis, {reading.name for reading in run.readings}),
        knobs=knobs,
        curves=[chart_view(chart) for chart in curves if any(line.x for line in chart.lines)],
        splits=[(split, _bars(run, split)) for split in ("test", "validation") if run.ranking(split)],
        scores=run.scores,
        samples=[] if run.classes else read_samples(run.samples),
        classes=class_view(run) if run.classes else None,
        questions=_questions(run.readings),
        gradient=gradient(),
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=allowed(script),
    )


def templates(folder: Path) -> jinja2.Environment:
    """The templates of a folder: what they are given is escaped, and what they lack is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def allowed(script: str) -> str:
    """The hash by which a page's policy lets this script run, and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def gradient() -> str:
    """The colours of the maps as the stops of a gradient in CSS."""
    return ", ".join(_hex(share / 10) for share in range(11))


# ------------------------------------------------------------------------------------------------------------ its parts


def _questions(readings: Sequence[Reading]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(what is asked, the readings that answer it, each as it is drawn)."""
    asked = [
        (question, [{"name": reading.name, "form": reading.form, **_view(reading)} for reading in some])
        for question, some in by_question(readings)
    ]
    _within_budget([view for _, views in asked for view in views if view["form"] in ("heat", "maps")])
    return asked


def _view(reading: Reading) -> dict[str, Any]:
    if reading.form == "points":
        return clouds.view(reading)
    return chart_view(charts.of_reading(reading)) if reading.form == "lines" else grid_view(reading)


def _within_budget(grids: list[dict[str, Any]]) -> None:
    """Numbers to point at for as many maps as there is room for, the small ones first."""
    room = CELLS
    for grid in sorted(grids, key=lambda grid: int(grid["size"])):
        room -= grid["size"]
        grid["cells"] = grid["cells"] if room >= 0 else None


def _diagnosis(told: Mapping[str, Any], readings: set[str]) -> dict[str, Any]:
    """What the doctor says, with the place of each sign on its strip, and the signs of each finding beside it."""
    signs = [
        {
            **sign,
            "title": doctor.words(sign["name"]),
            "left": 100 * doctor.place(sign),
            "healthy": doctor.healthy(sign),
            "anchor": f"reading-{sign['picture']}" if sign["picture"] in readings else "curves",
        }
        for sign in told["signs"]
    ]
    by_name = {sign["name"]: sign for sign in signs}
    explained: set[str] = set()
    findings = [
        {
            **finding,
            "causes": _causes(finding["causes"], explained),
            "title": doctor.words(finding["name"]),
            "signs": [by_name[n] for n in finding["evidence"] if n in by_name],
        }
        for finding in told["findings"]
    ]
    return {"finding": doctor.words(told["finding"]), "healthy": not findings, "findings": findings, "signs": signs}


def _causes(named: Sequence[Mapping[str, Any]], explained: set[str]) -> list[dict[str, Any]]:
    """Causes of a finding; those that were explained under an earlier one are only named."""
    told = [{**cause, "title": doctor.words(cause["name"]), "explained": cause["name"] in explained} for cause in named]
    explained.update(cause["name"] for cause in named)
    return told


def _knob(value: Any) -> str:
    """A value as it stands in params.yaml."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_knob, value))
    return formatted(value, 6) if isinstance(value, float) else str(value)


def _bars(run: Run, split: str) -> list[dict[str, Any]]:
    """Whoever was scored on a split, the best first: name, figure, and the length of its bar in percent."""
    rows = run.ranking(split)
    if run.classes:
        return [accuracy_bar(run.score(name, split), share) for name, share in rows]
    most = max(bits for _, bits in rows)
    return [{"name": name, "figure": f"{bits:.3f}", "width": 100 * bits / most, "room": 0, "wide": 0} for name, bits in rows]


def _hex(share: float) -> str:
    return "#" + "".join(f"{int(255 * part + 0.5):02x}" for part in heat()(share)[:3])
