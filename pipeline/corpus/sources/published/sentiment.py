"""Sentiment: snippets of tweets, reviews and editorials, rated by people."""

from __future__ import annotations

import html
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.corpus.sources.published import download
from pipeline.corpus.sources.splitting.labelled_splits import SIMILAR, Example, deduplicate, split_by_family
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow

NEUTRAL = 0.5  # a mean rating closer to 0 than this is neither positive nor negative
SUFFIX = "_GroundTruth.txt"


@dataclass(frozen=True)
class Sentiment:
    """Snippets with the mean of at least twenty people's ratings, from -4 (most negative) to 4.

    Source: Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", 2014.
    """

    requirement: str
    sha256: str

    def __call__(self, knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
        archive = download.download_package(self.requirement, self.sha256)
        rated = list(_ratings(archive, self.requirement))
        examples, left_out = deduplicate(
            Example(text, label, group) for text, mean, group in rated if (label := label_of(mean, knobs.classes))
        )
        classes = ["negative", "positive"] if knobs.classes == 2 else ["negative", "neutral", "positive"]
        split_by_family(examples, classes, knobs, splits)
        neutral = sum(not label_of(mean, knobs.classes) for _, mean, _ in rated)
        return Card(
            name="sentiment",
            source=f"the Python package {self.requirement.replace('==', ' ')}: snippets of tweets, of product and film reviews"
            " and of editorials, each rated by twenty people or more (Hutto and Gilbert, 2014)",
            licence="MIT (the package)",
            split="by family: snippets of one product review or editorial, and those of which half of the shingles are the same"
            f" (Jaccard {SIMILAR}), go to one split, by a digest; large families are for training. Of film snippets nobody"
            " knows which review they are of",
            sha256={f"{self.requirement.replace('==', '-')}.tar.gz": self.sha256},
            classes=classes,
            left_out=left_out | ({"neutral": neutral} if neutral else {}),
        )


def label_of(mean: float, classes: int) -> str:
    """The class of a mean rating; "" if there are two classes and it is neither."""
    if abs(mean) < NEUTRAL:
        return "neutral" if classes == 3 else ""
    return "positive" if mean > 0 else "negative"


def _ratings(archive: Path, name: str) -> Iterator[tuple[str, float, tuple[str, str]]]:
    """(text, mean rating, the review or editorial it is from) of every snippet.

    In an id such as 82_4, the first number is that of the review or editorial. Some text is HTML-escaped twice, with &amp;#38;
    for an ampersand.
    """
    with download.archive_errors(name, OSError), tarfile.open(archive) as package:
        inner = next((m for m in package if m.name.endswith("hutto_ICWSM_2014.tar.gz")), None)
        packed = package.extractfile(inner) if inner else None
        if packed is None:
            raise UserError(f"{name}: has no hutto_ICWSM_2014.tar.gz, the ratings")
        with tarfile.open(fileobj=io.BytesIO(packed.read())) as ratings:
            files = sorted((m for m in ratings if m.name.endswith(SUFFIX)), key=lambda member: member.name)
            texts = {Path(m.name).name: (ratings.extractfile(m) or io.BytesIO()).read() for m in files}
    for file, content in texts.items():
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            try:
                key, mean, text = line.split("\t")
                rating = float(mean)
            except ValueError:
                raise UserError(
                    f"{name}: {file}, line {number}: is not an id, a rating and a text, separated by tabs"
                ) from None
            if plain := " ".join(html.unescape(html.unescape(text)).split()):
                yield plain, rating, (file, key.partition("_")[0])


SENTIMENT = Sentiment("vaderSentiment==3.3.2", "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9")
