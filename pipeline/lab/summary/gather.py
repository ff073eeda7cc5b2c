"""The notebook read: the experiments of this branch or of all commits, the studies played, claims, bets and findings."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.artifacts.paths import DIAGNOSIS
from pipeline.figures.words import knob_text
from pipeline.lab.bets.bet import read_bets
from pipeline.lab.comparison.more_seeds import shared_knobs
from pipeline.lab.duel.log import Line, read_log
from pipeline.lab.dvc import queue
from pipeline.lab.dvc.git import GitRepository, join_names, short_hash
from pipeline.lab.experiments.read import WORKSPACE, every_entry, read_experiments
from pipeline.lab.experiments.records import HEALTHY, Experiment, State
from pipeline.lab.provenance.commits import Commit, GitObjects
from pipeline.lab.statistics.intervals import Interval
from pipeline.lab.summary.grids import played_grids
from pipeline.lab.summary.records import ClaimLine, DuelLine, Notebook, Treatment
from pipeline.lab.summary.settings import settings_of
from pipeline.params.errors import UserError


def notebook(*, all_commits: bool, since: str, metric: str | None) -> Notebook:
    """All that is known here.

    Args:
        all_commits: the experiments of every commit, not only of those of this branch.
        since: of the branch only the commits after this one, and itself; "" = all.

    Raises:
        UserError: there is no such commit or score.
    """
    experiments = in_order(_experiments(all_commits, since))
    base = shared_knobs(one for one in experiments if one.commit)  # without the working tree, which changes no conclusion
    grids, damaged = played_grids()
    duels = list[DuelLine]()
    try:
        duels = duel_lines(read_log())
    except UserError as error:
        damaged = [*damaged, str(error)]
    failed = [one.name for one in experiments if one.state is State.FAILED]
    return Notebook(
        settings=settings_of(experiments, metric, base),
        grids=grids,
        claims=claim_lines(),
        bets=read_bets(),
        duels=duels,
        treatments=treatments(experiments),
        finding_counts=finding_counts(experiments),
        base=base,
        notes=[*([f"{join_names(failed)} failed; `dvc queue logs {failed[0]}` says why"] if failed else []), *damaged],
    )


def _experiments(all_commits: bool, since: str) -> list[Experiment]:
    """Of the commits that have experiments, those that are asked for; the working tree is one of them."""
    git, head = GitRepository(Path()), queue.commit_of("HEAD")
    if not head:
        return read_experiments()
    begun = [entry.baseline for entry in every_entry() if entry.baseline]
    wanted = list(dict.fromkeys([*begun, head]))
    if since and not (first := queue.commit_of(since)):
        raise UserError(f"--since {since}: there is no such commit, branch or tag. `git log --oneline` lists commits")
    if since:
        own = {first, *git("rev-list", f"{first}..HEAD").split()}
        wanted = [commit for commit in wanted if commit in own]
    elif not all_commits:
        own = set(git("rev-list", "HEAD").split())
        wanted = [commit for commit in wanted if commit in own]
    return read_experiments([WORKSPACE, *wanted])


def in_order(experiments: Iterable[Experiment]) -> list[Experiment]:
    """The working tree, commits, then experiments: of equal knobs and seeds the last one names the variant.

    So a page does not change when it is committed, although the branch has a new commit with the same results.
    """
    return sorted(experiments, key=lambda one: (bool(one.commit) + bool(one.baseline), _age(one), one.name))


def _age(one: Experiment) -> float:
    """Of a commit none: HEAD, whose name is that of its branch, stays the last."""
    return one.created.timestamp() if one.baseline and one.created else 0.0


# --------------------------------------------------------------------------------------------------------------- doctor


def finding_counts(experiments: Iterable[Experiment]) -> dict[str, int]:
    """finding -> in how many experiments, the most frequent first; of equal ones in the order of the alphabet."""
    found = Counter("diverged" if one.diverged else one.finding for one in _unique(experiments) if one.diverged or one.finding)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _unique(experiments: Iterable[Experiment]) -> list[Experiment]:
    """Each result once: commits on a branch hand the same one down."""
    found: dict[tuple[str, str], Experiment] = {}
    for one in experiments:
        found[repr(sorted(one.knobs.items())), one.code] = one
    return list(found.values())


def treatments(experiments: Sequence[Experiment]) -> list[Treatment]:
    """What the doctor proposes for the first finding of each experiment in which it has named a symptom."""
    found = []
    with GitObjects() as objects:
        for one in experiments:
            if one.finding in HEALTHY:
                continue
            content = DIAGNOSIS.read_bytes() if not one.commit and DIAGNOSIS.is_file() else None
            if one.commit and (tree := objects.project(one.commit)):
                content = Commit(objects, tree).read(str(DIAGNOSIS))
            found += treatment(one.name, content)
    return found


def treatment(name: str, content: bytes | None) -> list[Treatment]:
    """The likeliest cause of the first finding of a diagnosis that has a command; none where there is none."""
    with contextlib.suppress(ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        first = json.loads(content or b"{}")["findings"][0]
        for cause in first["causes"]:
            if cause["command"]:
                shlex.split(cause["command"])  # an error where it cannot be typed
                return [Treatment(name, str(first["name"]), str(cause["name"]), str(cause.get("knob") or ""), cause["command"])]
    return []


# --------------------------------------------------------------------------------------------------------- duels, claims


def duel_lines(log: Iterable[Line]) -> list[DuelLine]:
    """The last duel of each two sides, in the order of the log: a duel that went on has a line for each time."""
    last = {json.dumps([line[part] for part in ("champion", "challenger", "metric", "draws")]): line for line in log}
    return [_duel_line(line) for line in last.values()]


def _duel_line(line: Line) -> DuelLine:
    challenger = line["challenger"]
    changes = [f"{name} {knob_text(value)}" for name, value in (challenger.get("knobs") or {}).items()]
    changes += [f"patch of {name}" for name in (challenger.get("patch") or {}).get("files", ())]
    gain = line["gain"] if isinstance(line["gain"], dict) else {}
    ends = [float(end) for name in ("low", "mean", "high") if isinstance(end := gain.get(name), int | float)]
    return DuelLine(
        line["date"][:10],
        short_hash(str(line["champion"].get("commit", ""))),
        ", ".join(changes),
        line["metric"],
        len(line["seeds"]),
        Interval(*ends) if len(ends) == 3 else None,
        line["verdict"],
    )


def claim_lines() -> list[ClaimLine]:
    """The claims of notebook/claims as they stand, in the order of `rally claims`."""
    from pipeline.lab.claim_files.listing import standings
    from pipeline.lab.claim_files.standing import Project

    lines = []
    for one in standings(Project()):
        checks = one.today.checks if one.today else []
        telling = next((check for check in checks if check.verdict != "held"), checks[0] if checks else None)
        lines.append(
            ClaimLine(
                one.name,
                one.status,
                one.file.kind if one.file else "",
                len(one.file.scope.seeds) if one.file else 0,
                telling.says if telling else "",
                "; ".join(reason.text() for reason in one.reasons),
            )
        )
    return lines
