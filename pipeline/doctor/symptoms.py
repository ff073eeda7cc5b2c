"""Symptoms: what can be seen to be wrong with a run, and the signs that raise each, whatever the cause."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.doctor.signs.checked import CHECKED, ELSEWHERE


@dataclass(frozen=True)
class Symptom:
    """Something that is seen to be wrong.

    Attributes:
        description: one sentence for a learner.
        raised_by: "sign side": one of them that is sick raises it, or two that are odd.
        by_all_signs: its causes are those of all signs that are out of their ranges, not only of those that raise it.
    """

    description: str
    raised_by: tuple[str, ...]
    by_all_signs: bool = False


SYMPTOMS: dict[str, Symptom] = {
    "diverged": Symptom(
        "The loss became NaN or infinite, or rose and did not come back.",
        ("nan_loss high", "stopped_early high"),
    ),
    "target leakage": Symptom(
        "The model sees what it should predict, so its loss means nothing.",
        (
            "future_leak high",
            "batch_leak high",
            "floor_margin low",
            "bigram_share low",
            "previous_token low",
            "attention_sink low",
        ),
    ),
    "bad initialization": Symptom(
        "The network makes confident predictions before it has learned anything.",
        ("start_excess high", "start_loss high", "attention_entropy_start low"),
    ),
    "learns nothing": Symptom(
        "No better than predicting by token (or class) frequency.",
        ("beyond_unigram low", "unigram_distance low", "beyond_majority low"),
    ),
    "predicts one class": Symptom(
        "The model predicts the same class, or few classes, for nearly every example.", ("predicted_classes low",)
    ),
    "worse than a linear model": Symptom(
        "Logistic regression, which has no layers, classifies better.", ("logistic_margin low",)
    ),
    "learns slowly": Symptom(
        "The loss was still falling clearly when training ended.",
        ("gain low", "late_share high", "early_share low", "reach low", "update_ratio low", "late_peak high"),
    ),
    "worse than counting pairs": Symptom(
        "A table of how often each token follows each other one (bigram) predicts better.",
        ("bigram_share high", "rank_used high"),
    ),
    "doubtful data": Symptom(
        "The data are at odds with what is to be learned from them.",
        (
            "contradicted high",
            "repeated high",
            "token_excess high",
            "vocabulary_used low",
            "documents_per_window high",
            "padded_windows high",
            "split_difference low",
            "split_difference high",
        ),
    ),
    "unstable": Symptom(
        "The loss or the gradient norm jumps, because steps overshoot.",
        (
            "roughness high",
            "setback high",
            "jump high",
            "wandering high",
            "peak high",
            "gradient_growth high",
            "gradient_spike high",
            "skipped_steps high",
            "clipped_steps high",
            "update_ratio high",
            "attention_logit high",
            "log_partition high",
        ),
    ),
    "does not add up": Symptom(
        "What was recorded contradicts the knobs, or itself: the run is not what it is said to be.",
        (
            *(f"{name} high" for name in CHECKED if name not in ELSEWHERE),
            "target_distance low",
            "target_distance high",
            "schedule_followed low",
            "targets_counted low",
            "first_pass_gap high",
            "probability_range low",
        ),
    ),
    "overfits": Symptom(
        "The model memorizes: it is far better on the training data than on the validation split.",
        ("generalization_gap high", "validation_rise high", "copied_length high", "overfitting high"),
    ),
    "misleading scores": Symptom(
        "The losses shown are not those of the model on unseen text.",
        (
            "overlap high",
            "held_out_error high",
            "accuracy_error high",
            "average_gap high",
            "generalization_gap low",
            "dropout_gap low",
            "dropout_gap high",
            "cache_difference high",
            "gradient_agreement low",
            "gradient_agreement high",
        ),
    ),
    "dead or frozen layers": Symptom(
        "Some layers are not being trained, or contribute nothing.",
        (
            "dead high",
            "saturated high",
            "effective_rank low",
            "least_update low",
            "unreached high",
            "decay_share high",
            "activation_growth low",
            "activation_growth high",
            "gradient_ratio low",
            "gradient_ratio high",
            "attention_entropy low",
            "attention_choice low",
        ),
    ),
    "poor samples": Symptom(
        "The samples repeat themselves, or context does not help the model.", ("distinct_2 low", "context_gain low")
    ),
    "off plan": Symptom(
        "The run missed a checkpoint that its plan had set before it began; `rally plan show` lists them.",
        ("off_plan_start high", "off_plan_early high", "off_plan_curve high", "off_plan_end high"),
        by_all_signs=True,
    ),
}
