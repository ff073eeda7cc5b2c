"""`rally show`: experiments read, chosen, sorted and printed, with seeds as one row or each by itself."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from pipeline.lab.dvc import queue
from pipeline.lab.dvc.git import GitRepository
from pipeline.lab.dvc.run_dvc import run_dvc
from pipeline.lab.experiments import notes, table, variants
from pipeline.lab.experiments.read import WORKSPACE, every_entry, read_experiments
from pipeline.lab.experiments.records import METRICS, SEEDS, Experiment, Group, State, grouped
from pipeline.lab.provenance.origin import flatten
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.yaml12 import read_yaml

OTHER_FORMATS = {"--csv", "--md", "--pcp", "-h", "--help"}  # these are for DVC itself


class Options(argparse.ArgumentParser):
    """The options of `dvc exp show` that choose and sort experiments."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.add_argument("names", nargs="*")
        self.add_argument("--rev", action="append", default=[])
        self.add_argument("-n", "--num", type=int, default=1)
        self.add_argument("-a", "--all-branches", action="store_true")
        self.add_argument("-T", "--all-tags", action="store_true")
        for name in ("--hide-queued", "--hide-failed", "--hide-workspace", "--no-pager"):
            self.add_argument(name, action="store_true")
        self.add_argument("--sort-by", default="")
        self.add_argument("--sort-order", choices=("asc", "desc"), default="asc")

    def error(self, message: str) -> NoReturn:
        raise UserError(f"rally show: {message}; `dvc exp show` has more options")


def show(words: Sequence[str], *, each: bool = False, as_json: bool = False, all_commits: bool = False) -> int:
    """Print the experiments.

    Args:
        words: names of experiments or commits, and options of `dvc exp show`; with one that asks for another format its own
            output is printed.

    Returns:
        The exit status.

    Raises:
        UserError: an option or a name is not known.
    """
    if OTHER_FORMATS & set(words):
        return run_dvc(["dvc", "exp", "show", *(["-A"] if all_commits else []), *words])
    options = Options().parse_intermixed_args(list(words))
    experiments, per_token = notes.without_per_token(_chosen(options, all_commits))
    groups = grouped(experiments)
    lines = notes.missing_numbers(experiments)
    lines += per_token if each else [*per_token, *notes.about_groups(groups, experiments)]
    if not (options.names or options.rev):
        lines += notes.hidden(every_entry(), experiments, queue.commit_of("HEAD"))
    if options.sort_by:
        experiments = _sorted(experiments, options)
        groups = _sorted_groups(groups, options)
    if as_json:
        print(json.dumps(variants.as_json(groups, lines), indent=1, ensure_ascii=False))
        return 0
    knobs, console = read_yaml(Path("params.yaml")), Console()
    texts = {name for name, value in flatten(knobs).items() if isinstance(value, str)}
    rows = table.uniform(map(table.row_of, experiments) if each else variants.rows_of(groups))
    table.print_table(rows, tuple(knobs), console.width if console.is_terminal else table.FILE_WIDTH, texts)
    print(*lines, sep="\n", end="\n" if lines else "")
    return 0


def _chosen(options: argparse.Namespace, all_commits: bool) -> list[Experiment]:
    """The experiments that the options ask for."""
    git = GitRepository(Path())
    revisions = [*options.names, *options.rev]
    for asked, references in ((options.all_branches, "refs/heads"), (options.all_tags, "refs/tags")):
        if asked:
            revisions += git("for-each-ref", "--format=%(refname:short)", references).split()
    if options.num != 1:
        newest = [] if options.num < 0 else ["-n", str(options.num)]
        starts = revisions or ["HEAD"]
        revisions = [commit for start in starts for commit in git("rev-list", "--first-parent", *newest, start, "--").split()]
    unwanted = {State.QUEUED} if options.hide_queued else set()
    unwanted |= {State.FAILED} if options.hide_failed else set()
    found = read_experiments(revisions, all_commits=all_commits)
    hides = options.hide_workspace
    return [one for one in found if one.state not in unwanted and not (hides and one.name == WORKSPACE and not one.commit)]


def _sorted(experiments: Sequence[Experiment], options: argparse.Namespace) -> list[Experiment]:
    return _by([(one, {**one.knobs, **one.scores}.get(options.sort_by)) for one in experiments], _known(experiments), options)


def _sorted_groups(groups: Sequence[Group], options: argparse.Namespace) -> list[Group]:
    """By the mean of a score, or by a knob."""
    scores = [(group, variants.score_of(group, options.sort_by)) for group in groups]
    values = [(group, score.interval.mean if score else group.knobs.get(options.sort_by)) for group, score in scores]
    return _by(values, _known([one for group in groups for one in group.experiments]), options)


def _known(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    there = dict.fromkeys(name for one in experiments for name in (*one.scores, *one.knobs))
    return tuple(dict.fromkeys((*METRICS, *SEEDS, *there)))


def _by(items: Sequence[tuple[Any, Any]], known: tuple[str, ...], options: argparse.Namespace) -> list[Any]:
    """The first of each pair in the order of the second; those without one are last."""
    if options.sort_by not in known:
        raise UserError(f"--sort-by: there is no score or knob '{options.sort_by}'. {suggest(options.sort_by, known)}")
    with_value = [item for item in items if item[1] is not None]
    is_number = all(isinstance(value, int | float) for _, value in with_value)
    ordered = sorted(with_value, key=lambda item: item[1] if is_number else str(item[1]), reverse=options.sort_order == "desc")
    return [item for item, _ in ordered] + [item for item, value in items if value is None]
