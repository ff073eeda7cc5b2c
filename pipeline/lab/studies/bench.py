"""Experiments that are no training of the pipeline: a signal through a plain stack of layers, one batch learned by heart.

Each is a pure function of its knobs and a seed. Its knobs stand under `bench.` in a study, and are checked as those of
params.yaml are.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.lab.studies.record import Record
from pipeline.params.knobs import Section
from pipeline.params.schema import Params


class Bench(Section):
    """An experiment; its fields are its knobs, `lines` what may be drawn as it went."""

    lines: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def run(self, params: Params) -> Record:
        """Make it.

        Args:
            params: the knobs of params.yaml, of which it uses what it says; and the seed.
        """


class Signal(Bench):
    """Random inputs through plain layers, and a gradient back: x <- activation(W x), W ~ N(0, gain / width).

    Of params.yaml it takes `model.activation` alone.

    signal: the root mean square after the last layer over that after the first; signal_foretold: what it is with ReLU, each
    of which halves the mean square.
    first_gradient: the norm of the loss's gradient by the first layer's weights over that by the last's.

    Source: He et al., "Delving Deep into Rectifiers", 2015 (each ReLU halves the variance); Glorot & Bengio, "Understanding the
    difficulty of training deep feedforward neural networks", 2010 (gradients layer by layer).
    """

    lines = ("signal", "gradient")

    layers: Annotated[int, Field(ge=2, le=256)] = 16
    width: Annotated[int, Field(ge=8, le=4096)] = 512
    examples: Annotated[int, Field(ge=1, le=4096)] = 64
    gain: Annotated[float, Field(gt=0, le=100)] = 1.0
    residual: bool = False

    def run(self, params: Params) -> Record:
        from pipeline.lab.studies.plain_stack import signal_and_gradient

        sizes, slopes = signal_and_gradient(
            params.seed, self.layers, self.width, self.examples, self.gain, params.model.activation, self.residual
        )
        layers = list(range(1, self.layers + 1))
        numbers = {
            "signal": sizes[-1] / sizes[0],
            "signal_foretold": (self.gain / 2) ** ((self.layers - 1) / 2),
            "first_gradient": slopes[0] / slopes[-1],
        }
        lines = {"signal": [size / sizes[0] for size in sizes], "gradient": [slope / slopes[-1] for slope in slopes]}
        return Record(numbers=numbers, lines={name: {"over": "layer", "x": layers, "y": y} for name, y in lines.items()})


class Overfit(Bench):
    """The network of params.yaml, moved by its optimizer, on one batch with labels that were drawn at random.

    There is nothing to find out: who learns them has learned them by heart, which any network of enough weights can. Where it
    does not, something between the loss and the weights is broken.

    overfit_loss: the least loss, nats a label, within so many steps.

    Source: Karpathy, "A Recipe for Training Neural Networks", 2019 (overfit one batch); Zhang et al., "Understanding deep
    learning requires rethinking generalization", 2017 (random labels).
    """

    lines = ("overfit_loss",)

    examples: Annotated[int, Field(ge=1, le=4096)] = 8
    length: Annotated[int, Field(ge=2, le=65536)] = 64
    labels: Annotated[int, Field(ge=2, le=65536)] = 65
    steps: Annotated[int, Field(ge=1, le=100_000)] = 200
    fresh: bool = False  # other labels in every step, which nobody can know

    def run(self, params: Params) -> Record:
        from pipeline.lab.sanity.overfit import losses_on_one_batch

        losses = list(losses_on_one_batch(params, self.examples, self.length, self.labels, self.steps, fresh=self.fresh))
        followed = {"over": "step", "x": list(range(len(losses))), "y": losses}
        return Record(numbers={"overfit_loss": min(losses)}, lines={"overfit_loss": followed})


BENCHES: dict[str, type[Bench]] = {
    "signal": Signal,
    "overfit": Overfit,
}
