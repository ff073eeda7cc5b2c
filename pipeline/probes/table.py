"""The probes by name: what the stage probe reads from the snapshots of a training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.inference.trained import Subject
from pipeline.probes.attention.entropy import attention_entropy
from pipeline.probes.attention.induction import induction, previous_token
from pipeline.probes.attention.logit import attention_logit
from pipeline.probes.attention.maps import attention_maps
from pipeline.probes.attention.sink import attention_sink
from pipeline.probes.gradients.gradient_norm import gradient_norm
from pipeline.probes.gradients.noise_scale import noise_scale
from pipeline.probes.gradients.sharpness import sharpness
from pipeline.probes.gradients.update_ratio import update_ratio
from pipeline.probes.prediction.embeddings import embeddings
from pipeline.probes.prediction.log_partition import log_partition
from pipeline.probes.prediction.loss_by_position import loss_by_position
from pipeline.probes.prediction.saliency import saliency
from pipeline.probes.samples.memorized_length import copied_length
from pipeline.probes.samples.sample_quality import sample_quality
from pipeline.probes.signal.activation_rms import activation_rms
from pipeline.probes.signal.dead_units import dead_units
from pipeline.probes.signal.effective_rank import effective_rank
from pipeline.probes.signal.feature_maps import feature_maps
from pipeline.probes.signal.filters import filters
from pipeline.probes.signal.saturation import saturation
from pipeline.readings import Reading, over_training


@dataclass(frozen=True)
class Probe:
    """A question to a model, answered by a reading; it leaves the model and all generators as they were.

    Attributes:
        read: what it reads; None where the question makes no sense for such a model, or was not asked.
        whole_training: whether its readings at all snapshots are shown as one; otherwise the last one alone is.
    """

    read: Callable[[Subject], Reading | None]
    whole_training: bool = True


def readings_of(subjects: Iterable[Subject], advance: Callable[[], None] = lambda: None) -> dict[str, Reading]:
    """Every reading of the table, over a model at some steps of its training.

    Args:
        subjects: from the first step to the last; each is wanted only until the next is asked for.
        advance: told each time that one is done.
    """
    along = defaultdict[str, list[Reading]](list)
    for subject in subjects:
        for name, probe in PROBES.items():
            if not (probe.whole_training or subject.last):
                continue
            if (reading := probe.read(subject)) is not None:
                along[name] = [*along[name], reading] if probe.whole_training else [reading]
        subject.kept.clear()  # before the next one wants memory
        advance()
    whole = {name for name, probe in PROBES.items() if probe.whole_training}
    return {name: over_training(found) if name in whole else found[0] for name, found in along.items()}


PROBES: dict[str, Probe] = {
    "activation_rms": Probe(activation_rms),
    "effective_rank": Probe(effective_rank),
    "saturation": Probe(saturation),
    "dead_units": Probe(dead_units),
    "gradient_norm": Probe(gradient_norm),
    "update_ratio": Probe(update_ratio),
    "noise_scale": Probe(noise_scale),
    "sharpness": Probe(sharpness),
    "attention": Probe(attention_maps, whole_training=False),
    "attention_entropy": Probe(attention_entropy),
    "attention_logit": Probe(attention_logit),
    "attention_sink": Probe(attention_sink),
    "previous_token": Probe(previous_token),
    "induction": Probe(induction),
    "log_partition": Probe(log_partition),
    "loss_by_position": Probe(loss_by_position),
    "sample_quality": Probe(sample_quality),
    "copied_length": Probe(copied_length),
    "filters": Probe(filters, whole_training=False),
    "feature_maps": Probe(feature_maps, whole_training=False),
    "embeddings": Probe(embeddings, whole_training=False),
    "saliency": Probe(saliency, whole_training=False),
}
