"""The checkpoints of a run, with numbers, and what to do where one is missed: written before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.doctor.signs.plan import Checkpoint

SANITY = "rally check-model"
DOCTOR = "rally doctor"


@dataclass(frozen=True)
class Interval:
    """A forecast of a loss: an interval that holds it with 80 %, and its median, nats per token.

    Attributes:
        because: in words.
    """

    low: float
    median: float
    high: float
    because: str


def checkpoints(steps: int, forecast: Interval) -> Iterator[Checkpoint]:
    """What a run must be, in order.

    Bounds of the loss come from the text's own baselines, those of other numbers are where the doctor calls a number sick.

    Args:
        steps: of the run; checkpoints at later steps are left out.
        forecast: of its loss at the end.
    """
    yield from _before()
    for step, group in ((1, _first()), (10, _ten()), (100, _hundred()), (1000, _thousand())):
        if step <= steps:
            yield from group
    yield from _curve(forecast)
    yield from _end(forecast)


def _before() -> Iterator[Checkpoint]:
    yield Checkpoint("step 0", "start_excess", high=0.1, missed=f"{SANITY}: head or targets are wrong")
    yield Checkpoint("step 0", "start_loss", high=1.2, missed=f"{SANITY}: weights are too large")
    yield Checkpoint("step 0", "future_leak", high=0.0, missed=f"{SANITY}: mend the mask first")
    yield Checkpoint("step 0", "batch_leak", high=0.0, missed=f"{SANITY}: mend the mixing first")
    yield Checkpoint("step 0", "attention_entropy_start", low=0.31, missed=f"{SANITY}: scores are too large")
    yield Checkpoint("step 0", "overlap", high=0.25, missed="rally data: split the text again")


def _first() -> Iterator[Checkpoint]:
    yield Checkpoint("step 1", "rise_at_start", high=0.5, missed="stop; train.lr / 10, or warmup_ratio=0.05")


def _ten() -> Iterator[Checkpoint]:
    yield Checkpoint(
        "step 10", "training_loss", high=0.25, plus={"uniform": 1.0}, missed="stop; train.lr / 3, or warmup_ratio=0.05"
    )
    yield Checkpoint("step 10", "unreached", high=0.0, missed=f"{DOCTOR}: what cuts the gradient off?")


def _hundred() -> Iterator[Checkpoint]:
    text = f"stop; {DOCTOR}: rate, labels, mask"
    yield Checkpoint("step 100", "training_loss", high=0.0, plus={"unigram": 0.8, "bigram": 0.2}, missed=text)
    yield Checkpoint("step 100", "training_loss", low=0.0, plus={"bigram": 0.1}, missed=f"{SANITY}: the target leaks")
    yield Checkpoint("step 100", "highest_loss", high=0.6, missed="stop; train.lr / 3, or warmup_ratio=0.05")
    yield Checkpoint("step 100", "clipped_steps", high=0.9, missed="train.lr / 2, or a higher grad_clip")
    yield Checkpoint("step 100", "skipped_steps", high=0.2, missed="train.precision=bfloat16")
    yield Checkpoint("step 100", "gradient_agreement", low=0.45, high=1.6, missed=f"{DOCTOR}: not this loss's gradients")
    yield Checkpoint("step 100", "least_update", low=1e-4, missed=f"{DOCTOR}: a layer is not trained")
    yield Checkpoint("step 100", "dead", high=0.3, missed="train.lr / 3, or another activation")
    yield Checkpoint("step 100", "saturated", high=0.4, missed="smaller weights, or another activation")
    yield Checkpoint("step 100", "previous_token", low=1e-12, missed=f"{SANITY}: mend the mask first")
    yield Checkpoint("step 100", "attention_sink", low=1e-12, missed=f"{SANITY}: mend the mask first")
    yield Checkpoint("step 100", "gap", low=-0.5, high=0.5, missed=f"{DOCTOR}: these are not of one text")


def _thousand() -> Iterator[Checkpoint]:
    yield Checkpoint("step 1000", "training_loss", high=0.0, plus={"bigram": 1.0}, missed="stop, and search train.lr again")
    yield Checkpoint("step 1000", "attention_logit", high=60.0, missed="model.qk_norm=true: scores run away")
    yield Checkpoint("step 1000", "log_partition", high=5.0, missed="train.z_loss=1e-4: logits drift")
    yield Checkpoint("step 1000", "effective_rank", low=1.3, missed=f"{DOCTOR}: tokens look alike at the end")


SHARES = {
    10: 0.5,
    25: 0.35,
    50: 0.25,
}  # of the way from the upper end of the forecast to ln V that may be left, by percent of the steps


def _curve(forecast: Interval) -> Iterator[Checkpoint]:
    for percent, left in SHARES.items():
        high = round(forecast.high * (1 - left), 4)
        text = f"missed twice: stop; {DOCTOR}" if percent < 50 else f"stop; {DOCTOR}"
        yield Checkpoint(f"{percent} %", "training_loss", high=high, plus={"uniform": left}, missed=text)


def _end(forecast: Interval) -> Iterator[Checkpoint]:
    low, high = round(forecast.low, 4), round(forecast.high, 4)
    yield Checkpoint("end", "validation_loss", low, high, missed=f"below: is it a leak? above: {DOCTOR}")
    yield Checkpoint("end", "generalization_gap", high=0.2, missed="more text, fewer steps or a smaller net")


def as_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint for its file, without what it does not use."""
    usual = Checkpoint(at="", what="")
    return {name: value for name, value in asdict(checkpoint).items() if value != getattr(usual, name)}
