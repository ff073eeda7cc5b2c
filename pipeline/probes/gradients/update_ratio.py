"""How far does a step move each layer, beside how large it is?"""

from __future__ import annotations

import math

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import layer_of, square
from pipeline.readings import Axis, Reading, column


def update_ratio(subject: Subject) -> Reading | None:
    """‖ΔW‖ / ‖W‖ of the step that follows the snapshot (at the end: of the last step), over all weights of a layer together.

    The true change of the weights, decay and learning rate included, as training wrote it down; a layer's is
    sqrt(Σ‖ΔW‖²) / sqrt(Σ‖W‖²) over its parameters. No such reading where training wrote nothing down.

    Healthy, with AdamW and after warm-up: 1e-4 to 3e-2 (10^-2.2 to 10^-1.5 in good tiny runs). Broken: over .1, or under 1e-6.

    Distrust: the "1e-3" that people quote is from SGD and larger models. Weights that begin at 0 have no ratio at first, and
    a huge one just after; at the end of a schedule that falls to 0 it is tiny, as it should be.

    Source: Bottou et al., "Optimization Methods for Large-Scale Machine Learning", 2018 (relative steps); Karpathy, "makemore:
    activations, gradients, batchnorm", 2022 (as a diagnostic).
    """
    if not subject.updates:
        return None
    moved, large = dict[str, float](), dict[str, float]()
    for name, weight in subject.model.named_parameters():
        if not weight.requires_grad:  # a running mean, or frozen
            continue
        layer, size = layer_of(subject, name), square(weight)
        moved.setdefault(layer, 0.0)
        large.setdefault(layer, 0.0)
        if (ratio := subject.updates.get(name)) is not None and math.isfinite(ratio):
            moved[layer], large[layer] = moved[layer] + ratio**2 * size, large[layer] + size
    return column(
        "update_ratio",
        Axis("layer", list(moved)),
        [math.sqrt(moved[layer] / large[layer]) if large[layer] > 0 else math.nan for layer in moved],
        subject.step,
        quantity="length of a step / length of the weights",
        says="How far one step moves each layer, as a share of its size. Healthy: 1e-4 to 3e-2 (tiny at the end, where the rate"
        " has fallen); over 0.1 a step overwrites what was learned, under 1e-6 nothing moves.",
        logarithmic=True,
        about="gradients",
    )
