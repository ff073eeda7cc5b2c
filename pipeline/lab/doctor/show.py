"""`rally doctor`: the diagnosis of the run in metrics/, for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.paths import DIAGNOSIS
from pipeline.artifacts.reading import read_json
from pipeline.figures.doctor import BAND, healthy, place, words
from pipeline.figures.words import formatted
from pipeline.lab.provenance.check import match_here

STYLES = {"healthy": "green", "odd": "yellow", "sick": "bold red"}
STRIP = 30  # characters


def show(*, all_signs: bool) -> bool:
    """Print the findings with their evidence and the experiments that would confirm them, and all signs or the unhealthy ones.

    Returns:
        Whether the diagnosis belongs to the knobs, code and data that are here, as far as that can be known.

    Raises:
        UserError: there is no diagnosis.
    """
    diagnosis = read_json(DIAGNOSIS, "finding", "findings", "signs")
    origin, console = match_here(DIAGNOSIS), Console(highlight=False)
    is_other = origin.known and not origin
    if is_other:
        line = f"This is the diagnosis of another run: {origin.mismatch}. Run `dvc repro` to diagnose this one."
        console.print(Text(line, style="bold yellow"), soft_wrap=True)
    elif not origin:
        print(f"{DIAGNOSIS}: {origin.mismatch}", file=sys.stderr)
    by_name = {sign["name"]: sign for sign in diagnosis["signs"]}
    if not diagnosis["findings"]:
        console.print(
            "All of its signs were in their ranges." if is_other else "[bold green]healthy[/]: every sign is in its range."
        )
    explained: set[str] = set()
    for finding in diagnosis["findings"]:
        print_finding(console, finding, by_name, explained)
    for one in diagnosis.get("checkpoints", ()):
        if not one["held"]:
            line = f"· checkpoint at {one['at']} missed: {words(one['what'])} {formatted(one['value'])}. {one['missed']}"
            console.print(Padding(Text(line), (0, 0, 0, 2)))
    listed = diagnosis["signs"] if all_signs else [sign for sign in diagnosis["signs"] if sign["status"] != "healthy"]
    if listed:
        console.print(signs(listed))
    if quiet := len(diagnosis["signs"]) - len(listed):
        console.print(f"[dim]{quiet} signs are {'in their ranges' if is_other else 'healthy'}; --all shows them[/]")
    return not is_other


def print_finding(
    console: Console, finding: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]], explained: set[str]
) -> None:
    """Print a finding with its evidence and causes; causes that an earlier finding `explained` are only named."""
    console.print(Text(words(finding["name"]), style="bold red"), Text(finding["says"]), sep=": ", soft_wrap=True)
    for sign in (by_name[name] for name in finding["evidence"] if name in by_name):
        named = (words(sign["name"]), STYLES[sign["status"]])
        console.print(Padding(Text.assemble("· ", named, f": {sign['says']} (healthy: {healthy(sign)})"), (0, 0, 0, 2)))
    for number, cause in enumerate(finding["causes"], start=1):
        if cause["name"] in explained:
            console.print(Padding(Text.assemble(f"{number}. ", (words(cause["name"]), "bold"), ": see above"), (0, 0, 0, 2)))
            continue
        explained.add(cause["name"])
        console.print(Padding(Text.assemble(f"{number}. ", (words(cause["name"]), "bold"), f": {cause['says']}"), (0, 0, 0, 2)))
        if cause["command"]:
            console.print(f"     $ {cause['command']}", markup=False, style="cyan", soft_wrap=True)
        console.print(Padding(Text(cause["tells"], style="dim"), (0, 0, 0, 5)))
    console.print()


def signs(listed: list[Mapping[str, Any]]) -> Table:
    """A row per sign, with a strip of which the middle third is healthy."""
    table = Table("sign", "", "value", "healthy", box=None, pad_edge=False)
    for sign in listed:
        style = STYLES[sign["status"]]
        table.add_row(Text(words(sign["name"])), strip(sign), Text(formatted(sign["value"]), style=style), Text(healthy(sign)))
    return table


def strip(sign: Mapping[str, Any]) -> Text:
    """·····█──────────·····, with a mark at the value of the sign."""
    at, (low, high) = min(STRIP - 1, int(place(sign) * STRIP)), BAND
    cells = ["─" if low <= (cell + 0.5) / STRIP <= high else "·" for cell in range(STRIP)]
    text = Text("".join(cells), style="dim")
    text.plain = text.plain[:at] + "█" + text.plain[at + 1 :]
    text.stylize(STYLES[sign["status"]], at, at + 1)
    return text
