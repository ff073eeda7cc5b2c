"""What was asked of `rally compare`: the variants behind the names, and where the answer goes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.lab.comparison.compare import compare
from pipeline.lab.comparison.shown import as_json as json_of
from pipeline.lab.comparison.shown import lines_of
from pipeline.lab.experiments.read import WORKSPACE, read_experiments
from pipeline.lab.experiments.records import Experiment, Group, grouped
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

PAGE = Path("results/compare.html")
SHORTEST_HASH = 4  # digits


def compare_named(names: Sequence[str], metric: str | None, *, one_knob: bool, as_json: bool, open_page: bool) -> None:
    """Compare the variants of these names, or all of this commit, and print what comes of it.

    Raises:
        UserError: there is no such experiment, or there are fewer than two variants.
    """
    experiments = _experiments(names)
    among = grouped(experiments)
    groups = [_named(name, among) for name in names] if names else [one for one in among if _is_scored(one)]
    groups = [group for place, group in enumerate(groups) if all(group is not other for other in groups[:place])]
    if names and len(groups) < 2:
        same = f"{' and '.join(dict.fromkeys(names))}: " + (
            "differ in their seeds alone, so they are one variant" if len(set(names)) > 1 else "a comparison needs two"
        )
        raise UserError(f"{same}; `rally show` lists all")
    base = next((one.knobs for one in experiments if one.name == WORKSPACE), {})
    found = compare(groups, metric, "all" if names and not one_knob else "one knob", among=among, base=base)
    if as_json:
        print(json.dumps(json_of(found), indent=2))
    else:
        print(*lines_of(found), sep="\n")
    if open_page:
        import webbrowser

        from pipeline.lab.comparison.page.page import write_page

        path = write_page(found, among, PAGE)
        if not as_json:
            print(f"\nPage: {path}")
        webbrowser.open(path.resolve().as_uri())


def _experiments(names: Sequence[str]) -> list[Experiment]:
    """The experiments of this commit, and those that are named, each once."""
    found: dict[tuple[str, str], Experiment] = {}
    for one in (*read_experiments(), *(read_experiments(names) if names else ())):
        found.setdefault((one.commit, one.name), one)
    return list(found.values())


def _is_scored(group: Group) -> bool:
    return any(one.scores for one in group.experiments)


def _named(name: str, among: Sequence[Group]) -> Group:
    """The variant to which an experiment belongs, by its name or the first digits of its commit."""
    for is_it in (
        lambda one: one.name == name,
        lambda one: len(name) >= SHORTEST_HASH and one.commit.startswith(name),
    ):
        for group in among:
            if any(is_it(one) for one in group.experiments):
                return group
    known = tuple(one.name for group in among for one in group.experiments)
    raise UserError(f"{name}: there is no such experiment or branch. {suggest(name, known)}")
