"""A duel from its options to its exit status: what is told before, after each pair, and at its end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import exclusive_lock, private_folder
from pipeline.lab.bets.prompt import is_terminal, wants_more
from pipeline.lab.commands import print_notes
from pipeline.lab.duel import log, shown
from pipeline.lab.duel.fight import Duel, begin, seconds_of, standing_of, unused_changes
from pipeline.lab.duel.patch import committed_tree, exported, read_patch
from pipeline.lab.duel.rule import Options, Standing, Verdict
from pipeline.lab.duel.runs import Pair, Runner
from pipeline.lab.duel.sides import challenge
from pipeline.lab.dvc.base_params import base_params
from pipeline.params.errors import UserError

STATUS = {Verdict.KEEP: 0, Verdict.DISCARD: 1, Verdict.UNDECIDED: 1}


def run_duel(
    overrides: Sequence[str],
    patch: Path | None,
    metric: str,
    options: Options,
    draws: str,
    *,
    dry_run: bool = False,
    as_json: bool = False,
    asks: bool = False,
) -> int:
    """Run a duel, and write its line.

    Args:
        patch: a file.
        metric: "" = by the kind of the challenge.
        asks: say what it costs and wait for Enter, if there is a terminal.

    Returns:
        The exit status: 0 keep, 1 discard or undecided.

    Raises:
        UserError: it cannot be run.
    """
    base = base_params()
    posed = challenge(base, overrides, read_patch(patch) if patch else None, metric, draws)
    out = sys.stderr if as_json else sys.stdout
    print_notes(unused_changes(base, posed.knobs))
    trees = (committed_tree(), *([posed.patch.tree] if posed.patch else []))
    with exclusive_lock(private_folder("duel") / "lock", _refuse), exported(*trees) as folders:
        duel = begin(posed, options, Runner.of(posed, folders[0], folders[-1]))
        print(*shown.beginning(duel), sep="\n", file=out)
        if dry_run or (asks and is_terminal() and duel.missing()):
            cost = seconds_of(posed)
            print(shown.cost_text(duel, cost), file=out)
            if dry_run:
                _print_json(as_json, shown.plan(duel, cost))
                return 0
            if not wants_more("Enter begins, q leaves. "):
                return STATUS[Verdict.UNDECIDED]
        pairs, standing = _fight(duel, out)
        return _close(duel, pairs, standing, out, as_json=as_json)


def _refuse() -> None:
    raise UserError("rally duel: another duel runs in this clone; one at a time, since both would take the same seeds")


def _fight(duel: Duel, out: Any) -> tuple[tuple[Pair, ...], Standing]:
    """Fight it, and tell each pair."""
    from pipeline.lab.studies.report import progress_display

    pairs, standing = tuple[Pair, ...](), standing_of((), duel.challenge.metric, duel.options)
    with progress_display(duel.challenge.champion.runtime.progress, 2 * len(duel.missing())) as advance:
        for pairs, standing in duel.fight(advance):
            print(shown.after_pair(duel, pairs, standing), file=out, flush=True)
    return pairs, standing


def _close(duel: Duel, pairs: tuple[Pair, ...], standing: Standing, out: Any, *, as_json: bool) -> int:
    """Write the line of a duel, unless it stands there already; tell its end, and its exit status."""
    line = duel.line(pairs, standing)
    is_new = duel.before is None or not log.says_the_same(duel.before, line)
    if is_new:
        log.append(line)
    print(*shown.ending(duel, pairs, standing, is_new=is_new), sep="\n", file=out)
    _print_json(as_json, line if is_new or duel.before is None else duel.before)
    return STATUS[standing.verdict]


def _print_json(wanted: bool, content: log.Line) -> None:
    if wanted:
        print(json.dumps(content, ensure_ascii=False, allow_nan=False))
