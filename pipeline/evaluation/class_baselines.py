"""What a classifier must beat: scikit-learn's plain ones, fitted on the same training examples, made as strong as they go.

No torch. scikit-learn is imported where a baseline is fitted: 1.5 s, which language never waits for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from pipeline.arrays import check_below, document_ends, memory_mapped
from pipeline.artifacts.checksums import sha256_of, was_written
from pipeline.artifacts.paths import RAW, SPLITS, images_of, labels_of, text_of
from pipeline.artifacts.reading import open_verified
from pipeline.evaluation import class_metrics as measures
from pipeline.evaluation.baselines import HELD_OUT
from pipeline.evaluation.cache import remembered
from pipeline.evaluation.class_metrics import Answers, ClassScore

EXAMPLES = 50_000  # training texts that a baseline is fitted on at most, spread evenly: some minutes
CHARACTERS = 2_000  # of a text that it reads
NUMBERS = 20_000_000  # pixels that logistic regression is fitted on at most: some minutes
COMPARED = 200_000_000  # pixels of training images among which the nearest are sought at most: all of MNIST's and CIFAR's
FEATURES = 100_000  # of words, and of characters, the most frequent; of many classes fewer, for each has a weight for each
WEIGHTS = 1_000_000  # of words, and of characters, in all
WORD = r"\w+|[^\w\s]"  # a sign is a word too: of brackets and smileys nothing else would be left
STRENGTHS_OF_TEXT = (1.0, 10.0, 100.0)  # C, the inverse of the penalty on weights: the better on the validation split is taken
STRENGTHS_OF_PIXELS = (0.001, 0.01, 0.1, 1.0)
ITERATIONS = 300

Examples = Any
"""What a baseline reads, an example a row: an array, or a sparse matrix of scikit-learn's."""


def class_baselines(
    classes: int, neighbours: int, say: Callable[[str], None] = print, raw: Path = RAW, cache: Path | None = None
) -> list[ClassScore]:
    """The scores of all baselines on both held-out splits, measured once for the same data and code.

    Args:
        classes: how many there are.
        neighbours: that vote on an image.
        say: takes a line for the user when it will take a while.
        raw: the folder that the stage prepare leaves.
        cache: where measured scores are kept, by default in this clone.
    """
    code = [sha256_of(Path(file)) for file in (__file__, str(measures.__file__))]
    check_labels(raw, classes)
    images = was_written(images_of(raw, "train"))
    hangs_on = ["classes", neighbours if images else 0, version("scikit-learn"), np.__version__, *code, sha256_of(raw)]

    def measure() -> list[dict[str, Any]]:
        say("measuring the baselines of this data, once: scikit-learn's classifiers …")
        told = [*majority(raw, classes), *(on_pixels(raw, classes, neighbours) if images else on_words(raw, classes))]
        return [asdict(score) for score in told]

    return [ClassScore(**row) for row in remembered(hangs_on, measure, cache)]


def labels(raw: Path, split: str) -> Int[np.ndarray, " N"]:
    """The number of each example's class."""
    return memory_mapped(labels_of(raw, split)).astype(np.int64)


def check_labels(raw: Path, classes: int) -> None:
    """See that every label of data/raw is one of the classes.

    Raises:
        UserError: one is not.
    """
    for path in (labels_of(raw, split) for split in SPLITS):
        check_below(path, memory_mapped(path), classes, "classes")


def majority(raw: Path, classes: int) -> Iterator[ClassScore]:
    """Always the most frequent class, each class being held as likely as it is frequent."""
    counts = np.bincount(labels(raw, "train"), minlength=classes)
    with np.errstate(divide="ignore"):
        said = np.log(counts / counts.sum())
    for split in HELD_OUT:
        true = labels(raw, split)
        yield ClassScore.of("majority", split, Answers(np.tile(said, (len(true), 1)), true))


# ---------------------------------------------------------------------------------------------------------------- texts


