"""What the data are worth: planted repetition, damage, strange tokenizers, short splits and wrong labels are measured."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.evaluation import contamination
from pipeline.evaluation.contamination import WINDOW
from pipeline.evaluation.label_noise import FEWEST, FOLDS, contradicted, standardised
from pipeline.evaluation.material import LEARNED_KINDS, PIECE, Text, likeness, pieces, repeated, tokenizer_numbers
from pipeline.tokenizers.bpe import BpeTokenizer
from pipeline.tokenizers.byte import ByteTokenizer
from pipeline.tokenizers.char import CharTokenizer

pytestmark = pytest.mark.shapes

WORDS = ["the", "cat", "sat", "upon", "a", "mat", "and", "looked", "at", "every", "dog", "that", "went", "by"]


def chain(tokens: int, seed: int = 0, symbols: int = 12) -> np.ndarray:
    """A Markov chain in which a bigram model does far better than a unigram."""
    rng = np.random.default_rng(7)
    rows = rng.dirichlet(np.full(symbols, 0.3), symbols).cumsum(axis=1)
    draws, ids = np.random.default_rng(seed).random(tokens), np.zeros(tokens, np.uint8)
    for place in range(1, tokens):
        ids[place] = min(int(np.searchsorted(rows[ids[place - 1]], draws[place])), symbols - 1)
    return ids


def text(words: int, seed: int, vocabulary: list[str] = WORDS) -> str:
    return " ".join(np.random.default_rng(seed).choice(vocabulary, words))


def test_text_that_is_written_again_and_again_is_repeated_and_a_half_copied_text_is_half() -> None:
    ids = chain(6000)
    assert repeated(ids) == 0
    assert repeated(np.resize(ids[:500], 6000)) == 1
    assert repeated(np.concatenate([ids, chain(6000, 1), ids])) == pytest.approx(2 / 3, abs=0.05)
    assert repeated(ids[:WINDOW]) is None


def test_splits_of_one_source_are_alike_and_others_are_not() -> None:
    train = chain(40_000)
    same = likeness(train, chain(4000, 1), 12, 40)
    assert abs(same["split_difference"]) < 0.01
    assert likeness(train, 11 - chain(4000, 1), 12, 40)["split_difference"] > 0.3
    rng, damaged = np.random.default_rng(0), train.copy()
    noisy = rng.random(len(train)) < 0.4
    damaged[noisy] = rng.integers(0, 12, noisy.sum())
    assert likeness(damaged, chain(4000, 1), 12, 40)["split_difference"] < -0.02


def test_the_error_of_a_short_split_is_the_spread_of_the_losses_of_short_splits() -> None:
    train, length, tokens = chain(40_000), 40, 1200
    found = [likeness(train, chain(tokens, seed), 12, length)["held_out_error"] for seed in range(1, 9)]
    longer = likeness(train, chain(16 * tokens, 1), 12, length)["held_out_error"]
    assert longer == pytest.approx(np.mean(found) / 4, rel=0.25), "as one over the square root of the size"
    assert likeness(train, chain(2, 1), 12, length) == {}


def test_a_tokenizer_of_other_text_wastes_tokens_and_its_vocabulary() -> None:
    here, elsewhere = text(4000, 0), text(4000, 1, [word.upper()[::-1] for word in WORDS])
    own, foreign = (BpeTokenizer.learn([some], 300, has_end=False) for some in (here, elsewhere))
    fits, strange = (tokenizer_numbers(one, one.encode(here).astype(np.uint16)) for one in (own, foreign))
    assert fits["token_excess"] == pytest.approx(0, abs=0.02)
    assert strange["token_excess"] > 1
    assert strange["vocabulary_used"] < 0.5 * fits["vocabulary_used"] + 0.1


@pytest.mark.parametrize("between", [" ", "\n\n  "])
def test_byte_pairs_learned_on_pieces_of_a_text_are_those_of_the_whole(between: str) -> None:
    whole = between.join(np.random.default_rng(2).choice(WORDS, PIECE // 2))
    parts = [*pieces(whole)]
    assert "".join(parts) == whole
    assert len(parts) >= 3
    assert max(map(len, parts)) <= PIECE
    first, second = (BpeTokenizer.learn(texts, 400, has_end=False).library.to_str() for texts in ([whole], parts))
    assert first == second


def test_a_text_without_a_blank_comes_in_pieces_too() -> None:
    parts = [*pieces("a" * 3 * PIECE)]
    assert "".join(parts) == "a" * 3 * PIECE
    assert max(map(len, parts)) <= PIECE


@pytest.mark.parametrize("kind", [ByteTokenizer, CharTokenizer])
def test_a_tokenizer_that_is_not_learned_is_not_judged(kind: type) -> None:
    tokenizer = kind.learn([text(50, 0)], 0, has_end=False)
    assert tokenizer.kind not in LEARNED_KINDS
    assert tokenizer_numbers(tokenizer, tokenizer.encode(text(50, 0)).astype(np.uint16)) == {}


def test_documents_that_are_shorter_than_a_window_are_counted() -> None:
    numbers = Text(chain(1000), chain(1000, 1), 12, 100, 50).numbers()
    assert numbers["documents_per_window"] == 5
    assert numbers["training_tokens"] == 1000


def blobs(apart: float, seed: int = 0, examples: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """Examples of three classes, normal around centres that are so far apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, examples)
    return standardised(rng.normal(size=(examples, 10)) + apart * np.eye(10)[labels]), labels


