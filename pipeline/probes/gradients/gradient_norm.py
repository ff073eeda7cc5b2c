"""How much of the loss's gradient reaches each layer?"""

from __future__ import annotations

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import backward, layer_of, square
from pipeline.readings import Axis, Reading, column


def gradient_norm(subject: Subject) -> Reading:
    """The L2 norm of the gradient of the mean loss on the fixed batch, over all weights of a layer together; unclipped.

    Healthy: all layers within a factor of ten or so, and no trend of orders of magnitude from last to first.

    Distrust: a network without residuals keeps even norms (first block over last .8 to 1.2 were seen at 16 blocks) while it
    learns nothing; and a large layer has a longer gradient for its size alone.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    squares: dict[str, float] = {}  # in the network's own order, from the embedding to the head
    for name, gradient in backward(subject).gradients.items():
        layer = layer_of(subject, name)
        squares[layer] = squares.get(layer, 0.0) + square(gradient)
    return column(
        "gradient_norm",
        Axis("layer", list(squares)),
        [total**0.5 for total in squares.values()],
        subject.step,
        quantity=f"L2 norm of the gradient, nats a {subject.task.unit.removesuffix('s')}",
        says="How strongly the loss pulls at each layer. Healthy: layers within a factor of ten or so of each other; falling by"
        " orders of magnitude towards the first layers is a gradient that vanishes, rising is one that explodes."
        " A gap is exactly 0: what starts at zero passes nothing on at step 0.",
        logarithmic=True,
        about="gradients",
    )
