"""A bench: the network of params.yaml, trained on one batch with random labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.lab.studies.benches.base import Bench
from pipeline.lab.studies.measures.record import Record
from pipeline.params.schema import Params


class Overfit(Bench):
    """The network of params.yaml, trained by its optimizer on one batch with random labels.

    The labels follow no rule, so they can only be memorized, which any network with enough weights can do. Where it does not,
    something between the loss and the weights is broken.

    overfit_loss: the lowest loss within `steps` steps, in nats per label.

    Source: Karpathy, "A Recipe for Training Neural Networks", 2019 (overfit one batch); Zhang et al., "Understanding deep
    learning requires rethinking generalization", 2017 (random labels).
    """

    lines = ("overfit_loss",)

    examples: Annotated[int, Field(ge=1, le=4096)] = 8
    length: Annotated[int, Field(ge=2, le=65536)] = 64
    labels: Annotated[int, Field(ge=2, le=65536)] = 65
    steps: Annotated[int, Field(ge=1, le=100_000)] = 200
    fresh: bool = False  # other labels in every step, which cannot be predicted

    def run(self, params: Params) -> Record:
        from pipeline.lab.sanity.overfit import losses_on_one_batch

        losses = list(losses_on_one_batch(params, self.examples, self.length, self.labels, self.steps, fresh=self.fresh))
        curve = {"over": "step", "x": list(range(len(losses))), "y": losses}
        return Record(numbers={"overfit_loss": min(losses)}, lines={"overfit_loss": curve})
