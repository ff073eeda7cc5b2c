"""Odd folders, tables, lines and images as users have them: each with its right result, or its one line."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small import knobs

from pipeline.artifacts.paths import SPLITS, images_of, labels_of
from pipeline.corpus.sources.splitting.text import lines_of
from pipeline.corpus.sources.table import IMAGES, LABELLED_TEXTS, TEXTS
from pipeline.corpus.sources.user.bad_data import BadData
from pipeline.corpus.sources.user.classes import merge_labels, sort_classes
from pipeline.corpus.sources.user.labelled_rows import READERS
from pipeline.corpus.sources.user.text import split_by_size
from pipeline.corpus.store.images import ImageWriter
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.entry_point import entry_point
from pipeline.progress import follower

Content = bytes | str | Path  # a path: a link to there, as seen from the folder that holds it


@dataclass
class Odd:
    """Some files of the user's, and what becomes of them.

    Attributes:
        files: by their names within the folder that prepare.path names.
        line: with which it is refused, or its beginning; "" where it is prepared.
        classes: that the card tells; sizes: examples or documents of each split, in the order of SPLITS; left_out: the card's.
        holds: text or pixels that each named split must hold, as far as it is said here.
        says: what is said on the way; "" = nothing is.
        turned: knobs of the section prepare.
    """

    files: dict[str | bytes, Content]
    line: str = ""
    classes: list[str] | None = None
    sizes: tuple[int, int, int] | None = None
    left_out: dict[str, int] | None = None
    holds: dict[str, Any] = field(default_factory=dict)
    says: str = ""
    turned: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def laid_out(files: dict[str | bytes, Content]) -> None:
    for name, content in files.items():
        path = Path(os.fsdecode(b"own/" + (name if isinstance(name, bytes) else name.encode())))
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def prepared(kind: str, turned: dict[str, Any]) -> tuple[Card, dict[str, Any]]:
    """(the card, what is in each split: texts, or pairs of a text or pixels and the name of a class)."""
    data = {"language": "markov", "classify": "dyck", "vision": "digits"}[kind]
    changes = {f"prepare__{name}": value for name, value in ({"path": "own"} | turned).items()}
    prepare = knobs(task__kind=kind, prepare__dataset=data, **changes).prepare
    raw = Path("raw")
    raw.mkdir()
    if kind == "vision":
        writer = ImageWriter()
        card = IMAGES["file"](prepare, writer, follower("none"))
        writer.save(raw, card, prepare)
    else:
        with SplitWriter(raw) as splits:
            card = (TEXTS if kind == "language" else LABELLED_TEXTS)["file"](prepare, splits, follower("none"))
    found: dict[str, Any] = {}
    for split in SPLITS:
        if kind == "vision":
            examples: list[Any] = list(np.load(images_of(raw, split)))
        else:
            text, ends = (raw / f"{split}.txt").read_bytes(), np.load(raw / f"{split}.ends.npy").tolist()
            examples = [text[a:b].decode() for a, b in itertools.pairwise([0, *ends])]
        names = [] if kind == "language" else [card.classes[label] for label in np.load(labels_of(raw, split))]
        found[split] = list(zip(examples, names, strict=True)) if names else examples
    return card, found


def look(kind: str, odd: Odd, capfd: pytest.CaptureFixture[str]) -> None:
    laid_out(odd.files)
    made: list[Any] = []
    if odd.line:
        with pytest.raises(SystemExit) as end:
            entry_point(lambda: made.append(prepared(kind, odd.turned)))()
        *_, line = capfd.readouterr().err.splitlines()
        assert end.value.code == 2 and line.startswith(odd.line), line
        return
    card, found = prepared(kind, odd.turned)
    said = capfd.readouterr().err
    assert odd.says in said if odd.says else not said, said
    assert odd.classes is None or list(card.classes) == odd.classes
    assert odd.sizes is None or tuple(len(found[split]) for split in SPLITS) == odd.sizes
    assert odd.left_out is None or card.left_out == odd.left_out
    for split, wanted in odd.holds.items():
        if callable(wanted):
            assert wanted(found[split])
        else:
            assert sorted(found[split]) == sorted(wanted)


# ----------------------------------------------------------------------------------------------------------------- texts

TALES = {f"{i}.txt": f"tale number {i} of ten\n" for i in range(10)}
ASCII = "the old red hen walks home\n" * 40
RUSSIAN = "старая рыжая курица идёт домой\n" * 40
CHINESE = "老红母鸡走回家。\n" * 40
BOOK, SCRAPS = {"book.txt": "a long book " * 900}, {"title.txt": "a title page", "list.txt": "a list of contents"}
CONVERT = "; convert it: iconv -f"
DRAWN = {"train": lambda texts: len(texts) == 8}


def zipped(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def parts(form: str, **counts: int) -> dict[str | bytes, Content]:
    return {
        form.format(split=split, i=i): f"{split} tale {i} is told here\n"
        for split, count in counts.items()
        for i in range(count)
    }


def of_split(name: str, count: int) -> list[str]:
    return [f"{name} tale {i} is told here\n" for i in range(count)]


TEXT: dict[str, Odd] = {
    "UTF-16LE without a mark": Odd(
        {"d.txt": ASCII.encode("utf-16-le")},
        f"d.txt: is UTF-16LE text, not UTF-8{CONVERT} UTF-16LE -t UTF-8 FILE > NEW",
    ),
    "UTF-16BE without a mark": Odd({"d.txt": ASCII.encode("utf-16-be")}, "d.txt: is UTF-16BE text"),
    "UTF-16 with a mark": Odd(TALES | {"d.txt": ASCII.encode("utf-16")}, f"d.txt: is UTF-16 text, not UTF-8{CONVERT} UTF-16"),
    "UTF-16BE with a mark": Odd({"d.txt": b"\xfe\xff" + ASCII.encode("utf-16-be")}, "d.txt: is UTF-16 text"),
    "UTF-32 with a mark": Odd({"d.txt": ASCII.encode("utf-32")}, f"d.txt: is UTF-32 text, not UTF-8{CONVERT} UTF-32"),
    "UTF-32LE without a mark": Odd({"d.txt": ASCII.encode("utf-32-le")}, "d.txt: is UTF-32LE text"),
    "UTF-32BE without a mark": Odd({"d.txt": ASCII.encode("utf-32-be")}, "d.txt: is UTF-32BE text"),
    "UTF-16LE of Russian, which passes as UTF-8": Odd({"d.txt": RUSSIAN.encode("utf-16-le")}, "d.txt: is UTF-16LE text"),
    "UTF-16BE of Russian": Odd({"d.txt": RUSSIAN.encode("utf-16-be")}, "d.txt: is UTF-16BE text"),
    "UTF-16LE of Chinese": Odd({"d.txt": CHINESE.encode("utf-16-le")}, "d.txt: is UTF-16LE text"),
    "nothing but zeros": Odd({"d.txt": bytes(10_000)}, "d.txt: is not text: it begins with zero bytes only"),
    "a zero within a text": Odd({"d.txt": b"one\0two\n" * 99}, "d.txt: is not text: it has a zero byte at offset 3"),
    "zeros behind a text, as a full disk leaves": Odd(
        {"d.txt": ASCII.encode() * 9 + bytes(5000)}, "d.txt: is not text: it has a zero byte at offset 9,720"
    ),
    "Latin-1": Odd({"d.txt": "née naïve\n".encode("latin-1") * 40}, "d.txt: is not UTF-8 text (byte 0xe9 near offset 1)"),
    "gzip called .txt": Odd(
        {"d.txt": gzip.compress(ASCII.encode())}, "d.txt: is packed by gzip, not text; unpack it: gunzip -c"
    ),
    "xz called .txt": Odd({"d.txt": lzma.compress(ASCII.encode())}, "d.txt: is packed by xz, not text; unpack it: xz -dc"),
    "a document of Word called .txt": Odd(
        {"d.txt": zipped(**{"word/document.xml": ASCII})},
        "d.txt: is a ZIP archive or an Office document, not text; unzip it, or",
    ),
    "a PDF of plain letters": Odd({"d.txt": "%PDF-1.4\n" + ASCII}, "d.txt: is a PDF, not text; take its text out: pdftotext"),
    "an RTF document": Odd({"d.txt": "{\\rtf1\\ansi " + ASCII + "}"}, "d.txt: is an RTF document, not text; save it as plain"),
    "a text that begins as bzip2 does": Odd({"d.txt": "BZh is how it begins\n" + ASCII}, sizes=(1, 1, 1)),
    "UTF-8 with a mark, and CRLF": Odd(
        {name: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() for name, text in TALES.items()},
        sizes=(8, 1, 1),
        holds={"train": lambda texts: all("\ufeff" not in text and text.endswith("ten\n") for text in texts)},
    ),
    "a file that is not text among others, left out": Odd(
        TALES | {"d.txt": b"\xe9t\xe9"},
        sizes=(8, 1, 1),
        left_out={"faulty_files": 1},
        says="skipped: 1 files that cannot be used, the first: d.txt: is not UTF-8 text",
        turned={"on_bad_data": "skip"},
    ),
    "files that are all not text, left out": Odd(
        {"d.txt": b"\xe9t\xe9"}, "prepare.path: d.txt: no text in it", turned={"on_bad_data": "skip"}
    ),
    "a refusal says how to go on": Odd(
        TALES | {"d.txt": b"\xe9t\xe9"},
        "d.txt: is not UTF-8 text (byte 0xe9 near offset 0); save it as UTF-8, or if it is Latin-1 or Windows-1252, convert it:"
        " iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW (prepare.on_bad_data=skip skips such files)",
    ),
    "an empty file, and one of a blank line": Odd(TALES | {"e.txt": "", "n.txt": "\n"}, sizes=(8, 2, 1)),
    "what macOS leaves": Odd(
        TALES | {"._0.txt": b"\0\5\x16\7", "__MACOSX/._0.txt": b"\0\5\x16\7", ".DS_Store": b"\0\0\0\1Bud1"}, sizes=(8, 1, 1)
    ),
    "hidden copies of notebooks": Odd(TALES | {".ipynb_checkpoints/0-checkpoint.txt": "tale 0, older"}, sizes=(8, 1, 1)),
    "hidden files that the pattern names": Odd(
        {f".notes/{name}": text for name, text in TALES.items()}, sizes=(8, 1, 1), turned={"pattern": ".notes/*.txt"}
    ),
    "a link to a file in there": Odd(TALES | {"link.txt": Path("0.txt")}, sizes=(8, 1, 1)),
    "a link that leads nowhere": Odd(
        TALES | {"link.txt": Path("gone.txt")}, "own/link.txt: is a link to 'gone.txt', which does not exist"
    ),
    "a linked folder": Odd(TALES | {"more": Path("../raw")}, "own/more: is a link to a folder, which ** does not follow"),
    "a name in Latin-1": Odd(TALES | {b"caf\xe9.txt": "coffee\n"}, r"own/caf\xe9.txt: this name is not valid UTF-8"),
    "a copy": Odd(TALES | {"copy.txt": TALES["0.txt"]}, sizes=(8, 1, 1)),
    "a published split in folders": Odd(
        parts("{split}/{i}.txt", train=4, validation=2, test=3),
        sizes=(4, 2, 3),
        holds={"train": of_split("train", 4), "validation": of_split("validation", 2), "test": of_split("test", 3)},
        says="'own' is laid out by splits, which are kept (files: train 4, validation 2, test 3)\n",
    ),
    "a published split in files": Odd(
        parts("{split}.txt", train=1, valid=1, test=1),
        holds={"train": of_split("train", 1), "validation": of_split("valid", 1), "test": of_split("test", 1)},
        says="which are kept (files: train 1, validation 1, test 1)",
    ),
    "a published split as WikiText and Penn Treebank name it": Odd(
        parts("wiki.{split}.txt", train=1, valid=1, test=1),
        sizes=(1, 1, 1),
        holds={"test": of_split("test", 1)},
        says="are kept",
    ),
    "a published split below another folder, in capitals": Odd(
        parts("corpus/{split}/{i}.txt", Train=4, DEV=2, TEST=3), holds={"validation": of_split("DEV", 2)}, says="are kept"
    ),
    "folders for training and test": Odd(
        parts("{split}/{i}.txt", train=10, test=3),
        sizes=(9, 1, 3),
        holds={"test": of_split("test", 3)},
        says="(files: train 10, test 3); validation taken from train, because there is none",
    ),
    "files for training and validation": Odd(
        parts("{split}.txt", train=1) | {"train.txt": ASCII, "val.txt": "held out\n"},
        sizes=(1, 1, 1),
        holds={"validation": ["held out\n"], "test": lambda texts: ASCII.endswith(texts[0])},
        says="(files: train 1, validation 1); test taken from train, because there is none",
    ),
    "a text that is held out and for training too": Odd(
        parts("{split}/{i}.txt", train=4, val=2, test=2) | {"train/copy.txt": "test tale 0 is told here\n"},
        sizes=(4, 2, 2),
        holds={"train": of_split("train", 4)},
        says="are kept",
    ),
    "only copies for training": Odd(
        {"train/a.txt": "one\n", "val/a.txt": "one\n", "test/a.txt": "two\n"},
        "prepare.path: all training text is also held out",
    ),
    "a published split beside something else": Odd(
        parts("{split}/{i}.txt", train=2, test=2) | {"more.txt": "?"},
        "prepare.path: 'own' has train/0.txt and test/0.txt, which are named after splits, and more.txt, which is not;",
    ),
    "a split that may be either": Odd(
        parts("{split}/{i}.txt", train=2, eval=2), "prepare.path: 'own/eval/0.txt' could be validation or test; rename it"
    ),
    "files that have such words in their names": Odd(
        TALES | {"the train to town.txt": "all aboard\n", "a test of nerves.txt": "hold on\n"}, sizes=(9, 1, 2)
    ),
    "a folder for training alone": Odd({f"train/{name}": text for name, text in TALES.items()}, sizes=(8, 1, 1)),
    "a book and two scraps": Odd(
        BOOK | SCRAPS,
        sizes=(1, 1, 1),
        holds={"train": list(BOOK.values())},
        says="warning: validation and test got less than half of the share asked for, because files are not divided",
    ),
    "a book and many tales": Odd(
        BOOK | TALES, sizes=(1, 5, 5), holds={"train": list(BOOK.values())}, says="warning: validation and test got"
    ),
    "three files of one size": Odd({f"{i}.txt": f"{i}" * 99 for i in range(3)}, sizes=(1, 1, 1), says="warning: train got"),
    "four files, each twice as large as the one before": Odd(
        {f"{i}.txt": f"{i}" * 99 * 2**i for i in range(4)}, sizes=(2, 1, 1), holds={"train": lambda t: "3" * 792 in t}
    ),
}


@pytest.mark.parametrize("what", TEXT)
def test_texts(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    look("language", TEXT[what], capfd)


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=60), st.floats(0.01, 0.3), st.floats(0.01, 0.3))
def test_whole_documents_come_near_to_their_shares_of_the_bytes(sizes: list[int], validation: float, test: float) -> None:
    of_key = {f"{place:02}": size for place, size in enumerate(sizes)}
    shares = {"validation": validation, "test": test}
    dealt = split_by_size(of_key, shares)
    assert sorted(itertools.chain(*dealt.values())) == sorted(of_key) and all(dealt.values())
    total = sum(sizes)
    assert max(sizes) in [of_key[key] for key in dealt["train"]] or max(sizes) < 2 * min(shares.values()) * total
    small = [size for size in sizes if size < 2 * min(shares.values()) * total]
    if sum(small) >= sum(shares.values()) * total + 2 * max(small, default=total):
        for split, share in shares.items():
            assert abs(sum(of_key[key] for key in dealt[split]) - share * total) <= max(small)


def test_a_new_document_moves_hardly_any_other_one_whatever_it_is_called() -> None:
    rng = np.random.default_rng(0)
    of_key = {f"{key:.12f}": int(size) for key, size in zip(rng.random(200), rng.integers(50, 5000, 200), strict=True)}
    shares = {"validation": 0.1, "test": 0.2}
    before = {key: split for split, keys in split_by_size(of_key, shares).items() for key in keys}
    held_out = [of_key[key] for key, split in before.items() if split != "train"]
    assert np.mean(held_out) == pytest.approx(np.mean(list(of_key.values())), rel=0.2), "drawn from small and large ones alike"
    for new in rng.random(30):
        dealt = split_by_size({f"{new:.12f}": 2000, **of_key}, shares)
        assert sum(before.get(key, split) != split for split, keys in dealt.items() for key in keys) <= 4


# ---------------------------------------------------------------------------------------------------------------- tables


def table(*rows: str, head: str = "text,label", end: str = "\n", count: int = 12) -> str:
    """A table whose classes a and b have `count` rows each, and some more rows."""
    usual = [f"text number {i} of them,{'ab'[i % 2]}" for i in range(2 * count)]
    return end.join([head, *usual, *rows]) + end


def labels(*spelt: str, count: int = 9) -> str:
    """A table in which every label has so many texts."""
    return "\n".join(["text,label", *(f"text {i} of label {n},{label}" for n, label in enumerate(spelt) for i in range(count))])


def lines(*values: Any, count: int = 12) -> str:
    """JSON lines whose classes a and b have `count` each, and some more; text stays as it is."""
    usual = [{"text": f"text number {i} of them", "label": "ab"[i % 2]} for i in range(2 * count)]
    return "\n".join(value if isinstance(value, str) else json.dumps(value) for value in [*usual, *values])


def json_labels(*values: Any, count: int = 9) -> str:
    return "\n".join(
        json.dumps({"text": f"text {i} of label {n}", "label": label}) for n, label in enumerate(values) for i in range(count)
    )


def csv_of(split: str, count: int, classes: str = "ab") -> str:
    rows = [f"{split} text {i} of class {name},{name}" for name in classes for i in range(count)]
    return "\n".join(["text,label", *rows]) + "\n"


SAME = "mean the same and are one class, "
LEAVE = {"on_bad_data": "skip"}
USUAL = (20, 2, 2)  # of 24 rows of two classes

TABLES: dict[str, Odd] = {
    "1 and 1.0, as pandas writes": Odd(
        {"a.csv": labels("0", "1"), "b.csv": labels("0.0", "1.0").replace("text ", "words ")},
        classes=["0", "1"],
        says=f"the labels '0' and '0.0' {SAME}'0' (likewise in 1 more classes)",
    ),
    "1.0 alone": Odd({"a.csv": labels("0.0", "1.0")}, classes=["0.0", "1.0"]),
    "01 and 1": Odd({"a.csv": labels("01", "1", "2")}, classes=["1", "2"], says=f"the labels '01' and '1' {SAME}'1'\n"),
    "01 alone": Odd({"a.csv": labels("01", "02", "10")}, classes=["01", "02", "10"]),
    "a number with blanks": Odd({"a.csv": labels(" 1", "1", "2 ", "2")}, classes=["1", "2"]),
    "1e0, +1 and 1.": Odd(
        {"a.csv": labels("1e0", "+1", "1.", "2")}, classes=["+1", "2"], says=f"'+1' and '1.' and '1e0' {SAME}'+1'"
    ),
    "0.5, .5 and 0.50": Odd({"a.csv": labels("0.5", ".5", "0.50", "1")}, classes=[".5", "1"], says=SAME),
    "0 and -0": Odd({"a.csv": labels("0", "-0", "1")}, classes=["0", "1"], says=SAME),
    "numbers beyond what a float holds": Odd(
        {"a.csv": labels("9007199254740993", "9007199254740992")}, classes=["9007199254740992", "9007199254740993"]
    ),
    "True and true": Odd(
        {"a.csv": labels("True", "true", "False")}, classes=["False", "True"], says=f"'True' and 'true' {SAME}'True'"
    ),
    "blanks around and within": Odd(
        {"a.csv": labels("cat ", "cat", "big  dog", "big dog")},
        classes=["big dog", "cat"],
        says=f"'big  dog' and 'big dog' {SAME}",
    ),
    "letters of another case": Odd(
        {"a.csv": labels("Cat", "cat", "dog")},
        classes=["Cat", "cat", "dog"],
        says="'Cat' and 'cat' differ only in case and are separate",
    ),
    "an accent stored in two ways": Odd(
        {"a.csv": labels("caf\u00e9", "cafe\u0301", "bar")}, classes=["bar", "caf\u00e9"], says=SAME
    ),
    "ten behind nine": Odd({"a.csv": labels("9", "10", "11", "1")}, classes=["1", "9", "10", "11"]),
    "floats in their order": Odd({"a.csv": labels("9.5", "10.5", "-2")}, classes=["-2", "9.5", "10.5"]),
    "numbers and words": Odd({"a.csv": labels("10", "9", "unknown")}, classes=["9", "10", "unknown"]),
    "a label nan": Odd(
        {"a.csv": labels("nan", "1")}, classes=["1", "nan"], says="the label 'nan' is used as a class, although"
    ),
    "JSON 1, '1' and 1.0": Odd({"a.jsonl": json_labels(1, "1", 1.0, 2)}, classes=["1", "2"], says=f"'1' and '1.0' {SAME}'1'"),
    "JSON true and 'True'": Odd({"a.jsonl": json_labels(True, "True", False)}, classes=["True", "false"], says=SAME),
    "JSON true and 1": Odd({"a.jsonl": json_labels(True, 1)}, classes=["1", "true"]),
    "semicolons, a mark, CRLF": Odd({"a.csv": "\ufeff" + table(end="\r\n").replace(",", ";")}, classes=["a", "b"], sizes=USUAL),
    "tabs": Odd({"a.tsv": table().replace(",", "\t")}, sizes=USUAL),
    "bars": Odd({"a.csv": table().replace(",", "|")}, sizes=USUAL),
    "a first line sep=;": Odd({"a.csv": "sep=;\n" + table().replace(",", ";")}, sizes=USUAL),
    "blank lines before the header": Odd({"a.csv": "\n\n" + table("x,")}, "a.csv, line 28: the label is empty"),
    "no header": Odd(
        {"a.csv": "\n".join(table().splitlines()[1:])}, "prepare.text_column: a.csv has no column 'text'. Known: text"
    ),
    "a header in capitals": Odd(
        {"a.csv": table(head="Text,Label")}, "prepare.text_column: a.csv has no column 'text'. Did you mean 'Text'?"
    ),
    "columns that nobody asked for": Odd(
        {"a.csv": table().replace(",", ",7,", 1).replace(",", ",x,").replace("x,7,x", "x")}, sizes=USUAL
    ),
    "the column of the text twice": Odd(
        {"a.csv": "text,label,text\na,x,b\n"}, "prepare.text_column: a.csv, line 1: the columns 1 and 3 are both named 'text'"
    ),
    "the column of the label twice": Odd(
        {"a.csv": "label,text,label\na,x,b\n"},
        "prepare.label_column: a.csv, line 1: the columns 1 and 3 are both named 'label'",
    ),
    "another column twice": Odd(
        {"a.csv": "id,text,id,label\n" + "".join(f"1,text {i},2,{'ab'[i % 2]}\n" for i in range(24))}, sizes=USUAL
    ),
    "a comma in a text without quotes": Odd(
        {"a.csv": table("well, well,a")}, "a.csv, line 26: has 3 fields, but the first line has 2; quote texts with a comma"
    ),
    "a ragged row, left out": Odd(
        {"a.csv": table("x", "well, well,a")},
        sizes=USUAL,
        left_out={"faulty_rows": 2},
        says="skipped: 2 rows that cannot be used, the first: a.csv, line 26: has 1 fields, but",
        turned=LEAVE,
    ),
    "an empty cell": Odd({"a.csv": table("x,", "y,a")}, "a.csv, line 26: the label is empty (prepare.on_bad_data=skip skips"),
    "an empty cell, left out": Odd(
        {"a.csv": table(",b", "y,a", "z,")},
        sizes=(21, 2, 2),
        left_out={"faulty_rows": 2},
        says="line 26: the text is empty\n",
        turned=LEAVE,
    ),
    "an unclosed quote": Odd(
        {"a.csv": table('"y,a', "z,a", "x,b")},
        "a.csv, line 26: a quote opens here that is not closed, or is inside a field",
    ),
    "an unclosed quote, left out": Odd(
        {"a.csv": table('"y,a', "z,a", "x,b")},
        sizes=(22, 2, 2),
        left_out={"faulty_rows": 1},
        says="line 26: a quote opens",
        turned=LEAVE,
    ),
    "a quote within a field": Odd(
        {"a.csv": table('"y" she said,a')}, "a.csv, line 26: a quote opens here that is not closed, or"
    ),
    "two unclosed quotes that swallow the rows between": Odd(
        {"a.csv": table('"y,a', "z,a", "x,b", 'c","a"')},
        "a.csv, line 26: a quote opens here and closes 3 lines below, and the lines between look like rows",
    ),
    "quotes, commas and line ends in a text": Odd(
        {"a.csv": table('"well, ""well""\r\nshe said, then\nleft","a"')},
        sizes=(21, 2, 2),
        holds={"train": lambda rows: True},
    ),
    "a field longer than csv's own limit": Odd({"a.csv": table("word " * 40_000 + ",a")}, sizes=(21, 2, 2)),
    "tables that were joined with their headers": Odd(
        {"a.csv": table() + csv_of("more", 2)},
        "a.csv, line 26: repeats the names of the columns, like tables that were concatenated",
    ),
    "tables of kinds that are not read": Odd(
        {"a.csv": table(), "test.parquet": b"PAR1", "README.md": "rows", "old/a.json": "[]"},
        sizes=USUAL,
        says="left out: 2 files in 'own' that are not .csv or .tsv or .jsonl, such as old/a.json\n",
    ),
    "a header alone": Odd({"a.csv": "text,label\n"}, "prepare.path: a.csv: no labelled text in it"),
    "an empty file": Odd({"a.csv": ""}, "prepare.text_column: a.csv has no column 'text'."),
    "one class": Odd({"a.csv": labels("x")}, "prepare.label_column: all texts of a.csv are of the class 'x'"),
    "a class of one text": Odd(
        {"a.csv": table("one,c")}, "prepare.label_column: the class 'c' has 1 different texts, too few for three"
    ),
    "a text under two labels": Odd(
        {"a.csv": table("text number 2 of them,b")},
        sizes=(19, 2, 2),
        left_out={"copies": 1, "texts_with_two_labels": 1},
        says="1 texts that have two labels, such as 'text number 2 of them' (a.csv, line 4: 'a'; a.csv, line 26: 'b')",
    ),
    "a text under 1 and 1.0 is a copy": Odd(
        {"a.csv": labels("1", "2"), "b.csv": labels("1.0", "2")}, classes=["1", "2"], left_out={"copies": 18}, says=SAME
    ),
    "UTF-16, as a spreadsheet saves Unicode": Odd(
        {"a.csv": table().encode("utf-16")}, "a.csv: is UTF-16 text, not UTF-8; convert"
    ),
    "a workbook called .csv": Odd(
        {"a.csv": zipped(**{"xl/workbook.xml": ASCII})}, "a.csv: is a ZIP archive or an Office document, not"
    ),
    "a zero in a row": Odd({"a.csv": table("x\0y,a")}, "a.csv: is not text: it has a zero byte at offset"),
    "what macOS leaves beside": Odd({"a.csv": table(), "._a.csv": b"\0\5\x16\7", "__MACOSX/._a.csv": b"\0"}, sizes=USUAL),
    "files in folders": Odd({"one/a.csv": csv_of("one", 6), "two/b.csv": csv_of("two", 6)}, sizes=USUAL),
    "a published split": Odd(
        {f"{split}.csv": csv_of(split, count) for split, count in (("train", 9), ("validation", 2), ("test", 3))},
        classes=["a", "b"],
        sizes=(18, 4, 6),
        holds={"test": lambda rows: all(text.startswith("test ") for text, _ in rows)},
        says="'own' is laid out by splits, which are kept (files: train 1, validation 1, test 1)\n",
    ),
    "a published split in shards and of two kinds": Odd(
        {
            "train-00000-of-00002.csv": csv_of("one", 4),
            "train-00001-of-00002.csv": csv_of("two", 4),
            "dev.jsonl": "\n".join(json.dumps({"text": f"dev {i}", "label": "ab"[i % 2]}) for i in range(4)),
            "test.tsv": csv_of("test", 3).replace(",", "\t"),
        },
        sizes=(16, 4, 6),
        says="are kept (files: train 2, validation 1, test 1)",
    ),
    "a published split in folders": Odd(
        {f"{split}/rows.csv": csv_of(split, 4) for split in ("train", "val", "test")}, sizes=(8, 8, 8), says="are kept"
    ),
    "training and test": Odd(
        {"train.csv": csv_of("train", 10), "test.csv": csv_of("test", 3)},
        sizes=(18, 2, 6),
        says="(files: train 1, test 1); validation taken from train, because there is none",
    ),
    "training and validation": Odd(
        {"train.csv": csv_of("train", 10), "val.csv": csv_of("val", 3)}, sizes=(18, 6, 2), says="test taken from train"
    ),
    "a test without labels": Odd(
        {"train.csv": csv_of("train", 9), "test.csv": "id,text\n1,what is this\n"},
        "prepare.label_column: test.csv has no column 'label'. Known: id, text; if test has no labels, set prepare.path to the",
    ),
    "a submission beside a published split": Odd(
        {"train.csv": csv_of("train", 9), "test.csv": csv_of("test", 9), "sample_submission.csv": "id,label\n1,a\n"},
        "prepare.path: 'own' has train.csv and test.csv, which are named after splits, and sample_submission.csv, which",
    ),
    "a class that training lacks": Odd(
        {"train.csv": csv_of("train", 9), "test.csv": csv_of("test", 3, "abc")},
        "prepare.path: the class 'c' has held-out texts, but none for training",
    ),
    "a class that the test lacks": Odd(
        {"train.csv": csv_of("train", 9, "abc"), "val.csv": csv_of("val", 3, "abc"), "test.csv": csv_of("test", 3)},
        sizes=(27, 9, 6),
        says="the split test has no text of the class 'c'",
    ),
    "a text of the test in training": Odd(
        {"train.csv": csv_of("train", 10) + "test text 0 of class a,a\n", "test.csv": csv_of("test", 3)},
        sizes=(18, 2, 6),
        left_out={"texts_that_are_held_out_too": 1},
        says="are kept",
    ),
    "a text of the test in training with another label": Odd(
        {"train.csv": csv_of("train", 10) + "test text 0 of class a,b\n", "test.csv": csv_of("test", 3)},
        sizes=(18, 2, 6),
        left_out={"texts_that_are_held_out_too": 1},
        says="are kept",
    ),
    "1 in training and 1.0 in the test": Odd(
        {"train.csv": labels("0", "1"), "test.csv": labels("0.0", "1.0").replace("text ", "t ")}, classes=["0", "1"], says=SAME
    ),
    "a file called train alone": Odd({"train.csv": table()}, sizes=USUAL),
    "JSON lines with a mark, CRLF and blank lines": Odd({"a.jsonl": "\ufeff" + lines().replace("\n", "\r\n\r\n")}, sizes=USUAL),
    "JSON nested deep": Odd({"a.jsonl": lines("[" * 5_000)}, "a.jsonl, line 25: is nested too deeply;"),
    "JSON nested deep, left out": Odd({"a.jsonl": lines("[" * 5_000)}, sizes=USUAL, says="skipped: 1 rows", turned=LEAVE),
    "a number of 5,000 digits": Odd(
        {"a.jsonl": lines('{"text": "x", "label": ' + "9" * 5000 + "}")},
        "a.jsonl, line 25: has a number of thousands of digits",
    ),
    "a label that is half of a character": Odd(
        {"a.jsonl": lines({"text": "x", "label": "\ud800"})}, "a.jsonl, line 25: the label has half of a character"
    ),
    "a text that is half of a character": Odd(
        {"a.jsonl": lines({"text": "\udc00", "label": "a"})}, "a.jsonl, line 25: the text has half of a character"
    ),
    "an escaped zero": Odd(
        {"a.jsonl": lines({"text": "a\0b", "label": "a"})}, "a.jsonl, line 25: the text has a zero character"
    ),
    "a label NaN": Odd({"a.jsonl": lines({"text": "x", "label": float("nan")})}, "a.jsonl, line 25: the label is empty"),
    "an infinite label": Odd(
        {"a.jsonl": lines('{"text": "x", "label": 1e999}')}, "a.jsonl, line 25: the label is not a word or a number"
    ),
    "a label null": Odd({"a.jsonl": lines({"text": "x", "label": None})}, "a.jsonl, line 25: the label is empty"),
    "a text null": Odd({"a.jsonl": lines({"text": None, "label": "a"})}, "a.jsonl, line 25: the text is empty"),
    "a list of labels": Odd(
        {"a.jsonl": lines({"text": "x", "label": ["a"]})}, "a.jsonl, line 25: the label is not a word or a number"
    ),
    "a label in an object": Odd(
        {"a.jsonl": lines({"text": "x", "label": {"a": 1}})}, "a.jsonl, line 25: the label is not a word or a"
    ),
    "an array in a line": Odd({"a.jsonl": lines(["x", "a"])}, "a.jsonl, line 25: is not an object of keys and values"),
    "an array over all lines": Odd({"a.jsonl": "[\n" + lines()}, "a.jsonl, line 1: is not JSON: Expecting value"),
    "a comma behind a line": Odd(
        {"a.jsonl": lines('{"text": "x", "label": "a"},')}, "a.jsonl, line 25: is not JSON: Extra data"
    ),
    "a wrong key": Odd(
        {"a.jsonl": lines({"text": "x", "lable": "a"})},
        "prepare.label_column: a.jsonl, line 25: has no key 'label'. Did you mean 'lable'?",
    ),
    "a key twice": Odd(
        {"a.jsonl": lines('{"text": "x", "label": "a", "text": "y"}')}, 'a.jsonl, line 25: the key "text" occurs twice'
    ),
    "such a key within another object": Odd(
        {"a.jsonl": lines({"text": 'x "text": y', "label": "a", "meta": {"text": "z", "label": "b"}})}, sizes=(21, 2, 2)
    ),
    "faulty lines, left out": Odd(
        {"a.jsonl": lines("{", '{"text": "x"}', "7", {"text": "y", "label": "a"})},
        sizes=(21, 2, 2),
        left_out={"faulty_rows": 3},
        says="skipped: 3 rows that cannot be used, the first: a.jsonl, line 25: is not JSON",
        turned=LEAVE,
    ),
    "a link that leads nowhere": Odd(
        {"a.csv": table(), "b.csv": Path("gone.csv")}, "own/b.csv: is a link to 'gone.csv', which does not exist"
    ),
    "a name in Latin-1": Odd({"a.csv": table(), b"caf\xe9.csv": table()}, r"own/caf\xe9.csv: this name is not valid UTF-8"),
}


@pytest.mark.parametrize("what", TABLES)
def test_tables_and_lines(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    look("classify", TABLES[what], capfd)


def test_a_quote_that_is_never_closed_is_followed_no_farther_than_the_longest_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.corpus.sources.user.labelled_rows.MAX_FIELD", 1000)
    prepare = knobs(task__kind="classify", prepare__dataset="dyck", prepare__on_bad_data="skip").prepare
    bad_data, counted = BadData(prepare, "rows"), itertools.count()
    table = (line for line in ["text,label\n", '"open,a\n', *(f"text {i},b\n" for i in range(2000))] if next(counted) >= 0)
    rows = READERS[".csv"]("a.csv", table, prepare, bad_data)
    assert next(rows).line == 3 and next(counted) < 200, "and not the whole table"
    assert [row.line for row in rows] == list(range(4, 2003)) and bad_data.count == 1
    assert bad_data.first.startswith("a.csv, line 2: a quote opens here that is not closed")


def test_a_text_with_quotes_commas_and_line_ends_is_read_as_it_is() -> None:
    laid_out({"a.csv": table('"well, ""well""\r\nshe said, then\nleft","a"')})
    _, found = prepared("classify", {})
    assert ('well, "well"\nshe said, then\nleft', "a") in itertools.chain(*found.values())


@given(st.text(st.sampled_from('ab,"\n'), max_size=60), st.sampled_from([".csv", ".jsonl"]))
def test_any_table_is_read_or_refused_in_a_line_and_leaving_out_loses_no_line_that_stands_alone(body: str, kind: str) -> None:
    prepare = knobs(task__kind="classify", prepare__dataset="dyck", prepare__on_bad_data="skip").prepare
    good = {".csv": ("text,label\n", "one,a\n"), ".jsonl": ("", '{"text": "one", "label": "a"}\n')}[kind]
    content = f"{good[0]}{good[1]}{body}\n{good[1]}"
    bad_data = BadData(prepare, "rows")
    rows = list(READERS[kind]("a", lines_of([content.encode()]), prepare, bad_data))
    numbers = [row.line for row in rows]
    assert numbers == sorted(set(numbers)) and len(rows) + bad_data.count <= content.count("\n")
    assert (rows[0].text, rows[0].label) == ("one", "a")
    if '"' not in body or kind == ".jsonl":
        assert numbers[-1] == content.count("\n")


@given(st.dictionaries(st.integers(-99, 99), st.sampled_from(["{}", "{}.0", "+{}", "{}e0", "0{}"]), min_size=1))
def test_numbers_are_told_apart_by_their_value_whatever_they_look_like(spelt: dict[int, str]) -> None:
    forms = {number: [str(number), form.format(number) if number >= 0 else str(number)] for number, form in spelt.items()}
    class_of = merge_labels(itertools.chain(*forms.values()))
    assert class_of == {form: str(number) for number, same in forms.items() for form in same}
    assert sort_classes(set(class_of.values())) == [str(number) for number in sorted(spelt)]


# ---------------------------------------------------------------------------------------------------------------- images


def drawn(seed: int, shape: tuple[int, ...] = (8, 6, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(image: Image.Image, form: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def png(seed: int, shape: tuple[int, ...] = (8, 6, 3)) -> bytes:
    return saved(Image.fromarray(drawn(seed, shape)))


def folders(**counts: int) -> dict[str | bytes, Content]:
    """Images in folders: train__cats=9 is nine in train/cats. No two are alike."""
    seeds = itertools.count()
    return {f"{name.replace('__', '/')}/{i}.png": png(next(seeds)) for name, count in counts.items() for i in range(count)}


def of_16_bits(colour: int) -> bytes:
    """A PNG of 16 bits a channel, grey (0), in colour (2), grey with transparency (4), in colour with it (6)."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    rows = b"".join(b"\0" + row.tobytes() for row in drawn(1, (8, 6 * channels * 2)))

    def part(tag: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    head = struct.pack(">IIBBBBB", 6, 8, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def tiff_of_16_bits() -> bytes:
    """A TIFF of 16 bits a channel, in colour, without compression."""
    pixels = drawn(1, (8, 36)).tobytes()
    tags = [(256, 6), (257, 8), (258, 0), (259, 1), (262, 2), (273, 0), (277, 3), (278, 8), (279, len(pixels)), (284, 1)]
    bits_at = 8 + 2 + 12 * len(tags) + 4
    values = {258: (3, 3, bits_at), 273: (4, 1, bits_at + 6)}
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    entries = b"".join(struct.pack("<HHII", tag, *values.get(tag, (4, 1, value))) for tag, value in tags)
    return head + entries + struct.pack("<I3H", 0, 16, 16, 16) + pixels


def frames(form: str, **how: Any) -> bytes:
    first, *others = (Image.fromarray(drawn(seed)) for seed in range(90, 93))
    return saved(first, form, save_all=True, append_images=others, **how)


def all_of(kind: Callable[[int], Image.Image], form: str = "PNG", **how: Any) -> dict[str | bytes, Content]:
    """Two classes of nine images of a kind."""
    return {f"{name}/{i}.png": saved(kind(9 * n + i), form, **how) for n, name in enumerate(("cats", "dogs")) for i in range(9)}


def seen(*wanted: np.ndarray) -> Callable[[Any], bool]:
    """Whether the pixels of these images are what a split holds of them."""
    return lambda found: {pixels.tobytes() for pixels, _ in found} <= {pixels.tobytes() for pixels in wanted}


def palette(seed: int) -> Image.Image:
    return Image.fromarray(drawn(seed)).quantize(64)


def clear(seed: int) -> Image.Image:
    return Image.fromarray(drawn(seed, (8, 6, 4)))


def grey_and_clear(seed: int) -> Image.Image:
    return Image.fromarray(drawn(seed, (8, 6, 2)), "LA")


def of_one_bit(seed: int) -> Image.Image:
    return Image.fromarray(drawn(seed, (8, 6))).convert("1")


def turned(seed: int) -> Image.Image:
    image = Image.fromarray(drawn(seed))
    image.getexif()[0x0112] = 6  # the camera was held upright: turn it clockwise
    return image


TWO = folders(cats=9, dogs=9)
OF_18 = (14, 2, 2)


def with_one(content: Content, name: str = "cats/x.png") -> dict[str | bytes, Content]:
    return TWO | {name: content}


IMAGE: dict[str, Odd] = {
    "a folder for each class": Odd(TWO, classes=["cats", "dogs"], sizes=OF_18),
    "of one bit": Odd(all_of(of_one_bit), sizes=OF_18, holds={"train": lambda f: all(p.shape == (8, 6, 1) for p, _ in f)}),
    "with a palette": Odd(all_of(palette), holds={"train": seen(*(np.asarray(palette(i).convert("RGB")) for i in range(18)))}),
    "with a palette that has a transparent colour": Odd(
        all_of(palette, transparency=0), holds={"train": lambda f: all(p.shape == (8, 6, 4) for p, _ in f)}
    ),
    "with a palette whose transparent colour is not used": Odd(
        all_of(palette, transparency=255), holds={"train": lambda f: all(p.shape == (8, 6, 3) for p, _ in f)}
    ),
    "transparent and opaque ones": Odd(
        with_one(saved(clear(1))),
        "own/cats/x.png is 6 x 8 pixels, in colour and transparent, own/cats/0.png is 6 x 8 pixels, in",
    ),
    "in colour and transparent": Odd(all_of(clear), holds={"train": seen(*(drawn(i, (8, 6, 4)) for i in range(18)))}),
    "grey and transparent": Odd(
        all_of(grey_and_clear),
        holds={"train": lambda f: all(p.shape == (8, 6, 4) and (p[..., 0] == p[..., 1]).all() for p, _ in f)},
    ),
    "16 bits of grey": Odd(
        with_one(of_16_bits(0)), "own/cats/x.png: has 16 bits per channel, only 8 are supported; convert it: magick"
    ),
    "16 bits of colour": Odd(with_one(of_16_bits(2)), "own/cats/x.png: has 16 bits per channel, only 8 are supported"),
    "16 bits of grey and transparency": Odd(
        with_one(of_16_bits(4)), "own/cats/x.png: has 16 bits per channel, only 8 are supported"
    ),
    "16 bits of colour and transparency": Odd(
        with_one(of_16_bits(6)), "own/cats/x.png: has 16 bits per channel, only 8 are supported"
    ),
    "16 bits of colour in a TIFF": Odd(
        with_one(tiff_of_16_bits()), "own/cats/x.png: has 16 bits per channel, only 8 are supported"
    ),
    "16 bits of colour in a PPM": Odd(
        with_one(b"P6\n6 8\n65535\n" + drawn(1, (8, 36)).tobytes()),
        "own/cats/x.png: has 16 bits per channel, only 8 are supported",
    ),
    "floats in a TIFF": Odd(
        with_one(saved(Image.fromarray(drawn(1, (8, 6)).astype(np.float32)), "TIFF")), "own/cats/x.png: has 32 bits per channel"
    ),
    "colours of print": Odd(
        with_one(saved(Image.fromarray(drawn(1)).convert("CMYK"), "JPEG")),
        "own/cats/x.png: has the colours of print (CMYK); convert",
    ),
    "turned by the camera": Odd(
        all_of(turned, exif=turned(0).getexif()), holds={"train": seen(*(np.rot90(drawn(i), -1) for i in range(18)))}
    ),
    "an animated GIF": Odd(with_one(frames("GIF")), "own/cats/x.png: has 3 frames or pages; use one of them: magick"),
    "an animated PNG": Odd(with_one(frames("PNG")), "own/cats/x.png: has 3 frames or pages; use one of them"),
    "an animated WEBP": Odd(with_one(frames("WEBP", lossless=True)), "own/cats/x.png: has 3 frames or pages"),
    "a TIFF of several pages": Odd(with_one(frames("TIFF")), "own/cats/x.png: has 3 frames or pages; use one of them"),
    "an animated GIF, left out": Odd(
        with_one(frames("GIF")), sizes=OF_18, left_out={"faulty_images": 1}, says="skipped: 1 images", turned=LEAVE
    ),
    "a GIF of one frame": Odd(all_of(palette, "GIF"), sizes=OF_18),
    "another size": Odd(
        with_one(png(99, (6, 8, 3))), "own/cats/x.png is 8 x 6 pixels, in colour, own/cats/0.png is 6 x 8 pixels"
    ),
    "odd sizes": Odd({f"{c}/{i}.png": png(i + 9 * n, (7, 1, 3)) for n, c in enumerate("ab") for i in range(9)}, sizes=OF_18),
    "a text called .png": Odd(with_one("a cat"), "own/cats/x.png: is not an image of a known format; use one of PNG,"),
    "notes, left out": Odd(
        with_one("wow", "dogs/notes.txt"),
        sizes=OF_18,
        left_out={"faulty_images": 1},
        says="the first: own/dogs/notes.txt: is",
        turned=LEAVE,
    ),
    "an image cut short": Odd(with_one(png(99)[:90]), "own/cats/x.png: cannot be read, it is damaged or truncated:"),
    "an empty image": Odd(with_one(b""), "own/cats/x.png: is not an image of a known format"),
    "images that cannot be used, all of a class, left out": Odd(
        folders(cats=9) | {"dogs/0.png": b""}, "prepare: class 'dogs' has 0 different images, fewer than", turned=LEAVE
    ),
    "images that cannot be used, all, left out": Odd(
        {"cats/0.png": b"", "dogs/0.png": b""}, "prepare.path: 'own' has no image that can be used", turned=LEAVE
    ),
    "what systems leave": Odd(
        TWO | {"cats/Thumbs.db": b"?", "dogs/.DS_Store": b"?", "__MACOSX/cats/._0.png": b"?", "dogs/desktop.ini": b"?"},
        sizes=OF_18,
    ),
    "images beside the folders": Odd(
        TWO | {"x.png": png(98), "y.jpg": png(99), "README.md": "cats"},
        sizes=OF_18,
        says="left out: 2 images beside the folders of classes in 'own', such as x.png",
    ),
    "classes that are numbers": Odd(folders(**{"10": 6, "9": 6, "1": 6}), classes=["1", "9", "10"]),
    "classes 1 and 01": Odd(
        folders(**{"1": 6, "01": 6, "2": 6}), classes=["1", "2"], says=f"the labels '01' and '1' {SAME}'1'"
    ),
    "classes 1 and 1.0 alone": Odd(folders(**{"1": 6, "1.0": 6}), "prepare.path: 'own' has images of one class, '1'; two or"),
    "classes Cat and cat": Odd(folders(Cat=6, cat=6), classes=["Cat", "cat"], says="differ only in case and are separate"),
    "train, val and test": Odd(
        folders(train__cats=9, train__dogs=9, val__cats=3, val__dogs=3, test__cats=4, test__dogs=4),
        classes=["cats", "dogs"],
        sizes=(18, 6, 8),
        holds={"validation": seen(*(drawn(i) for i in range(18, 24))), "test": seen(*(drawn(i) for i in range(24, 32)))},
        says="'own' is laid out by splits, which are kept (images: train 18, validation 6, test 8)\n",
    ),
    "Training, VALID and Testing": Odd(
        folders(Training__cats=9, Training__dogs=9, VALID__cats=3, VALID__dogs=3, Testing__cats=4, Testing__dogs=4),
        sizes=(18, 6, 8),
        says="are kept",
    ),
    "train and test": Odd(
        folders(train__cats=20, train__dogs=20, test__cats=4, test__dogs=4),
        sizes=(36, 4, 8),
        says="(images: train 40, test 8); validation taken from train, because there is none",
    ),
    "train and val": Odd(
        folders(train__cats=20, train__dogs=20, val__cats=4, val__dogs=4),
        sizes=(36, 8, 4),
        holds={"validation": seen(*(drawn(i) for i in range(40, 48)))},
        says="(images: train 40, validation 8); test taken from train, because there is none",
    ),
    "train and eval": Odd(
        folders(train__cats=9, train__dogs=9, eval__cats=4, eval__dogs=4),
        "prepare.path: 'own/eval' could be validation or test",
    ),
    "a look-alike of the test in training": Odd(
        folders(train__cats=9, train__dogs=9, val__cats=3, val__dogs=3, test__cats=4, test__dogs=4)
        | {"train/cats/x.png": png(24)},
        sizes=(18, 6, 8),
        says="are kept",
    ),
    "nothing for training but look-alikes of the test": Odd(
        folders(test__cats=9, test__dogs=9, val__cats=3, val__dogs=3)
        | {f"train/{name}/{i}.png": png(i + 9 * n) for n, name in enumerate(("cats", "dogs")) for i in range(9)},
        "prepare: every train image is a near-duplicate of a held-out one; use other images",
    ),
    "nothing for validation but look-alikes of the test": Odd(
        folders(test__cats=3, test__dogs=3, train__cats=9, train__dogs=9)
        | {f"val/{name}/{i}.png": png(i + 3 * n) for n, name in enumerate(("cats", "dogs")) for i in range(3)},
        "prepare: every validation image is a near-duplicate of a test image",
    ),
    "a class whose images for training are all in the test": Odd(
        folders(test__cats=9, test__dogs=9, val__cats=3, val__dogs=3, train__dogs=9)
        | {f"train/cats/{i}.png": png(i) for i in range(9)},
        "prepare: every training image of the class 'cats' is a near-duplicate of a held-out one; use others",
    ),
    "splits within each class": Odd(
        folders(cats__train=9, dogs__train=9, cats__test=4, dogs__test=4),
        classes=["cats", "dogs"],
        sizes=(16, 2, 8),
        holds={"test": seen(*(drawn(i) for i in range(18, 26)))},
        says="(images: train 18, test 8); validation taken from train, because there is none",
    ),
    "splits within some classes": Odd(
        folders(cats__train=9, cats__test=4, dogs=9),
        "prepare.path: 'own/cats/test/0.png' is in a folder named after a split, but 'own/dogs/0.png' is not;"
        " put all images of every class into train/, val/ or test/, or none",
    ),
    "a split beside a class": Odd(
        folders(train__cats=9, train__dogs=9, cat=9),
        "prepare.path: 'own' has train, which is laid out as a split with 'cats' in it, and cat, which is not",
    ),
    "a class called train": Odd(folders(train=9, car=9), classes=["car", "train"]),
    "classes called train and test": Odd(
        folders(train=9, test=9, car=9),
        "prepare.path: 'own' has test and train, which are names of splits, without folders of",
    ),
    "a test without classes": Odd(
        folders(train__cats=9, train__dogs=9, test=9),
        "prepare.path: 'own' has train, which is laid out as a split with 'cats' in",
    ),
    "held-out splits alone": Odd(
        folders(val__cats=9, val__dogs=9, test__cats=9, test__dogs=9),
        "prepare.path: 'own' has test, which is laid out as a split with 'cats' in it, but not both train",
    ),
    "a split below another folder": Odd(
        folders(pets__train__cats=9, pets__test__cats=9),
        "prepare.path: 'own' has one class, 'pets'; use a folder with one folder",
    ),
    "a folder for training alone": Odd(
        folders(train__cats=9, train__dogs=9),
        "prepare.path: 'own' has one class, 'train'; use a folder with one folder for each class, such as own/cats and"
        " own/dogs; or use 'own/train', with cats and dogs in it",
    ),
    "splits of one class": Odd(
        folders(train__cats=9, test__cats=9), "prepare.path: 'own' has images of one class, 'cats'; two or more"
    ),
    "a class that training lacks": Odd(
        folders(train__cats=9, train__dogs=9, test__cats=4, test__cows=4),
        "prepare.path: the class 'cows' has held-out images, but none",
    ),
    "a class that the test lacks": Odd(
        folders(train__cats=9, train__dogs=9, val__cats=3, val__dogs=3, test__cats=4),
        says="the split test has no image of the class 'dogs'",
    ),
    "an image in two classes": Odd(
        with_one(png(9), "cats/x.png"),
        sizes=(13, 2, 2),
        left_out={"images_with_two_labels": 2},
        says="left out: 1 images that are in the folders of two classes, such as own/cats/x.png and own/dogs/0.png",
    ),
    "a link to an image": Odd(with_one(Path("0.png")), sizes=(14, 3, 2)),
    "a link that leads nowhere": Odd(
        with_one(Path("gone.png")), "own/cats/x.png: is a link to 'gone.png', which does not exist"
    ),
    "a linked folder within a class": Odd(
        with_one(Path("../dogs"), "cats/more"), "own/cats/more: is a link to a folder, and links"
    ),
    "a class that is a link": Odd(
        {f"cats/{i}.png": png(i) for i in range(9)} | {"dogs": Path("../pets")},
        "own/dogs: is a link to '../pets', which does not exist",
    ),
    "a name in Latin-1": Odd(
        with_one(png(99), "cats/x.png") | {b"cats/caf\xe9.png": png(97)}, r"own/cats/caf\xe9.png: this name is"
    ),
    "a class whose name is in Latin-1": Odd(TWO | {b"caf\xe9/0.png": png(97)}, r"own/caf\xe9: this name is not valid UTF-8"),
}


@pytest.mark.parametrize("what", IMAGE)
def test_images(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    look("vision", IMAGE[what], capfd)


def test_the_table_is_as_large_as_it_says() -> None:
    assert len(TEXT) + len(TABLES) + len(IMAGE) > 150