def relabelled(labels: np.ndarray, share: float) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.where(rng.random(len(labels)) < share, rng.integers(0, 3, len(labels)), labels)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.4])
def test_the_share_of_wrong_labels_is_found_where_classes_can_be_told_apart(share: float) -> None:
    examples, labels = blobs(5.0)
    found = contradicted(examples, relabelled(labels, share), 1.0)
    assert found == pytest.approx(share * 2 / 3, abs=0.05), "one in three random labels is the right one"


def fraction_confused(examples: np.ndarray, labels: np.ndarray) -> float:
    """Of all examples, the share that logistic regression gets wrong where it has not seen them."""
    half = len(labels) // 2
    return 1 - LogisticRegression(max_iter=300).fit(examples[:half], labels[:half]).score(examples[half:], labels[half:])


def test_classes_that_overlap_are_not_called_wrong_labels() -> None:
    examples, labels = blobs(2.2)
    hard = contradicted(examples, labels, 1.0)
    assert hard is not None
    assert hard < 0.06 < fraction_confused(examples, labels)
    assert contradicted(*blobs(0.2), 1.0) is None, "classifiers that know nothing have nothing to say"


def test_of_one_class_or_few_examples_nothing_is_said() -> None:
    examples, labels = blobs(5.0)
    assert contradicted(examples, np.zeros_like(labels), 1.0) is None
    few = FOLDS * FEWEST - 1
    assert contradicted(examples[:few], labels[:few], 1.0) is None


def test_the_hash_of_a_window_is_its_polynomial() -> None:
    ids = np.random.default_rng(0).integers(0, 300, 60).astype(np.uint16)
    expected = []
    for start in range(60 - WINDOW + 1):
        value = 0
        for token in ids[start : start + WINDOW]:
            value = (value * contamination.BASE + int(token) + 1) % 2**64
        expected.append(value)
    assert contamination.hashes(ids).tolist() == expected


def test_a_window_is_found_wherever_the_blocks_of_the_search_end(monkeypatch: pytest.MonkeyPatch) -> None:
    known = np.random.default_rng(0).integers(0, 50, 400).astype(np.uint8)
    monkeypatch.setattr(contamination, "BLOCK", 7)
    for start in (0, 3, 6, 7, 400 - WINDOW):
        assert contamination.overlap(known, known[start : start + WINDOW]) == 1.0
        assert contamination.overlap(np.delete(known, start + 20), known[start : start + WINDOW]) == 0.0
