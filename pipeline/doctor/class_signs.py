"""Signs of what tells classes: how its answers stand beside frequencies and a straight line, and what it learned by heart.

Each is a number of one case, or None where the case does not hold what it hangs on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.doctor.case import Case

BY_HEART = 0.1  # of ln K: training losses below which hardly anything is left to learn there


def beyond_majority(case: Case) -> float | None:
    """(accuracy − that of the most frequent class) / (1 − that), held out: 0 where nothing but frequencies was learned."""
    right, frequent = case.levels.get("accuracy"), case.levels.get("majority")
    return None if right is None or frequent is None or frequent == 1 else (right - frequent) / (1 - frequent)


def logistic_margin(case: Case) -> float | None:
    """Accuracy less that of logistic regression on the same split: on TF-IDF of a text, on the pixels of an image."""
    right, straight = case.levels.get("accuracy"), case.levels.get("logistic")
    return None if right is None or straight is None else right - straight


def classes_said(case: Case) -> float | None:
    """exp H of the classes that are said / exp H of those that occur, H the entropy of their shares: low where few are said.

    As many as there are, on both sides, where all are as frequent; 1 / K where one is said of everything.
    """
    if not case.confusion:
        return None
    said = [sum(column) for column in zip(*case.confusion, strict=True)]
    return _different(said) / _different([sum(row) for row in case.confusion])


def by_heart(case: Case) -> float | None:
    """How far the held-out loss has risen from its lowest to the end, in ln K, where the training loss has come to nothing.

    Nothing is below a tenth of ln K. Where it has not come there the sign is 0: what rises then has other reasons.
    """
    held_out, training = [loss for _, loss in case.validations], [loss for _, loss in case.curve("loss")]
    if len(held_out) < 3 or not training or not case.uniform_loss:
        return None
    last = training[-max(len(training) // 20, 1) :]
    if sum(last) / len(last) > BY_HEART * case.uniform_loss:
        return 0.0
    return (held_out[-1] - min(held_out)) / case.uniform_loss


def _different(counts: Sequence[float]) -> float:
    """How many classes there are, the rare ones counted in part; at least one."""
    whole = sum(counts) or 1.0
    return math.exp(-sum(count / whole * math.log(count / whole) for count in counts if count))
