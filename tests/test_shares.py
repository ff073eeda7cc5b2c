"""Pictures and other work that forked processes share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from plotted_run import leave_run

from pipeline.figures.pictures import pictures
from pipeline.figures.run import read_run
from pipeline.figures.shares import shared_out


def test_two_processes_draw_the_bytes_of_one_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    alone = pictures(read_run(), 50)
    for processes in (2, 3):
        together = pictures(read_run(), 50, processes)
        assert list(together) == list(alone)
        assert together == alone


@pytest.mark.parametrize("processes", [1, 2, 5, 50])
def test_each_job_is_done_once_by_as_many_processes_as_there_may_be(processes: int, tmp_path: Path) -> None:
    def job(name: str) -> bytes:
        (tmp_path / f"{name}-{os.getpid()}").touch()
        return name.encode()

    names = [f"job{number}" for number in range(5)]
    assert shared_out({name: partial(job, name) for name in names}, processes) == {name: name.encode() for name in names}
    done = [path.name.split("-") for path in tmp_path.iterdir()]
    assert sorted(name for name, _ in done) == names
    assert len({process for _, process in done}) == min(processes, 5)


def test_the_share_of_a_process_that_is_killed_or_fails_is_done_here() -> None:
    here = os.getpid()

    def killed() -> bytes:
        if os.getpid() != here:
            os.kill(os.getpid(), 9)
        return b"done"

    def failing() -> bytes:
        assert os.getpid() == here
        return b"done"

    for other in (killed, failing):
        assert shared_out({"one": lambda: b"done", "two": other}, 2) == {"one": b"done", "two": b"done"}


def test_an_error_is_raised_as_it_would_be_in_one_process() -> None:
    def wrong() -> bytes:
        raise ValueError("of the job")

    before = psutil.Process().children()  # other tests of this process may have left some
    jobs: dict[str, Callable[[], bytes]] = {"one": lambda: b"", "two": wrong, "three": lambda: b"", "four": lambda: b""}
    for processes in (1, 2):
        with pytest.raises(ValueError, match="of the job"):
            shared_out(jobs, processes)
    assert psutil.Process().children() == before, "a process is left"


def test_no_jobs_are_no_work() -> None:
    assert shared_out({}, 2) == {}
