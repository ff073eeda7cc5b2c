"""Every data set by its name. A new one is a function that writes the three splits and returns its card, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.corpus import own, published, synthetic
from pipeline.corpus.documents import Card, Splits
from pipeline.corpus.progress import Follow
from pipeline.params import Prepare

Dataset = Callable[[Prepare, Splits, Follow], Card]
"""Writes its text into the splits as a stream and says where it came from; whoever waits can follow the work."""

DATASETS: dict[str, Dataset] = {
    "shakespeare": published.shakespeare,
    "tinyshakespeare": published.TINYSHAKESPEARE,
    "tinystories": published.TINYSTORIES,
    "enwik8": published.ENWIK8,
    "file": own.file,
    "url": published.url,
    "markov": synthetic.markov,
    "zipf_bigram": synthetic.zipf_bigram,
    "repeats": synthetic.repeats,
    "addition": synthetic.addition,
}
