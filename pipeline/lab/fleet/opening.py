"""`--on`: its words, and the commit that is handed over."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.artifacts.paths import private_folder
from pipeline.lab.dvc.base_params import PARAMS, BaseParams
from pipeline.lab.dvc.git import git, join_names, short_hash
from pipeline.lab.fleet.base import Needs
from pipeline.lab.fleet.fleet import Commit, Fleet, TasksFailedError
from pipeline.lab.fleet.table import ENGINES, POOL
from pipeline.params.errors import UserError, printable
from pipeline.params.names import suggest
from pipeline.params.parse import parse
from pipeline.params.stages import Runtime

WORDS = (POOL, "submitit", "slurm", "slurm:PARTITION", "ray://HOST:PORT", "ray:HOST:PORT")


@contextlib.contextmanager
def opened_fleet(on: str, base: BaseParams, remote: str = "") -> Iterator[Fleet | None]:
    """The machines that --on names, for a block; None for the pool of processes here. Ends the program if tasks failed.

    Args:
        base: the parameters and commit of what is to be run.
        remote: the name of a git remote, for machines that cannot read the repository here.

    Raises:
        UserError: there is no such engine, it cannot be used, or the code is not that of a commit.
    """
    engine, _, address = on.partition(":")
    if engine == POOL and on == POOL:
        if remote:
            raise UserError("--remote: is for machines that --on names; leave it out")
        yield None
        return
    if engine not in ENGINES or (address == "" and on.endswith(":")):
        near = suggest(engine, WORDS) if engine not in ENGINES else f"Known: {', '.join(WORDS)}"
        raise UserError(f"--on: there is no '{on}'. {near}")
    commit = _commit_of(base, remote)
    runtime = parse(Runtime, base.sections.get("runtime", {}), ("runtime",))
    needs = Needs(runtime.threads or 1, runtime.device == "cuda", runtime.workers)
    folder = private_folder("fleet") / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    opened = ENGINES[engine](address, needs, folder)
    failed = False
    try:
        yield Fleet(on, opened, commit)
    except TasksFailedError as error:
        failed = True
        print(*map(printable, error.problems), sep="\n", file=sys.stderr)
        if folder.exists():
            print(f"logs: {folder}", file=sys.stderr)
        sys.exit(1)
    finally:
        opened.close(keep_logs=failed)


def _commit_of(base: BaseParams, remote: str) -> Commit:
    """The commit, if all that a training depends on is in it."""
    if not base.commit:
        raise UserError("--on: nothing is committed here, and other processes run a commit; git add -A && git commit")
    differ = f"differ{'s' * (len(base.changed_code) == 1)} from commit {short_hash(base.commit)}"
    if base.changed_code:
        raise UserError(f"{join_names(base.changed_code)}: {differ}, which --on runs; git add -A && git commit")
    if base.as_is and base.changed_knobs:
        knobs = join_names(sorted(base.changed_knobs))
        raise UserError(f"{PARAMS}: {knobs} differ from commit {short_hash(base.commit)}, which --on runs; git commit {PARAMS}")
    top, prefix = (git("rev-parse", "--show-toplevel") or "").strip(), (git("rev-parse", "--show-prefix") or "").strip()
    private = str(private_folder("fleet").resolve())
    return Commit(base.commit, top, prefix, private, _url_of(remote, base.commit) if remote else "")


def _url_of(remote: str, commit: str) -> str:
    """Where others clone from, if the commit is there."""
    url = (git("remote", "get-url", remote) or "").strip()
    if not url:
        known = (git("remote") or "").split()
        raise UserError(
            f"--remote: there is no git remote '{remote}'. {suggest(remote, tuple(known)) if known else 'There is none'}"
        )
    if not (git("for-each-ref", "--contains", commit, f"refs/remotes/{remote}/") or "").strip():
        raise UserError(f"--remote {remote}: has no commit {short_hash(commit)}; git push {remote} first")
    return str(Path(url).resolve()) if Path(url).exists() else url
