"""What was asked of `rally compile`: the notebook read, the next steps chosen, and both written and printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts.writing import write_text
from pipeline.lab.commands import print_notes
from pipeline.lab.comparison.shown import as_json as comparison_json
from pipeline.lab.summary.compose import HEADINGS, answers, document
from pipeline.lab.summary.document import markdown
from pipeline.lab.summary.gather import notebook
from pipeline.lab.summary.next_plays import plays
from pipeline.lab.summary.next_runs import experiments_to_run
from pipeline.lab.summary.records import Notebook
from pipeline.lab.summary.step import Step, ranked, words_of
from pipeline.params.errors import UserError

REPORT, PAGE = Path("notebook/report.md"), Path("results/report.html")
EMPTY = (
    "Nothing was played here yet: `rally play vanishing-gradients` takes seconds, `dvc repro` trains the model of params.yaml."
)


def compile_all(*, all_commits: bool, since: str, metric: str | None, as_json: bool, open_page: bool) -> None:
    """Write the page of all observations, and print its answer and what to try next.

    Raises:
        UserError: there is no such commit or score.
    """
    found = notebook(all_commits=all_commits, since=since, metric=metric)
    steps = next_steps(found)
    print_notes(found.notes)
    if found.is_empty:
        print(json.dumps(json_of(found, steps), indent=2, ensure_ascii=False) if as_json else EMPTY)
        return
    page = document(found, steps)
    from pipeline.lab.summary.page import html

    write_text(REPORT, markdown(page))
    write_text(PAGE, html(page))
    if as_json:
        print(json.dumps(json_of(found, steps), indent=2, ensure_ascii=False))
    else:
        say(found, steps)
    if open_page:
        import typer

        typer.launch(PAGE.resolve().as_uri())


def next_steps(found: Notebook) -> list[Step]:
    """What to try next, of commands that can be typed as they stand."""
    return ranked([*experiments_to_run(found), *plays(found)], accepts)


def accepts(command: str) -> bool:
    """Whether all overrides of a command can be used with params.yaml; a value beyond what a knob can be is not proposed."""
    from pipeline.lab.dvc.overrides import check_overrides, expand_grid, params_overrides

    for line in command.splitlines():
        words = words_of(line)
        overrides = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-S", "--set-param")]
        try:
            if overrides:
                check_overrides(expand_grid(params_overrides(overrides)))
        except UserError:
            return False
        if not words:
            return False
    return True


def say(found: Notebook, steps: Sequence[Step]) -> None:
    """Print the answer, the next steps, and where the page is."""
    from pipeline.lab.studies.pages import terminal

    out = terminal.console()
    for sentence in answers(found):
        terminal.say_text(out, sentence)
    for number, one in enumerate(steps, 1):
        out.print()
        terminal.say_parts(out, [(f"Next {number}", f"{HEADINGS[one.kind]}. {one.why}")])
        for line in one.command.splitlines():
            terminal.say_command(out, "", line)
    out.print()
    terminal.say_parts(out, [("Report", f"{REPORT}, for git"), ("Page", str(PAGE))])


def json_of(found: Notebook, steps: Sequence[Step]) -> dict[str, Any]:
    """All of it for programs."""
    return {
        "settings": [
            {
                "title": one.title,
                "metric": one.metric,
                "best": one.best.name if one.best else None,
                "variants": [group.name for group in one.groups],
                "comparison": comparison_json(one.comparison) if one.comparison else None,
            }
            for one in found.settings
        ],
        "studies": [
            {
                "name": one.name,
                "seeds": list(one.seeds),
                "places": len(one.places),
                "verdicts": [{"claim": claim, "status": status, "says": says} for claim, status, says in one.verdicts],
            }
            for one in found.grids
        ],
        "duels": [vars(one) for one in found.duels],
        "claims": [vars(one) for one in found.claims],
        "bets": {
            "placed": len(found.bets),
            "scored": sum(bet.counts for bet in found.bets),
            "open": sum(bet.outcome is None and not bet.replaced for bet in found.bets),
        },
        "findings": dict(found.finding_counts),
        "next": [
            {"kind": one.kind.name.lower(), "command": one.command, "cost": one.cost, "reason": one.reason} for one in steps
        ],
        "report": str(REPORT),
        "page": str(PAGE),
    }
