"""Update ratio: the size of a step relative to the weights of each layer."""

from __future__ import annotations

import math

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.backward import square
from pipeline.probes.passes.layers import layer_of
from pipeline.readings import Axis, Reading, column


def update_ratio(trained: TrainedModel) -> Reading | None:
    """‖ΔW‖ / ‖W‖ of the step that follows the snapshot (at the end: of the last step), over all weights of a layer together.

    The true change of the weights, with weight decay and learning rate, as recorded by training; of a layer
    sqrt(Σ‖ΔW‖²) / sqrt(Σ‖W‖²) over its parameters. No such reading where training recorded nothing.

    Healthy, with AdamW and after warm-up: 1e-4 to 3e-2 (10^-2.2 to 10^-1.5 in good tiny runs). Broken: over .1, or under 1e-6.

    Distrust: the often quoted "1e-3" is from SGD and larger models. Weights that begin at 0 have no ratio at first, and
    a huge one just after; at the end of a schedule that falls to 0 it is tiny, as it should be.

    Source: Bottou et al., "Optimization Methods for Large-Scale Machine Learning", 2018 (relative steps); Karpathy, "makemore:
    activations, gradients, batchnorm", 2022 (as a diagnostic).
    """
    if not trained.updates:
        return None
    moved, total = dict[str, float](), dict[str, float]()
    for name, weight in trained.model.named_parameters():
        if not weight.requires_grad:  # running statistics, or frozen
            continue
        layer, size = layer_of(trained, name), square(weight)
        moved.setdefault(layer, 0.0)
        total.setdefault(layer, 0.0)
        if (ratio := trained.updates.get(name)) is not None and math.isfinite(ratio):
            moved[layer], total[layer] = moved[layer] + ratio**2 * size, total[layer] + size
    return column(
        "update_ratio",
        Axis("layer", list(moved)),
        [math.sqrt(moved[layer] / total[layer]) if total[layer] > 0 else math.nan for layer in moved],
        trained.step,
        quantity="norm of the step / norm of the weights",
        says="How far one step moves each layer, relative to its weights. Healthy: 1e-4 to 3e-2 (tiny at the end, where the"
        " learning rate has fallen); over 0.1, each step overwrites what was learned, under 1e-6 nothing moves.",
        logarithmic=True,
        about="gradients",
    )
