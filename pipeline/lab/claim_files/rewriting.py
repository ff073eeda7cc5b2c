"""A claim file made or written again: its kind, and the history of what was changed of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pipeline.lab.claim_files.definition import Definition, Difference, is_control
from pipeline.lab.claim_files.form import Change, Check, ClaimFile, Kind, Rests, Runs, Scope
from pipeline.lab.claim_files.judging import judged
from pipeline.lab.studies.claims.base import Status

Rows = Mapping[str, list[list[float]]]
"""measure -> for each place of the grid the values of its seeds."""

DATA = {
    "none": "none: nothing is learned from data",
    "one": "one draw: all seeds share data and split",
    "seed": "each seed draws its own",
}
NOT_TESTED = "other data, networks and lengths of training than those under runs; other machines"


def of_study(
    study: Definition,
    rests: Rests,
    rows: Rows,
    held_out: Mapping[str, int],
    seeds: Sequence[int],
    old: ClaimFile | None,
    changes: Sequence[Difference] = (),
    *,
    at: str,
    rounds: int = 1,
) -> ClaimFile:
    """The file of a claim on a study.

    Args:
        rests: on what the values rest.
        seeds: of the values.
        old: the file that there was.
        changes: what the study says otherwise than that file.
        at: the commit that is checked out.
        rounds: how often the values were judged.

    Raises:
        UserError: a claim is one that there is not.
    """
    own = {*study.runs.seeds, *study.runs.seen}
    looked_at = sorted(({*old.scope.seeds, *old.scope.looked_at} | own if old else own) - {*seeds})
    runs, entry = study.runs, study.entry
    history, kind = _history(old, changes, seeds, own, at)
    draws: Literal["none", "one", "seed"] = "none" if runs.bench else "one" if runs.draws == "one" else "seed"
    return judged(
        ClaimFile(
            question=entry.question or " ".join(entry.says.split()),
            predicts=" ".join(entry.predicts.split()),
            status="undecided",
            kind=kind,
            checks=[_open(check) for check in study.checks if not is_control(check)],
            controls=[_open(check) for check in study.checks if is_control(check)],
            history=history,
            scope=Scope(
                seeds=list(seeds),
                looked_at=looked_at,
                rounds=rounds,
                data=DATA[draws],
                not_tested=old.scope.not_tested if old else NOT_TESTED,
            ),
            rests_on=rests,
            runs=runs,
            held_out=dict(held_out),
            values={measure: [list(row) for row in rows[measure]] for measure in runs.measure},
        )
    )


def _open(claim: dict[str, dict[str, Any]]) -> Check:
    """A check before it is judged."""
    return Check(claim=claim, says="", verdict=Status.UNDECIDED, effect=None, low=None, high=None, n=0)


def _history(
    old: ClaimFile | None, changes: Sequence[Difference], seeds: Sequence[int], own: set[int], at: str
) -> tuple[list[Change], Kind]:
    """What was changed of a claim, one line each, and its kind.

    A claim is confirmatory on seeds of which no value was known at its last change. One whose seeds were known when it was
    changed stays exploratory until it is judged on others.
    """
    if old is None:
        return [], "exploratory" if own & {*seeds} else "confirmatory"
    seen = bool({*seeds} & {*old.scope.seeds, *old.scope.looked_at})
    lines = [Change(at=at, changed=one.name, before=one.before, after=one.after, seen=seen) for one in changes]
    if [*seeds] != old.scope.seeds:
        lines.append(Change(at=at, changed="seeds of the values", before=old.scope.seeds, after=[*seeds], seen=seen))
    if not lines:
        return old.history, old.kind
    return [*old.history, *lines], "exploratory" if seen else "confirmatory"


def of_experiments(
    arms: Mapping[str, list[str]],
    rows: Rows,
    seeds: Sequence[int],
    checks: Sequence[dict[str, dict[str, Any]]],
    old: ClaimFile | None,
    statistics: str,
    torch: str,
) -> ClaimFile:
    """The file of a claim on experiments of DVC; always exploratory, for whoever writes the claim has seen the scores.

    Args:
        arms: the name of each arm -> the commits of its experiments.
        seeds: those that all arms have.

    Raises:
        UserError: a claim is one that there is not, or does not fit.
    """
    runs = Runs(vary={ARM: list(arms)}, measure=list(rows), draws="one", seeds=list(seeds), seen=list(seeds))
    file = ClaimFile(
        question=f"What do the experiments {', '.join(arms)} say?",
        predicts="",
        status="undecided",
        kind="exploratory",
        checks=[_open(check) for check in checks if not is_control(check)],
        controls=[_open(check) for check in checks if is_control(check)],
        history=[*old.history] if old else [],
        scope=Scope(
            seeds=list(seeds),
            looked_at=[],
            data=DATA["one"],
            not_tested=old.scope.not_tested if old else "other data, networks and lengths of training; other machines",
        ),
        rests_on=Rests(experiments={arm: list(commits) for arm, commits in arms.items()}, statistics=statistics, torch=torch),
        runs=runs,
        values={measure: [list(row) for row in found] for measure, found in rows.items()},
    )
    found = judged(file)
    return found.model_copy(update={"predicts": "; ".join(check.says for check in found.checks)})


ARM = "experiment"
"""The axis of a claim on experiments."""
