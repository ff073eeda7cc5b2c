"""A bench: more features than dimensions, stored and read back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.lab.studies.benches.base import Bench
from pipeline.lab.studies.measures.record import Record
from pipeline.params.schema import Params


class Superposition(Bench):
    """An autoencoder that squeezes features through fewer dimensions: x' = relu(Wᵀ W x + b), the loss weighted by importance.

    Each feature is 0 in most inputs; in a share `density` of them it is uniform in 0 .. 1. The first feature matters most, each
    of the others `importance` times as much as the one before. `linear` leaves the relu out. Of params.yaml it uses the seed.

    features_kept: the number of features that come back to more than half when they occur alone. linear_ratio: the loss on new
    inputs, divided by that of the best linear network, which is known (it keeps the most important features, one a dimension).

    Source: Elhage et al., "Toy Models of Superposition", 2022.
    """

    lines = ("kept",)
    reads = ()

    features: Annotated[int, Field(ge=2, le=1024)] = 20
    dimensions: Annotated[int, Field(ge=1, le=1024)] = 5
    density: Annotated[float, Field(gt=0, le=1)] = 1.0
    importance: Annotated[float, Field(gt=0, le=1)] = 0.9
    linear: bool = False
    steps: Annotated[int, Field(ge=1, le=100_000)] = 3000
    examples: Annotated[int, Field(ge=1, le=65536)] = 512
    lr: Annotated[float, Field(gt=0, le=1)] = 0.01

    def run(self, params: Params) -> Record:
        from pipeline.lab.studies.benches.autoencoder import kept_and_loss, least_linear_loss

        weights = [self.importance**at for at in range(self.features)]
        kept, loss = kept_and_loss(
            params.seed, weights, self.dimensions, self.density, self.linear, self.steps, self.examples, self.lr
        )
        numbers = {
            "features_kept": float(sum(share > 0.5 for share in kept)),
            "linear_ratio": loss / least_linear_loss(weights, self.dimensions, self.density),
        }
        features = list(range(1, self.features + 1))
        return Record(numbers=numbers, lines={"kept": {"over": "feature", "x": features, "y": kept}})
