"""Faults that the doctor has never seen: no range is fitted on them, and they are written after ranges and votes are frozen.

`rally doctor benchmark --unseen` puts each into runs of the held-out tasks and reports them by themselves. An entry is a Fault
as in table.py, and there are two forms. Knobs alone:

    "momentum .999": Fault("momentum averages a thousand gradients", "momentum too long", knobs={"train.momentum": 0.999}),

or a patch of the objects of one training (see base.Training), a function in this file or next to it:

    def swaps_halves(training: Training) -> None:
        \"\"\"Each window's second half is read before its first.\"\"\"
        def wrap(batch): ...
        wrap_method(training.task, "batch", wrap)

    "halves swapped": Fault("the halves of a window are swapped", "shuffled targets", inject=swaps_halves),

`cause` is the entry of CAUSES that comes closest; "" where none does, which then counts as found or not, never as right.
Whoever writes faults here does not change signs, ranges or votes afterwards. Faults that have been reported once are no longer
unseen: move them to table.py before the doctor is changed to find them. So it was with the ten of 2026-12-01, which are at the
end of that table now; what the doctor had said of them before stands in docs/doctor.md.
"""

from __future__ import annotations

from pipeline.lab.faults.base import Fault

UNSEEN: dict[str, Fault] = {}
