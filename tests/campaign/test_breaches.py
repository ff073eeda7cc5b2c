"""The campaign sees what it is there to see: some of its trials with an honest stage, and with one that breaks a promise."""

from __future__ import annotations

import errno
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from campaign import test_damage, test_errors, test_hostile, test_kills
from campaign.damages import damaged, rot
from campaign.families import a_pickle
from campaign.labs import begun, copied, made_by, outs
from campaign.server import FULL, KILL, Job, Server
from campaign.trials import Tally, table

pytestmark = pytest.mark.slow
HONEST = {"right", "refused in words"}


def test_a_training_that_forgets_is_seen_by_its_kills(shim: Server, finished: Callable[[str], Path], tmp_path: Path) -> None:
    start, expected, operations = test_kills.training(finished("language"), "train", tmp_path, shim)
    ended = {}
    for main in ("pipeline.train", "campaign.breaches:train_that_forgets"):
        folder = copied(start, tmp_path / "lab")
        assert shim.run(Job(main, str(folder), at=len(operations) // 2, action=KILL)).killed
        ended[main], _ = test_kills.judged(shim, Job(main, str(folder)), "train", expected)
    assert list(ended.values()) == ["right", "silent"]


def test_a_stage_that_removes_before_it_has_made_is_seen_by_a_full_disk(
    shim: Server, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    start, ended = finished("language"), {}
    for main in ("pipeline.tokenize", "campaign.breaches:tokenize_in_place"):
        folder = copied(start, tmp_path / "lab")
        done = shim.run(Job(main, str(folder), at=9, action=FULL, error=errno.ENOSPC))
        ended[main], _ = test_errors.judged(shim, done, Job(main, str(folder)), "tokenize", outs(start))
    assert list(ended.values()) == ["refused in words", "lost"]


def test_a_stage_that_trusts_its_files_is_seen_by_damage(shim: Server, finished: Callable[[str], Path], tmp_path: Path) -> None:
    start = begun(finished("language"), "tokenize", tmp_path / "start")
    content = (start / "data/raw/train.txt").read_bytes()
    ended: dict[str, set[str]] = {}
    for main in ("pipeline.tokenize", "campaign.breaches:tokenize_that_trusts"):
        for trial in range(4):
            folder = copied(start, tmp_path / "lab")
            rot(folder / "data/raw/train.txt", damaged(content, random.Random(trial))[0])
            expected = made_by("tokenize", finished("language"))
            end, _ = test_damage.judged(shim.run(Job(main, str(folder))), "tokenize", folder, expected)
            ended.setdefault(main, set()).add(end)
    honest, trusting = ended.values()
    assert honest == {"refused in words"} and trusting - HONEST


def test_a_stage_that_opens_pickles_is_seen_by_its_canary(
    shim: Server, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    ended = {}
    for main in ("pipeline.tokenize", "campaign.breaches:tokenize_that_unpickles"):
        folder = copied(finished("language"), tmp_path / "lab")
        (folder / "data/raw/train.ends.npy").write_bytes(a_pickle(folder, random.Random(0)))
        ended[main], _ = test_hostile.judged(shim.run(Job(main, str(folder))), folder)
    assert list(ended.values()) == ["refused in words", "executed"]


def test_a_file_that_is_not_forced_to_the_disk_is_seen_by_its_operations(
    shim: Server, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    early = {}
    for main in ("pipeline.tokenize", "campaign.breaches:tokenize_unforced"):
        operations = shim.operations(Job(main, str(copied(finished("language"), tmp_path / "lab"))))
        early[main] = [source for source, names in test_kills.renamed(operations) if names]
    honest, unforced = early.values()
    assert not honest and unforced


def test_the_table_adds_up_and_what_is_not_well_fails() -> None:
    tally = Tally()
    tally.add("kills", "right", count=1200)
    tally.add("damage", "refused in words")
    tally.check()
    tally.add("damage", "silent", "the file, the trial")
    with pytest.raises(AssertionError, match="damage: silent: the file, the trial"):
        tally.check()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(tally.ended).splitlines()]
    assert [row[:3] for row in rows[2:]] == [["damage", "2", "0"], ["kills", "1,200", "1,200"], ["all", "1,202", "1,200"]]
    assert rows[0][0] == "kind of trial" and all(re.fullmatch("-+", cell) for cell in rows[1])
    assert Counter(tally.ended["damage"]) == {"refused in words": 1, "silent": 1}
