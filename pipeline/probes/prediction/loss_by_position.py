"""Loss by position in the context: whether more context helps."""

from __future__ import annotations

import itertools

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.forward import forward
from pipeline.readings import Axis, Reading, rounded_or_none
from pipeline.tasks.base import IGNORED

FIRST = 4  # positions of the first range


def loss_by_position(trained: TrainedModel) -> Reading | None:
    """The mean cross-entropy at each position in the context, over the examples of the fixed batch, in nats per token.

    In ranges that double (1-4, 5-8, 9-16 …), because the first tokens of context help most and because the mean over a few
    positions is mostly noise.

    Healthy: it falls with the position wherever context helps. Broken: flat, as where the layers do not mix positions, or
    rising at the end, where positions were never trained.

    Distrust: data without memory (a Markov chain) is rightly flat after its first tokens. The first range is the mean over
    four tokens per example, and so the noisiest.

    Source: Kaplan et al., "Scaling Laws for Neural Language Models", 2020 (appendix D.5).
    """
    if not trained.is_language_model:
        return None
    targets = trained.batch.targets
    losses, counted = forward(trained).predictions[0].losses.view(targets.shape), (targets != IGNORED).cpu()
    by_place = losses.cpu().double()
    ranges = list(itertools.pairwise(edges(targets.shape[1])))
    means = [float(by_place[:, a:b].sum() / counted[:, a:b].sum()) for a, b in ranges]
    return Reading(
        name="loss_by_position",
        form="lines",
        quantity="loss (nats per token)",
        says="The loss by the number of tokens of context, a line per snapshot. Healthy: it falls to the right, as context"
        " helps; flat, context is not used (or the data has none to use).",
        axes=(Axis("step", [trained.step]), Axis("position", [f"{a + 1}–{b}" for a, b in ranges])),
        values=rounded_or_none([means]),
        about="prediction",
    )


def edges(length: int) -> list[int]:
    """Where the ranges of a context end: 0, 4, 8, 16 … and its length."""
    inside = itertools.takewhile(lambda edge: edge < length, (FIRST * 2**power for power in itertools.count()))
    return [0, *inside, length]
