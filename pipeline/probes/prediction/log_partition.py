"""How large is the denominator of the softmax?"""

from __future__ import annotations

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import forward
from pipeline.readings import Reading, point


def log_partition(subject: Subject) -> Reading:
    """log Z = logsumexp of the logits, its mean and standard deviation over the predictions of the fixed batch.

    Logits may all move together without any change of a probability; log Z shows that they do.

    Healthy: it drifts by under 5 after the warm-up. Broken: it climbs or falls without end, which costs digits in 16 bits;
    `train.z_loss` holds it.

    Distrust: it begins near the logarithm of the vocabulary (of the number of classes), and how far it settles from there says
    nothing by itself.

    Source: Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", 2022 (z-loss).
    """
    sizes = forward(subject).logits[0].float().logsumexp(dim=-1).cpu().double()
    return point(
        "log_partition",
        {"mean": float(sizes.mean()), "sd": float(sizes.std(correction=0))},
        subject.step,
        quantity="log Z, nats",
        says="The logarithm of the softmax's denominator: how far all logits together have drifted. Healthy: within 5 of where"
        " it settles early; a climb without end costs digits in 16 bits.",
        about="prediction",
    )
