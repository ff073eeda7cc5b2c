"""Does more context help?"""

from __future__ import annotations

import itertools

import torch.nn.functional as F  # noqa: N812 (its customary name)

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import forward
from pipeline.readings import Axis, Reading, finite
from pipeline.tasks.base import IGNORED

FIRST = 4  # positions of the first stretch


def loss_by_position(subject: Subject) -> Reading | None:
    """The mean cross-entropy at each place in the context, over the examples of the fixed batch, nats a token.

    In stretches that double (1-4, 5-8, 9-16 …), because the first tokens of context tell the most and because the mean of a
    few places is mostly noise.

    Healthy: it falls with the position wherever context helps. Broken: flat, as where the layers do not mix positions, or
    rising at the end, where positions were never trained.

    Distrust: data without memory (a Markov chain) is rightly flat after its first tokens. The first stretch is the mean of
    four tokens an example, and so the noisiest.

    Source: Kaplan et al., "Scaling Laws for Neural Language Models", 2020 (appendix D.5).
    """
    if not subject.writes:
        return None
    logits, targets = forward(subject).logits[0], subject.batch.targets
    losses = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED)
    by_place, counted = losses.view(targets.shape).cpu().double(), (targets != IGNORED).cpu()
    stretches = list(itertools.pairwise(edges(targets.shape[1])))
    means = [float(by_place[:, a:b].sum() / counted[:, a:b].sum()) for a, b in stretches]
    return Reading(
        name="loss_by_position",
        form="lines",
        quantity="loss (nats a token)",
        says="The loss by how many tokens the model has seen, a line a snapshot. Healthy: it falls to the right, as context"
        " helps; flat means that it is not used (or that the data has none to use).",
        axes=(Axis("step", [subject.step]), Axis("position", [f"{a + 1}–{b}" for a, b in stretches])),
        values=finite([means]),
        about="prediction",
    )


def edges(length: int) -> list[int]:
    """Where the stretches of a context end: 0, 4, 8, 16 … and its length."""
    inside = itertools.takewhile(lambda edge: edge < length, (FIRST * 2**power for power in itertools.count()))
    return [0, *inside, length]
