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
unseen: move them to table.py before the doctor is changed to find them.
"""

from __future__ import annotations

from pipeline.lab.faults import unseen_data, unseen_model, unseen_optimization
from pipeline.lab.faults.base import Fault
from pipeline.lab.faults.table import ADAMW

UNSEEN: dict[str, Fault] = {
    "shifted twice": Fault(
        "the loader and the loss both shift the targets", "targets not shifted", inject=unseen_data.shifts_twice
    ),
    "padding counts": Fault(
        "short texts are padded to the context, and padding counts in the loss",
        "documents shorter than the context",
        inject=unseen_data.counts_padding,
    ),
    "windows in order": Fault(
        "the windows of a batch differ by one token each, and are read in order",
        "too little training text",
        inject=unseen_data.reads_in_order,
    ),
    "ids renumbered": Fault(
        "the vocabulary of the validation split is in another order",
        "validation text unlike training text",
        inject=unseen_data.numbers_validation_anew,
    ),
    "schedule x8": Fault(
        "the schedule of the learning rate is called eight times per step",
        "learning rate too low",
        inject=unseen_optimization.runs_ahead,
    ),
    "betas swapped": Fault(
        "the two decays of Adam are swapped", "momentum too long", knobs={**ADAMW, "train.beta1": 0.999, "train.beta2": 0.9}
    ),
    "old weights": Fault(
        "a resume takes the oldest checkpoint instead of the newest", "", inject=unseen_optimization.resumes_from_old_weights
    ),
    "stream detached": Fault(
        "the input of the last block is detached", "frozen layer", inject=unseen_model.detaches_the_stream
    ),
    "softmax twice": Fault(
        "the loss takes probabilities for logits", "saturating activation", inject=unseen_model.normalizes_outputs_twice
    ),
    "heads viewed": Fault(
        "heads are split off without a transpose", "no causal mask", inject=unseen_model.views_heads_as_positions
    ),
}
