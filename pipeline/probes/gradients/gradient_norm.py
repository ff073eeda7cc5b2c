"""Gradient norm: the size of the gradient of the loss in each layer."""

from __future__ import annotations

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.backward import backward, square
from pipeline.probes.passes.layers import layer_of
from pipeline.readings import Axis, Reading, column


def gradient_norm(trained: TrainedModel) -> Reading:
    """The L2 norm of the gradient of the mean loss on the fixed batch, over all weights of a layer together; unclipped.

    Healthy: all layers within a factor of about ten, and no trend of orders of magnitude from last to first.

    Distrust: a network without residuals keeps even norms (first block / last of .8 to 1.2 were seen at 16 blocks) while it
    learns nothing; and a layer with more weights has a larger gradient norm.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    squares: dict[str, float] = {}  # in the order of the network, from the embedding to the head
    for name, gradient in backward(trained).gradients.items():
        layer = layer_of(trained, name)
        squares[layer] = squares.get(layer, 0.0) + square(gradient)
    return column(
        "gradient_norm",
        Axis("layer", list(squares)),
        [total**0.5 for total in squares.values()],
        trained.step,
        quantity=f"L2 norm of the gradient (nats per {trained.task.unit.removesuffix('s')})",
        says="The size of the gradient of the loss in each layer. Healthy: layers within a factor of about ten of each other;"
        " falling by orders of magnitude towards the first layers, gradients vanish; rising, they explode."
        " A gap is exactly 0: a layer that starts at zero passes no gradient at step 0.",
        logarithmic=True,
        about="gradients",
    )
