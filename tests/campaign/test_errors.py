"""A disk that is full, a quota that is used up, a write that fails: at any write of a stage, in a line; nothing is lost."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small import stages

from campaign.labs import KINDS, copied, leftovers, made_by, outs
from campaign.server import FAIL, FULL, Ended, Job, Server
from campaign.trials import SCALE, Tally, scaled

pytestmark = pytest.mark.campaign

# What a disk says, and whether it goes on saying so: a full one does, until somebody makes room.
ERRORS = [(errno.ENOSPC, FULL), (errno.EIO, FAIL), (errno.EDQUOT, FULL)]
LIMITS = [0, 1, 100, 1000, 4096, 20_000, 100_000]  # bytes of a file, beyond which the kernel refuses (EFBIG)
LIVE = "metrics/"  # what train rewrites while it runs: curves so far
PLOT_FAILS = 9  # writes of plot that fail, for the reason why it is killed so rarely (test_kills.py)
CASES = [(kind, stage) for stage in stages("plot", "train", "probe") for kind in KINDS]


def judged(server: Server, done: Ended, job: Job, stage: str, before: dict[str, str]) -> tuple[str, str]:
    """(how a trial ends, what was seen): after the failure all that was there is there, and the same command makes it anew."""
    folder = Path(job.folder)
    if done.hung or done.crashed or done.status not in (0, 2):
        return ("hung" if done.hung else "tracebacks"), done.said[-800:]
    after = outs(folder)
    gone = [name for name, digest in before.items() if after.get(name) != digest and not (stage == "train" and LIVE in name)]
    if gone:
        return "lost", f"no longer as they were: {gone}; it said {done.said!r}"
    if left := leftovers(folder):
        return "corrupt", f"left behind: {left}"
    again = server.run(Job(job.main, job.folder))
    if again.status:
        return ("tracebacks" if again.crashed else "lost"), f"the same command again: {again.said[-500:]}"
    if (found := made_by(stage, folder)) != {name: before[name] for name in found} or leftovers(folder):
        return "silent", "the same command again leaves other bytes"
    if done.status == 0:
        return "right", ""
    last = done.said.strip().splitlines()[-1]
    names_it = re.search(r"(data|models|metrics|plots|\.rally|cache)\b", last) and len(last) < 600
    return ("refused in words" if names_it else "unclear"), last


@pytest.mark.parametrize(("kind", "stage"), CASES, ids=[f"{kind} {stage}" for kind, stage in CASES])
def test_a_write_that_fails_is_a_line_that_names_the_file_and_costs_nothing(
    kind: str, stage: str, shim: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    start = finished(kind)
    before = outs(start)
    operations = shim.operations(Job(f"pipeline.{stage}", str(copied(start, tmp_path / "lab")), action=FAIL))
    numbers = list(range(1, len(operations) + 1))
    some = scaled(PLOT_FAILS) if stage == "plot" else max(2, round(SCALE * len(numbers)))
    for number in sorted(random.Random(0).sample(numbers, min(some, len(numbers)))):
        error, action = ERRORS[number % len(ERRORS)]
        folder = copied(start, tmp_path / "lab")
        job = Job(f"pipeline.{stage}", str(folder), at=number, action=action, error=error)
        end, seen = judged(shim, shim.run(job), job, stage, before)
        how = f"{kind} {stage}: {os.strerror(error)} at write {number} of {len(operations)} ({operations[number - 1]}): {seen}"
        tally.add(f"{errno.errorcode[error]} at a write of {stage}", end, how)
    tally.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_may_not_grow_further_is_a_line_that_names_it(
    kind: str, server: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    """The kernel's own refusal, without the shim."""
    start = finished(kind)
    before = outs(start)
    for stage in stages():
        for size in LIMITS[:: 1 if SCALE >= 1 and stage != "plot" else 3]:
            folder = copied(start, tmp_path / "lab")
            job = Job(f"pipeline.{stage}", str(folder), size=max(size, 1))
            end, seen = judged(server, server.run(job), job, stage, before)
            tally.add("a limit on the size of files", end, f"{kind} {stage}, {size} bytes: {seen}")
    tally.check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_may_not_be_written_to_is_a_line_that_names_it(
    kind: str, server: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    start = finished(kind)
    before = outs(start)
    for stage in stages():
        for place in ("data", "models/trained", "metrics", "plots", "."):
            folder = copied(start, tmp_path / "lab")
            (folder / place).chmod(0o500)
            job = Job(f"pipeline.{stage}", str(folder))
            done = server.run(job)
            (folder / place).chmod(0o700)
            end, seen = judged(server, done, job, stage, before)
            tally.add("a folder that may not be written to", end, f"{kind} {stage}, {place}: {seen}")
            shutil.rmtree(folder)
    tally.check()
