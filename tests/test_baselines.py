"""The baselines are honest: true distributions, as strong as they claim, measured over all of a split."""

from __future__ import annotations

import json
import lzma
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts.writing import write_json
from pipeline.evaluation.baselines import HELD_OUT, Score, baselines, entropy, ngram_scores, xz_scores
from pipeline.evaluation.cache import Rows, cached_rows
from pipeline.evaluation.ngrams import predictions
from pipeline.params.errors import UserError

VOCABULARY = 7


def distributions(train: np.ndarray, context: list[int], order: int, vocabulary: int = VOCABULARY) -> list[np.ndarray]:
    """For n-grams up to 1, 2, … `order`: the probability of every token after a context."""
    streams = [np.array([*context, token]) for token in range(vocabulary)]
    return [
        np.array([told.probability[-1] for told in all_told]) for all_told in predictions(train, streams, vocabulary, order)
    ]


def sample(tokens: int, seed: int = 0, vocabulary: int = VOCABULARY - 1) -> np.ndarray:
    """Skewed tokens with some memory; the last id of the vocabulary never comes up."""
    random = np.random.default_rng(seed)
    draws = random.geometric(0.4, tokens) - 1
    draws[2:] += draws[:-2] * (draws[1:-1] > 0)
    return (draws % vocabulary).astype(np.uint8)


class Reference:
    """Interpolated modified Kneser-Ney for one order, by the recursion as the paper writes it, over dictionaries."""

    def __init__(self, train: list[int], vocabulary: int, order: int) -> None:
        self.vocabulary = vocabulary
        self.levels = []
        for length in range(1, order + 1):
            grams = Counter(tuple(train[i : i + length]) for i in range(len(train) - length + 1))
            if length < order:
                longer = {tuple(train[i : i + length + 1]) for i in range(len(train) - length)}
                ways = Counter(gram[1:] for gram in longer)
                grams = Counter({gram: ways[gram] for gram in grams if ways[gram]})
            followers = defaultdict(dict)
            for gram, count in grams.items():
                followers[gram[:-1]][gram[-1]] = count
            self.levels.append((followers, self.discounts(grams)))

    @staticmethod
    def discounts(grams: Counter) -> list[float]:
        n = Counter(grams.values())
        if not (n[1] and n[2] and n[3]):
            return [0, 0.5, 0.5, 0.5]
        y = n[1] / (n[1] + 2 * n[2])
        values = [r - (r + 1) * y * n[r + 1] / n[r] for r in (1, 2, 3)]
        return [0, *(min(max(value, 0.01), r) for r, value in enumerate(values, start=1))]

    def probability(self, context: tuple[int, ...], token: int, length: int) -> float:
        if length == 0:
            return 1 / self.vocabulary
        context = context[len(context) - min(len(context), length - 1) :]
        if len(context) < length - 1:
            return self.probability(context, token, length - 1)
        followers, discounts = self.levels[length - 1]
        below = self.probability(context[1:], token, length - 1)
        if context not in followers:
            return below
        counts = followers[context]
        total = sum(counts.values())
        freed = sum(discounts[min(count, 3)] for count in counts.values())
        count = counts.get(token, 0)
        return (count - discounts[min(count, 3)]) / total + freed / total * below


@pytest.mark.parametrize("context", [[], [0], [1, 0], [2, 1, 0, 0], [0, 6, 1, 2], [6], [5, 5, 5, 5, 5], [0, 1, 0, 1, 0, 1, 0]])
def test_probabilities_of_all_tokens_sum_to_one_after_any_context(context: list[int]) -> None:
    for told in distributions(sample(3000), [0, *context], order=6):
        assert told.min() > 0
        assert told.sum() == pytest.approx(1, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.lists(st.integers(0, 5), min_size=2, max_size=12),
    st.integers(1, 5),
)
def test_n_grams_are_those_of_the_paper(train: list[int], stream: list[int], order: int) -> None:
    for length, [told] in enumerate(predictions(np.array(train), [np.array(stream)], 6, order), start=1):
        reference = Reference(train, 6, length)
        wanted = [reference.probability(tuple(stream[:i]), stream[i], length) for i in range(1, len(stream))]
        np.testing.assert_allclose(told.probability, wanted, rtol=1e-12)


