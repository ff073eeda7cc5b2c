"""Log partition: the logarithm of the denominator of the softmax."""

from __future__ import annotations

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.forward import forward
from pipeline.readings import Reading, point


def log_partition(trained: TrainedModel) -> Reading:
    """log Z = logsumexp of the logits, its mean and standard deviation over the predictions of the fixed batch.

    All logits may drift together without any change of a probability; log Z shows that they do.

    Healthy: it drifts by under 5 after warm-up. Broken: it grows or falls without end, which costs precision in 16 bits;
    `train.z_loss` keeps it near 0.

    Distrust: it begins near the logarithm of the vocabulary (of the number of classes), and where it settles says nothing by
    itself.

    Source: Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", 2022 (z-loss).
    """
    sizes = forward(trained).predictions[0].log_partition.cpu().double()
    return point(
        "log_partition",
        {"mean": float(sizes.mean()), "sd": float(sizes.std(correction=0))},
        trained.step,
        quantity="log Z (nats)",
        says="The logarithm of the denominator of the softmax: how far all logits together have drifted. Healthy: within 5 of"
        " its early level; growth without end costs precision in 16 bits.",
        about="prediction",
    )
