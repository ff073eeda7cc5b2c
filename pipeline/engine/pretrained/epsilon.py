"""A network whose norms add another epsilon than ours, as an equal one with ours."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.engine.pretrained.names import keys, queries
from pipeline.networks.norms import EPSILON
from pipeline.params.model import Model

EPSILON_KEYS = ("rms_norm_eps", "norm_eps", "layer_norm_eps", "layer_norm_epsilon")
SMALLEST, LARGEST = 1e-8, 1e-4  # epsilons that are read
ONTO_THE_STREAM = ("embedding.", "position.", ".attention.output.", ".feed_forward.down.")


def at_epsilon(weights: Mapping[str, Tensor], model: Model, theirs: float) -> bool:
    """Scale weights of a network with norms before its branches, in place, so that ours computes the same; whether it can be.

    A norm divides out the scale of its input except for epsilon: c·x / sqrt(mean((c·x)²) + EPSILON) is
    x / sqrt(mean(x²) + EPSILON / c²). So everything that is added to the residual stream becomes c = sqrt(EPSILON / theirs)
    times as large, and so do queries and keys that have a norm of their own.
    """
    if theirs == EPSILON:
        return True
    scale = math.sqrt(EPSILON / theirs)
    tied = "head.weight" not in weights
    if model.position == "sinusoidal" or (tied and "final_norm.weight" not in weights):
        return False  # the waves have no weights; a tied head would read embeddings that are larger
    for name, weight in weights.items():
        if name.startswith(ONTO_THE_STREAM[:2]) or any(part in name for part in ONTO_THE_STREAM[2:]):
            weight *= scale
        elif model.qk_norm and ".attention.project." in name:
            weight[torch.cat((queries(model), keys(model)))] *= scale
    if tied:
        weights["final_norm.weight"].div_(scale)
        if "final_norm.bias" in weights:
            weights["final_norm.bias"].div_(scale)
    return True
