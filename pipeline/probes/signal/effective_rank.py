"""Effective rank: the number of directions in which the features of different tokens differ."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.frames import along_layers
from pipeline.readings import Reading


def effective_rank(trained: TrainedModel) -> Reading | None:
    """exp(H(p)), p = σ²/Σσ² of the singular values σ of the centred matrix [places, features], after each block.

    Places are tokens, patches of images, or (of an MLP, after each layer) whole images; not padding. No such reading of
    a network without layers.

    From 1 (all places lie on one line) to the number of features (they differ equally in all directions). The σ² are the
    eigenvalues of the covariance, which is small where the places are many.

    Healthy: over 2 and not falling with depth; 16 to 23 of 64 features were seen. Broken: towards 1, where all tokens have
    become the same and no layer can distinguish them (a deep network without residuals).

    Distrust: a few features of huge size, as trained models have them, lower it though nothing is lost; and fewer tokens than
    features bound it.

    Source: Roy and Vetterli, "The effective rank: A measure of effective dimensionality", 2007 (with σ, there); Dong et al.,
    "Attention is not all you need: pure attention loses rank doubly exponentially with depth", 2021.
    """
    return along_layers(
        trained,
        "effective_rank",
        rank,
        quantity="effective rank (directions)",
        says="In how many directions the features of different tokens differ, after each block. Healthy: above 2 and not"
        " falling from block to block; near 1 all tokens look the same, and no layer can distinguish them (rank collapse).",
        logarithmic=True,
    )


def rank(tokens: Float[Tensor, "N D"]) -> float:
    """The effective rank of some rows around their mean; nan where they are all equal or one is not finite."""
    tokens = tokens.cpu().double()
    if not bool(tokens.isfinite().all()):
        return float("nan")
    centred = tokens - tokens.mean(dim=0)
    few, many = (centred, centred.T) if len(centred) < centred.shape[1] else (centred.T, centred)
    variances = torch.linalg.eigvalsh(few @ many).clamp(min=0)  # both products have them; the smaller is quicker
    shares = variances / variances.sum()
    return float(torch.special.entr(shares).sum().exp())
