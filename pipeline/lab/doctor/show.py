"""What the doctor says of the run in metrics/, for a terminal."""

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
from pipeline.figures.style import formatted
from pipeline.lab.provenance.answers import here

STYLES = {"healthy": "green", "odd": "yellow", "sick": "bold red"}
STRIP = 30  # characters


def show(*, all_signs: bool) -> bool:
    """Print the findings with their evidence and the experiments that would tell; of the signs all, or those that are off.

    Returns:
        Whether they are of the knobs, code and data that are here, as far as one can know.

    Raises:
        UserError: there is no diagnosis.
    """
    told = read_json(DIAGNOSIS, "finding", "findings", "signs")
    origin, console = here(DIAGNOSIS), Console(highlight=False)
    is_other = origin.known and not origin
    if is_other:
        line = f"This is the diagnosis of another run: {origin.says}. `dvc repro` makes that of this one."
        console.print(Text(line, style="bold yellow"), soft_wrap=True)
    elif not origin:
        print(f"{DIAGNOSIS}: {origin.says}", file=sys.stderr)
    by_name = {sign["name"]: sign for sign in told["signs"]}
    if not told["findings"]:
        console.print("No sign spoke against it." if is_other else "[bold green]healthy[/]: no sign speaks against the run.")
    explained: set[str] = set()
    for finding in told["findings"]:
        print_finding(console, finding, by_name, explained)
    listed = told["signs"] if all_signs else [sign for sign in told["signs"] if sign["status"] != "healthy"]
    if listed:
        console.print(signs(listed))
    if quiet := len(told["signs"]) - len(listed):
        console.print(f"[dim]{quiet} signs are {'not off' if is_other else 'healthy'}: --all shows them[/]")
    return not is_other


def print_finding(
    console: Console, finding: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]], explained: set[str]
) -> None:
    """A finding with its evidence and causes; those that were `explained` under an earlier one are only named."""
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
    """Every sign on a strip of which the middle third is healthy."""
    drawn = Table("sign", "", "value", "healthy", box=None, pad_edge=False)
    for sign in listed:
        style = STYLES[sign["status"]]
        drawn.add_row(Text(words(sign["name"])), strip(sign), Text(formatted(sign["value"]), style=style), Text(healthy(sign)))
    return drawn


def strip(sign: Mapping[str, Any]) -> Text:
    """·····█──────────·····, the mark where the sign stands."""
    at, (low, high) = min(STRIP - 1, int(place(sign) * STRIP)), BAND
    cells = ["─" if low <= (cell + 0.5) / STRIP <= high else "·" for cell in range(STRIP)]
    text = Text("".join(cells), style="dim")
    text.plain = text.plain[:at] + "█" + text.plain[at + 1 :]
    text.stylize(STYLES[sign["status"]], at, at + 1)
    return text
