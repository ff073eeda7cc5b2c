"""Does it fit? What a device has room for, and the changes that make a training fit, those first that cost the least time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.params.errors import ParamsError
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params

GIB = 2**30
CARDS = (8, 12, 16, 24, 48, 80)  # GiB that cards are sold with

# What a device holds beside the tensors of a step. On the safe side: what "fits" here must never run out of memory.
CONTEXT = 2 * GIB  # CUDA's context and its libraries: .5 to 2 GiB
PROCESS = GIB  # Python, torch and what its CPU kernels work with
FRAGMENTS = 1.1  # allocators keep more than is asked of them


@dataclass(frozen=True)
class Device:
    """Something that a training may run on.

    Attributes:
        name: as one says it.
        room: bytes that it has.
        on_card: a CUDA card, there or not; else the memory of this machine.
        precision: what `auto` comes to on it.
    """

    name: str
    room: int
    on_card: bool
    precision: str

    def wants(self, step: int, saved: int) -> int:
        """Bytes that a training takes from the device.

        Args:
            step: bytes at the peak of a step.
            saved: bytes of what a checkpoint keeps. It is made in memory here: a copy, and a copy of that in a file's form.
        """
        if self.on_card:
            return round(step * FRAGMENTS) + CONTEXT
        return round(max(step, 3 * saved) * FRAGMENTS) + PROCESS


def card(gib: float, precision: str) -> Device:
    """A CUDA card of so many GiB, whether or not it is there."""
    return Device(f"{gib:g} GB card", round(gib * GIB), True, precision if precision != "auto" else "bfloat16")


@dataclass(frozen=True)
class Change:
    """A knob that saves memory.

    Attributes:
        knob: its name in params.yaml.
        values: the values that are worth a try, the mildest first; none where it is turned already or has no place.
        costs: what one pays for it, in words.
    """

    knob: str
    values: Callable[[Params], list[Any]]
    costs: str


def _sixteen_bits(params: Params) -> list[Any]:
    return ["bfloat16"] if params.train.precision == "float32" else []


def _smaller_parts(params: Params) -> list[Any]:
    batch, now = params.train.batch_size, params.train.accumulation_steps
    return [parts for parts in range(now + 1, batch + 1) if batch % parts == 0]


def _loss_in_pieces(params: Params) -> list[Any]:
    targets = params.train.batch_size // params.train.accumulation_steps * params.model.context_length
    many = params.task.kind == "language" and targets > 1024  # of classes there are few, and one target an example
    return [1024] if many and not params.runtime.loss_chunk_size else []


def _computed_again(params: Params) -> list[Any]:
    return ["selective", "block"] if params.runtime.activation_checkpointing == "none" else []


def _eight_bits(params: Params) -> list[Any]:
    return [] if params.train.state_8bit else [True]


# The cheapest first. Each is tried, not believed: whether it helps is what a rehearsal says.
CHANGES: tuple[Change, ...] = (
    Change("train.precision", _sixteen_bits, "no time (16-bit products are faster); results differ in rounding"),
    Change("runtime.loss_chunk_size", _loss_in_pieces, "hardly any time; logits are never held all at once"),
    Change("train.accumulation_steps", _smaller_parts, "hardly any time, while a part still keeps the device busy"),
    Change(
        "runtime.activation_checkpointing", _computed_again, "time: parts of the forward pass are computed again in backward"
    ),
    Change("train.state_8bit", _eight_bits, "a little time an update; other results, mostly as good"),
)


def changes_to_fit(params: Params, excess: Callable[[Params], int]) -> dict[str, Any] | None:
    """A few of CHANGES, from the cheapest on, with which a training fits, by knob; None if all of them are not enough.

    Args:
        excess: the bytes by which a training does not fit; 0 or less where it does.
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
    """The changes without those that turn out not to be wanted; the dearest are the first to go."""
    for knob in reversed(list(chosen)):
        without = {name: value for name, value in chosen.items() if name != knob}
        over = _excess_with(params, without, excess)
        if over is not None and over <= 0:
            chosen = without
    return chosen


def _excess_with(params: Params, changes: dict[str, Any], excess: Callable[[Params], int]) -> int | None:
    """How far it is from fitting with these changes; None where knobs forbid each other."""
    try:
        return excess(with_changes(params, changes))
    except ParamsError:
        return None


def with_changes(params: Params, changes: dict[str, Any]) -> Params:
    """The knobs with some of them turned."""
    return parse(Params, with_knobs(params.model_dump(), changes))
