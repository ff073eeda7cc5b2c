"""Labelled texts, the user's own and those of packages: read unchanged, or refused in one line."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import packed
import pytest
from small import knobs

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.grammars import brackets
from pipeline.corpus.sources.generated.dyck import labelled_dyck
from pipeline.corpus.sources.generated.modular import SYMBOLS, labelled_modular
from pipeline.corpus.sources.published.language_id import LANGUAGES, parse_po
from pipeline.corpus.sources.published.sentiment import Sentiment, label_of
from pipeline.corpus.sources.user.labelled import user_labelled
from pipeline.corpus.sources.user.labelled_rows import READERS
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.errors import UserError
from pipeline.progress import follower

Labelled = dict[str, list[tuple[str, str]]]
ROWS = [(f"text number {i} of them", "abc"[i % 3 if i < 60 else 0]) for i in range(90)]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    return tmp_path


def made(dataset: Any, **changes: Any) -> tuple[Card, Labelled]:
    """(the card, text and class of each document of each split)."""
    prepare = knobs(
        task__kind="classify", prepare__dataset="dyck", **{f"prepare__{name}": x for name, x in changes.items()}
    ).prepare
    Path("raw").mkdir(exist_ok=True)
    with SplitWriter(Path("raw")) as splits:
        card = dataset(prepare, splits, follower("none"))
    found = {}
    for split in SPLITS:
        text, ends = Path(f"raw/{split}.txt").read_bytes(), np.load(f"raw/{split}.ends.npy").tolist()
        labels = np.load(f"raw/{split}.labels.npy").tolist()
        texts = [text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
        found[split] = [(text, card.classes[label]) for text, label in zip(texts, labels, strict=True)]
    return card, found


def everything(found: Labelled) -> list[tuple[str, str]]:
    return sorted(example for examples in found.values() for example in examples)


# ------------------------------------------------------------------------------------------------------- the user's own


def as_csv(sign: str) -> str:
    return "\n".join(f'{label}{sign}"{text}"' for text, label in [("text", "label"), *ROWS])


FILES = {
    "rows.csv": as_csv(","),
    "semicolons.csv": "\ufeff" + as_csv(";").replace("\n", "\r\n"),
    "rows.tsv": as_csv("\t"),
    "rows.jsonl": "\n".join(json.dumps({"n": 1, "label": label, "text": text}) for text, label in ROWS) + "\n\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_rows_becomes_three_splits_with_a_share_of_every_class(name: str) -> None:
    Path(name).write_text(FILES[name], encoding="utf-8")
    card, found = made(user_labelled, path=name)
    assert card.classes == ["a", "b", "c"]
    assert everything(found) == sorted(ROWS)
    for split, wanted in (("validation", {"a": 5, "b": 2, "c": 2}), ("test", {"a": 5, "b": 2, "c": 2})):
        assert Counter(label for _, label in found[split]) == wanted


@pytest.mark.parametrize("kind", READERS)
def test_every_kind_of_file_is_tried_above(kind: str) -> None:
    assert any(name.endswith(kind) for name in FILES)


def test_new_rows_move_hardly_any_other_and_a_folder_is_read_whole() -> None:
    Path("own").mkdir()
    Path("own/a.csv").write_text(FILES["rows.csv"])
    _, before = made(user_labelled, path="own")
    Path("own/b.jsonl").write_text('{"text": "one more", "label": "a"}\n')
    _, after = made(user_labelled, path="own")
    assert sum(len(set(before[split]) - set(after[split])) for split in SPLITS) <= 2
    assert len(everything(after)) == 91


def test_copies_are_left_out_and_a_text_with_two_labels_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    rows = [*ROWS, ROWS[0], ROWS[1], (ROWS[2][0], "a")]
    Path("own.jsonl").write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in rows))
    card, found = made(user_labelled, path="own.jsonl")
    assert card.left_out == {"copies": 3, "texts_with_two_labels": 1}
    assert everything(found) == sorted({*ROWS} - {ROWS[2]})
    such = "such as 'text number 2 of them' (own.jsonl, line 3: 'c'; own.jsonl, line 93: 'a')"
    assert f"left out: 1 texts that have two labels, {such}" in capfd.readouterr().err


def test_labels_that_are_numbers_are_in_their_order_and_columns_have_any_name() -> None:
    Path("own.jsonl").write_text("\n".join(json.dumps({"says": f"text {i}", "stars": i % 11}) for i in range(60)))
    card, _ = made(user_labelled, path="own.jsonl", text_column="says", label_column="stars")
    assert card.classes == [str(number) for number in range(11)]


WRONG: dict[str, tuple[str, bytes, str]] = {
    "no such column": ("a.csv", b"Text,label\na,b\n", "prepare.text_column: a.csv has no column 'text'. Did you mean 'Text'?"),
    "no label column": ("a.csv", b"text,class\na,b\n", "prepare.label_column: a.csv has no column 'label'. Known: text, class"),
    "an empty file": ("a.csv", b"", "prepare.text_column: a.csv has no column 'text'."),
    "a header alone": ("a.csv", b"text,label\n", "prepare.path: a.csv: no labelled text in it"),
    "one class": (
        "a.csv",
        b"text,label\na,x\nb,x\n",
        "prepare.label_column: all texts of a.csv are of the class 'x'; two or more",
    ),
    "an empty text": ("a.csv", b"text,label\na,x\n  ,y\n", "a.csv, line 3: the text is empty"),
    "an empty label": ("a.csv", b"text,label\na,x\nb,\n", "a.csv, line 3: the label is empty"),
    "too few fields": ("a.csv", b"text,label\na,x\nb\n", "a.csv, line 3: has 1 fields, but the first line has 2"),
    "a quote without end": ("a.csv", b'text,label\na,x\n"b,y\n', "a.csv, line 3: a quote opens here that is not closed, or"),
    "few of a class": (
        "a.csv",
        b"text,label\na,x\nb,x\nc,x\nd,y\n",
        "prepare.label_column: the class 'y' has 1 different texts",
    ),
    "another encoding": ("a.csv", "text,label\né,x\n".encode("latin-1"), "a.csv: is not UTF-8 text (byte 0xe9 near offset 11)"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.csv: is a PNG image, not text; leave it out"),
    "broken JSON": ("a.jsonl", b'{"text": "a", "label": 1}\n{"text": \n', "a.jsonl, line 2: is not JSON: Expecting value"),
    "no object": ("a.jsonl", b'["a", 1]\n', "a.jsonl, line 1: is not an object of keys and values"),
    "no such key": (
        "a.jsonl",
        b'{"text": "a", "lable": 1}\n',
        "prepare.label_column: a.jsonl, line 1: has no key 'label'. Did you mean",
    ),
    "a text that is none": ("a.jsonl", b'{"text": 3, "label": 1}\n', "a.jsonl, line 1: the text is not text"),
    "a label that is none": ("a.jsonl", b'{"text": "a", "label": null}\n', "a.jsonl, line 1: the label is empty"),
    "a list of labels": ("a.jsonl", b'{"text": "a", "label": [1]}\n', "a.jsonl, line 1: the label is not a word or a number"),
    "half of a character": (
        "a.jsonl",
        rb'{"text": "\ud83d", "label": 1}',
        "a.jsonl, line 1: the text has half of a character",
    ),
    "another kind of file": ("a.xlsx", b"PK", "prepare.path: a.xlsx: is not a .csv or .tsv or .jsonl file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_learned_from_is_one_line_that_says_where(name: str) -> None:
    file, content, line = WRONG[name]
    Path(file).write_bytes(content)
    with pytest.raises(UserError) as refusal:
        made(user_labelled, path=file)
    assert len(refusal.value.problems) == 1 and "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(line)


def test_a_folder_without_labelled_texts_and_no_folder_at_all_are_one_line() -> None:
    Path("own").mkdir()
    for path, line in (
        ("own", "prepare.path: no file in 'own' is a .csv"),
        ("nowhere", "prepare.path: no file or folder"),
    ):
        with pytest.raises(UserError, match=re.escape(line)):
            made(user_labelled, path=path)


# ------------------------------------------------------------------------------------------------------------- packages


def test_sentiment_has_the_classes_of_its_ratings_and_its_reviews_stay_together(project: Path) -> None:
    card, found = made(packed.sentiment(project / "cache"), validation_share=0.2, test_share=0.2)
    assert card.classes == ["negative", "positive"] and card.left_out["neutral"] > 50
    texts = [text for text, _ in everything(found)]
    assert any(text.endswith("!!! &") for text in texts) and not any("&amp;" in text for text in texts)
    card, found = made(packed.sentiment(project / "cache"), classes=3, validation_share=0.2, test_share=0.2)
    assert card.classes == ["negative", "neutral", "positive"]
    for split in SPLITS:
        assert len({label for _, label in found[split]}) == 3


@pytest.mark.parametrize(
    ("mean", "two", "three"), [(0.5, "positive", "positive"), (-0.5, "negative", "negative"), (0.4, "", "neutral")]
)
def test_a_mean_rating_is_neutral_below_half_a_point(mean: float, two: str, three: str) -> None:
    assert (label_of(mean, 2), label_of(mean, 3)) == (two, three)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            packed.rated_snippets({"tweets": ["1\t2.0\tfine", "2\tgood"]}),
            "tweets_GroundTruth.txt, line 2: is not an id",
        ),
        (packed.rated_snippets({"tweets": ["1\t2.0\tfine"]})[:-200], "cannot be unpacked"),
        (packed.tar({"vaderSentiment-3.3.2/README": b""}), "has no hutto_ICWSM_2014.tar.gz"),
        (packed.rated_snippets({"tweets": ["1\t2.0\tfine"]}), "the split train has no example of the class 'negative'"),
    ],
    ids=["a damaged line", "cut off", "without ratings", "one class"],
)
def test_a_package_that_holds_something_else_is_one_line(content: bytes, line: str, project: Path) -> None:
    with pytest.raises(UserError, match=line) as refusal:
        made(Sentiment("vaderSentiment==3.3.2", packed.cached(project / "cache", content)))
    assert len(refusal.value.problems) == 1


def test_every_language_is_in_every_split_and_no_source_string_in_two(project: Path) -> None:
    card, found = made(packed.language_id(project / "cache"))
    assert card.classes == sorted(name for _, name in LANGUAGES) and len(card.classes) == 20
    endings = [code for code, _ in LANGUAGES if code != "en"]
    sources: dict[str, set[str]] = {}
    for split in SPLITS:
        assert {label for _, label in found[split]} == {*card.classes}
        plain = (re.sub(rf"(?:{'|'.join(endings)})\w\w\b", "", text) for text, label in found[split] if label != "English")
        sources[split] = {*plain, *(text for text, label in found[split] if label == "English")}
    assert not sources["train"] & (sources["validation"] | sources["test"]) and not sources["validation"] & sources["test"]


def test_a_catalogue_is_read_with_its_continued_lines_plurals_and_without_unsure_ones() -> None:
    catalogue = """msgid ""\nmsgstr "Language: de\\n"\n\n#, fuzzy\nmsgid "a"\nmsgstr "b"\n\n#: x.py\n#, python-format
