"""What a run may be found to have: complaints, each raised by signs, whatever the cause."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Complaint:
    """Something that one sees to be wrong.

    Attributes:
        says: one sentence for a learner.
        raised_by: "sign side": any of them sick raises it, or two that are odd.
    """

    says: str
    raised_by: tuple[str, ...]


COMPLAINTS: dict[str, Complaint] = {
    "diverged": Complaint(
        "The training fell apart: the loss is no number any more, or left for good.", ("not_a_number high", "ran_away high")
    ),
    "sees the answer": Complaint(
        "The model sees what it is to predict, so that its loss says nothing.",
        (
            "future high",
            "across_batch high",
            "floor_margin low",
            "bigram_share low",
            "previous_token low",
            "attention_sink low",
        ),
    ),
    "starts wrong": Complaint(
        "The network is sure of something before it has seen anything.",
        ("start_excess high", "start_loss high", "attention_entropy_start low"),
    ),
    "learns nothing": Complaint(
        "It does no better than without looking at what it reads.", ("beyond_unigram low", "beyond_majority low")
    ),
    "says one class": Complaint("It says the same of nearly everything.", ("classes_said low",)),
    "worse than a straight line": Complaint(
        "Logistic regression, which knows no layers, tells the classes better.", ("logistic_margin low",)
    ),
    "learns slowly": Complaint(
        "The loss was still well on its way down when the training ended.",
        ("gain low", "late_share high", "early_share low", "reach low", "update_ratio low"),
    ),
    "unstable": Complaint(
        "The loss or the gradient jumps about: steps overshoot.",
        (
            "roughness high",
            "setback high",
            "peak high",
            "gradient_growth high",
            "gradient_spike high",
            "skipped high",
            "clipped high",
            "update_ratio high",
            "attention_logit high",
            "log_partition high",
        ),
    ),
    "learns by heart": Complaint(
        "The model knows what it was trained on far better than what it has not read.",
        ("gap high", "rise high", "copied_length high", "by_heart high"),
    ),
    "scores mislead": Complaint(
        "The losses that are shown are not those of the model on unseen text.",
        (
            "overlap high",
            "gap low",
            "dropped_gap high",
            "cache_difference high",
            "gradient_agreement low",
            "gradient_agreement high",
        ),
    ),
    "sick layers": Complaint(
        "Part of the network takes no part in what is learned.",
        (
            "dead high",
            "saturated high",
            "effective_rank low",
            "least_update low",
            "decay_share high",
            "activation_growth low",
            "activation_growth high",
            "gradient_ratio low",
            "gradient_ratio high",
            "attention_entropy low",
        ),
    ),
    "poor samples": Complaint(
        "What it writes repeats itself, or context is worth nothing to it.", ("distinct_2 low", "context_gain low")
    ),
}
