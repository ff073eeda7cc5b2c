"""How fast a network trains on a machine: measured where it is here, else a range of guesses that says that it is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.lab.budget.timing import measure
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape

TERA, GIGA = 1e12, 1e9

# FLOP/s that a wide network reaches in 16 bits: guesses, not measured by us. By GB of the card, the smallest first.
CARD_SPEEDS: tuple[tuple[float, tuple[float, float]], ...] = ((20.0, (6 * TERA, 20 * TERA)), (1e9, (12 * TERA, 50 * TERA)))

# FLOP/s of a wide network on a core or two; studies/sizes.yaml has measurements from width 48 (27 GFLOP/s) to 192 (66).
CPU_SPEED = (40 * GIGA, 160 * GIGA)
NARROW = {True: 96, False: 80}  # width at which half of the speed is reached, by "on a card": small matrices keep it waiting

LAUNCH = 8e-6  # seconds that it takes to start a kernel, 5 to 15 µs: a step of small matrices takes as long as its launches.
# A CPU does nothing meanwhile; a card computes.
LAUNCHES_OF_BLOCK, LAUNCHES_ELSE = 140, 120  # forward, backward and update


@dataclass(frozen=True)
class Speed:
    """How fast a machine is.

    Attributes:
        low, high: FLOP/s of a wide network.
        on_card: a card, which waits for kernels to be started where matrices are small.
        measured: seconds per step of some shapes, by (depth, width, length, sequences per step); empty: none was measured.
    """

    low: float
    high: float
    on_card: bool
    measured: Mapping[tuple[int, int, int, int], float]

    @property
    def middle(self) -> float:
        return (self.low * self.high) ** 0.5

    @property
    def source(self) -> str:
        """Where the numbers come from, in words."""
        if self.measured:
            return "measured here, on 20 steps of each shape"
        unit, name = (TERA, "TFLOP/s") if self.on_card else (GIGA, "GFLOP/s")
        where = "a card that is not here" if self.on_card else "a CPU, not measured"
        return f"a range, because of {where}: {self.low / unit:g} to {self.high / unit:g} {name} for a wide network, a guess"

    def seconds(self, flops: float, depth: int, width: int, micro_batches: int, speed: float) -> float:
        """Seconds of a step.

        Args:
            flops: of the step.
            speed: FLOP/s of a wide network.
        """
        busy = flops * (1 + NARROW[self.on_card] / width) / speed
        waits = (LAUNCHES_OF_BLOCK * depth + LAUNCHES_ELSE) * LAUNCH * micro_batches
        return max(busy, waits) if self.on_card else busy + waits


def assumed(card: float | None) -> Speed:
    """The range of guesses for a card with so many GB, or for a CPU."""
    if card is None:
        return Speed(*CPU_SPEED, False, {})
    return Speed(*next(speeds for most, speeds in CARD_SPEEDS if card < most), True, {})


def measured_seconds(params: Params, shape: Shape) -> float:
    """Seconds of a step of these knobs on this machine.

    Raises:
        UserError: it does not fit.
    """
    return measure(params, shape).step
