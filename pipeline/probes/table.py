"""The probes by name: the readings that the stage probe takes from each snapshot of a training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pipeline.inference.trained import TrainedModel
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
from pipeline.probes.samples.copied_length import copied_length
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
    """A diagnostic of a model; it leaves the model and all random generators as they were.

    Attributes:
        read: makes the reading; None where it does not apply to the model, or was not requested.
        whole_training: whether it is taken at every snapshot and joined along the steps; otherwise at the last one only.
    """

    read: Callable[[TrainedModel], Reading | None]
    whole_training: bool = True


def readings_of(snapshots: Iterable[TrainedModel]) -> dict[str, Reading]:
    """Every reading of the table, over the snapshots of a training.

    Args:
        snapshots: from the first step to the last; each is needed only until the next one is read.
    """
    return over_snapshots(map(readings_at, snapshots))


def readings_at(snapshot: TrainedModel) -> dict[str, Reading]:
    """The readings of one snapshot."""
    due = ((name, probe) for name, probe in PROBES.items() if probe.whole_training or snapshot.is_last)
    found = {name: reading for name, probe in due if (reading := probe.read(snapshot)) is not None}
    snapshot.cache.clear()  # before the next one needs the memory
    return found


def over_snapshots(found: Iterable[Mapping[str, Reading]]) -> dict[str, Reading]:
    """The readings of all snapshots, from the first step to the last, as one of each probe."""
    taken = defaultdict[str, list[Reading]](list)
    for readings in found:
        for name, reading in readings.items():
            taken[name].append(reading)
    return {name: over_training(parts) if PROBES[name].whole_training else parts[-1] for name, parts in taken.items()}


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
