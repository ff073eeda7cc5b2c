"""The page of all observations: what was played, what differs, which knob mattered, what is claimed, and what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.figures.words import formatted
from pipeline.lab.comparison.comparison import Ruling
from pipeline.lab.experiments.variants import score_of, score_text
from pipeline.lab.statistics.intervals import Interval
from pipeline.lab.summary.beliefs import beliefs
from pipeline.lab.summary.document import Block, Commands, Document, Section, Table
from pipeline.lab.summary.findings import differences, importance, interactions
from pipeline.lab.summary.records import Grid, Notebook
from pipeline.lab.summary.settings import Setting
from pipeline.lab.summary.step import Step
from pipeline.lab.summary.variants import common_text, variant_table

TITLE = "What my experiments say"
MOST_PLACES = 40  # of a grid; its own page has all


def document(notebook: Notebook, steps: Sequence[Step]) -> Document:
    """The page.

    Args:
        steps: what to try next, the most telling first.
    """
    sections = [
        _played(notebook),
        _section("Differences", "differences", notebook, differences),
        _section("Which knob mattered", "importance", notebook, importance),
        _section("Interactions", "interactions", notebook, interactions),
        beliefs(notebook),
        next_section(steps),
    ]
    return Document(TITLE, tuple(answers(notebook)), tuple(sections))


def answers(notebook: Notebook) -> Iterator[str]:
    """What the page says, in a sentence for each setting and one for the rest."""
    for setting in notebook.settings:
        yield _answer(setting)
    held = sum(status == "held" for grid in notebook.grids for _, status, _ in grid.verdicts)
    claims = sum("control" not in claim for grid in notebook.grids for claim, _, _ in grid.verdicts)
    if notebook.grids:
        count = len(notebook.grids)
        yield f"{count} stud{'ies' if count != 1 else 'y'} played: {held} of {claims} claims held."


def _answer(setting: Setting) -> str:
    variants = f"{len(setting.groups)} variant{'s' * (len(setting.groups) != 1)}"
    if setting.best is None:
        return f"{setting.title}: {variants}, none with scores of which no seed diverged."
    score = score_text(score_of(setting.best, setting.metric))
    text = f"{setting.title}: of {variants} {setting.best.name} has the best {setting.metric}, {score}"
    others = [one for one in setting.differences if setting.best in (one.first, one.second)]
    beaten = sum(one.ruling in (Ruling.BETTER, Ruling.WORSE) for one in others)
    if others:
        text += f"; it is surely better than {beaten or 'none'} of the {len(others)} that differ from it in one knob"
    return f"{text}."


def _played(notebook: Notebook) -> Section:
    parts: list[tuple[str, tuple[Block, ...]]] = []
    for setting in notebook.settings:
        blocks: list[Block] = [variant_table(setting)]
        if common := common_text(setting):
            blocks.append(common)
        parts.append((setting.title, tuple(blocks)))
    parts += [(f"Study {grid.name}", tuple(_grid_blocks(grid))) for grid in notebook.grids]
    notes = tuple(f"Left out: {note}." for note in notebook.notes)
    return Section("What was played", "played", notes, tuple(parts))


def _grid_blocks(grid: Grid) -> Iterator[Block]:
    if grid.question:
        yield grid.question
    measures = list(grid.places[0].values) if grid.places else []
    count = f"{len(grid.seeds)}"
    rows = tuple(
        (
            place.label or "the only place",
            count,
            *(_interval_text(place.values[name]) for name in measures),
            _lost(grid, place.diverged),
        )
        for place in grid.places[:MOST_PLACES]
    )
    heads = ("place", "seeds", *measures, "diverged")
    yield Table(heads, rows, frozenset(range(1, len(heads))))
    if len(grid.places) > MOST_PLACES:
        yield f"{len(grid.places) - MOST_PLACES} more places: `results/{grid.name}.html`."
    yield Table(("verdict", "claim"), tuple((status, says) for _, status, says in grid.verdicts))


def _lost(grid: Grid, diverged: int) -> str:
    return f"{diverged} of {len(grid.seeds)}" if diverged else "0"


def _interval_text(found: Interval | None) -> str:
    if found is None:
        return "–"
    low, mean, high = found
    ends = f" ({formatted(low)} … {formatted(high)})" if low < mean < high and low != float("-inf") else ""
    return f"{formatted(mean)}{ends}"


def _section(title: str, name: str, notebook: Notebook, blocks: Callable[[Setting], Iterator[Block]]) -> Section:
    parts = tuple((one.title, found) for one in notebook.settings if (found := tuple(blocks(one))))
    none = () if parts else ("Nothing to say yet: it takes more variants of one task and data, of two seeds and more.",)
    tested = sum(one.p is not None for setting in notebook.settings for one in setting.differences)
    if name == "differences" and tested > 1:
        none = (*none, HOLM.format(tested))
    return Section(title, name, none, parts)


HOLM = "p and intervals are corrected for all {} differences of this page, so that any of them is wrong in at most 5 % (Holm)."


def next_section(steps: Sequence[Step]) -> Section:
    """What to try next, with costs and reasons."""
    if not steps:
        return Section("What to try next", "next", ("No rule proposes anything. `rally play` lists studies.",))
    parts: list[tuple[str, tuple[Block, ...]]] = []
    for number, one in enumerate(steps, 1):
        parts.append((f"{number}. {HEADINGS[one.kind]}", (one.why, Commands(one.command))))
    return Section("What to try next", "next", (DURATION,), tuple(parts))


DURATION = "`rally budget` with the `-S` options of a step, its seeds left out, says how long one run takes on your machine."

HEADINGS = (
    "The best value is at an edge: extend",
    "Undecided: more seeds",
    "Knobs interact: tune again",
    "A forecast missed: replicate",
    "A finding of the doctor: look into it",
    "A knob that never moved alone: move it",
)
"""Of each Kind of step."""
