"""Work in several processes, of which some are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.lab import workers
from pipeline.lab.workers import run_in_processes
from pipeline.params.errors import UserError

pytestmark = pytest.mark.slow  # processes take a second each to start

TESTS = Path(__file__).parent


def squared(number: int, kills: Path) -> int:
    """The square of a number; the process is killed as often as the number's file in `kills` has bytes, one byte a time."""
    left = kills / str(number)
    if left.exists() and (content := left.read_bytes()):
        left.write_bytes(content[1:])
        os.kill(os.getpid(), signal.SIGKILL)
    (kills / f"done-{number}").touch()
    return number**2


def refused(number: int) -> int:
    raise UserError(f"{number}: is refused")


@pytest.mark.parametrize(("count", "killed"), [(2, {0: 1}), (2, {3: 2}), (3, {1: 1, 2: 1, 5: 1}), (1, {4: 2})])
def test_what_killed_processes_did_is_done_again(count: int, killed: dict[int, int], tmp_path: Path) -> None:
    for number, times in killed.items():
        (tmp_path / str(number)).write_bytes(b"." * times)
    done = dict(run_in_processes(squared, {number: (number, tmp_path) for number in range(6)}, count))
    assert done == {number: number**2 for number in range(6)}


def test_what_kills_its_process_again_and_again_is_given_up_when_all_others_are_done(tmp_path: Path) -> None:
    (tmp_path / "2").write_bytes(b"." * 99)
    done = dict[int, int]()
    with pytest.raises(UserError) as caught:
        done.update(run_in_processes(squared, {number: (number, tmp_path) for number in range(5)}, 2))
    assert done == {number: number**2 for number in (0, 1, 3, 4)}
    [line] = caught.value.problems
    assert line.startswith(
        f"2: its process was killed {workers.MAX_KILLS} times while it ran alone, probably out of memory; lower what a training"
    )


def test_what_fails_by_itself_is_not_tried_again() -> None:
    with pytest.raises(UserError, match="is refused"):
        list(run_in_processes(refused, {1: (1,)}, 2))


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]\n"
        "if __name__ == '__main__':\n"
        "    import time; from pathlib import Path; from pipeline.lab.workers import run_in_processes\n"
        "    import test_workers\n"
        "    list(run_in_processes(test_workers.waiting, {1: (Path(sys.argv[1]),), 2: (Path(sys.argv[1]),)}, 2))\n"
    )
    (tmp_path / "starts.py").write_text(program)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "starts.py"), str(tmp_path)])
    while len(pids := [int(path.suffix[1:]) for path in tmp_path.glob("pid.*")]) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    for _ in range(200):
        if not any(map(lives, pids)):
            return
        time.sleep(0.05)
    raise AssertionError(f"{[pid for pid in pids if lives(pid)]} still live")


def waiting(folder: Path) -> None:
    (folder / f"pid.{os.getpid()}").touch()
    time.sleep(60)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
