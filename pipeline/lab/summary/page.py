"""The page of all observations as one HTML file that works offline, in the look of the report."""

from __future__ import annotations

from pathlib import Path

from pipeline.figures import report
from pipeline.figures.samples import inline
from pipeline.lab.summary.document import Commands, Document, Table

HERE = Path(__file__).parent


def html(document: Document) -> str:
    """The whole page; texts are escaped, and only its own script may run."""
    script = (report.HERE / "report.js").read_text(encoding="utf-8")
    styles = [
        (folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.css"), (HERE, "summary.css"))
    ]
    environment = report.templates(HERE)
    environment.filters["inline"] = inline
    environment.tests |= {
        "table": lambda block: isinstance(block, Table),
        "commands": lambda block: isinstance(block, Commands),
    }
    return environment.get_template("summary.html.jinja").render(
        document=document, style="\n".join(styles), script=script, script_hash=report.script_hash(script)
    )
