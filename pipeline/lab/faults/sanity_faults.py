"""Breaches that a study holds against a sound network and that no doctor need know: sanity checks alone show them."""

from __future__ import annotations

from torch import Tensor

from pipeline.lab.faults.faults import Fault, Training


def mixes_the_batch(training: Training) -> None:
    """After the first block every example loses what all of them have in common, as a norm over the wrong axis would do it."""

    def less_the_mean(module: object, inputs: object, output: Tensor) -> Tensor:
        return output - output.mean(dim=0)

    training.blocks[0].register_forward_hook(less_the_mean)


BREACHES: dict[str, Fault] = {
    "examples mixed": Fault("the mean over the examples of a batch is taken off", "", break_it=mixes_the_batch),
}
