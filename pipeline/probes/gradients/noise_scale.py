"""Gradient noise scale: the batch size beyond which averaging more examples stops paying."""

from __future__ import annotations

import math

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.backward import backward
from pipeline.readings import Reading, point


def noise_scale(trained: TrainedModel) -> Reading:
    """tr(S) / ‖G‖², in tokens: the batch at which a gradient's noise is as large as the gradient itself.

    For classifiers, everything below is in examples.

    G is the mean gradient and S the covariance of the gradient of a token. Two batch sizes give both: the fixed batch (b
    tokens, gradient g) and its eight parts (s tokens each, drawn at random from it):

        tr(S) = (mean ‖g_part‖² - ‖g‖²) / (1/s - 1/b)        ‖G‖² = (b ‖g‖² - s · mean ‖g_part‖²) / (b - s)

    The squares are averaged over the parts before dividing, because a mean of quotients would be biased. Where the noise
    is too large, the estimate of ‖G‖² is below 0, and there is no number.

    Healthy: the batch size of the training is near it; it grows as the loss falls. A batch over four times as large wastes
    tokens, a much smaller one has noisy gradients and needs a smaller learning rate.

    Distrust: tokens of one sequence are not independent samples, so that this is the noise of whole sequences, in tokens. It
    is of held-out text, and of the plain gradient: the updates of Adam or Muon have another noise scale. From one batch it
    is a rough estimate (in the default run, 32 sequences gave it within a third of what 256 did), and a very rough one where
    it is many times the number of tokens read.

    Source: McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (appendix A.1).
    """
    found, unit = backward(trained), trained.task.unit
    batch = "train.batch_size · model.context_length" if trained.is_language_model else "train.batch_size"
    return point(
        "noise_scale",
        {"noise scale": from_two(found.part_square, found.part_targets, found.square, found.targets)},
        trained.step,
        quantity=f"gradient noise scale ({unit})",
        says=f"The batch size, in {unit}, at which the noise of the gradient is as large as the gradient. Healthy: it grows as"
        f" the loss falls, with {batch} near it; a batch over four times as large is wasteful. Gaps: too noisy to estimate.",
        logarithmic=True,
        about="gradients",
    )


def from_two(small_square: float, small: float, large_square: float, large: float) -> float:
    """The noise scale from the mean squared gradient norms at two batch sizes, in the unit of the sizes; nan where the
    estimate of either part is below 0.
    """
    if not large > small:
        return math.nan
    noise = (small_square - large_square) / (1 / small - 1 / large)
    signal = (large * large_square - small * small_square) / (large - small)
    return noise / signal if signal > 0 and noise >= 0 else math.nan
