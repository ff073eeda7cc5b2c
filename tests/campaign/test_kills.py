"""A stage that is killed at any of its file operations: the same command then ends, to the byte, where an unbroken run does.

To be killed after an operation is to be killed before the next one, so each operation stands for the moment before it; a write
also for the moment in which half of it is done.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small import stages

from campaign.labs import KINDS, begun, copied, forget, leftovers, made_by, set_knobs
from campaign.server import KILL, TEAR, Job, Server
from campaign.trials import SCALE, Tally, scaled

pytestmark = pytest.mark.campaign

STEPS = 16  # of the training that is killed: 600 file operations and more
PICTURES_KILLED = 9  # operations of plot at which it is killed: a run takes seconds, and all files are written by one function


def judged(server: Server, job: Job, stage: str, expected: dict[str, str]) -> tuple[str, str]:
    """(how a trial ends, what was seen) where the same command runs once more after its kills.

    Other bytes come before what was left behind. A checkpoint's name holds the checksum of its content: a resumed training that
    has other numbers than the killed one never writes the file again that the kill left in part, and so does not remove it.
    """
    folder = Path(job.folder)
    forget(stage, folder)
    done = server.run(Job(job.main, job.folder))
    if done.hung:
        return "hung", done.said
    if done.status:
        return ("tracebacks" if done.crashed else "lost"), done.said[-500:]
    found = made_by(stage, folder)
    if wrong := [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]:
        return "silent", f"other bytes: {wrong}"
    left = leftovers(folder)
    return ("corrupt", f"left behind: {left}") if left else ("right", "")


def chosen(operations: list[str], stage: str) -> list[int]:
    """The numbers of the operations at which a stage is killed: all of them, or those that stand for all."""
    numbers = list(range(1, len(operations) + 1))
    wanted = round(SCALE * len(numbers)) if stage != "plot" else min(scaled(PICTURES_KILLED), len(numbers))
    return sorted(random.Random(0).sample(numbers, min(max(wanted, 2), len(numbers))))


# The long ones first, so that two workers end together.
CASES = [(kind, stage) for stage in stages("train", "plot", "probe", "evaluate") for kind in KINDS]


def training(finished: Path, stage: str, tmp_path: Path, server: Server) -> tuple[Path, dict[str, str], list[str]]:
    """(a lab in which the stage is about to run, what it leaves unbroken, its file operations)."""
    start = begun(finished, stage, tmp_path / "start")
    set_knobs(start, {"train.steps": STEPS, "train.validation_points": 4, "train.log_points": 8} if stage == "train" else {})
    unbroken = copied(start, tmp_path / "unbroken")
    operations = server.operations(Job(f"pipeline.{stage}", str(unbroken)))
    return start, made_by(stage, unbroken), operations


@pytest.mark.parametrize(("kind", "stage"), CASES, ids=[f"{kind} {stage}" for kind, stage in CASES])
def test_killed_at_any_file_operation_the_same_command_ends_where_an_unbroken_run_does(
    kind: str, stage: str, shim: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    start, expected, operations = training(finished(kind), stage, tmp_path, shim)
    assert expected and len(operations) > 10
    resumed = 0
    for number in chosen(operations, stage):
        torn = [TEAR] if operations[number - 1].startswith("write") else []
        for action in [KILL, *torn]:
            folder = copied(start, tmp_path / "lab")
            done = shim.run(Job(f"pipeline.{stage}", str(folder), at=number, action=action))
            assert done.killed, f"operation {number} of {len(operations)} did not come: {done}"
            resumed += bool(list(folder.glob(".rally/checkpoints/*/step-*")))
            end, seen = judged(shim, Job(f"pipeline.{stage}", str(folder)), stage, expected)
            how = f"{kind} {stage}, {'torn' if action == TEAR else 'killed'} at {number} ({operations[number - 1]}): {seen}"
            tally.add(f"kill -9 at a file operation of {stage}", end, how)
    assert resumed or stage != "train", "no kill came when there was something to go on from"
    tally.check()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_again_and_again_a_training_ends_where_an_unbroken_one_does(
    kind: str, shim: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    start, expected, operations = training(finished(kind), "train", tmp_path, shim)
    for trial in range(scaled(60)):
        moments = random.Random(trial)
        folder = copied(start, tmp_path / "lab")
        for _ in range(moments.randint(2, 4)):
            at = moments.randint(1, len(operations))
            shim.run(Job("pipeline.train", str(folder), at=at, action=moments.choice([KILL, TEAR])))
            if moments.random() < 0.5:
                forget("train", folder)
        end, seen = judged(shim, Job("pipeline.train", str(folder)), "train", expected)
        tally.add("kill -9, several times in one training", end, f"{kind}, trial {trial}: {seen}")
    tally.check()


def renamed(operations: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each file or folder that takes a place, and which of its files were not forced to the disk since they were written."""
    unforced: set[str] = set()
    for operation in operations:
        call, _, path = operation.partition(" ")
        if call == "write":
            unforced.add(path)
        elif call == "fsync":
            unforced.discard(path)
        elif call == "rename":
            source = path.partition("\t")[0]
            yield source, [name for name in unforced if Path(name).is_relative_to(source)]


@pytest.mark.parametrize(("kind", "stage"), CASES, ids=[f"{kind} {stage}" for kind, stage in CASES])
def test_what_takes_a_files_place_is_on_the_disk_before_it_does(
    kind: str, stage: str, shim: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    """A power cut cannot be had here; what it needs of a program can be read from the order of its file operations."""
    folder = begun(finished(kind), stage, tmp_path / "lab")
    for source, names in renamed(shim.operations(Job(f"pipeline.{stage}", str(folder)))):
        tally.add("fsync before rename", "corrupt" if names else "right", f"{kind} {stage}: {source} with {names}")
    tally.check()
