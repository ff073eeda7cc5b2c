"""The list of the parts of the training text: complete, in order, rated; and mixtures, which record the source of each part."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from small import TOP, knobs

from pipeline import prepare, tokenize
from pipeline.artifacts.paths import RAW, SPLITS, TOKENS, difficulty_of, ends_of, parts_of, text_of, tokens_of
from pipeline.artifacts.reading import read_json
from pipeline.corpus.encode import difficulty as parts
from pipeline.corpus.encode.difficulty import write_parts
from pipeline.corpus.encode.encode import encode_split, learn
from pipeline.corpus.sources import table
from pipeline.corpus.sources.table import TEXTS as DATASETS
from pipeline.corpus.store.text import SplitWriter
from pipeline.params.yaml12 import read_yaml
from pipeline.progress import follower
from pipeline.tokenizers.table import load

TEXTS = [b"aaaa aaaa", b"the cat sat on the mat " * 300, b"zq!", "né".encode() * 40, b"b"]


def listed(folder: Path, kind: str, texts: list[bytes], difficulty: list[float] | None = None) -> np.ndarray:
    """The parts of some training documents."""
    raw, tokens, follow = folder / "raw", folder / "tokens", follower("none")
    raw.mkdir(exist_ok=True)
    tokens.mkdir(exist_ok=True)
    with SplitWriter(raw) as splits:
        for place, text in enumerate(texts):
            splits.write("train", text, [len(text)], difficulty and difficulty[place : place + 1])
        for split in ("validation", "test"):
            splits.add(split, "né aa".encode())
    tokenizer, _ = learn(raw, kind, 300, 1, follow)
    tokenizer.save(tokens / "tokenizer.json")
    encode_split(raw, "train", tokens / "tokenizer.json", tokens_of(tokens, "train"), 1, follow)
    write_parts(raw, tokens, tokenizer, [])
    found: np.ndarray = np.load(parts_of(tokens))
    return found


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[1:2]], ids=["documents", "one document"])
@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_parts_are_documents_or_pieces_of_them_each_rated_by_how_rare_its_tokens_are(
    kind: str, texts: list[bytes], tmp_path: Path
) -> None:
    found = listed(tmp_path, kind, texts)
    tokenizer, ids = load(tmp_path / "tokens/tokenizer.json"), np.load(tmp_path / "tokens/train.npy").tolist()
    expected, start = [], 0
    for place, token in enumerate(ids, start=1):
        if token == tokenizer.end or place == len(ids) or (place - start) % parts.PIECE == 0:
            expected.append(place)
        if token == tokenizer.end:
            start = place
    assert found["end"].tolist() == expected
    real = [token for token in ids if token != tokenizer.end]
    bits = {token: -math.log2(real.count(token) / len(real)) for token in set(real)} | {tokenizer.end: 0.0}
    for first, last, difficulty in zip([0, *found["end"]], found["end"], found["difficulty"], strict=False):
        size = len(b"".join(tokenizer.token_bytes(token) for token in ids[first:last]))
        assert difficulty == pytest.approx(sum(bits[token] for token in ids[first:last]) / max(size, 1), rel=1e-5)
    if len(texts) > 1:
        assert found["difficulty"][-3] > found["difficulty"][:-3].max()  # zq!


def test_the_list_is_the_same_however_much_is_looked_at_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PIECE", 50)
    whole = listed(tmp_path, "byte", TEXTS)
    for block in (7, 50, 64):
        monkeypatch.setattr(parts, "BLOCK", block)
        found = listed(tmp_path, "byte", TEXTS)
        assert found["end"].tolist() == whole["end"].tolist()
        assert found["difficulty"] == pytest.approx(whole["difficulty"], rel=1e-5)


def test_what_the_maker_of_a_text_says_of_a_document_goes_before_and_empty_documents_are_none(tmp_path: Path) -> None:
    texts, said = [b"", *TEXTS[:3], b"", *TEXTS[3:]], [9.0, 5.0, 4.0, math.nan, 9.0, 2.0, 1.0]
    found = listed(tmp_path, "byte", texts, said)
    pieces = -(-(len(TEXTS[1]) + 1) // parts.PIECE)
    (tmp_path / "again").mkdir()
    rarity = listed(tmp_path / "again", "byte", TEXTS)["difficulty"]
    assert found["difficulty"].tolist() == [5.0, *[4.0] * pieces, rarity[1 + pieces], 2.0, 1.0]


# --------------------------------------------------------------------------------------------------------------- mixtures


def test_a_mixture_trains_on_both_and_holds_out_text_of_the_second_alone(tmp_path: Path) -> None:
    cards, texts = {}, {}
    for name in ("addition", "markov", "mixture"):
        folder = tmp_path / name
        folder.mkdir()
        params = knobs(prepare__dataset=name, prepare__mixture=["addition", "markov"], prepare__generated_chars=2000)
        with SplitWriter(folder) as splits:
            cards[name] = DATASETS[name](params.prepare, splits, follower("none"))
        texts[name] = {split: text_of(folder, split).read_bytes() for split in SPLITS}
    assert texts["mixture"]["train"] == texts["addition"]["train"] + texts["markov"]["train"]
    for split in ("validation", "test"):
        assert texts["mixture"][split] == texts["markov"][split]
    ends = np.load(ends_of(tmp_path / "mixture", "train"))
    assert cards["mixture"].sources == [("addition", len(ends) - 1), ("markov", 1)]
    assert cards["mixture"].entropy_nats_per_byte == cards["markov"].entropy_nats_per_byte
    rated = np.load(difficulty_of(tmp_path / "mixture"))
    assert len(rated) == len(ends) and np.isnan(rated).tolist() == [False] * (len(ends) - 1) + [True]


def test_the_parts_of_a_mixture_say_of_which_data_set_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = read_yaml(TOP / "params.yaml")
    values["prepare"] |= {"dataset": "mixture", "mixture": ["repeats", "dyck"], "generated_chars": 5000}
    values["tokenize"]["kind"] = "char"
    values["runtime"] |= {"progress": "none", "workers": 1}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    prepare.main()
    tokenize.main()
    found, tokenizer = np.load(parts_of(TOKENS)), load(TOKENS / "tokenizer.json")
    ids = np.load(tokens_of(TOKENS, "train"))
    first = int(found["end"][found["source"] == 0][-1])
    assert tokenizer.decode(ids[:first].tolist()) == text_of(RAW, "train").read_text()[: first - 1]
    assert set(tokenizer.decode(ids[first:].tolist())) == set("()[]\n")
    assert read_json(RAW / "card.json")["sources"] == [["repeats", 1], ["dyck", int((found["source"] == 1).sum())]]
    assert found["end"][-1] == len(ids)
    assert table.mixture in DATASETS.values()