def on_words(raw: Path, classes: int) -> Iterator[ClassScore]:
    """Logistic regression on TF-IDF of words, pairs of words, and the 1 to 5 characters in a row.

    Source: Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008 (TF-IDF with sublinear counts);
    Wang and Manning, "Baselines and Bigrams", 2012 (that it is hard to beat on short texts).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    most = min(FEATURES, WEIGHTS // classes)
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, sublinear_tf=True, max_features=most)
    characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 5), sublinear_tf=True, max_features=most)
    vectors = make_union(words, characters)
    true = labels(raw, "train")
    kept = _spread(len(true), EXAMPLES)
    train = vectors.fit_transform(list(texts(raw, "train", kept))).tocsr()
    held_out = [vectors.transform(list(texts(raw, split))).tocsr() for split in HELD_OUT]
    note = "on TF-IDF of words and characters" + _fitted_on(len(kept), len(true))
    yield from _logistic(train, true[kept], held_out, raw, classes, STRENGTHS_OF_TEXT, note)


def texts(raw: Path, split: str, kept: Sequence[int] | np.ndarray | None = None) -> Iterator[str]:
    """The documents of a split, or those of them with these numbers, growing: the beginning of each."""
    ends = document_ends(raw, split)
    with open_verified(text_of(raw, split)) as file:
        for number in range(len(ends)) if kept is None else map(int, kept):
            start = int(ends[number - 1]) if number else 0
            file.seek(start)
            yield file.read(min(int(ends[number]) - start, 4 * CHARACTERS)).decode(errors="ignore")[:CHARACTERS]


# --------------------------------------------------------------------------------------------------------------- images


def on_pixels(raw: Path, classes: int, neighbours: int) -> Iterator[ClassScore]:
    """Logistic regression on standardised pixels, and the vote of the training images that differ least."""
    from sklearn.preprocessing import StandardScaler

    true = labels(raw, "train")
    kept = _spread(len(true), _as_many_as(raw, NUMBERS))
    pixels = _flat(raw, "train", kept)
    scaler = StandardScaler().fit(pixels)
    train, held_out = scaler.transform(pixels), [scaler.transform(_flat(raw, split)) for split in HELD_OUT]
    note = "on standardised pixels" + _fitted_on(len(kept), len(true))
    yield from _logistic(train, true[kept], held_out, raw, classes, STRENGTHS_OF_PIXELS, note)
    yield from _nearest(raw, true, classes, neighbours)


def _nearest(raw: Path, true: Int[np.ndarray, " N"], classes: int, neighbours: int) -> Iterator[ClassScore]:
    """Source: Cover and Hart, "Nearest Neighbor Pattern Classification", 1967 (Euclidean distance of the raw pixels)."""
    from sklearn.neighbors import KNeighborsClassifier

    kept = _spread(len(true), _as_many_as(raw, COMPARED))
    neighbours = min(neighbours, len(kept))
    nearest = KNeighborsClassifier(neighbours, algorithm="brute").fit(_flat(raw, "train", kept), true[kept])
    note = f"the {neighbours} nearest by pixels{_fitted_on(len(kept), len(true))}"
    for split in HELD_OUT:
        with np.errstate(divide="ignore"):
            said = _of_all_classes(np.log(nearest.predict_proba(_flat(raw, split))), nearest.classes_, classes)
        score = ClassScore.of("neighbours", split, Answers(said, labels(raw, split)), note)
        yield replace(score, loss=None)  # votes are no probabilities: a class without one would cost infinitely


def _as_many_as(raw: Path, most: int) -> int:
    """How many training images have so many pixels in all."""
    images = memory_mapped(images_of(raw, "train"))
    return int(max(most // (images.size // len(images)), 1))


def _flat(raw: Path, split: str, kept: Int[np.ndarray, " n"] | slice = slice(None)) -> Float[np.ndarray, "n P"]:
    """The pixels of some images, each in a row. float32 holds bytes exactly, and distances are summed in float64."""
    images: UInt8[np.ndarray, "n H W C"] = memory_mapped(images_of(raw, split))[kept]
    return images.reshape(len(images), -1).astype(np.float32)


# ----------------------------------------------------------------------------------------------------------------- both


def _logistic(
    train: Examples,
    true: Int[np.ndarray, " N"],
    held_out: Sequence[Examples],
    raw: Path,
    classes: int,
    strengths: Iterable[float],
    note: str,
) -> Iterator[ClassScore]:
    """Logistic regression, as strongly held to small weights as suits the validation split best.

    So it is chosen in the baseline's favour there, and honest on the test split, as the n-grams of language are.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(true)) < 2:  # nothing to tell apart
        return
    found = []
    for strength in strengths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # told in the note
            model = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(train, true)
        ended = f", stopped after {ITERATIONS} iterations" if max(model.n_iter_) >= ITERATIONS else ""
        scores = []
        for split, examples in zip(HELD_OUT, held_out, strict=True):
            said = _of_all_classes(model.predict_log_proba(examples), model.classes_, classes)
            scores.append(
                ClassScore.of("logistic", split, Answers(said, labels(raw, split)), f"{note}, C = {strength:g}{ended}")
            )
        found.append(scores)
    yield from max(found, key=lambda scores: (scores[0].accuracy or 0.0, -(scores[0].loss or np.inf)))


def _of_all_classes(said: Float[np.ndarray, "N k"], known: Int[np.ndarray, " k"], classes: int) -> Float[np.ndarray, "N K"]:
    """What was said of the classes that training had, as said of all: the others were held to be impossible."""
    whole = np.full((len(said), classes), -np.inf)
    whole[:, known] = said
    return whole


def _spread(count: int, most: int) -> Int[np.ndarray, " n"]:
    """The numbers of so many examples at most, evenly spread."""
    return np.arange(min(count, most)) * count // min(count, most)


def _fitted_on(some: int, count: int) -> str:
    return "" if some == count else f", fitted on {some:,} of the {count:,} training examples"
