"""Baselines of classifiers: scikit-learn models fitted on the same training examples and tuned in their favour.

No torch. scikit-learn is imported where a baseline is fitted: 1.5 s, which language models do not wait for.
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
from pipeline.evaluation.cache import cached_rows
from pipeline.evaluation.class_metrics import ClassPredictions, ClassScore

EXAMPLES = 50_000  # training texts that a baseline is fitted on at most, spread evenly: a few minutes
CHARACTERS = 2_000  # of a text that it reads
PIXELS = 20_000_000  # that logistic regression is fitted on at most: a few minutes
NEIGHBOUR_PIXELS = 200_000_000  # of training images for nearest neighbours, at most: all of MNIST and CIFAR
FEATURES = 100_000  # of words, and of characters, the most frequent; fewer for many classes, which multiply the weights
WEIGHTS = 1_000_000  # of words, and of characters, over all classes
WORD = r"\w+|[^\w\s]"  # a punctuation mark is a word too: brackets and smileys have nothing else
TEXT_C = (1.0, 10.0, 100.0)  # inverse strength of the L2 penalty: the best on the validation split is used
PIXEL_C = (0.001, 0.01, 0.1, 1.0)
ITERATIONS = 300

Examples = Any
"""The input of a baseline, one row per example: an array, or a sparse matrix."""


def class_baselines(
    classes: int, neighbours: int, say: Callable[[str], None] = print, raw: Path = RAW, cache: Path | None = None
) -> list[ClassScore]:
    """The scores of all baselines on both held-out splits, measured once for the same data and code.

    Args:
        classes: the number of classes.
        neighbours: k of the k nearest neighbours, for images.
        say: prints a line for the user when it will take a while.
        raw: the out of the stage prepare.
        cache: folder of the scores; see cached_rows.
    """
    code = [sha256_of(Path(file)) for file in (__file__, str(measures.__file__))]
    check_labels(raw, classes)
    images = was_written(images_of(raw, "train"))
    key = ["classes", neighbours if images else 0, version("scikit-learn"), np.__version__, *code, sha256_of(raw)]

    def measure() -> list[dict[str, Any]]:
        say("measuring the baselines of this data, once: scikit-learn's classifiers …")
        scores = [
            *majority(raw, classes),
            *(pixel_baselines(raw, classes, neighbours) if images else word_baselines(raw, classes)),
        ]
        return [asdict(score) for score in scores]

    return [ClassScore(**row) for row in cached_rows(key, measure, cache)]


def labels(raw: Path, split: str) -> Int[np.ndarray, " N"]:
    """The class of each example, as an index."""
    return memory_mapped(labels_of(raw, split)).astype(np.int64)


def check_labels(raw: Path, classes: int) -> None:
    """Check that every label in data/raw is one of the classes.

    Raises:
        UserError: one is not.
    """
    for path in (labels_of(raw, split) for split in SPLITS):
        check_below(path, memory_mapped(path), classes, "classes")


def majority(raw: Path, classes: int) -> Iterator[ClassScore]:
    """Always the most frequent class; the probability of a class is its frequency in training."""
    counts = np.bincount(labels(raw, "train"), minlength=classes)
    with np.errstate(divide="ignore"):
        log_frequencies = np.log(counts / counts.sum())
    for split in HELD_OUT:
        true = labels(raw, split)
        yield ClassScore.of("majority", split, ClassPredictions(np.tile(log_frequencies, (len(true), 1)), true))


# ---------------------------------------------------------------------------------------------------------------- texts


def word_vectors(most: int) -> Any:
    """TF-IDF of the most frequent words and pairs of words, and of as many character n-grams of length 1 to 5; to be fitted.

    Source: Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008 (TF-IDF with sublinear counts);
    Wang and Manning, "Baselines and Bigrams", 2012 (hard to beat on short texts).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, sublinear_tf=True, max_features=most)
    characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 5), sublinear_tf=True, max_features=most)
    return make_union(words, characters)


