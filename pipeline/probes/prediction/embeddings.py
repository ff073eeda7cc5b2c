"""Do examples of a class lie together, before the head tells them apart?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from pipeline.inference.trained import Subject
from pipeline.probes.passes.held_out import classes_of, held_out
from pipeline.readings import Axis, Reading, finite

POINTS = 400  # that are drawn, over all classes


def embeddings(subject: Subject) -> Reading | None:
    """The vector that the head reads, of some hundred held-out examples, in the two directions in which they differ most.

    Principal components: the first two right singular vectors of the centred matrix [examples, features], and how much of the
    variance they hold. A point is an example, its colour its class, as many of each class. No such reading of a language
    model, which reads no example as a whole, and where the vectors are no numbers.

    Healthy: a heap for each class, near those that it is mistaken for. Broken: one heap of all classes.

    Distrust: two of many directions; where they hold little of the variance, classes that lie on each other here may be far
    apart. Where the head reads pixels (`model.network: linear`) it shows the data and nothing learned.

    Source: Jolliffe, "Principal Component Analysis", 2002.
    """
    if subject.writes:
        return None
    found = held_out(subject)
    features = found.features.numpy().astype(np.float64)
    if len(features) < 3 or not np.isfinite(features).all():
        return None
    places, held = in_two(features)
    names = classes_of(subject)
    each = max(1, POINTS // len(names))
    of_class = [places[found.targets.numpy() == number][:each] for number in range(len(names))]
    longest = max(map(len, of_class))
    values = [[*finite(some.tolist()), *[[None, None]] * (longest - len(some))] for some in of_class]
    return Reading(
        name="embeddings",
        form="points",
        quantity="",
        says=f"The vector of each held-out example before the head, in the two directions in which they differ most"
        f" ({held[0] + held[1]:.0%} of the variance). Healthy: a heap for each class; one heap of all is nothing told apart.",
        axes=(
            Axis("class", list(names)),
            Axis("example", list(range(longest))),
            Axis("direction", [f"first direction ({held[0]:.0%})", f"second direction ({held[1]:.0%})"]),
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
