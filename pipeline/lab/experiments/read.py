"""Experiments read from git and from DVC's queue: their knobs, their states, and the scores that belong to them.

`dvc exp show` says the same. But it takes half a second of computation for each experiment that it has not seen before, and
fails while a worker changes its files; tests/test_show.py holds one to the other.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import DIAGNOSIS, EVALUATION
from pipeline.identity import digest
from pipeline.lab.dvc import queue
from pipeline.lab.dvc.git import EXCEPT_DVC_TMP, GitRepository
from pipeline.lab.experiments.records import Experiment, Knob, State
from pipeline.lab.provenance.check import matches_of_commits
from pipeline.lab.provenance.commits import Commit, GitObjects
from pipeline.lab.provenance.dvc_files import PARAMS, STAGES, parse_mapping
from pipeline.lab.provenance.match import Match
from pipeline.lab.provenance.origin import Origin, flatten
from pipeline.lab.provenance.workspace import FileTree, Workspace
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.renamed import of_today

WORKSPACE = "workspace"
CODE, NOT_RUN_BY_STAGES = "pipeline", "lab"  # the folder with the code of the stages, and what in it no stage runs
CHANGED_CODE = "changed"  # stands for code of the working tree that no commit has

UNSCORED = f"has no {EVALUATION}"
KILLED = "was killed, and DVC still calls it running: end it with `dvc queue kill NAME`, remove it with `dvc queue remove NAME`"
FAILED = "failed, so it has no scores: `dvc queue logs NAME` says why, `dvc queue remove NAME` removes it"
DIVERGED = "diverged, so it has no scores; `dvc metrics show` has those of the weights at which it was stopped"
WAITS = "has no scores before it ends"


@dataclass(frozen=True)
class Entry:
    """What is listed, before its files are read. The commit of what runs in the working tree, and of itself, is ""."""

    name: str
    commit: str
    baseline: str
    state: State


def read_experiments(revisions: Sequence[str] = (), *, all_commits: bool = False) -> list[Experiment]:
    """The experiments of this commit, of the named revisions, or of all commits that have any; the commit itself first.

    Numbers that do not belong to their knobs, code and data are not in them. After the commit comes the working tree; then,
    commit by commit, what runs, what ended well (the newest first), what waits and what failed.

    Args:
        revisions: the name of an experiment stands for it alone, a branch, tag or hash for that commit and its experiments,
            `workspace` for the working tree. None = the commit that is checked out, with the working tree.

    Raises:
        UserError: one of them is not known.
    """
    listed = list(every_entry())
    head = queue.commit_of("HEAD")
    if revisions:
        blocks = [_named(word, listed, head) for word in revisions]
    else:
        baselines = [head, *(entry.baseline for entry in listed)] if all_commits else [head]
        blocks = [_with_experiments(commit, listed) for commit in dict.fromkeys(baselines)]
        blocks[0].insert(1 if head else 0, Entry(WORKSPACE, "", "", State.DONE))
    read = _read({entry for block in blocks for entry in block})
    ordered = (entry for block in blocks for entry in _newest_first(block, read))
    return [read[entry] for entry in dict.fromkeys(ordered)]


def every_entry() -> Iterator[Entry]:
    """The experiments of all commits, in the order of their states."""
    running = [*queue.runs_outside_the_queue(), *(task for task in queue.queued_tasks() if not task.waits)]
    for task in running:
        state = State.KILLED if task.revision and queue.was_killed(task.revision) else State.RUNNING
        yield Entry(task.name or task.revision[:7], task.revision, task.baseline, state)
    for one in queue.experiments():
        yield Entry(one.name, one.commit, one.baseline, State.DONE)
    for state, tasks in ((State.QUEUED, queue.queued_tasks()), (State.FAILED, queue.failed_tasks())):
        for task in tasks:
            if task.waits or state is State.FAILED:
                yield Entry(task.name or task.revision[:7], task.revision, task.baseline, state)


def _named(word: str, listed: Sequence[Entry], head: str) -> list[Entry]:
    if word == WORKSPACE:
        return [Entry(WORKSPACE, "", "", State.DONE)]
    if named := [entry for entry in listed if entry.name == word]:
        return [entry for entry in named if entry.baseline == head] or named
    if commit := queue.commit_of(word):
        alone = [entry for entry in listed if entry.commit == commit]
        return alone or _with_experiments(commit, listed)
    known = tuple(dict.fromkeys(entry.name for entry in listed))
    instead = suggest(word, known) if known else "There is no experiment yet; `dvc exp run -S train.lr=0.01` makes one"
    raise UserError(
        f"{word if word.strip() else repr(word)}: there is no experiment, branch, tag or commit of this name. {instead}"
    )


def _with_experiments(commit: str, listed: Sequence[Entry]) -> list[Entry]:
    """A commit and the experiments that began from it; none where there is no commit yet."""
    itself = [Entry("", commit, "", State.DONE)] if commit else []
    return [*itself, *(entry for entry in listed if entry.baseline == commit)]


# ------------------------------------------------------------------------------------------------------------ their files


def _read(entries: Collection[Entry]) -> dict[Entry, Experiment]:
    matches = matches_of_commits(
        [entry.commit for entry in entries if entry.commit and entry.state is State.DONE], [EVALUATION, DIAGNOSIS]
    )
    names = _names_of_commits()
    with GitObjects() as objects:
        return {entry: _experiment(entry, objects, names, matches.get(entry.commit, {})) for entry in entries}


def _newest_first(block: Iterable[Entry], read: Mapping[Entry, Experiment]) -> Iterator[Entry]:
    """The entries of a commit: of each state the newest first; itself stays where it is."""
    for _, some in groupby(block, lambda entry: (entry.baseline, entry.state)):
        yield from sorted(some, key=lambda entry: -created.timestamp() if (created := read[entry].created) else 0.0)


def _names_of_commits() -> dict[str, str]:
    """commit -> its branch or tag; that of HEAD is the branch that is checked out."""
    git = GitRepository(Path())
    lines = git.raw("for-each-ref", "--format=%(objectname) %(*objectname) %(refname:short)", "refs/tags", "refs/heads")
    found = {commit: words[-1] for words in map(str.split, lines.splitlines()) for commit in words[:-1]}
    return found | ({git("rev-parse", "HEAD"): branch.removeprefix("refs/heads/")} if (branch := git.branch()) else {})


def _experiment(entry: Entry, objects: GitObjects, names: Mapping[str, str], matches: Mapping[Path, Match]) -> Experiment:
    """An experiment with all that its files say."""
    tree = objects.project(entry.commit) if entry.commit else None
    files: FileTree = Commit(objects, tree) if tree else Workspace()
    found = _Result()
    if entry.state is State.DONE:
        origin = Origin(files) if not entry.commit else None
        of_files = {path: origin.match(path) for path in (EVALUATION, DIAGNOSIS)} if origin else matches
        found = _result(files, of_files, _remedy(entry))
    else:
        found = _Result(missing={State.KILLED: KILLED, State.FAILED: FAILED}.get(entry.state, WAITS))
    name = entry.name or names.get(entry.commit) or entry.commit[:7]
    return Experiment(
        name=name,
        commit=entry.commit,
        baseline=entry.baseline,
        state=entry.state,
        created=_created(objects, entry.commit),
        knobs=_knobs(files.read(PARAMS)),
        scores=found.scores,
        finding=found.finding,
        diverged=found.diverged,
        missing=found.missing.replace("NAME", name),
        undiagnosed=found.undiagnosed.replace("NAME", name),
        code=_code(objects, tree),
    )


@dataclass(frozen=True)
class _Result:
    """What was measured; the reasons have NAME for the name of the experiment."""

    scores: Mapping[str, float] = field(default_factory=dict)
    finding: str = ""
    diverged: bool = False
    missing: str = ""
    undiagnosed: str = ""


def _result(files: FileTree, matches: Mapping[Path, Match], remedy: str) -> _Result:
    """The scores and the finding of a run that ended, without those that are of other knobs, code or data."""
    evaluation, diagnosis = (_json(files.read(str(path))) for path in (EVALUATION, DIAGNOSIS))
    why = {path: matches[path].mismatch for path, content in ((EVALUATION, evaluation), (DIAGNOSIS, diagnosis)) if content}
    finding, symptoms = "", list[str]()
    if diagnosis and not why[DIAGNOSIS]:
        finding = word if isinstance(word := diagnosis.get("finding"), str) else ""
        found = named if isinstance(named := diagnosis.get("findings"), list) else []
        symptoms = [str(one.get("name")) for one in found if isinstance(one, dict)]
    undiagnosed = why.get(DIAGNOSIS, "")
    undiagnosed = f"no finding: {undiagnosed}; {remedy}" if undiagnosed and undiagnosed != why.get(EVALUATION) else ""
    if not evaluation:
        return _Result(finding=finding, missing=UNSCORED, undiagnosed=undiagnosed)
    if why[EVALUATION]:
        return _Result(finding=finding, missing=f"no scores: {why[EVALUATION]}; {remedy}", undiagnosed=undiagnosed)
    scores = {name: float(value) for name, value in evaluation.items() if _is_finite(value)}
    if "diverged" in symptoms or "loss" not in scores:  # a loss that is not finite is not written
        return _Result(finding=finding, diverged=True, missing=DIVERGED, undiagnosed=undiagnosed)
    return _Result(scores, finding, undiagnosed=undiagnosed)


def _remedy(entry: Entry) -> str:
    if not entry.commit:
        return "`dvc repro` makes new ones"
    return "`dvc exp apply NAME`, then `dvc repro`" if entry.baseline else "`dvc repro` where it is checked out"


def _is_finite(value: object) -> bool:
    """Whether it is a number that a float holds; JSON has larger whole numbers."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _json(content: bytes | None) -> dict[str, Any]:
    """The content of a JSON file; nothing where there is none, or where it holds something else."""
    try:
        parsed = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _knobs(content: bytes | None) -> dict[str, Knob]:
    """All knobs of a params.yaml, by today's names; a list as one text."""
    knobs = flatten(of_today(parse_mapping(content) or {}))
    return {name: value if isinstance(value, Knob) else str(value) for name, value in knobs.items()}


def _created(objects: GitObjects, commit: str) -> datetime | None:
    """When a commit was made, in the time zone of this machine."""
    content = objects.read(commit) if commit else None
    found = re.search(rb"^committer .*> (\d+) [-+]\d{4}$", content[1], re.MULTILINE) if content else None
    return datetime.fromtimestamp(int(found[1]), UTC).astimezone() if found else None


def _code(objects: GitObjects, tree: str | None) -> str:
    """A digest of the code of the stages and of dvc.yaml in a commit, or of the working tree (tree: None)."""
    if tree is None:
        words = ("--", STAGES, CODE, f":(exclude){CODE}/{NOT_RUN_BY_STAGES}", *EXCEPT_DVC_TMP[1:])
        if not GitRepository(Path()).succeeds("diff", "--quiet", "--no-ext-diff", "HEAD", *words):
            return CHANGED_CODE
        tree = objects.project("HEAD") or ""
    top = objects.tree(tree)
    inside = objects.tree(top[CODE][1]) if CODE in top else {}
    parts = [(name, entry[1]) for name, entry in sorted(inside.items()) if name != NOT_RUN_BY_STAGES]
    return digest([top.get(STAGES, ("", ""))[1], *parts])[:12]
