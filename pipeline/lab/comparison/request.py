"""What was asked of `rally compare`: the variants behind the names, and where the answer goes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.lab.comparison.compare import compare
from pipeline.lab.comparison.more_seeds import shared_knobs
from pipeline.lab.comparison.shown import as_json as json_of
from pipeline.lab.comparison.shown import lines_of
from pipeline.lab.dvc.queue import commit_of
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
    among = grouped(one for one in experiments if one.name != WORKSPACE or not _is_copy(one, experiments))
    groups = [_named(name, experiments, among) for name in names] if names else [one for one in among if _is_scored(one)]
    groups = [group for place, group in enumerate(groups) if all(group is not other for other in groups[:place])]
    if names and len(groups) < 2:
        same = f"{' and '.join(dict.fromkeys(names))}: " + (
            "differ in their seeds alone, so they are one variant" if len(set(names)) > 1 else "a comparison needs two"
        )
        raise UserError(f"{same}; `rally show` lists all")
    base = shared_knobs(experiments)
    found = compare(groups, metric, "all" if names and not one_knob else "one knob", among=among, base=base)
    if as_json:
        print(json.dumps(json_of(found), indent=2))
    else:
        print(*lines_of(found), sep="\n")
    if open_page:
        import typer

        from pipeline.lab.comparison.page.page import write_page
        from pipeline.lab.experiments.curves import curves_of

        shown = [one for group in found.groups for one in group.experiments]
        curves = {one.name: curve for one, curve in zip(shown, curves_of(shown), strict=True)}
        path = write_page(found, among, PAGE, curves)
        if not as_json:
            print(f"\nPage: {path}")
        typer.launch(path.resolve().as_uri())


def _experiments(names: Sequence[str]) -> list[Experiment]:
    """The experiments of this commit, and those that are named, each once."""
    found: dict[tuple[str, str], Experiment] = {}
    for one in (*read_experiments(), *(read_experiments(names) if names else ())):
        found.setdefault((one.commit, one.name), one)
    return list(found.values())


def _is_scored(group: Group) -> bool:
    return any(one.scores for one in group.experiments)


def _is_copy(workspace: Experiment, experiments: Sequence[Experiment]) -> bool:
    """Whether the working tree has what an experiment or the commit has, which have better names."""
    same = [one for one in experiments if one is not workspace and one.knobs == workspace.knobs and one.code == workspace.code]
    return any(one.has_result or not workspace.has_result for one in same)


def _named(name: str, experiments: Sequence[Experiment], among: Sequence[Group]) -> Group:
    """The variant to which an experiment belongs, by its name, the first digits of its commit, or another name of it in git."""
    found = [one for one in experiments if one.name == name]
    if len(name) >= SHORTEST_HASH:
        found += [one for one in experiments if one.commit.startswith(name)]
    if not found and (commit := commit_of(name)):
        found = [one for one in experiments if one.commit == commit]
    if not found:
        known = tuple(dict.fromkeys(one.name for one in experiments))
        raise UserError(f"{name}: there is no such experiment or branch. {suggest(name, known)}")
    (own, *_) = grouped(found[:1])
    return next(group for group in among if group.knobs == own.knobs and group.experiments[0].code == found[0].code)
