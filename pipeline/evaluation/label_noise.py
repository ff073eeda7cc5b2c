"""Label noise: the share of the training labels that simple classifiers, fitted on other examples, are sure to be wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.artifacts.checksums import sha256_of, was_written
from pipeline.artifacts.paths import RAW, images_of
from pipeline.artifacts.writing import rounded
from pipeline.evaluation import class_baselines
from pipeline.evaluation.cache import cached_rows
from pipeline.evaluation.class_baselines import ITERATIONS, Examples, flat_images, labels, spread, texts, word_vectors

FOLDS = 4
EXAMPLES = 4_000  # training examples that are looked at, spread evenly
SUREST = 4  # one of so many examples is judged, those of which the classifiers are surest
MOST_WRONG = 1 / 3  # of all labels that the classifiers may contradict
FEWEST = 15  # examples of a fold at least
FEATURES = 50_000  # of words, and of characters, over all classes: a few seconds
TEXT_C, PIXEL_C = 10.0, 0.01  # inverse strength of the L2 penalty


def label_noise(
    classes: int, say: Callable[[str], None] = print, raw: Path = RAW, cache: Path | None = None
) -> list[dict[str, Any]]:
    """The number as a row (a list, which DVC leaves out of its tables), measured once for the same data and code.

    Args:
        classes: the number of classes.
        say: prints a line for the user when it will take a while.
        raw: the out of the stage prepare.
        cache: folder of the number; see cached_rows.
    """
    code = [sha256_of(Path(file)) for file in (__file__, str(class_baselines.__file__))]

    def measure() -> list[dict[str, Any]]:
        say("looking for wrong labels, once: logistic regression, fitted on other examples …")
        true = labels(raw, "train")
        kept = spread(len(true), EXAMPLES)
        if was_written(images_of(raw, "train")):
            share = contradicted(standardised(flat_images(raw, "train", kept)), true[kept], PIXEL_C)
        else:
            vectors = word_vectors(FEATURES // classes).fit_transform(list(texts(raw, "train", kept))).tocsr()
            share = contradicted(vectors, true[kept], TEXT_C)
        return [] if share is None else [{"name": "contradicted", "value": rounded(share)}]

    return cached_rows(["label noise", version("scikit-learn"), np.__version__, *code, sha256_of(raw)], measure, cache)


def contradicted(examples: Examples, true: Int[np.ndarray, " N"], inverse_penalty: float) -> float | None:
    """The share of wrong labels by simple classifiers, where these are surest.

    The examples are cut into four folds. Those of each fold are judged by a classifier that was fitted on the other three. Of
    the quarter of all examples for which it is surest: the share whose label is another class. Where classes are hard to tell
    apart, mistakes are made by unsure classifiers; wrong labels are spread over all examples.
    None where there is one class, there are few examples, or the classifiers differ from more than a third of all labels: then
    they have nothing to say.

    Source: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021 (cross-fitted
    probabilities contradict labels where they are confident).
    """
    classes = np.unique(true)
    fold = np.random.default_rng(0).integers(0, FOLDS, len(true))
    known = [np.unique(true[fold != number]) for number in range(FOLDS)]
    if len(true) < FOLDS * FEWEST or len(classes) < 2 or not all(np.array_equal(some, classes) for some in known):
        return None
    probabilities = np.zeros((len(true), len(classes)))
    for number in range(FOLDS):
        rows = fold == number
        probabilities[rows] = _fitted(examples, true, ~rows, inverse_penalty)[rows]
    differs = classes[probabilities.argmax(axis=1)] != true
    sure = np.argsort(probabilities.max(axis=1))[-max(len(true) // SUREST, 1) :]
    return float(differs[sure].mean()) if differs.mean() <= MOST_WRONG else None


def standardised(pixels: Float[np.ndarray, "N P"]) -> Float[np.ndarray, "N P"]:
    """Each pixel less its mean, over its standard deviation; pixels that never change are 0."""
    deviation = pixels.std(axis=0)
    return (pixels - pixels.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


def _fitted(
    examples: Examples, true: Int[np.ndarray, " N"], rows: Bool[np.ndarray, " N"], inverse_penalty: float
) -> Float[np.ndarray, "N K"]:
    """The probabilities of the classes of all examples by logistic regression on some."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=inverse_penalty, max_iter=ITERATIONS).fit(examples[rows], true[rows])
    found: Float[np.ndarray, "N K"] = fitted.predict_proba(examples)
    return found
