"""The report of a run: a single HTML file that works offline and can be read without its script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from pipeline.figures import charts, doctor
from pipeline.figures import scatter as clouds
from pipeline.figures.chart_html import chart_view, grid_view
from pipeline.figures.classes import numbers
from pipeline.figures.classes.page import accuracy_bar, class_view
from pipeline.figures.headline import headline
from pipeline.figures.run import Run
from pipeline.figures.samples import inline, read_samples
from pipeline.figures.sections import by_section
from pipeline.figures.style import heat
from pipeline.figures.words import formatted, shown
from pipeline.readings import Reading

HERE = Path(__file__).parent
CELLS = 600_000  # numbers of colour maps in the page, for pointing at; larger maps are images only

Knobs = Mapping[str, Mapping[str, Any]]
"""{section: {knob: value}}."""


def page(run: Run, knobs: Knobs) -> str:
    """The whole page. Everything that comes from a run is escaped, and only the script of the page may run."""
    environment = templates(HERE)
    environment.filters.update(
        number=formatted, shown=shown, inline=inline, knob=_knob, percent=numbers.percent, interval=numbers.interval
    )
    script = (HERE / "report.js").read_text(encoding="utf-8")
    accuracy = [numbers.accuracy(run)] if run.classes else []
    curves = [charts.loss(run), *accuracy, charts.learning_rate(run), charts.gradient_norm(run), *charts.schedules(run)]
    readings = [reading for reading in run.readings if reading.name != doctor.CHECKED]  # its numbers are signs of the doctor
    return environment.get_template("report.html.jinja").render(
        headline=headline(run, knobs),
        diagnosis=_diagnosis(run.diagnosis, {reading.name for reading in readings}),
        knobs=knobs,
        curves=[chart_view(chart) for chart in curves if any(line.x for line in chart.lines)],
        splits=[(split, _bars(run, split)) for split in ("test", "validation") if run.ranking(split)],
        scores=run.scores,
        samples=[] if run.classes else read_samples(run.samples),
        classes=class_view(run) if run.classes else None,
        sections=_sections(readings),
        gradient=gradient(),
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=script_hash(script),
    )


def templates(folder: Path) -> jinja2.Environment:
    """The templates of a folder: values are escaped, and a missing one is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def script_hash(script: str) -> str:
    """The hash of a script in the content security policy of a page, which lets only this script run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def gradient() -> str:
    """The colours of the maps as the stops of a gradient in CSS."""
    return ", ".join(_hex(share / 10) for share in range(11))


# ------------------------------------------------------------------------------------------------------ parts of a page


def _sections(readings: Sequence[Reading]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(heading, the readings under it, each as it is drawn)."""
    found = [
        (heading, [{"name": reading.name, "form": reading.form, **_view(reading)} for reading in some])
        for heading, some in by_section(readings)
    ]
    _within_budget([view for _, views in found for view in views if view["form"] in ("heat", "maps")])
    return found


def _view(reading: Reading) -> dict[str, Any]:
    if reading.form == "points":
        return clouds.view(reading)
    return chart_view(charts.of_reading(reading)) if reading.form == "lines" else grid_view(reading)


def _within_budget(grids: list[dict[str, Any]]) -> None:
    """Leave the numbers out of the largest maps, so that the page stays small."""
    room = CELLS
    for grid in sorted(grids, key=lambda grid: int(grid["size"])):
        room -= grid["size"]
        grid["cells"] = grid["cells"] if room >= 0 else None


def _diagnosis(diagnosis: Mapping[str, Any], readings: set[str]) -> dict[str, Any]:
    """The diagnosis, with the position of each sign on its strip, and the signs of each finding next to it."""
    signs = [
        {
            **sign,
            "title": doctor.words(sign["name"]),
            "left": 100 * doctor.place(sign),
            "healthy": doctor.healthy(sign),
            "anchor": _anchor(sign["picture"], readings),
        }
        for sign in diagnosis["signs"]
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
        for finding in diagnosis["findings"]
    ]
    return {"finding": doctor.words(diagnosis["finding"]), "healthy": not findings, "findings": findings, "signs": signs}


def _anchor(picture: str, readings: set[str]) -> str:
    """Where on the page the picture of a sign is."""
    if picture == doctor.CHECKED:
        return "doctor"
    return f"reading-{picture}" if picture in readings else "curves"


def _causes(named: Sequence[Mapping[str, Any]], explained: set[str]) -> list[dict[str, Any]]:
    """The causes of a finding; those that were explained under an earlier one are only named."""
    causes = [{**cause, "title": doctor.words(cause["name"]), "explained": cause["name"] in explained} for cause in named]
    explained.update(cause["name"] for cause in named)
    return causes


def _knob(value: Any) -> str:
    """A value as in params.yaml."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_knob, value))
    return formatted(value, 6) if isinstance(value, float) else str(value)


def _bars(run: Run, split: str) -> list[dict[str, Any]]:
    """The scores on a split, the best first: name, number, and the length of the bar in percent."""
    rows = run.ranking(split)
    if run.classes:
        return [accuracy_bar(run.score(name, split), share) for name, share in rows]
    most = max(bits for _, bits in rows)
    return [{"name": name, "figure": f"{bits:.3f}", "width": 100 * bits / most, "room": 0, "wide": 0} for name, bits in rows]


def _hex(share: float) -> str:
    return "#" + "".join(f"{int(255 * part + 0.5):02x}" for part in heat()(share)[:3])
