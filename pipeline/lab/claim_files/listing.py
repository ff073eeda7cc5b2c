"""The list of claims: what each says today, and what of it is stale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.lab.claim_files import form
from pipeline.lab.claim_files.standing import Project, Standing

FILE_WIDTH = 200  # characters of the table where the output is not a terminal


def standings(project: Project, names: Sequence[str] = ()) -> list[Standing]:
    """Where every claim file stands, or those of these names: refuted ones first, stale ones next."""
    found = [project.standing(name) for name in names or form.names()]
    return sorted(found, key=lambda one: (one.status != "refuted", not one.is_stale, one.name))


def passes(found: Sequence[Standing]) -> bool:
    """Whether none is stale, refuted or unreadable."""
    return not any(one.is_stale or one.status == "refuted" for one in found)


def as_json(found: Sequence[Standing], missing: Sequence[str]) -> dict[str, Any]:
    """For --json."""
    return {
        "claims": [
            {
                "name": one.name,
                "status": one.status,
                "kind": one.file.kind if one.file else None,
                "seeds": one.file.scope.seeds if one.file else [],
                "stale": [{"kind": reason.kind, "about": list(reason.about)} for reason in one.reasons],
                "note": one.note,
                "checks": [check.model_dump(mode="json") for check in (one.today.checks if one.today else [])],
            }
            for one in found
        ],
        "without_file": list(missing),
    }


def missing_files(project: Project) -> list[str]:
    """The grids of studies/ that have no claim file."""
    return [name for name in project.studies if name not in form.names()]


def say(found: Sequence[Standing], missing: Sequence[str]) -> None:
    """Print the list."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "status", "kind", "seeds", "the claim, or why it is stale"):
        table.add_column(heading, no_wrap=heading in ("name", "status", "kind"), overflow="fold")
    for one in found:
        seeds = str(len(one.file.scope.seeds)) if one.file else ""
        table.add_row(one.name, one.status, one.file.kind if one.file else "", seeds, Text(_about(one)))
    if found:
        console.print(table)
    stale = sum(one.is_stale for one in found)
    counts = {word: sum(one.status == word for one in found) for word in ("held", "refuted", "undecided", "edge")}
    words = [f"{count} {word}" for word, count in counts.items() if count]
    console.print(f"{len(found)} claims: {', '.join(words) or 'none'}; {stale} of them stale", highlight=False)
    if first := next((one.name for one in found if one.is_stale), ""):
        console.print(
            f"`rally claims replay {first}` makes what is stale again; with --sample 2 it runs two places", highlight=False
        )
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        console.print(f"Without a file: {', '.join(missing[:3])}{more}; `rally claims add NAME` after a play", highlight=False)


def _about(one: Standing) -> str:
    """Why it is stale, or what its first check says."""
    if one.reasons:
        return "; ".join(reason.text() for reason in one.reasons)
    assert one.today
    telling = [check for check in one.today.checks if check.verdict != "held"] + [*one.today.checks, *one.today.controls]
    return f"{telling[0].says if telling else 'claims nothing'}{f' ({one.note})' if one.note else ''}"
