"""Hostile and careless input: each ends well or is refused in words; no code of it runs, and nothing takes without end."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from small import stages

from campaign.families import CANARY, FAMILIES, GPT2, a_pickle
from campaign.labs import KINDS, copied, forget, lab, make, outs, set_knobs
from campaign.liar import lying
from campaign.server import KILL, Ended, Job, Server
from campaign.test_damage import files_read
from campaign.trials import Tally, scaled

pytestmark = pytest.mark.campaign

SECONDS = 30  # that a command may take: small as they are, honest ones take one
MEMORY = 3 << 29  # bytes beyond its imports
LINES, LONGEST = 12, 1000  # of a refusal: so many lines, so many characters in each


def judged(done: Ended, folder: Path) -> tuple[str, str]:
    """(how a trial ends, what was seen)."""
    if (folder / CANARY).exists():
        return "executed", done.said[-300:]
    if done.hung:
        return "hung", f"{done.status} after {done.seconds:.0f} s: {done.said[-500:]}"
    if done.crashed or done.status not in (0, 2):
        return "tracebacks", f"{done.status}: {done.said[-700:]}"
    if any((ord(sign) < 32 and sign not in "\n\t") or 0x7F <= ord(sign) < 0xA0 for sign in done.said):
        return "unclear", f"control characters reach the terminal: {done.said[-300:]!r}"
    if done.status == 0:
        return "right", ""
    lines = done.said.splitlines()
    if not done.said.strip() or len(lines) > LINES or max(map(len, lines)) > LONGEST:
        return (
            "unclear",
            f"{len(lines)} lines, the longest of {max(map(len, lines), default=0)} characters: {done.said[:300]!r}",
        )
    return "refused in words", ""


def removed(folder: Path) -> None:
    """Also what may not be written to."""
    shutil.rmtree(folder, ignore_errors=True)
    assert not folder.exists()


@pytest.mark.parametrize("name", FAMILIES)
def test_hostile_input_ends_well_or_is_refused_in_words(
    name: str, server: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    family = FAMILIES[name]
    start = copied(finished(family.kind), tmp_path / "start")
    if name == "model folders, safetensors":
        start = lab(tmp_path / "other", family.kind, GPT2)
        make(server, start, "prepare", "tokenize", "train")
        done = server.run(Job("campaign.commands:rally", str(start), ["export", "stock"]))
        assert done.status == 0, done.said
        shutil.rmtree(start / ".rally")
        set_knobs(start, {"train.init_from": "given", "train.steps": 2})
    elif name == "tokenizer.json":
        set_knobs(start, family.knobs)
        make(server, start, "tokenize")
        set_knobs(start, {"tokenize.kind": "file", "tokenize.path": "data/own/tokenizer.json"})
    else:
        set_knobs(start, family.knobs)
    before = outs(start)
    for number in range(scaled(family.count)):
        removed(tmp_path / "lab")
        folder, chance = copied(start, tmp_path / "lab"), random.Random(f"{name} {number}")
        what = family.spoil(folder, chance)
        for main, words in family.commands:
            main = "campaign.commands:rally" if main.startswith("pipeline.lab") else main
            done = server.run(Job(main, str(folder), list(words), seconds=SECONDS, memory=MEMORY))
            end, seen = judged(done, folder)
            if end != "right":
                break
        if end == "refused in words" and name not in ("model folders, safetensors",):
            after = outs(folder)
            if lost := [path for path, digest in before.items() if after.get(path) != digest and "tokens" not in path]:
                end, seen = "lost", f"{lost}; it said {done.said!r}"
        tally.add(f"hostile: {name}", end, f"{number} ({what}), {main} {' '.join(words)}: {seen}")
    tally.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_under_any_name_that_is_read_is_never_opened(
    kind: str, shim: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    number = 0
    for stage in stages():
        start = copied(finished(kind), tmp_path / "start")
        operations = shim.operations(Job(f"pipeline.{stage}", str(copied(start, tmp_path / "lab"))))
        shutil.rmtree(tmp_path / "lab" / ".rally", ignore_errors=True)
        for name in files_read(operations):
            if not (start / name).is_file():
                continue
            number += 1
            folder = copied(start, tmp_path / "lab")
            (folder / name).write_bytes(a_pickle(folder, random.Random(f"{kind} {number}")))
            done = shim.run(Job(f"pipeline.{stage}", str(folder), seconds=SECONDS, memory=MEMORY))
            end, seen = judged(done, folder)
            tally.add("hostile: pickles", end, f"{kind} {stage}: {name}: {seen}")
    tally.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_in_the_place_of_a_checkpoint_is_never_opened(
    kind: str, shim: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    """Also where its name carries its checksum, as whoever plants it would see to."""
    start = copied(finished(kind), tmp_path / "start")
    forget("train", start)
    operations = shim.operations(Job("pipeline.train", str(copied(start, tmp_path / "lab"))))
    at = [number for number, line in enumerate(operations, start=1) if line.startswith("rename")][-8]
    shim.run(Job("pipeline.train", str(start), at=at, action=KILL))
    for number in range(scaled(20)):
        folder, chance = copied(start, tmp_path / "lab"), random.Random(f"{kind} {number}")
        for path in [*folder.glob(".rally/checkpoints/*/step-*"), *folder.glob(".rally/checkpoints/*/*/step-*")]:
            content = a_pickle(folder, chance)
            path.unlink()
            step = path.name.rsplit("-", 1)[0]
            path.with_name(f"{step}-{sha256(content).hexdigest()[:16]}.safetensors").write_bytes(content)
        done = shim.run(Job("pipeline.train", str(folder), seconds=SECONDS, memory=MEMORY))
        end, seen = judged(done, folder)
        tally.add("hostile: pickles as checkpoints", end, f"{kind}, {number}: {seen}")
    tally.check()


COMMIT = "0123456789abcdef0123456789abcdef01234567"
LINES_OF_TEXT = "".join(f"Line {number} of a poem that somebody wrote.\n" for number in range(400)).encode()
ROWS = "".join(json.dumps({"id": number, "text": f"Once there were {number} bears."}) + "\n" for number in range(300)).encode()


@pytest.mark.parametrize("dataset", ["url", "hub"])
def test_a_server_that_lies_is_refused_in_words(
    dataset: str, server: Server, finished: Callable[[str], Path], tmp_path: Path, tally: Tally
) -> None:
    start = copied(finished("language"), tmp_path / "start")
    before = outs(start)
    for number in range(scaled(80)):
        chance = random.Random(f"{dataset} {number}")
        content = chance.choice(
            [ROWS if dataset == "hub" else LINES_OF_TEXT, gzip.compress(LINES_OF_TEXT), b"", os.urandom(500)]
        )
        folder, meant = copied(start, tmp_path / "lab"), sha256(content).hexdigest()
        with lying(content, meant, chance) as (address, what):
            knobs = {"prepare.dataset": "url", "prepare.url": f"{address}/text.txt", "prepare.sha256": meant}
            if dataset == "hub":
                knobs = {
                    "prepare.dataset": "hub", "prepare.repository": "owner/tales", "prepare.revision": COMMIT,
                    "prepare.file": "tales.jsonl", "prepare.sha256": chance.choice(["", meant]),
                }  # fmt: skip
            set_knobs(folder, knobs)
            surroundings = {"NO_PROXY": "127.0.0.1", "HF_ENDPOINT": address}
            job = Job("campaign.commands:prepare", str(folder), environment=surroundings, seconds=SECONDS, memory=MEMORY)
            done = server.run(job)
        end, seen = judged(done, folder)
        if end == "refused in words" and any(outs(folder).get(path) != digest for path, digest in before.items()):
            end, seen = "lost", "what an earlier run had left is gone"
        tally.add(f"hostile: servers, {dataset}", end, f"{number} ({what}): {seen}")
    tally.check()
