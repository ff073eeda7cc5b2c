"""Benches: experiments of a study that are not trainings of the pipeline. A signal through plain layers; one batch, memorized.

Each is a pure function of its knobs and a seed. Its knobs are under `bench.` in a study, and are validated like those of
params.yaml.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.lab.studies.record import Record
from pipeline.params.knobs import Section
from pipeline.params.schema import Params


class Bench(Section):
    """An experiment. Its fields are its knobs.

    Attributes:
        lines: names of the curves that it records, which `shows` of a study can draw.
    """

    lines: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def run(self, params: Params) -> Record:
        """Run it.

        Args:
            params: all parameters; the class says which of them it uses. The seed is always used.
        """


class Signal(Bench):
    """Random inputs through plain layers, and a gradient back: x <- activation(W x), W ~ N(0, gain / width).

    Of params.yaml it uses `model.activation` only.

    signal: the root mean square after the last layer, divided by that after the first. signal_predicted: the same by theory for
    ReLU, which halves the mean square in every layer.
    first_gradient: the norm of the loss gradient for the first layer's weights, divided by that for the last layer's.

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

        rms, gradients = signal_and_gradient(
            params.seed, self.layers, self.width, self.examples, self.gain, params.model.activation, self.residual
        )
        layers = list(range(1, self.layers + 1))
        numbers = {
            "signal": rms[-1] / rms[0],
            "signal_predicted": (self.gain / 2) ** ((self.layers - 1) / 2),
            "first_gradient": gradients[0] / gradients[-1],
        }
        lines = {"signal": [size / rms[0] for size in rms], "gradient": [norm / gradients[-1] for norm in gradients]}
        return Record(numbers=numbers, lines={name: {"over": "layer", "x": layers, "y": y} for name, y in lines.items()})


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


BENCHES: dict[str, type[Bench]] = {
    "signal": Signal,
    "overfit": Overfit,
}
