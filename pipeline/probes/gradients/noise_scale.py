"""From which batch size on does averaging more examples stop paying?"""

from __future__ import annotations

import math

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import backward
from pipeline.readings import Reading, point


def noise_scale(subject: Subject) -> Reading:
    """tr(S) / ‖G‖², in tokens: the batch at which a gradient's noise is as large as the gradient itself.

    Where classes are told, everything that follows is in examples.

    G is the mean gradient and S the covariance of a token's. Two batch sizes tell both: the fixed batch (b tokens, gradient
    g) and its eight parts (s tokens each, drawn at random from it):

        tr(S) = (mean ‖g_part‖² - ‖g‖²) / (1/s - 1/b)        ‖G‖² = (b ‖g‖² - s · mean ‖g_part‖²) / (b - s)

    The squares are averaged over the parts first and divided then, for a mean of quotients would be biased. Where the noise
    drowns the gradient ‖G‖² comes out below 0, and there is no number.

    Healthy: the batch of the training is near it; it grows as the loss falls. A batch of over four times it wastes tokens, one
    far below it learns from noise, with a smaller learning rate.

    Distrust: tokens of one sequence are no independent draws, so that this is the noise of whole sequences, put in tokens. It
    is of held-out text, and of the plain gradient: what Adam or Muon make of it has another. From one batch it
    is a rough number (of the default run, 32 sequences told it within a third of what 256 did), and hardly one where it is many
    times the tokens read.

    Source: McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (appendix A.1).
    """
    found, unit = backward(subject), subject.task.unit
    batch = "train.batch_size · model.context_length" if subject.writes else "train.batch_size"
    return point(
        "noise_scale",
        {"noise scale": from_two(found.part_square, found.part_targets, found.square, found.targets)},
        subject.step,
        quantity=f"gradient noise scale, {unit}",
        says=f"The batch, in {unit}, at which the noise of a gradient is as large as the gradient. Healthy: it grows as"
        f" the loss falls, with {batch} near it; a batch of over four times it is wasted. Gaps: the noise drowned it.",
        logarithmic=True,
        about="gradients",
    )


def from_two(small_square: float, small: float, large_square: float, large: float) -> float:
    """The noise scale from the mean squared gradient norms at two batch sizes, in the unit of the sizes; not a number where
    either part of it comes out below 0.
    """
    if not large > small:
        return math.nan
    noise = (small_square - large_square) / (1 / small - 1 / large)
    signal = (large * large_square - small * small_square) / (large - small)
    return noise / signal if signal > 0 and noise >= 0 else math.nan
