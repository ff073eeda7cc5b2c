"""How large do activations become from block to block?"""

from __future__ import annotations

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import entry, forward, layer_names
from pipeline.readings import Axis, Reading, column


def activation_rms(subject: Subject) -> Reading | None:
    """sqrt(mean x²), over the fixed batch, of what enters the first block (of an MLP: layer) and of what leaves each.

    Padding does not count. No such reading of a network without layers.

    Healthy: the last is half to some twenty times the first (the default recipe ends near fifteen). Broken: over a hundred
    times, or under a thousandth. Rules of thumb, for want of a calibration on runs known to be sick.

    Distrust: behind a norm the size of the stream changes nothing for what reads it; growth alone is no fault in a pre-norm
    network.

    Source: He et al., "Delving Deep into Rectifiers", 2015: layers must neither enlarge nor shrink a signal.
    """
    trace = forward(subject)
    if not trace.streams:
        return None
    sizes = [trace.places(stream).cpu().double().square().mean().sqrt() for stream in trace.streams]
    return column(
        "activation_rms",
        Axis("after", [entry(subject), *layer_names(subject)]),
        [float(size) for size in sizes],
        subject.step,
        quantity="root mean square of the features",
        says="How large the features are after each block. Healthy: the last from half to some 20 times the first;"
        " 100 times as large, or a thousandth, is a scale that has run away.",
        logarithmic=True,
        about="signal",
    )
