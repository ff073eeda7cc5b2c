"""Texts sampled in a batch, and the readings of them, each compared with the plainest way to compute it."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from subjects import TEXT, machine, subject

from pipeline.probes.passes.samples import SEED, TEMPERATURE, TEXTS, sampled_ids
from pipeline.probes.samples import copied_length as copying
from pipeline.probes.samples.copied_length import copied_length, matched
from pipeline.probes.samples.sample_quality import distinct, documents, sample_quality
from pipeline.readings import Reading
from pipeline.tokenizers.byte import ByteTokenizer
from pipeline.tokenizers.char import CharTokenizer

pytestmark = pytest.mark.shapes


def numbers(reading: Reading | None) -> dict[str, float]:
    assert reading is not None
    return {str(name): line[0] for name, line in zip(reading.axes[0].ticks, reading.values, strict=True)}


def test_a_machine_writes_what_it_must(tmp_path: Path) -> None:
    made = machine(tmp_path, {256: ord("a"), ord("a"): ord("b"), ord("b"): ord("\n"), ord("\n"): 256})
    ids = sampled_ids(made)
    assert ids is not None
    assert ids.tolist() == [[ord("a"), ord("b"), ord("\n"), 256] * 3] * TEXTS
    assert documents(made, ids.numpy()) == ["ab\n"] * 3 * TEXTS
    assert numbers(sample_quality(made)) == pytest.approx({"distinct_1": 4 / (12 * 16), "distinct_2": 4 / (11 * 16)}, rel=1e-3)


@pytest.mark.parametrize("end", [True, False])
def test_texts_written_at_once_through_the_cache_are_those_of_whole_passes(tmp_path: Path, end: bool) -> None:
    made = subject(tmp_path, CharTokenizer.learn([TEXT], 0, has_end=end))
    generator = torch.Generator().manual_seed(SEED)
    begin = [[made.tokenizer.end]] * 16 if end else (made.batch.inputs[:, :1].tolist() * 16)[:16]
    ids = torch.tensor(begin)
    with torch.no_grad():
        for _ in range(12):
            logits = made.model(ids)[:, -1]
            waiting = torch.empty_like(logits).exponential_(generator=generator)
            ids = torch.cat((ids, (logits / TEMPERATURE - waiting.log()).argmax(dim=-1, keepdim=True)), dim=1)
    found = sampled_ids(made)
    assert found is not None
    assert torch.equal(found, ids[:, 1:])
    assert len(set(map(tuple, found.tolist()))) > 10


def test_what_is_valid_is_told_where_the_data_has_a_rule(tmp_path: Path) -> None:
    follows = {256: ord("("), ord("("): ord(")"), ord(")"): ord("\n"), ord("\n"): 256}
    right = replace(machine(tmp_path / "right", follows), grammar="brackets")
    wrong = replace(machine(tmp_path / "wrong", {**follows, 256: ord(")")}), grammar="brackets")
    assert numbers(sample_quality(right))["valid"] == 1
    assert numbers(sample_quality(wrong))["valid"] == 0
    assert "valid" not in numbers(sample_quality(replace(right, grammar="")))


def test_distinct_n_counts_n_grams_within_rows() -> None:
    rows = np.array([[1, 1, 1, 2], [1, 1, 2, 1]])
    assert distinct(rows, 1) == 2 / 8
    assert distinct(rows, 2) == 3 / 6  # 11, 12, 21
    assert math.isnan(distinct(rows[:, :1], 2))


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=1, max_size=3),
    st.lists(st.integers(0, 2), min_size=1, max_size=12),
)
def test_matches_are_those_found_by_looking_everywhere(rows: list[list[int]], train: list[int]) -> None:
    def longest(row: list[int], place: int) -> int:
        sizes = range(len(row) - place, 0, -1)
        starts = range(len(train))
        return next((n for n in sizes if any(train[at : at + n] == row[place : place + n] for at in starts)), 0)

    wanted = [[longest(row, place) for place in range(len(row))] for row in rows]
    assert matched(np.array(rows), np.array(train)).tolist() == wanted


def test_a_long_text_is_searched_in_few_bytes_per_token() -> None:
    """The place and the number of an n-gram, four bytes each, and a block of the rest."""
    train = np.random.default_rng(0).integers(0, 30, 1 << 21).astype(np.uint16)
    rows = train[:4096].reshape(32, 128).astype(np.int64)
    tracemalloc.start()
    try:
        assert (matched(rows, train)[:, 0] == 128).all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(train) + 40 * copying.AT_ONCE


def test_where_a_text_is_cut_into_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train = np.random.default_rng(0).integers(0, 3, 200)
    rows = train[:60].reshape(3, 20)
    whole = matched(rows, train)
    for size in (1, 7, 199):
        monkeypatch.setattr(copying, "AT_ONCE", size)
        assert np.array_equal(matched(rows, train), whole)


def test_a_model_that_writes_by_heart_is_told_by_how_long_it_does_in_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "ü€1 \t\n" + "xyz" * 100
    order = [256, *"ü€1 \t\n".encode(), ord("w")]
    made = machine(tmp_path, dict(zip(order, [*order[1:], 0], strict=True)), ByteTokenizer(has_end=True), text=text)
    assert numbers(copied_length(made)) == {"longest copy": 4}, "of nine bytes: three letters, and blanks, which count once"
    monkeypatch.setattr(copying, "SEARCHED", 5)
    reading = copied_length(replace(made))
    assert numbers(reading) == {"longest copy": 2}
    assert reading is not None
    assert "(in its first 5 tokens)" in reading.says
