"""Waiting threads sleep where other programs need the cores, spin elsewhere, and no byte of a training depends on it."""

from __future__ import annotations

import ctypes
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from small import KINDS, StopAfter, assert_resumes, knobs, same, started

from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit
from pipeline.engine.runtime import waiting
from pipeline.engine.runtime.waiting import CoresLacking, Idlers, Waiting, adapt_waiting
from pipeline.params.machine import cores

gnu = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "GOMP_parallel"), reason="needs GNU's OpenMP, torch's on Linux")


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


class Scripted(Waiting):
    """One that looks only when it is told to, and finds one number after another."""

    def __init__(self, *lacking: float) -> None:
        script = itertools.cycle(lacking)
        super().__init__(2, lambda: next(script), look=3600.0)


def threads_of_this_process(wanted: int) -> int:
    """Their number, once it is the wanted one, or after ten seconds."""
    for _ in range(1000):
        if psutil.Process().num_threads() == wanted:
            break
        time.sleep(0.01)
    return psutil.Process().num_threads()


@gnu
def test_a_busy_machine_gets_idlers_until_it_is_quiet() -> None:
    looks = Scripted(0.34, 0.36, 0.16, 2.0, 0.14, 0.3)
    before = psutil.Process().num_threads()
    found = []
    for _ in range(6):
        looks.adapt()
        found.append(looks.idlers is not None)
    assert found == [False, True, True, True, False, False]
    assert threads_of_this_process(before) == before
    looks.end()


@gnu
@pytest.mark.parametrize("count", [2, 5])
def test_a_team_of_idlers_lives_until_it_is_ended(count: int) -> None:
    before = psutil.Process().num_threads()
    idlers = Idlers(count)
    assert threads_of_this_process(before + count) == before + count
    idlers.end()
    assert threads_of_this_process(before) == before


@gnu
def test_with_idlers_there_are_more_threads_than_cores() -> None:
    for threads in (2, cores(), 4 * cores()):
        looks = Waiting(threads, lambda: 0.0, look=3600.0)
        assert threads + looks.team - 1 > cores() and looks.team >= 2
        looks.end()


def test_what_others_leave_free_is_measured_without_ones_own_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = iter([(100.0, 50.0, 7.0), (104.0, 57.0, 10.0), (105.0, 58.5, 10.0), (107.0, 59.0, 11.0)])
    monkeypatch.setattr(waiting, "_clocks", lambda: next(clocks))
    lacking = CoresLacking(cores())
    assert lacking() == 1.0  # of 7 seconds' work in 4 seconds, 3 were its own
    assert lacking() == 1.5
    assert lacking() == 0.0  # ticks are counted late


def test_the_clocks_run() -> None:
    before = waiting._clocks()
    while time.process_time() - before[2] < 0.1:
        pass
    clock, busy, own = (after - then for after, then in zip(waiting._clocks(), before, strict=True))
    assert clock > 0 and busy > 0 and own >= 0.1


@gnu
def test_one_watch_a_process_and_none_for_one_thread(monkeypatch: pytest.MonkeyPatch, two_threads: None) -> None:
    found: list[Waiting] = []
    monkeypatch.setattr(waiting, "_watching", found)
    adapt_waiting()
    adapt_waiting()
    [first] = found
    first.end()
    adapt_waiting()
    assert len(found) == 1 and found[0] is not first, "one that has ended, as in a forked process, is replaced"
    found[0].end()
    found.clear()
    torch.set_num_threads(1)
    adapt_waiting()
    assert not found


@gnu
def test_a_forked_process_looks_by_itself(monkeypatch: pytest.MonkeyPatch, two_threads: None) -> None:
    found: list[Waiting] = []
    monkeypatch.setattr(waiting, "_watching", found)
    adapt_waiting()
    [first] = found
    child = os.fork()
    if not child:
        adapt_waiting()
        os._exit(found[0] is not first and found[0].thread.is_alive())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    first.end()


class Flipping(StopAfter):
    """Has threads spin and sleep in turns, each for two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.looks, self.slept = Scripted(0.0, 0.0, 2.0, 2.0), 0

    def on_step(self, progress: Progress) -> None:
        super().on_step(progress)
        self.looks.adapt()
        self.slept += self.looks.idlers is not None


@gnu
@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_a_training_depends_on_it(kind: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"runtime__threads": 2, "model__width": 64, "train__batch_size": 32, "model__norm": "layer"}
    params = knobs(**KINDS[kind] | changes)
    plain, task, runtime = started(params, tmp_path)
    fit(plain, task, params.train, params.seed, runtime, StopAfter())
    flipped, task, runtime = started(params, tmp_path)
    callback = Flipping()
    fit(flipped, task, params.train, params.seed, runtime, callback)
    callback.looks.end()
    assert 2 < callback.slept < params.train.steps, "it slept at some steps, and spun at others"
    assert same(plain.tensors(), flipped.tensors()) and plain.numbers() == flipped.numbers()
    torch.set_num_threads(1)


@gnu
def test_a_training_resumes_on_a_machine_that_has_become_busy(tmp_path: Path, two_threads: None) -> None:
    looks = Waiting(2, iter([0.0, 2.0] * 10_000).__next__, look=0.02)
    assert_resumes(knobs(runtime__threads=2), tmp_path)
    looks.end()
    torch.set_num_threads(1)