def test_the_guess_is_the_likeliest_token() -> None:
    train, stream = sample(3000), sample(400, seed=1)
    for length, [told] in enumerate(predictions(train, [stream], VOCABULARY, 5), start=1):
        for place in range(1, 60):
            all_told = distributions(train, list(stream[:place]), length)[-1]
            assert all_told[told.guess[place - 1]] == pytest.approx(all_told.max(), rel=1e-12), (length, place)


def test_a_large_vocabulary_and_a_high_order_overflow_nothing() -> None:
    random = np.random.default_rng(0)
    train = np.tile(random.integers(0, 65536, 1000).astype(np.uint16), 3)
    *_, [told] = predictions(train, [train[:1000]], 65536, 8)
    reference = Reference(train.tolist(), 65536, 8)
    wanted = [reference.probability(tuple(train[max(i - 8, 0) : i].tolist()), int(train[i]), 8) for i in range(1, 1000)]
    np.testing.assert_allclose(told.probability, wanted, rtol=1e-12)
    assert (told.guess == train[1:1000]).all()


def test_bigrams_come_close_to_the_entropy_of_a_markov_chain() -> None:
    random = np.random.default_rng(3)
    rows = random.dirichlet(np.full(8, 0.3), size=8)
    chain = np.zeros(60_000, np.uint8)
    for i, draw in enumerate(random.random(len(chain) - 1), start=1):
        chain[i] = min(np.searchsorted(rows[chain[i - 1]].cumsum(), draw), 7)
    share = np.bincount(chain, minlength=8) / len(chain)
    known = -(share[:, None] * rows * np.log(np.maximum(rows, 1e-300))).sum()
    unigram, bigram, trigram = (
        -np.log(told.probability).mean() for [told] in predictions(chain[:50_000], [chain[50_000:]], 8, 3)
    )
    assert bigram == pytest.approx(known, abs=0.02)
    assert unigram > known + 0.3
    assert trigram < bigram + 0.01


# ----------------------------------------------------------------------------------------------- from the stages' files


def text(tokens: int, seed: int) -> str:
    return "".join("abcdef"[token] for token in sample(tokens, seed))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """data/raw and data/tokens of a small text, with one token a character and a vocabulary of 7."""
    return leave(tmp_path / "data", {"train": text(4000, 0), "validation": text(600, 1), "test": text(500, 2)})


def leave(folder: Path, texts: dict[str, str], entropy_nats_per_byte: float | None = None) -> Path:
    (folder / "raw").mkdir(parents=True)
    (folder / "tokens").mkdir()
    for split, content in texts.items():
        (folder / "raw" / f"{split}.txt").write_text(content)
        np.save(folder / "tokens" / f"{split}.npy", np.array(["abcdef".index(c) for c in content], np.uint8))
    counts = {split: len(content) for split, content in texts.items()}
    meta = {"vocabulary": VOCABULARY, "tokens": counts, "bytes": counts, "first_token_bytes": dict.fromkeys(texts, 1)}
    write_json(folder / "tokens" / "meta.json", meta | {"entropy_nats_per_byte": entropy_nats_per_byte})
    return folder


def measured(data: Path, said: list[str] | None = None, order: int = 5) -> list[Score]:
    return baselines(order, (said if said is not None else []).append, data / "tokens", data / "raw", data / "cache")


def test_baselines_are_scored_on_both_held_out_splits(data: Path) -> None:
    scores = measured(data)
    names = [name for name in dict.fromkeys(score.name for score in scores) if not name.endswith("-gram")]
    assert names == ["uniform", "unigram", "bigram", "xz -9"]
    for score in scores:
        assert score.split in HELD_OUT
        assert score.bits_per_byte > 0
    uniform = scores[0]
    assert uniform.loss == pytest.approx(math.log(VOCABULARY))
    assert uniform.tokens == 599
    assert uniform.bits_per_byte == pytest.approx(math.log2(VOCABULARY))


def test_of_the_longer_n_grams_the_best_on_validation_stands_for_all(data: Path) -> None:
    longest = {}
    for order in (3, 4, 5, 6):
        longest[order] = [score for score in ngram_scores(order, data / "tokens") if score.name.endswith("-gram")]
    best = longest[6][0]
    assert all(best.nats <= scores[0].nats for scores in longest.values())
    assert [score.split for score in longest[6]] == ["validation", "test"]
    assert list(ngram_scores(2, data / "tokens"))[-1].name == "bigram"


