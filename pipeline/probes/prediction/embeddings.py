"""Embeddings: held-out examples before the head, in their first two principal components."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.held_out import classes_of, held_out
from pipeline.readings import Axis, Reading, rounded_or_none

POINTS = 400  # over all classes


def embeddings(trained: TrainedModel) -> Reading | None:
    """The vector that the head reads, for some hundred held-out examples, projected on their first two principal components.

    The principal components are the first two right singular vectors of the centred matrix [examples, features]; their share
    of the variance is given. A point is an example, its colour the class; each class has equally many. No such reading of a
    language model, which has no vector of a whole example, and where the vectors are not finite.

    Healthy: a cluster for each class, near those that it is confused with. Broken: a single cluster of all classes.

    Distrust: two of many directions; where they hold little of the variance, classes that overlap here may be far apart. Where
    the head reads pixels (`model.network: linear`) it shows the data and nothing learned.

    Source: Jolliffe, "Principal Component Analysis", 2002.
    """
    if trained.is_language_model:
        return None
    found = held_out(trained)
    features = found.features.numpy().astype(np.float64)
    if len(features) < 3 or not np.isfinite(features).all():
        return None
    places, held = in_two(features)
    names = classes_of(trained)
    each = max(1, POINTS // len(names))
    of_class = [places[found.targets.numpy() == number][:each] for number in range(len(names))]
    longest = max(map(len, of_class))
    values = [[*rounded_or_none(some.tolist()), *[[None, None]] * (longest - len(some))] for some in of_class]
    return Reading(
        name="embeddings",
        form="points",
        quantity="",
        says=f"The vector of each held-out example before the head, in the first two principal components"
        f" ({held[0] + held[1]:.0%} of the variance). Healthy: a cluster for each class; in a single one, none is separated.",
        axes=(
            Axis("class", list(names)),
            Axis("example", list(range(longest))),
            Axis("direction", [f"first component ({held[0]:.0%})", f"second component ({held[1]:.0%})"]),
        ),
        values=values,
        about="prediction",
    )


def in_two(features: Float[np.ndarray, "N D"]) -> tuple[Float[np.ndarray, "N 2"], tuple[float, float]]:
    """(places, shares of the variance) in the first two principal components."""
    from sklearn.decomposition import PCA  # a second of imports that no other reading waits for

    found = PCA(2, svd_solver="full").fit(features)
    first, second = np.nan_to_num(found.explained_variance_ratio_)
    return found.transform(features), (float(first), float(second))
