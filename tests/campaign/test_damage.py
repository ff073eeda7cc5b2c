"""Files that were damaged after they were written: whoever reads one refuses it in words, or what comes of it is the same."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small import stages

from campaign.damages import damaged, rot
from campaign.labs import KINDS, copied, forget, made_by
from campaign.readers import DOWNLOADED, READERS
from campaign.server import KILL, Ended, Job, Server
from campaign.trials import Tally, scaled

pytestmark = pytest.mark.campaign

CHUNK = 250  # trials of one process
MEMORY = 2 << 30  # bytes that a trial may take


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_by_its_reader_or_harmless(
    name: str, server: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    folder = copied(finished(READERS[name].kind), tmp_path / "lab")
    (folder / "downloaded").write_bytes(DOWNLOADED)
    (folder / "cache/downloads").mkdir(parents=True, exist_ok=True)
    (folder / READERS["downloads"].file).write_bytes(DOWNLOADED)
    kept = copied(folder, tmp_path / "kept")
    for first in range(0, count := scaled(2000), CHUNK):
        copied(kept, folder)
        words = [name, str(first), str(min(first + CHUNK, count))]
        done = server.run(Job("campaign.readers:trials", str(folder), words, memory=MEMORY, seconds=300))
        if done.status:  # the process is gone, by a signal or by memory: as grave as a traceback
            tally.add(f"damage: {name}", "hung" if done.hung else "tracebacks", f"{words}: {done.status} {done.said[-600:]}")
            continue
        found = json.loads(done.said.splitlines()[-1])
        for end, trials in found["ended"].items():
            tally.add(f"damage: {name}", end, "; ".join(found["faults"]), trials)
    tally.check()


# ------------------------------------------------------------------------------------------------------ through the stages


# Those that read files of others. plot's readers are among those above; drawing takes seconds.
READING = stages("evaluate", "train", "probe", without=("prepare", "plot"))


def judged(done: Ended, stage: str, folder: Path, expected: dict[str, str]) -> tuple[str, str]:
    """(how a trial ends, what was seen)."""
    if done.hung:
        return "hung", done.said[-500:]
    if done.crashed:
        return "tracebacks", done.said[-500:]
    if done.status:
        return ("refused in words" if done.refused else "unclear"), done.said
    found = made_by(stage, folder)
    wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    return ("silent", f"other bytes: {wrong}; it said {done.said!r}") if wrong else ("right", "")


def files_read(operations: list[str]) -> list[str]:
    """Those of the files of other stages that a stage opens."""
    paths = {words[1] for line in operations if (words := line.split(" ", 1))[0] == "read"}
    return sorted(path for path in paths if path.startswith(("data/", "models/", "metrics/")) and Path(path).suffix)


@pytest.mark.parametrize(("kind", "stage"), [(kind, stage) for stage in READING for kind in KINDS])
def test_a_stage_refuses_every_damaged_file_that_it_reads_or_leaves_the_same(
    kind: str, stage: str, shim: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    folder = copied(finished(kind), tmp_path / "lab")
    forget(stage, folder)
    start = copied(folder, tmp_path / "start")
    operations = shim.operations(Job(f"pipeline.{stage}", str(folder)))
    expected = made_by(stage, folder)
    files = [name for name in files_read(operations) if (start / name).is_file()]
    assert files
    for name in files:
        for trial in range(scaled(12)):
            copied(start, folder)
            content, what = damaged((folder / name).read_bytes(), random.Random(f"{stage} {name} {trial}"))
            rot(folder / name, content)
            done = shim.run(Job(f"pipeline.{stage}", str(folder), memory=MEMORY, seconds=30))
            end, seen = judged(done, stage, folder, expected)
            tally.add(f"damage, through {stage}", end, f"{kind} {stage}: {name}, trial {trial} ({what}): {seen}")
    tally.check()


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_what_a_killed_training_left_costs_time_alone(
    kind: str, shim: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    """Checkpoints, snapshots and good weights, from which the same command goes on."""
    folder = copied(finished(kind), tmp_path / "lab")
    forget("train", folder)
    killed = copied(folder, tmp_path / "killed")
    operations = shim.operations(Job("pipeline.train", str(folder)))
    expected = made_by("train", folder)
    late = [number for number, line in enumerate(operations, start=1) if line.startswith("rename")][-8]
    assert shim.run(Job("pipeline.train", str(killed), at=late, action=KILL)).killed
    left = [path.relative_to(killed) for path in killed.glob(".rally/checkpoints/**/*") if path.suffix == ".safetensors"]
    assert len(left) >= 4
    for trial in range(scaled(200)):
        chance = random.Random(f"{kind} {trial}")
        copied(killed, folder)
        forget("train", folder)
        for name in chance.sample(left, chance.choice([1, 1, 2, len(left)])):
            if chance.random() < 0.1:
                (folder / name).unlink()
                continue
            content, _ = damaged((folder / name).read_bytes(), chance)
            rot(folder / name, content)
        done = shim.run(Job("pipeline.train", str(folder), memory=MEMORY, seconds=60))
        end, seen = judged(done, "train", folder, expected)
        tally.add("damage: .rally/checkpoints", end, f"{kind}, trial {trial}: {seen}")
    tally.check()


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_cached_baselines_costs_time_alone(
    kind: str, server: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    folder, kept_in = copied(finished(kind), tmp_path / "lab"), Path(os.environ["RALLY_CACHE"]) / "baselines"
    shutil.rmtree(kept_in, ignore_errors=True)
    assert server.run(Job("pipeline.evaluate", str(folder))).status == 0
    expected = made_by("evaluate", folder)
    kept = {path.name: path.read_bytes() for path in kept_in.iterdir()}
    assert kept
    for trial in range(scaled(100)):
        for name, content in kept.items():
            shutil.rmtree(kept_in, ignore_errors=True)
            kept_in.mkdir(parents=True)
            changed, what = damaged(content, random.Random(f"{kind} {trial}"))
            (kept_in / name).write_bytes(changed)
            done = server.run(Job("pipeline.evaluate", str(folder), memory=MEMORY, seconds=60))
            end, seen = judged(done, "evaluate", folder, expected)
            tally.add("damage: cached baselines", end, f"{kind}, trial {trial} ({what}): {seen}")
    tally.check()
