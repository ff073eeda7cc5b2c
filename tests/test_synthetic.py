"""Generated text has the properties that its card states."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import TOP, knobs

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.generated.dyck import BRACKETS, entropy_of_dyck
from pipeline.corpus.sources.generated.markov import ALPHABET
from pipeline.corpus.sources.table import TEXTS
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.errors import UserError
from pipeline.progress import follower

ROOM = "pipeline.corpus.sources.generated."
WHOLE = {"modular"}  # every question once, whatever prepare.generated_chars says
GENERATED = [name for name, dataset in TEXTS.items() if dataset.__module__.startswith(ROOM) and name not in WHOLE]


def made(name: str, folder: Path, **changes: object) -> tuple[Card, dict[str, str]]:
    """(the card, the text of each split)."""
    folder.mkdir(exist_ok=True)
    prepare = knobs(prepare__dataset=name, **{f"prepare__{knob}": value for knob, value in changes.items()}).prepare
    with SplitWriter(folder) as splits:
        card = TEXTS[name](prepare, splits, follower("none"))
    return card, {split: (folder / f"{split}.txt").read_text(encoding="ascii") for split in SPLITS}


def test_the_worked_example_of_a_data_set_is_text_of_the_entropy_that_it_states(tmp_path: Path) -> None:
    guide = (TOP / "docs/how-to-add.md").read_text(encoding="utf-8")
    code = guide.split("### A data set")[1].split("```python\n")[1].split("```")[0]
    made_here: dict[str, Any] = {}
    exec(compile(code, "docs/how-to-add.md", "exec", dont_inherit=True), made_here)
    with SplitWriter(tmp_path) as splits:
        card = made_here["independent"](knobs(prepare__generated_chars=200_000).prepare, splits, follower("none"))
    text = (tmp_path / "train.txt").read_text(encoding="ascii")
    assert len(text) == 200_000
    assert card.entropy_nats_per_byte == pytest.approx(entropy(bigrams(text).sum(axis=1)), abs=0.005)


def entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def bigrams(text: str) -> np.ndarray:
    codes = np.frombuffer(text.encode(), np.uint8)
    return np.histogram2d(codes[:-1], codes[1:], bins=np.arange(257))[0]


@pytest.mark.parametrize("name", GENERATED)
def test_equal_knobs_give_equal_text_and_another_seed_gives_another(name: str, tmp_path: Path) -> None:
    assert made(name, tmp_path / "a", generated_chars=2000) == made(name, tmp_path / "b", generated_chars=2000)
    assert made(name, tmp_path / "a", generated_chars=2000)[1] != made(name, tmp_path / "c", generated_chars=2000, seed=4)[1]


@pytest.mark.parametrize("name", GENERATED)
def test_the_splits_have_their_sizes_and_are_different_texts(name: str, tmp_path: Path) -> None:
    _, texts = made(name, tmp_path, generated_chars=80_000, validation_share=0.15, test_share=0.05)
    for split, size in (("train", 80_000), ("validation", 15_000), ("test", 5_000)):
        longest = max(map(len, texts[split].splitlines())) if name == "dyck" else 40
        assert size - longest <= len(texts[split]) <= size
    assert not any(texts[split][:300] in texts["train"] for split in ("validation", "test"))


@pytest.mark.parametrize("name", ["markov", "zipf_bigram"])
def test_the_entropy_of_a_chain_is_found_again_by_counting(name: str, tmp_path: Path) -> None:
    card, texts = made(name, tmp_path, generated_chars=400_000, alphabet_size=12)
    counts = bigrams(texts["train"])
    measured = sum(row.sum() * entropy(row) for row in counts) / counts.sum()
    assert card.entropy_nats_per_byte == pytest.approx(measured, abs=0.005)
    assert set(texts["train"]) == set(ALPHABET[:12].decode())
    said = re.search(r"Without context, a symbol has ([\d.]+) nats", card.entropy_says)
    assert said and float(said[1]) == pytest.approx(entropy(counts.sum(axis=0)), abs=0.005)


def test_a_chain_does_not_break_where_one_block_of_random_numbers_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = made("markov", tmp_path / "whole", generated_chars=5000)
    monkeypatch.setattr("pipeline.corpus.sources.generated.markov.BLOCK", 7)
    assert made("markov", tmp_path / "blocks", generated_chars=5000)[1] == whole


def parsed(text: str) -> list[str]:
    """The blocks of a text of repeats, each read as the shortest that stands there twice."""
    blocks, at = [], 0
    while length := next((n for n in range(8, 33) if text.startswith(text[at : at + n].ljust(n), at + n)), 0):
        blocks.append(text[at : at + length])
        at += 2 * length
    assert len(text) - at < 64  # the last block may be cut
    return blocks


def test_repeats_are_blocks_of_random_length_and_cost_what_the_card_says(tmp_path: Path) -> None:
    card, texts = made("repeats", tmp_path, generated_chars=200_000)
    blocks = parsed(texts["train"])
    lengths = np.array([len(block) for block in blocks])
    assert set(lengths) == set(range(8, 33))
    assert entropy(np.bincount(lengths)) == pytest.approx(math.log(25), abs=0.02)
    counts = np.bincount(np.frombuffer("".join(blocks).encode(), np.uint8))
    assert entropy(counts) == pytest.approx(math.log(32), abs=0.001)
    cost = sum(math.log(25) + len(block) * math.log(32) for block in blocks) / (2 * lengths.sum())
    assert card.entropy_nats_per_byte == pytest.approx(cost, abs=0.005)


def test_repeats_at_one_distance_cost_their_first_copies_alone(tmp_path: Path) -> None:
    card, texts = made("repeats", tmp_path, generated_chars=20_000, block=10, copies=4)
    for text in texts.values():
        same = np.array([*text[10:]]) == np.array([*text[:-10]])
        within = np.arange(len(same)) % 40
        assert same[within < 30].all()
        assert same[within >= 30].mean() < 0.1
    assert card.entropy_nats_per_byte == pytest.approx(math.log(32) / 4, rel=1e-6)
    assert card.grammar == "doubled"
    assert made("repeats", tmp_path / "odd", generated_chars=2000, copies=3)[0].grammar == ""


def test_repeats_of_so_few_symbols_that_they_repeat_by_accident_claim_no_entropy(tmp_path: Path) -> None:
    assert made("repeats", tmp_path, generated_chars=1000, alphabet_size=2)[0].entropy_nats_per_byte is None


@pytest.mark.parametrize("backwards", [False, True])
def test_every_sum_is_right_and_no_two_splits_share_a_pair(backwards: bool, tmp_path: Path) -> None:
    _, texts = made("addition", tmp_path, generated_chars=300_000, digits=2, reversed=backwards)
    pairs: dict[str, set[tuple[int, int]]] = {}
    for split, text in texts.items():
        lines = re.findall(r"(\d\d)\+(\d\d)=(\d\d\d)\n", text)
        assert "".join(f"{a}+{b}={c}\n" for a, b, c in lines) == text
        assert all(int(a) + int(b) == int(c[::-1] if backwards else c) for a, b, c in lines)
        pairs[split] = {(min(int(a), int(b)), max(int(a), int(b))) for a, b, _ in lines}
        ends = np.load(tmp_path / f"{split}.ends.npy")
        assert ends.tolist() == [10 * (i + 1) for i in range(len(lines))]
    assert all(not one & other for one, other in pairwise([*pairs.values(), pairs["train"]]))
    assert len(set.union(*pairs.values())) > 0.98 * 5050  # between them they have all pairs
    assert len(pairs["validation"]) == pytest.approx(505, abs=100)


@pytest.mark.parametrize("backwards", [False, True])
def test_sums_of_several_lengths_say_how_hard_they_are_and_cost_what_the_card_says(backwards: bool, tmp_path: Path) -> None:
    card, texts = made("addition", tmp_path, generated_chars=300_000, digits=4, min_digits=2, reversed=backwards)
    pairs: dict[str, set[tuple[int, int]]] = {}
    for split, text in texts.items():
        lines = re.findall(r"(\d+)\+(\d+)=(\d+)\n", text)
        assert "".join(f"{a}+{b}={c}\n" for a, b, c in lines) == text
        assert all(len(a) == len(b) == len(c) - 1 for a, b, c in lines)
        assert all(int(a) + int(b) == int(c[::-1] if backwards else c) for a, b, c in lines)
        pairs[split] = {(min(int(a), int(b)), max(int(a), int(b))) for a, b, _ in lines}  # 07+03 is 7+3
    assert all(not one & other for one, other in pairwise([*pairs.values(), pairs["train"]]))
    digits = [line.index("+") for line in texts["train"].splitlines()]
    assert np.load(tmp_path / "train.difficulty.npy").tolist() == digits
    assert np.bincount(digits)[2:] == pytest.approx(len(digits) / 3, rel=0.05)
    cost = sum(math.log(3) + 2 * length * math.log(10) for length in digits) / len(texts["train"])
    assert card.entropy_nats_per_byte == pytest.approx(cost, rel=0.005)


def costs_of_dyck(word: str, depth: int, kinds: int) -> tuple[float, int]:
    """(nats, how deep it goes) of a word, read from its start; it must be balanced."""
    pairs = {chr(pair[0]): chr(pair[1]) for pair in BRACKETS[:kinds]}
    nats, wanted, deepest = 0.0, [], 0
    for place, symbol in enumerate(word):
        nats += math.log(2) if place and len(wanted) < depth else 0.0
        if symbol in pairs:
            wanted.append(pairs[symbol])
            nats += math.log(kinds)
        else:
            assert wanted.pop() == symbol
        deepest = max(deepest, len(wanted))
    assert not wanted and deepest <= depth
    return nats + math.log(2), deepest  # and that it ends here


@pytest.mark.parametrize(("depth", "kinds"), [(1, 1), (4, 2), (7, 4)])
def test_every_word_of_brackets_is_balanced_and_costs_what_the_card_says(depth: int, kinds: int, tmp_path: Path) -> None:
    card, texts = made("dyck", tmp_path, generated_chars=200_000, max_depth=depth, bracket_kinds=kinds)
    words = texts["train"].splitlines()
    nats, deepest = zip(*(costs_of_dyck(word, depth, kinds) for word in words), strict=True)
    assert max(deepest) == depth and np.load(tmp_path / "train.difficulty.npy").tolist() == list(deepest)
    assert card.entropy_nats_per_byte == pytest.approx(sum(nats) / len(texts["train"]), rel=0.005)
    assert card.entropy_nats_per_byte == pytest.approx(entropy_of_dyck(depth, kinds), rel=1e-8)
    ends = np.load(tmp_path / "train.ends.npy")
    assert ends.tolist() == np.cumsum([len(word) + 1 for word in words]).tolist()


@pytest.mark.parametrize(("depth", "kinds"), [(1, 3), (2, 1), (5, 2), (64, 4)])
def test_the_entropy_of_brackets_is_that_of_the_chain_of_their_depths(depth: int, kinds: int) -> None:
    """Expected length and cost of what follows each depth, by solving the linear equations of the walk."""
    up, down = np.zeros((2, depth + 1, depth + 1))
    for height in range(depth):
        up[height, height + 1] = 0.5
    for height in range(1, depth + 1):
        down[height, height - 1] = 1.0 if height == depth else 0.5
    cost = np.array([math.log(2) if height < depth else 0.0 for height in range(depth + 1)]) + up.sum(1) * math.log(kinds)
    length, nats = np.linalg.solve(np.eye(depth + 1) - up - down, np.stack([np.ones(depth + 1), cost], axis=1)).T
    # A word begins with a step up that is no choice but of its kind.
    assert entropy_of_dyck(depth, kinds) == pytest.approx((math.log(kinds) + nats[1]) / (1 + length[1]), rel=1e-12)


def test_the_numbers_of_sums_are_uniform_and_cost_what_the_card_says(tmp_path: Path) -> None:
    card, texts = made("addition", tmp_path, generated_chars=400_000, digits=6)
    digits = np.frombuffer(texts["train"].encode(), np.uint8).reshape(-1, 22)[:, [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]]
    assert all(entropy(np.bincount(column)) == pytest.approx(math.log(10), abs=0.002) for column in digits.T)
    assert card.entropy_nats_per_byte == pytest.approx(12 * math.log(10) / 22, abs=1e-8)


def test_a_split_that_no_pair_of_numbers_falls_to_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prepare\.digits: no pair of 1 digits falls into the split validation"):
        made("addition", tmp_path, generated_chars=100_000, digits=1, validation_share=0.002)
