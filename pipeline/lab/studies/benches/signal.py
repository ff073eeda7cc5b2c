"""A bench: a signal through plain layers, and a gradient back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.lab.studies.benches.base import Bench
from pipeline.lab.studies.measures.record import Record
from pipeline.params.schema import Params


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
    reads = ("model.activation",)

    layers: Annotated[int, Field(ge=2, le=256)] = 16
    width: Annotated[int, Field(ge=8, le=4096)] = 512
    examples: Annotated[int, Field(ge=1, le=4096)] = 64
    gain: Annotated[float, Field(gt=0, le=100)] = 1.0
    residual: bool = False

    def run(self, params: Params) -> Record:
        from pipeline.lab.studies.benches.plain_stack import signal_and_gradient

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
