"""A study as one HTML page that works offline, in the look of the report."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.figures import report
from pipeline.figures.words import knob_text
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.dvc.git import short_hash
from pipeline.lab.studies.claims.base import Verdict
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.entries import Entry
from pipeline.lab.studies.grid import Sweep
from pipeline.lab.studies.pages.rulings import headline, rulings
from pipeline.lab.studies.pages.tables import tables

HERE = Path(__file__).parent


def page(
    name: str,
    entry: Entry,
    sweep: Sweep,
    base: BaseParams,
    found: Mapping[str, Results],
    verdicts: Sequence[Verdict],
    picture: bytes,
    bet: str = "",
) -> str:
    """The whole page; texts are escaped, and only its own script may run.

    Args:
        picture: a PNG without title and captions, which the page has.
        bet: what the learner had predicted and what came of it; "" = nothing.
    """
    script = (report.HERE / "report.js").read_text(encoding="utf-8")
    styles = [
        (folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.css"), (HERE, "study.css"))
    ]
    tone, sentence = headline(sweep, verdicts)
    return (
        report.templates(HERE)
        .get_template("study.html.jinja")
        .render(
            name=name,
            entry=entry,
            bet=bet,
            tone=tone,
            headline=sentence,
            rulings=list(rulings(name, sweep, verdicts)),
            picture="data:image/png;base64," + base64.b64encode(picture).decode(),
            tables=list(tables(found)),
            knobs=dict(_knobs(entry, sweep, base)),
            varied=[(axis.name, ", ".join(map(knob_text, axis.labels))) for axis in sweep.axes],
            seeds=", ".join(map(str, sweep.seeds)),
            commit=short_hash(base.commit) if base.commit else "",
            changed=base.changed_code,
            style="\n".join(styles),
            script=script,
            script_hash=report.script_hash(script),
        )
    )


def _knobs(entry: Entry, sweep: Sweep, base: BaseParams) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """section -> (knob, its value), for every section that decides the runs; what the study sets itself comes first."""
    own = {knob: value for knob, value in entry.set.items() if knob.startswith("bench.")} if sweep.bench else {}
    if own:
        yield "bench", [(knob.partition(".")[2], knob_text(value)) for knob, value in own.items()]
    used = ("model", "train") if sweep.bench else ("task", "prepare", "tokenize", "model", "train", "probe")
    for section in used:
        values = base.sections.get(section, {})
        if isinstance(values, dict):
            chosen = sorted(values, key=lambda knob: f"{section}.{knob}" not in entry.set)
            yield section, [(knob, knob_text(values[knob])) for knob in chosen]
