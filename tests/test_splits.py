"""No two splits share a document or a near-duplicate, in every data set that is generated, labelled or in a package."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import packed
import pytest
from small import knobs

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.splitting.filters import apply_filters
from pipeline.corpus.sources.splitting.minhash import SHINGLE, near_duplicate_pairs, plan_bands, sketch
from pipeline.corpus.sources.table import LABELLED_TEXTS, TEXTS
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.errors import UserError
from pipeline.progress import follower

QUIET = follower("none")
NEEDS_NETWORK = {"shakespeare", "tinyshakespeare", "tinystories", "tinystories_clean", "enwik8", "url", "hub"}
BY_CHANCE = {"dyck", "mixture"}  # short words of brackets stand in all splits: what is generated there is a language, not texts
ONE_TEXT = {"markov", "zipf_bigram", "repeats"}  # each split one document, drawn apart
PACKED = {"sentiment": packed.sentiment, "language_id": packed.language_id, "manuals": packed.manuals}
WITHOUT_LABELS = {"sentiment", "language_id"}  # the same texts, split alike
LANGUAGE = [("language", name) for name in TEXTS if name not in NEEDS_NETWORK | BY_CHANCE | WITHOUT_LABELS]
CLASSIFY = [("classify", name) for name in LABELLED_TEXTS]
SETS = LANGUAGE + CLASSIFY


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    return tmp_path


def own_files() -> None:
    rng = random.Random(0)
    Path("own").mkdir()
    for i in range(30):
        Path(f"own/{i}.txt").write_text(packed.said(rng, 60))
    rows = [f"{packed.said(rng)},{rng.choice(['yes', 'no'])}" for _ in range(300)]
    Path("own/rated.csv").write_text("\n".join(["text,label", *rows, *rows[:40]]))


def made(kind: str, name: str, folder: Path, **changes: Any) -> dict[str, list[str]]:
    """The documents of each split."""
    own_files()
    small = {"generated_chars": 20_000, "path": "own", "modulus": 31} | changes
    params = knobs(task__kind=kind, prepare__dataset=name, **{f"prepare__{knob}": value for knob, value in small.items()})
    table: dict[str, Any] = LABELLED_TEXTS if kind == "classify" else TEXTS
    dataset = PACKED[name](folder / "cache") if name in PACKED else table[name]
    raw = folder / "raw"
    raw.mkdir()
    with SplitWriter(raw) as splits:
        card = dataset(params.prepare, splits, QUIET)
    apply_filters(raw, card, params.prepare, QUIET)
    found = {}
    for split in SPLITS:
        text, ends = (raw / f"{split}.txt").read_bytes(), np.load(raw / f"{split}.ends.npy").tolist()
        found[split] = [text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
        if kind == "classify":
            labels = np.load(raw / f"{split}.labels.npy")
            assert len(labels) == len(ends) and set(labels.tolist()) <= set(range(len(card.classes)))
    return found


def crossing(found: dict[str, list[str]], threshold: float) -> list[tuple[str, str]]:
    """The pairs of documents of two splits that are so alike."""
    texts = [text for split in SPLITS for text in found[split]]
    home = [split for split in SPLITS for _ in found[split]]
    return [(texts[one], texts[other]) for one, other in near_duplicate_pairs(texts, threshold) if home[one] != home[other]]


@pytest.mark.parametrize(("kind", "name"), SETS)
def test_no_two_splits_share_a_document(kind: str, name: str, project: Path) -> None:
    found = made(kind, name, project)
    digests = {split: {hashlib.sha256(text.encode()).digest() for text in texts} for split, texts in found.items()}
    assert all(digests.values())
    assert not digests["train"] & digests["validation"]
    assert not digests["train"] & digests["test"]
    assert not digests["validation"] & digests["test"]


@pytest.mark.parametrize(("kind", "name"), [each for each in SETS if each[1] not in {"addition", "modular"} | ONE_TEXT])
def test_no_two_splits_share_nearly_a_document(kind: str, name: str, project: Path) -> None:
    threshold = 0.8 if name == "dyck" else 0.5  # of brackets there are few different shingles
    assert not crossing(made(kind, name, project), threshold)


def test_every_data_set_of_texts_is_looked_at_or_said_not_to_be() -> None:
    assert set(TEXTS) == NEEDS_NETWORK | BY_CHANCE | WITHOUT_LABELS | {name for _, name in LANGUAGE}
    assert set(LABELLED_TEXTS) == {name for _, name in CLASSIFY}


# ------------------------------------------------------------------------------------------------------ near-duplicates


def brute(one: str, other: str) -> float:
    """The Jaccard similarity of two texts without punctuation, by Python's sets."""
    sets = [{text[i : i + SHINGLE] for i in range(max(len(text) - SHINGLE + 1, 1))} for text in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_every_pair_of_like_texts_is_found_and_no_other(threshold: float) -> None:
    rng = random.Random(0)
    texts = []
    for _ in range(25):
        words = packed.said(rng, 30).split()
        texts += [
            " ".join(word if place >= changed else rng.choice(packed.WORDS) for place, word in enumerate(words))
            for changed in range(0, 12, 3)
        ]
    pairs = {(i, j) for j in range(len(texts)) for i in range(j) if brute(texts[i], texts[j]) >= threshold}
    assert set(near_duplicate_pairs(texts, threshold)) == pairs
    assert len(pairs) > 20 or threshold == 1.0


def test_case_punctuation_and_blanks_make_no_difference_and_short_texts_are_compared_whole() -> None:
    texts = [
        "Yay! Another GOOD  phone interview.",
        "yay, another good phone interview",
        "ok!",
        "OK",
        "okay",
        "([])",
        "([]])",
        "!",
    ]
    assert set(near_duplicate_pairs(texts, 1.0)) == {(0, 1), (2, 3)}


def test_equal_hashes_are_as_many_as_the_texts_are_alike() -> None:
    rng = random.Random(1)
    one = packed.said(rng, 80)
    other = one[: len(one) // 2] + packed.said(rng, 40)
    hashes = sketch([one, other], plan_bands(0.5)).hashes
    assert (hashes[0] == hashes[1]).mean() == pytest.approx(brute(one, other), abs=0.15)


@pytest.mark.parametrize("kind", ["language", "classify"])
def test_near_duplicates_of_held_out_documents_are_left_out_and_counted(kind: str, project: Path) -> None:
    rng = random.Random(5)
    raw = project / "raw"
    raw.mkdir()
    kept = {split: [packed.said(rng, 20) for _ in range(40)] for split in SPLITS}
    copies = {
        "train": [f"{kept['test'][0]}!", kept["validation"][1].upper()],
        "validation": [f"- {kept['test'][2]}"],
        "test": [],
    }
    with SplitWriter(raw) as splits:
        for split in SPLITS:
            for number, text in enumerate([*copies[split], *kept[split]]):
                splits.add(split, text.encode(), number % 2 if kind == "classify" else None)
        card = Card("x", "x", "x", "x", classes=["a", "b"] if kind == "classify" else [])
    params = knobs(prepare__dedup_threshold=0.8).prepare
    _, says = apply_filters(raw, card, params, QUIET)
    assert says["near_duplicates"]["left_out"] == {"train": 2, "validation": 1}
    assert {"train": copies["train"][0][:80], "test": kept["test"][0][:80], "similarity": 1.0} in says["near_duplicates"][
        "examples"
    ]
    for split in SPLITS:
        assert (raw / f"{split}.txt").read_text() == "".join(kept[split])
        if kind == "classify":
            start = len(copies[split])
            assert np.load(raw / f"{split}.labels.npy").tolist() == [(start + i) % 2 for i in range(40)]


def test_examples_and_noise_reach_the_training_labels_alone(project: Path) -> None:
    (project / "plain").mkdir()
    plain = made("classify", "dyck", project / "plain")
    (project / "own").rename(project / "before")
    (project / "few").mkdir()
    few = made("classify", "dyck", project / "few", max_examples=50, label_noise=0.5)
    assert len(few["train"]) == 50 and set(few["train"]) < set(plain["train"])
    assert (few["validation"], few["test"]) == (plain["validation"], plain["test"])
    for split in ("validation", "test"):
        same = [np.load(project / name / "raw" / f"{split}.labels.npy").tolist() for name in ("plain", "few")]
        assert same[0] == same[1]


# ------------------------------------------------------------------------------------------------------- as they really are


@pytest.mark.slow
@pytest.mark.parametrize(("name", "documents"), [("sentiment", 19_410), ("language_id", 7_651)])
def test_a_real_package_holds_what_is_said_of_it_and_its_splits_share_nothing(
    name: str, documents: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PACKED, name, lambda cache: LABELLED_TEXTS[name])
    try:
        found = made("classify", name, tmp_path)
    except UserError as refusal:
        pytest.skip(f"there is no package index here that has it: {refusal}")
    assert sum(map(len, found.values())) == documents
    assert 0.08 < len(found["validation"]) / documents < 0.12 and 0.08 < len(found["test"]) / documents < 0.12
    assert not crossing(found, 0.5)
