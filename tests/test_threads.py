"""Threads in which a model is read: in order, each with its share of torch's threads, and the same bits for any number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from classified import classifier
from subjects import subject

from pipeline.evaluation import scores
from pipeline.evaluation.class_scores import predictions_of
from pipeline.evaluation.scores import score
from pipeline.inference.threads import Workers, threads_for, threads_of_torch

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with threads_of_torch(request.param):
        yield request.param


def test_results_come_in_the_order_of_the_pieces_from_as_many_threads_as_torch_has(threads: int) -> None:
    meet = threading.Barrier(threads, timeout=60)  # which only so many threads at once can pass

    def work(piece: int) -> tuple[int, int, str]:
        meet.wait()
        return piece, torch.get_num_threads(), threading.current_thread().name

    with Workers(CPU) as workers:
        found = list(workers.each(work, range(3 * threads)))
    assert [piece for piece, *_ in found] == list(range(3 * threads))
    assert {count for _, count, _ in found} == {1}
    assert len({name for *_, name in found}) == threads
    assert torch.get_num_threads() == threads, "as before"


def test_pieces_are_taken_as_they_are_needed(threads: int) -> None:
    taken = []

    def pieces() -> Iterator[int]:
        for piece in range(20):
            taken.append(piece)
            yield piece

    with Workers(CPU) as workers:
        for done, _ in enumerate(workers.each(lambda piece: piece, pieces())):
            assert len(taken) <= done + threads + 1


def test_after_an_error_no_further_piece_begins(threads: int) -> None:
    begun = []

    def work(piece: int) -> None:
        begun.append(piece)
        raise ValueError(f"piece {piece}")

    with pytest.raises(ValueError, match="piece 0"), Workers(CPU) as workers:
        for _ in workers.each(work, range(100)):
            pass
    assert len(begun) <= threads + 1
    assert torch.get_num_threads() == threads


def test_few_workers_share_the_threads_of_torch() -> None:
    with threads_of_torch(4), Workers(CPU, most=2) as workers:
        assert workers.count == 2
        assert list(workers.each(lambda _: torch.get_num_threads(), range(4))) == [2, 2, 2, 2]
    with threads_of_torch(3), Workers(CPU, most=9) as workers:
        assert (workers.count, workers.begin(torch.get_num_threads).result()) == (3, 1)


def test_a_card_takes_one_piece_after_another() -> None:
    with threads_of_torch(4):
        assert threads_for(torch.device("cuda")) == 1
        with Workers(torch.device("cuda")) as workers:
            assert workers.begin(torch.get_num_threads).result() == 4


def test_scores_are_the_same_bits_for_any_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "CELLS", 1000)
    texts, images = subject(tmp_path / "text"), classifier(tmp_path / "images", "vision")
    found, told = [], []
    for threads in (1, 2, 3):
        with threads_of_torch(threads):
            found.append(score(texts, "test", 1000))
            told.append(predictions_of(images, "test"))
    assert found[0] == found[1] == found[2]
    for other in told[1:]:
        assert np.array_equal(told[0].log_probabilities, other.log_probabilities)
        assert np.array_equal(told[0].labels, other.labels)
