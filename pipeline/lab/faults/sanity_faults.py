"""Faults that only the sanity checks before the first step show, and the doctor need not name: for studies of those checks."""

from __future__ import annotations

from torch import Tensor

from pipeline.lab.faults.base import Fault, Training


def mixes_the_batch(training: Training) -> None:
    """After the first block the mean over the batch is subtracted, as a norm over the wrong axis does."""

    def less_the_mean(module: object, inputs: object, output: Tensor) -> Tensor:
        return output - output.mean(dim=0)

    training.blocks[0].register_forward_hook(less_the_mean)


SANITY_FAULTS: dict[str, Fault] = {
    "examples mixed": Fault("the mean over the examples of a batch is subtracted", "", inject=mixes_the_batch),
}
