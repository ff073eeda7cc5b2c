"""The levels of the blind fault, one for each day of the course: which faults may be drawn."""

from __future__ import annotations

from pipeline.params.names import names_in

LEVELS: dict[int, tuple[str, ...]] = {
    1: ("weights x10", "no mask", "mask inverted", "target is input", "labels shuffled", "saturated units"),
    2: ("rate x30", "rate /100", "no warm-up", "gradients kept", "epsilon 1", "decay 10"),
    3: ("no mask", "mask inverted", "scores x width", "target is input", "labels shuffled", "validation is training"),
    4: ("no residuals", "dead units", "saturated units", "frozen block", "dropout in use", "weights x10", "no warm-up"),
    5: names_in("lab/faults/table.py:FAULTS"),  # also those that leave hardly a trace, such as a mean of means
}
