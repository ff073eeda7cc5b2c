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

from pipeline.lab.faults import unseen_data, unseen_model, unseen_optimization
from pipeline.lab.faults.base import Fault

UNSEEN: dict[str, Fault] = {
    "masked inputs": Fault(  # or damaged training text; but the stored text is whole
        "a collator for masked language models makes the training batches",
        "batches not the stored text",
        inject=unseen_data.masks_inputs,
    ),
    "ids shifted later": Fault(  # or changed during training, which is less specific
        "the second half of the training reads text that was encoded with one more token",
        "batches not the stored text",
        inject=unseen_data.numbers_later_text_anew,
    ),
    "pad id ignored": Fault(
        "the training loss ignores the id of padding, which is that of a character",
        "loss not the cross-entropy of its targets",
        inject=unseen_data.ignores_a_character,
    ),
    "same padding": Fault(  # the attention has its mask; a convolution before it reads the next token
        "a convolution over the embeddings is padded on both sides",
        "no causal mask",
        knobs={"model.embedding_mixer": "convolution"},
        inject=unseen_model.pads_both_sides,
    ),
    "tied to N(0, 1)": Fault(
        "the head is tied to an embedding with the default initialization of torch",
        "initial weights too large",
        knobs={"model.tie_embeddings": True},
        inject=unseen_model.ties_to_a_wide_embedding,
    ),
    "temperature left in": Fault(
        "evaluation divides the logits by the temperature of sampling",
        "evaluation not of the trained model",
        inject=unseen_model.samples_in_evaluation,
    ),
    "rates by layer": Fault(  # or learning rate too low, but only in the lower layers
        "the learning rate of each layer is half that of the one above it, as in fine-tuning",
        "update not that of the optimizer",
        inject=unseen_optimization.slows_lower_layers,
    ),
    "zeroed too often": Fault(  # or batch too small, which is its effect
        "gradients are zeroed before every micro-batch",
        "gradient not that of the loss",
        knobs={"train.accumulation_steps": 8},
        inject=unseen_optimization.zeroes_between_parts,
    ),
    "transposed on resume": Fault(  # or resumed from old weights; but these are new, and wrong
        "a resume reads square matrices transposed",
        "changed during training",
        inject=unseen_optimization.transposes_on_resume,
    ),
    "SGD at Adam's rate": Fault(
        "SGD in place of AdamW, at the learning rate of AdamW",
        "learning rate too low",
        knobs={"train.optimizer": "sgd", "train.lr": 0.003},
    ),
}
