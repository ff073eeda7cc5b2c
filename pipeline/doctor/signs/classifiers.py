"""Signs of classifiers: accuracy against the baselines, how many classes are predicted, and overfitting."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.doctor.case import Case
from pipeline.doctor.signs.base import CLASSES, THUMB, Range, Sign

MEMORIZED = 0.1  # of ln K: training losses below which hardly anything is left to learn


def beyond_majority(case: Case) -> float | None:
    """(accuracy − that of the most frequent class) / (1 − that), on validation: 0 where only class frequencies were learned."""
    accuracy, majority = case.levels.get("accuracy"), case.levels.get("majority")
    return None if accuracy is None or majority is None or majority == 1 else (accuracy - majority) / (1 - majority)


def logistic_margin(case: Case) -> float | None:
    """Accuracy − that of logistic regression on the same split: on TF-IDF of a text, on the pixels of an image."""
    accuracy, logistic = case.levels.get("accuracy"), case.levels.get("logistic")
    return None if accuracy is None or logistic is None else accuracy - logistic


def predicted_classes(case: Case) -> float | None:
    """exp(entropy of the predicted classes) / exp(entropy of the true classes): how many classes the model uses.

    exp(entropy) is the number of classes where all are equally frequent; 1 / K where one class is predicted for everything.
    """
    if not case.confusion:
        return None
    predicted = [sum(column) for column in zip(*case.confusion, strict=True)]
    return _effective_number(predicted) / _effective_number([sum(row) for row in case.confusion])


def overfitting(case: Case) -> float | None:
    """The rise of the validation loss from its minimum to the end, in ln K, once the training loss has come close to zero.

    Close to zero is below a tenth of ln K. Where the training loss is higher the sign is 0: a rise then has other reasons.
    """
    validation, training = [loss for _, loss in case.validation_losses], [loss for _, loss in case.curve("loss")]
    if len(validation) < 3 or not training or not case.uniform_loss:
        return None
    last = training[-max(len(training) // 20, 1) :]
    if sum(last) / len(last) > MEMORIZED * case.uniform_loss:
        return 0.0
    return (validation[-1] - min(validation)) / case.uniform_loss


CLASSIFIERS = {
    "beyond_majority": Sign(
        beyond_majority,
        "The accuracy is {value} of the way from always predicting the most frequent class to perfect.",
        Range(THUMB, low=0.15, sick_low=0.06),
        "scores",
        CLASSES,
    ),
    "logistic_margin": Sign(
        logistic_margin,
        "The accuracy is {value} above that of logistic regression (negative: below).",
        Range(THUMB, low=-0.03, sick_low=-0.08),
        "scores",
        CLASSES,
    ),
    "predicted_classes": Sign(
        predicted_classes,
        "The model predicts {value} times as many different classes as there are (by the entropy of their frequencies).",
        Range(THUMB, low=0.85, sick_low=0.73),
        "scores",
        CLASSES,
    ),
    "overfitting": Sign(
        overfitting,
        "The validation loss rose by {value} × ln K after the training loss had come close to zero.",
        Range(THUMB, high=0.15, sick_high=0.4),
        "loss",
        CLASSES,
    ),
}


def _effective_number(counts: Sequence[float]) -> float:
    """exp(entropy) of the shares: the number of classes, rare ones counted in part; at least one."""
    whole = sum(counts) or 1.0
    return math.exp(-sum(count / whole * math.log(count / whole) for count in counts if count))