def test_a_second_time_the_scores_come_from_the_cache_and_are_the_same(data: Path) -> None:
    said: list[str] = []
    first = measured(data, said)
    assert measured(data, said) == first
    assert len(said) == 1


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"content": {"scores": [{"name": "model"}]}, "sha256": ""}', "shorter", "altered"]
)
def test_a_damaged_cache_entry_is_measured_anew(data: Path, damage: str) -> None:
    first = measured(data)
    [entry] = (data / "cache").iterdir()
    whole = entry.read_text()
    content = json.loads(whole)
    content["content"]["scores"][0]["nats"] = 0.5
    entry.write_text({"shorter": whole[:-9], "altered": json.dumps(content)}.get(damage, damage))
    assert measured(data) == first
    assert entry.read_text() == whole


def test_all_clones_of_a_user_share_what_depends_on_the_data_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured_by: list[str] = []

    def rows(clone: str) -> Rows:
        (tmp_path / clone).mkdir(exist_ok=True)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / clone))
        return cached_rows(["key"], lambda: [{"by": measured_by.append(clone) or clone}])

    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    assert [rows("one"), rows("other")] == [[{"by": "one"}]] * 2 and measured_by == ["one"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "file"))  # no folder can be made there
    assert [rows("other"), rows("other")] == [[{"by": "other"}]] * 2 and measured_by == ["one", "other"]


def test_other_data_or_another_order_is_another_cache_entry(data: Path) -> None:
    first = measured(data)
    assert measured(data, order=2) != first
    text_file = data / "raw" / "test.txt"
    text_file.write_text(text_file.read_text()[::-1] + "abc")
    assert measured(data) != first
    assert len(list((data / "cache").iterdir())) == 3


def test_xz_may_use_the_training_text_when_that_helps(tmp_path: Path) -> None:
    held_out = np.random.default_rng(0).choice(list(b"abcdef"), 3000).astype(np.uint8).tobytes()
    alone = len(lzma.compress(held_out, preset=9)) * 8 / len(held_out)
    (tmp_path / "test.txt").write_bytes(held_out)
    (tmp_path / "train.txt").write_bytes(held_out)
    [same] = xz_scores(tmp_path, ("test",))
    assert same.bits_per_byte < 0.1 * alone
    assert same.note == "after the training text"
    (tmp_path / "train.txt").write_bytes(np.random.default_rng(1).bytes(20_000))  # nothing to learn from but bad habits
    (tmp_path / "test.txt").write_bytes(b"a" * 3000)
    [other] = xz_scores(tmp_path, ("test",))
    assert other.bits_per_byte < 0.25
    assert other.note == "alone"
    assert other.loss is None


def test_xz_of_a_large_text_reads_as_much_of_it_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.evaluation.baselines.COMPRESSED", 1000)
    (tmp_path / "train.txt").write_bytes(b"x" * 5000 + b"abc" * 300)
    (tmp_path / "test.txt").write_bytes(b"abc" * 333 + b"!" + np.random.default_rng(1).bytes(5000))
    [found] = xz_scores(tmp_path, ("test",))
    assert found.bytes == 1000
    assert found.bits_per_byte < 1
    assert found.note.endswith(", 1,000 bytes of each at most")


def test_known_entropy_is_told_in_the_same_units(tmp_path: Path) -> None:
    texts = {"train": text(100, 0), "validation": text(100, 1), "test": text(100, 2)}
    assert entropy(leave(tmp_path / "unknown", texts) / "tokens") == []
    validation, test = entropy(leave(tmp_path / "known", texts, 1.25) / "tokens")
    assert validation.loss == pytest.approx(1.25)
    assert test.bits_per_byte == pytest.approx(1.25 / math.log(2))


def test_missing_or_damaged_tokens_are_one_clear_line(data: Path) -> None:
    file = data / "tokens" / "test.npy"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UserError, match=r"test\.npy: is damaged"):
        measured(data)
    file.unlink()
    with pytest.raises(UserError, match=r"test\.npy: not found"):
        measured(data)


def test_a_row_leaves_out_what_is_unknown_or_no_number() -> None:
    assert Score("model", "test", math.nan, 10, 10, None).row() == {"name": "model", "split": "test"}
    assert Score("model", "test", 1e6, 10, 10, 5).row().keys() == {"name", "split", "bits_per_byte", "loss", "accuracy"}
    row = Score("model", "test", 20.0, 10, 10, 5, "so").row()
    assert row["perplexity"] == pytest.approx(math.exp(2), rel=1e-5)
    assert (row["loss"], row["accuracy"], row["note"]) == (2.0, 0.5, "so")
