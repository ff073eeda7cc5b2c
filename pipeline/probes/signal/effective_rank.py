"""In how many directions do the features of different tokens differ?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import entry, forward, layer_names
from pipeline.readings import Axis, Reading, column


def effective_rank(subject: Subject) -> Reading | None:
    """exp(H(p)), p = σ²/Σσ² of the singular values σ of the centred matrix [places, features], after each block.

    Places are tokens, patches of images, or (of an MLP, after each layer) whole images; padding is none. No such reading of
    a network without layers.

    From 1 (all places lie on one line) to the number of features (they differ in all directions alike). The σ² are the
    eigenvalues of the covariance, which is small where the places are many.

    Healthy: over 2 and not falling with depth; 16 to 23 of 64 features were seen. Broken: towards 1, where all tokens have
    become one and no layer can tell them apart (a deep network without residuals).

    Distrust: a few features of huge size, as trained models have them, lower it though nothing is lost; and fewer tokens than
    features bound it.

    Source: Roy and Vetterli, "The effective rank: A measure of effective dimensionality", 2007 (with σ, there); Dong et al.,
    "Attention is not all you need: pure attention loses rank doubly exponentially with depth", 2021.
    """
    trace = forward(subject)
    if not trace.streams:
        return None
    return column(
        "effective_rank",
        Axis("after", [entry(subject), *layer_names(subject)]),
        [rank(trace.places(stream)) for stream in trace.streams],
        subject.step,
        quantity="effective rank, directions",
        says="In how many directions the features of different tokens differ, after each block. Healthy: above 2 and not"
        " falling from block to block; near 1 all tokens have become one, and no layer can tell them apart.",
        logarithmic=True,
        about="signal",
    )


def rank(tokens: Float[Tensor, "N D"]) -> float:
    """The effective rank of some rows around their mean; no number where they are all alike."""
    tokens = tokens.cpu().double()
    if not bool(tokens.isfinite().all()):
        return float("nan")
    centred = tokens - tokens.mean(dim=0)
    few, many = (centred, centred.T) if len(centred) < centred.shape[1] else (centred.T, centred)
    variances = torch.linalg.eigvalsh(few @ many).clamp(min=0)  # either product has them, and the smaller is the quicker
    shares = variances / variances.sum()
    return float(torch.special.entr(shares).sum().exp())