msgctxt "c"\nmsgid "%(n)s line"\nmsgid_plural ""\n"%(n)s "\n"lines"
msgstr[0] "eine \\"Zeile\\""\nmsgstr[1] ""\n"viele "\n"Zeilen"\n"""
    assert list(parse_po(catalogue)) == [("%(n)s line", ['eine "Zeile"', "viele Zeilen"])]


# ------------------------------------------------------------------------------------------------------------ generated


def test_half_of_the_words_of_brackets_are_balanced_and_in_the_others_two_have_changed_places() -> None:
    card, found = made(labelled_dyck, generated_chars=20_000)
    for split in SPLITS:
        counts = Counter(label for _, label in found[split])
        assert abs(counts["balanced"] - counts["unbalanced"]) <= 1
        for text, label in found[split]:
            assert (brackets([text + "\n"]) == 1.0) == (label == "balanced") and len(text) >= 16
            assert all(text.count(opens) == text.count(closes) for opens, closes in ("()", "[]")), "counting would tell"
    assert len(np.load("raw/train.difficulty.npy")) == len(found["train"])
    assert card.classes == ["unbalanced", "balanced"]


def test_too_few_words_of_brackets_are_one_line() -> None:
    with pytest.raises(UserError, match=r"prepare\.bracket_kinds: 1, nested 1 deep, allow too few different words"):
        made(labelled_dyck, generated_chars=20_000, max_depth=1, bracket_kinds=1)


@pytest.mark.parametrize("operation", ["add", "subtract"])
def test_every_pair_of_numbers_is_asked_once_and_no_split_answers_another(operation: str) -> None:
    card, found = made(labelled_modular, modulus=29, operation=operation)
    homes = {}
    for split in SPLITS:
        for text, answer in found[split]:
            first, second = SYMBOLS.index(text[0]), SYMBOLS.index(text[2])
            assert text[1::2] == ("+=" if operation == "add" else "-=")
            assert int(answer) == (first + second if operation == "add" else first - second) % 29
            homes[first, second] = split
    assert len(homes) == 29 * 29 and card.classes == [str(number) for number in range(29)]
    if operation == "add":
        assert all(homes[b, a] == home for (a, b), home in homes.items())
    assert len(found["train"]) == pytest.approx(0.4 * 29 * 29, abs=20)


def test_a_modulus_of_too_few_pairs_is_one_line_and_all_numbers_have_a_character() -> None:
    assert len(set(SYMBOLS)) == len(SYMBOLS) >= 200 and not set(SYMBOLS) & set("+-=\n")
    with pytest.raises(UserError, match=r"prepare\.modulus: 2 gives 3 pairs, too few for three splits"):
        made(labelled_modular, modulus=2, train_share=0.05)
