"""Kills through DVC, eight experiments at once, a rotting disk: what comes out is right, and nothing of the user's is lost.

RALLY_KILLS says how many random moments each way of running tries (default 8).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from test_journey import BIN, clone, commit, environment, hashes, ran, run, set_knobs, settings

from campaign.damages import damaged, rot
from campaign.trials import SCALE, Tally, scaled

pytestmark = pytest.mark.campaign

KILLS = int(os.environ.get("RALLY_KILLS", max(1, round(8 * SCALE))))
KNOBS = {"seed": 5, "prepare.seed": 4}  # so that every stage has to run
PATIENCE = 600  # seconds that a queue may take


@pytest.fixture(scope="module")
def ran_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `dvc repro` has run, committed."""
    folder = clone(tmp_path_factory.mktemp("first"))
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


# ------------------------------------------------------------------------------------------------------- what is the user's


def work(folder: Path) -> None:
    """What somebody has before an experiment: a stash, a staged file, a changed one, one that git does not know."""
    readme = folder / "README.md"
    readme.write_text(readme.read_text() + "\nput aside\n")
    git(folder, "stash", "push", "-q", "-m", "somebody's own")
    readme.write_text(readme.read_text() + "\na note of one's own\n")
    (folder / "staged.md").write_text("staged\n")
    git(folder, "add", "staged.md")
    (folder / "notes.txt").write_text("known to nobody\n")


def lost_work(folder: Path, head: str) -> list[str]:
    """What of it is no longer there."""
    lost = [] if git(folder, "rev-parse", "HEAD").strip() == head else ["HEAD is elsewhere"]
    if (folder / ".git/HEAD").read_text() != "ref: refs/heads/main\n":
        lost.append("HEAD is off its branch")
    if "somebody's own" not in (stashes := git(folder, "stash", "list")):
        lost.append(f"the stash: {stashes!r}")
    for name, content in {
        "README.md": "a note of one's own\n",
        "staged.md": "staged\n",
        "notes.txt": "known to nobody\n",
    }.items():
        if not (folder / name).is_file() or not (folder / name).read_text().endswith(content):
            lost.append(name)
    return lost


# -------------------------------------------------------------------------------------------------------- ways of running


def experiment(folder: Path, name: str) -> dict[str, str]:
    """The checksums of what an experiment left, as its commit says; {} where there is no such experiment."""
    references = git(folder, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    found = [reference for reference in references if reference.endswith(f"/{name}")]
    if not found:
        return {}
    stages = yaml.safe_load(git(folder, "show", f"{found[0]}:dvc.lock"))["stages"]
    return {f"{stage} {out['path']}": out["md5"] for stage, content in stages.items() for out in content["outs"]}


def processes_in(folder: Path) -> list[psutil.Process]:
    """All that work in a folder or below it, also those that have left their group."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def queue_ended(folder: Path) -> bool:
    """Whether nothing of the queue waits or runs any more."""
    said = subprocess.run(
        [BIN / "dvc", "queue", "status"], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    return said.returncode == 0 and not re.search(r"\b(Running|Queued)\b", said.stdout)


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """A command in a group of its own, which need not end well."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [BIN / words[0], *words[1:]],
        cwd=folder,
        env=environment(),
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )


