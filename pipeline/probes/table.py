"""The probes by name: what the stage probe reads from the snapshots of a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.probes.activations import activation_rms
from pipeline.probes.attention import attention_maps
from pipeline.probes.base import Subject
from pipeline.probes.gradients import gradient_norm
from pipeline.readings import Reading


@dataclass(frozen=True)
class Probe:
    """A question to a model, answered by a reading; it leaves the model and all generators as they were.

    Attributes:
        read: what it reads.
        whole_training: whether it is read at every snapshot, as one line each; otherwise at the last one only.
    """

    read: Callable[[Subject], Reading]
    whole_training: bool


PROBES: dict[str, Probe] = {
    "activation_rms": Probe(activation_rms, whole_training=True),
    "gradient_norm": Probe(gradient_norm, whole_training=True),
    "attention": Probe(attention_maps, whole_training=False),
}
