"""An equal network without scales: residual gains and muP factors are folded into the weights before them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.networks.inits import width_ratio
from pipeline.params.model import Model

OUTPUTS = ("attention.output", "feed_forward.down")  # of a block's branches


def folded_knobs(model: Model) -> Model:
    """The knobs of the folded network; scales that cannot be folded stay."""
    residual = "pre" if model.residual in ("depth_scaled", "rezero", "layerscale") else model.residual
    divides = model.tie_embeddings and width_ratio(model) != 1  # a tied head would divide embeddings too
    untied = model.init == "mup" and not divides
    return model.model_copy(update={"residual": residual, "init": "gpt2" if untied else model.init})


def folded(weights: Mapping[str, Tensor], model: Model) -> dict[str, Tensor]:
    """The weights of the folded network."""
    made = {name: weight for name, weight in weights.items() if ".residual." not in name}
    for layer in range(model.depth):
        for branch, output in enumerate(OUTPUTS):
            for name in (f"blocks.{layer}.{output}.{part}" for part in ("weight", "bias")):
                if name in made:
                    made[name] = _scaled(made[name], _gain(weights, model, layer, branch))
    if (ratio := width_ratio(model)) != 1:
        for name in made:
            if ".attention.project." in name:  # the queries, which come first; scores are divided by the square root once more
                made[name] = torch.cat((made[name][: model.width] / ratio**0.5, made[name][model.width :]))
        made["head.weight"] = made["head.weight"] / ratio
    return made


def _gain(weights: Mapping[str, Tensor], model: Model, layer: int, branch: int) -> Tensor:
    """The factor of a branch's output: one number, or one per feature."""
    match model.residual:
        case "depth_scaled":
            return torch.tensor((len(OUTPUTS) * model.depth) ** -0.5)
        case "rezero":
            return weights[f"blocks.{layer}.residual.scale"][branch]
        case "layerscale":
            return weights[f"blocks.{layer}.residual.gains.{branch}"]
    return torch.tensor(1.0)


def _scaled(weight: Tensor, gain: Tensor) -> Tensor:
    return weight * (gain[:, None] if weight.ndim > gain.ndim > 0 else gain)
