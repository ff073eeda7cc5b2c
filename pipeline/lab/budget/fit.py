"""The memory of devices, and the changes that make a training fit, those that cost the least time first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.params.errors import ParamsError
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params

GIB = 2**30
CARDS = (8, 12, 16, 24, 48, 80)  # GiB of common cards

# What a device needs besides the tensors of a step. On the safe side: what "fits" here must never run out of memory.
CONTEXT = 2 * GIB  # CUDA's context and its libraries: .5 to 2 GiB
PROCESS = GIB  # Python, torch and the workspace of its CPU kernels
FRAGMENTS = 1.1  # allocators reserve more than is requested


@dataclass(frozen=True)
class Device:
    """A device that a training may run on.

    Attributes:
        name: as it is shown.
        memory: bytes.
        on_card: a CUDA card, which need not exist here; else the memory of this machine.
        precision: what `auto` means on it.
    """

    name: str
    memory: int
    on_card: bool
    precision: str

    def needed(self, step: int, saved: int) -> int:
        """Bytes that a training needs on the device.

        Args:
            step: bytes at the peak of a step.
            saved: bytes of a checkpoint, which is made in memory here: a copy, and the file made from it.
        """
        if self.on_card:
            return round(step * FRAGMENTS) + CONTEXT
        return round(max(step, 3 * saved) * FRAGMENTS) + PROCESS


def card(gib: float, precision: str) -> Device:
    """A CUDA card with this memory, which need not exist here."""
    return Device(f"{gib:g} GB card", round(gib * GIB), True, precision if precision != "auto" else "bfloat16")


@dataclass(frozen=True)
class Change:
    """A knob that saves memory.

    Attributes:
        knob: its name in params.yaml.
        values: the values to try, the mildest first; none if it is set already or not applicable.
        cost: its price, in words.
    """

    knob: str
    values: Callable[[Params], list[Any]]
    cost: str


def _16_bit_precision(params: Params) -> list[Any]:
    return ["bfloat16"] if params.train.precision == "float32" else []


def _micro_batches(params: Params) -> list[Any]:
    batch, now = params.train.batch_size, params.train.accumulation_steps
    return [parts for parts in range(now + 1, batch + 1) if batch % parts == 0]


def _chunked_loss(params: Params) -> list[Any]:
    targets = params.train.batch_size // params.train.accumulation_steps * params.model.context_length
    many = params.task.kind == "language" and targets > 1024  # classes are few, with one target per example
    return [1024] if many and not params.runtime.loss_chunk_size else []


def _recomputed(params: Params) -> list[Any]:
    return ["selective", "block"] if params.runtime.activation_checkpointing == "none" else []


def _8_bit_state(params: Params) -> list[Any]:
    return [] if params.train.state_8bit else [True]


# The cheapest first. Whether each helps is decided by a fake step.
CHANGES: tuple[Change, ...] = (
    Change("train.precision", _16_bit_precision, "no time (16-bit products are faster); results differ in rounding"),
    Change("runtime.loss_chunk_size", _chunked_loss, "hardly any time; logits are never in memory all at once"),
    Change("train.accumulation_steps", _micro_batches, "hardly any time, as long as a micro-batch keeps the device busy"),
    Change("runtime.activation_checkpointing", _recomputed, "time: parts of the forward pass are computed again in backward"),
    Change("train.state_8bit", _8_bit_state, "a little time per update; other results, mostly as good"),
)


def changes_to_fit(params: Params, excess: Callable[[Params], int]) -> dict[str, Any] | None:
    """A few of CHANGES, the cheapest first, with which a training fits, by knob; None if all of them are not enough.

    Args:
        excess: the bytes by which a training does not fit; 0 or less if it fits.
    """
    chosen: dict[str, Any] = {}
    over = excess(params)
    for change in CHANGES:
        best = None
        for value in change.values(params):
            tried = _excess_with(params, chosen | {change.knob: value}, excess)
            if tried is not None and tried < over:
                best, over = value, tried
            if over <= 0:
                break
        if best is not None:
            chosen[change.knob] = best
        if over <= 0:
            return _needed(params, chosen, excess)
    return None


def _needed(params: Params, chosen: dict[str, Any], excess: Callable[[Params], int]) -> dict[str, Any]:
    """The changes without those that turn out to be unnecessary; the most expensive are dropped first."""
    for knob in reversed(list(chosen)):
        without = {name: value for name, value in chosen.items() if name != knob}
        over = _excess_with(params, without, excess)
        if over is not None and over <= 0:
            chosen = without
    return chosen


def _excess_with(params: Params, changes: dict[str, Any], excess: Callable[[Params], int]) -> int | None:
    """The excess with these changes; None if knobs exclude each other."""
    try:
        return excess(with_changes(params, changes))
    except ParamsError:
        return None


def with_changes(params: Params, changes: dict[str, Any]) -> Params:
    """The knobs with some of them changed."""
    return parse(Params, with_knobs(params.model_dump(), changes))