def word_baselines(raw: Path, classes: int) -> Iterator[ClassScore]:
    """Logistic regression on `word_vectors`."""
    vectors, true = word_vectors(min(FEATURES, WEIGHTS // classes)), labels(raw, "train")
    kept = spread(len(true), EXAMPLES)
    train = vectors.fit_transform(list(texts(raw, "train", kept))).tocsr()
    held_out = [vectors.transform(list(texts(raw, split))).tocsr() for split in HELD_OUT]
    note = "on TF-IDF of words and characters" + _fitted_on(len(kept), len(true))
    yield from _logistic(train, true[kept], held_out, raw, classes, TEXT_C, note)


def texts(raw: Path, split: str, kept: Sequence[int] | np.ndarray | None = None) -> Iterator[str]:
    """The beginnings of the documents of a split, or of those with these indices in increasing order."""
    ends = document_ends(raw, split)
    with open_verified(text_of(raw, split)) as file:
        for number in range(len(ends)) if kept is None else map(int, kept):
            start = int(ends[number - 1]) if number else 0
            file.seek(start)
            yield file.read(min(int(ends[number]) - start, 4 * CHARACTERS)).decode(errors="ignore")[:CHARACTERS]


# --------------------------------------------------------------------------------------------------------------- images


def pixel_baselines(raw: Path, classes: int, neighbours: int) -> Iterator[ClassScore]:
    """Logistic regression on standardised pixels, and k nearest neighbours."""
    from sklearn.preprocessing import StandardScaler

    true = labels(raw, "train")
    kept = spread(len(true), _images_within(raw, PIXELS))
    pixels = flat_images(raw, "train", kept)
    scaler = StandardScaler().fit(pixels)
    train, held_out = scaler.transform(pixels), [scaler.transform(flat_images(raw, split)) for split in HELD_OUT]
    note = "on standardised pixels" + _fitted_on(len(kept), len(true))
    yield from _logistic(train, true[kept], held_out, raw, classes, PIXEL_C, note)
    yield from _nearest(raw, true, classes, neighbours)


def _nearest(raw: Path, true: Int[np.ndarray, " N"], classes: int, neighbours: int) -> Iterator[ClassScore]:
    """Source: Cover and Hart, "Nearest Neighbor Pattern Classification", 1967 (Euclidean distance of the raw pixels)."""
    from sklearn.neighbors import KNeighborsClassifier

    kept = spread(len(true), _images_within(raw, NEIGHBOUR_PIXELS))
    neighbours = min(neighbours, len(kept))
    nearest = KNeighborsClassifier(neighbours, algorithm="brute").fit(flat_images(raw, "train", kept), true[kept])
    note = f"the {neighbours} nearest by pixels{_fitted_on(len(kept), len(true))}"
    for split in HELD_OUT:
        with np.errstate(divide="ignore"):
            votes = _of_all_classes(np.log(nearest.predict_proba(flat_images(raw, split))), nearest.classes_, classes)
        score = ClassScore.of("neighbours", split, ClassPredictions(votes, labels(raw, split)), note)
        yield replace(score, loss=None)  # a class without votes would have an infinite loss


def _images_within(raw: Path, most: int) -> int:
    """How many training images have at most this many pixels in total."""
    images = memory_mapped(images_of(raw, "train"))
    return int(max(most // (images.size // len(images)), 1))


def flat_images(raw: Path, split: str, kept: Int[np.ndarray, " n"] | slice = slice(None)) -> Float[np.ndarray, "n P"]:
    """The pixels of some images, a row each. float32 represents bytes exactly, and distances are summed in float64."""
    images: UInt8[np.ndarray, "n H W C"] = memory_mapped(images_of(raw, split))[kept]
    return images.reshape(len(images), -1).astype(np.float32)


# ----------------------------------------------------------------------------------------------------------------- both


def _logistic(
    train: Examples,
    true: Int[np.ndarray, " N"],
    held_out: Sequence[Examples],
    raw: Path,
    classes: int,
    inverse_penalties: Iterable[float],
    note: str,
) -> Iterator[ClassScore]:
    """Logistic regression with the L2 penalty that is best on the validation split.

    This favours the baseline there, and is fair on the test split, as with the n-grams of language models.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(true)) < 2:  # nothing to classify
        return
    found = []
    for inverse_penalty in inverse_penalties:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said in the note
            model = LogisticRegression(C=inverse_penalty, max_iter=ITERATIONS).fit(train, true)
        ended = f", stopped after {ITERATIONS} iterations" if max(model.n_iter_) >= ITERATIONS else ""
        scores = []
        for split, examples in zip(HELD_OUT, held_out, strict=True):
            predicted = _of_all_classes(model.predict_log_proba(examples), model.classes_, classes)
            scores.append(
                ClassScore.of(
                    "logistic",
                    split,
                    ClassPredictions(predicted, labels(raw, split)),
                    f"{note}, C = {inverse_penalty:g}{ended}",
                )
            )
        found.append(scores)
    yield from max(found, key=lambda scores: (scores[0].accuracy or 0.0, -(scores[0].loss or np.inf)))


def _of_all_classes(
    log_probabilities: Float[np.ndarray, "N k"], known: Int[np.ndarray, " k"], classes: int
) -> Float[np.ndarray, "N K"]:
    """Log-probabilities of the classes that training had, extended to all classes: the others have probability 0."""
    whole = np.full((len(log_probabilities), classes), -np.inf)
    whole[:, known] = log_probabilities
    return whole


def spread(count: int, most: int) -> Int[np.ndarray, " n"]:
    """The indices of at most this many examples, evenly spread."""
    return np.arange(min(count, most)) * count // min(count, most)


def _fitted_on(some: int, count: int) -> str:
    return "" if some == count else f", fitted on {some:,} of the {count:,} training examples"