def kill_all(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """The group of the command, and whatever else works in its folder."""
    for one in processes_in(folder):
        try:
            one.suspend()  # so that none sees another die, as all die at once in a power cut
        except psutil.Error:
            continue
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in processes_in(folder):
        try:
            one.kill()
        except psutil.Error:
            continue
    process.wait()


def wait_for_queue(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not queue_ended(folder):
        assert time.monotonic() < deadline, run(folder, "dvc", "queue", "status")
        time.sleep(1)


WORKSPACE, APART = ("repro", "exp run"), ("temp", "queue")
COMMANDS = {
    "repro": ("dvc", "repro"),
    "exp run": ("dvc", "exp", "run", "-n", "mine", *settings(KNOBS)),
    "temp": ("dvc", "exp", "run", "--temp", "-n", "mine", *settings(KNOBS)),
    "queue": ("dvc", "queue", "start"),
}


def put_up(folder: Path, way: str) -> None:
    """What comes before the command that is killed."""
    if way == "repro":
        set_knobs(folder, KNOBS)
    elif way == "queue":
        run(folder, "dvc", "exp", "run", "--queue", "-n", "mine", *settings(KNOBS))


def result(folder: Path, way: str) -> dict[str, str]:
    return hashes(folder) if way in WORKSPACE else experiment(folder, "mine")


def to_the_end(folder: Path, way: str) -> None:
    """The same command again, undisturbed."""
    there = experiment(folder, "mine")
    if way != "queue":
        forced = ["--force"] if there else []  # it was killed after it had ended, and DVC wants to be told what to do with that
        run(folder, *COMMANDS[way], *forced)
        return
    if not there:
        status = run(folder, "dvc", "queue", "status")
        if "mine" in status and "Queued" not in status:  # failed, as a killed one counts: it is queued anew
            run(folder, "dvc", "queue", "remove", "mine")
        if "Queued" not in status:
            put_up(folder, way)
    start(folder, *COMMANDS[way]).wait()
    wait_for_queue(folder)


def followed(folder: Path, said: str) -> None:
    """Do what `rally repair` says is left to be done."""
    for command in re.findall(r"`(git [^`]+)`", said):
        if command.upper() != command and not re.search(r"\b[A-Z]{3,}\b", command.replace("HEAD", "")):
            subprocess.run(["sh", "-c", command], cwd=folder, check=False, capture_output=True)


@pytest.mark.parametrize("way", COMMANDS)
def test_killed_through_dvc_the_same_command_ends_in_the_same_bytes_and_nothing_of_the_users_is_lost(
    way: str, ran_before: Path, tmp_path: Path, tally: Tally
) -> None:
    folder = tmp_path / "unbroken"
    shutil.copytree(ran_before, folder, symlinks=True)
    put_up(folder, way)
    began = time.monotonic()
    if way == "queue":
        start(folder, *COMMANDS[way]).wait()
        wait_for_queue(folder)
    else:
        run(folder, *COMMANDS[way])
    took, expected = time.monotonic() - began, result(folder, way)
    assert expected
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for trial in range(KILLS):
        folder = tmp_path / f"lab {trial}".replace(" ", "-")
        shutil.copytree(ran_before, folder, symlinks=True)
        work(folder)
        put_up(folder, way)
        head, before = git(folder, "rev-parse", "HEAD").strip(), hashes(folder)
        process = start(folder, *COMMANDS[way])
        moment = moments.uniform(0, took)
        time.sleep(moment)
        kill_all(folder, process)
        said = run(folder, "rally", "repair")  # as ./run does where it sees a trace of a kill
        followed(folder, said)
        how = f"{way}, seed {seed}, trial {trial}, killed after {moment:.2f} of {took:.1f} s; repair said {said!r}"
        try:
            to_the_end(folder, way)
            end, seen = "right", ""
            if (found := result(folder, way)) != expected:
                other = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
                end, seen = "silent", f"other bytes: {other}"
            if way in APART and hashes(folder) != before:
                end, seen = "lost", "the workspace is another"
            if lost := lost_work(folder, head):
                end, seen = "lost", str(lost)
            git(folder, "fsck", "--no-dangling")
        except AssertionError as error:
            end, seen = ("tracebacks" if "Traceback" in str(error) else "lost"), str(error)[-1500:]
        tally.add(f"kill -9 through DVC: {way}", end, f"{how}: {seen}")
        kill_all(folder, process)
        if end == "right":
            shutil.rmtree(folder)
    tally.check()


# ---------------------------------------------------------------------------------------------------------- eight at once


def eight(queue: bool) -> dict[str, int]:
    """Names and seeds."""
    return {f"{'queued' if queue else 'temporary'}-{number}": 10 + number + 4 * queue for number in range(4)}


def test_eight_experiments_at_once_leave_what_each_leaves_alone(ran_before: Path, tmp_path: Path, tally: Tally) -> None:
    """Four of `dvc exp run --temp` beside a queue with four workers."""
    together, alone = tmp_path / "together", tmp_path / "alone"
    for folder in (together, alone):
        shutil.copytree(ran_before, folder, symlinks=True)
    before = hashes(together)
    for name, seed in eight(queue=True).items():
        run(together, "dvc", "exp", "run", "--queue", "-n", name, "-S", f"seed={seed}")
    quiet: Callable[..., subprocess.Popen[bytes]] = start
    under_way = [
        quiet(together, "dvc", "--wait-for-lock", "exp", "run", "--temp", "-n", name, "-S", f"seed={seed}")
        for name, seed in eight(queue=False).items()
    ]
    start(together, "dvc", "queue", "start", "-j", "4").wait()
    for process in under_way:
        process.wait(PATIENCE)
    wait_for_queue(together)
    for name, seed in {**eight(queue=True), **eight(queue=False)}.items():
        said = run(alone, "dvc", "exp", "run", "-n", name, "-S", f"seed={seed}")
        assert "train" in ran(said)
        found, expected = experiment(together, name), experiment(alone, name)
        assert expected
        end = "right" if found == expected else "silent" if found else "lost"
        tally.add("eight experiments at once", end, f"{name}: {found} and not {expected}")
    assert hashes(together) == before
    tally.check()


# ------------------------------------------------------------------------------------------------------- a rotting disk

# A file, and a knob for which the stage that reads it runs again.
ROTTEN = {
    "data/raw/train.txt": {"tokenize.kind": "byte"},
    "data/raw/validation.ends.npy": {"tokenize.kind": "byte"},
    "data/raw/card.json": {"tokenize.kind": "byte"},
    "data/tokens/train.npy": {"train.steps": 61},
    "data/tokens/validation.npy": {"train.steps": 61},
    "data/tokens/train.parts.npy": {"train.curriculum": "easy_first"},
    "data/tokens/meta.json": {"train.steps": 61},
    "data/tokens/tokenizer.json": {"train.steps": 61},
    "models/trained/model.safetensors": {"evaluate.sample_tokens": 21},
    "models/trained/model.json": {"evaluate.sample_tokens": 21},
    "models/trained/snapshots/snapshots.json": {"probe.sequences": 9},
    "models/trained/snapshots/step-000000000.safetensors": {"probe.sequences": 9},
    "metrics/train.csv": {"plot.dpi": 61},
    "metrics/validation.csv": {"plot.dpi": 61},
    "metrics/train.json": {"plot.dpi": 61},
    "metrics/sanity.json": {"probe.sequences": 9},
    "metrics/evaluate.json": {"plot.dpi": 61},
    "metrics/samples.md": {"plot.dpi": 61},
    "metrics/doctor.json": {"plot.dpi": 61},
    "metrics/readings/gradient_norm.json": {"plot.dpi": 61},
}


@pytest.fixture(scope="module")
def unbroken(ran_before: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], dict[str, str]]:
    """What `dvc repro` leaves after a knob was turned."""
    found: dict[str, dict[str, str]] = {}

    def after(knobs: dict[str, Any]) -> dict[str, str]:
        if str(knobs) not in found:
            folder = tmp_path_factory.mktemp("unbroken") / "lab"
            shutil.copytree(ran_before, folder, symlinks=True)
            set_knobs(folder, knobs)
            run(folder, "dvc", "repro")
            found[str(knobs)] = hashes(folder)
        return found[str(knobs)]

    return after


def repro(folder: Path) -> tuple[int, str]:
    done = subprocess.run([BIN / "dvc", "repro"], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ROTTEN)
def test_what_rots_unseen_by_dvc_is_refused_and_the_way_back_that_is_named_leads_there(
    name: str, ran_before: Path, unbroken: Callable[[dict[str, Any]], dict[str, str]], tmp_path: Path, tally: Tally
) -> None:
    """DVC trusts a file of the same inode, size and time, and runs the stage that reads it."""
    expected = unbroken(ROTTEN[name])
    for trial in range(scaled(1)):
        folder = tmp_path / f"lab-{trial}"
        shutil.copytree(ran_before, folder, symlinks=True)
        run(folder, "dvc", "status")  # with which DVC knows these files
        content, chance = (folder / name).read_bytes(), random.Random(f"{name} {trial}")
        changed = damaged(content, chance)[0]
        while len(changed) != len(content):
            changed = damaged(content, chance)[0]
        rot(folder / name, changed)
        set_knobs(folder, ROTTEN[name])
        status, said = repro(folder)
        if "Traceback" in said:
            end, seen = "tracebacks", said[-800:]
        elif status == 0:
            end, seen = ("right", "") if hashes(folder) == expected else ("silent", said[-800:])
        elif not (ways := re.findall(r"`((?:rm|dvc) [^`]+)`", said)):
            end, seen = "unclear", said[-800:]
        else:
            path = f"{BIN}:{environment()['PATH']}"
            subprocess.run(["sh", "-c", ways[0]], cwd=folder, env={**environment(), "PATH": path}, check=False)
            status, again = repro(folder)
            end, seen = (
                ("refused in words", "") if status == 0 and hashes(folder) == expected else ("lost", ways[0] + again[-800:])
            )
        tally.add("damage, through dvc repro", end, f"{name}, trial {trial}: {seen}")
    tally.check()
