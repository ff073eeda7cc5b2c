"""Causes in the data: targets, labels, classes, and too little of it."""

from __future__ import annotations

from pipeline.doctor.case import Case
from pipeline.doctor.causes.base import Cause, Hint, is_classifier, is_language, knob_above, knob_is, override
from pipeline.doctor.causes.recipe import explained_by_a_knob

MOST = 0.6  # share of the most frequent class above which classes are imbalanced

TARGETS_NOT_SHIFTED = Cause(
    description="Targets are not shifted by one token: each target is its own input, so copying is enough. The causal mask is"
    " correct.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If the most likely next token is the current token everywhere, targets are not shifted.",
    votes={
        "target_distance low": 4,
        "targets_unlike healthy": -4,
        "floor_margin low": 3,
        "bigram_share low": 2,
        "future_leak healthy": 1.5,
        "future_leak high": -3,
        "batch_leak high": -3,
        "distinct_2 low": 0.5,
    },
    applies=is_language,
)

SHUFFLED_TARGETS = Cause(
    description="Targets do not belong to their inputs, so only the frequency of each token can be learned.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If the targets are not the inputs shifted by one, they are mixed up.",
    votes={
        "targets_permuted high": 3,
        "targets_unlike high": 1.5,
        "targets_unlike healthy": -4,
        "target_distance low": -4,
        "target_distance high": -4,
        "unigram_distance low": 2,  # with mixed-up targets a model gets to the frequencies, and not a step beyond them
        "beyond_unigram low": 0.5,
        "gain low": 0.5,
        "reach healthy": 1,
        "reach low": -3,
        "update_ratio high": -1,
        "late_share high": -1,
        "effective_rank low": -1,
        "gradient_ratio low": -2,
        "gradient_ratio healthy": 0.5,
        "gradient_agreement high": -2,
        "start_loss high": -2,
        "stopped_early high": -1,
        "roughness high": -0.5,
        "decay_share high": -2,
        "split_difference high": -1,
        "token_excess high": -1,
        "schedule_followed low": -3,
        "probability_range low": -3,
        "targets_counted low": -2,
    },
    hints=(Hint(-2.5, explained_by_a_knob),),
    applies=is_language,
)

DAMAGED_TEXT = Cause(
    description="Part of the training text or of its targets is noise, which nothing can predict; validation is clean.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If training examples hold what no reader would expect, the text is damaged.",
    votes={
        "text_unlike high": 1.5,
        "windows_unlike high": 1.5,
        "targets_unlike high": 1,
        "generalization_gap low": 2,
        "split_difference low": 2,
        "dropout_gap low": 0.5,
        "gradient_agreement high": 0.5,
    },
    hints=(Hint(-2.0, explained_by_a_knob),),
    applies=is_language,
)

UNLIKE_SPLITS = Cause(
    description="The validation text is of another kind than the training text; its loss does not tell what was learned.",
    knob="prepare.validation_share",
    overrides=override("-S prepare.validation_share=0.2"),
    expected="If the difference of the splits stays, mix the documents before they are split.",
    votes={"held_out_unlike high": 1, "split_difference high": 3, "split_difference low": 2, "split_difference healthy": -3},
    applies=is_language,
)

TOO_LITTLE_HELD_OUT = Cause(
    description="The validation split is so small that its score is mostly chance.",
    knob="prepare.validation_share",
    overrides=override("-S prepare.validation_share=0.3"),
    expected="If the score changes by more than a few hundredths of it, it was chance.",
    votes={
        "held_out_unlike high": 2.5,
        "held_out_error high": 3,
        "held_out_error healthy": -3,
        "accuracy_error high": 3,
        "accuracy_error healthy": -3,
    },
)

REPEATED_TEXT = Cause(
    description="The training text says the same things many times over, so there is less to learn from than it seems.",
    knob="prepare.dedup_threshold",
    overrides=override("-S prepare.dedup_threshold=0.5"),
    expected="If texts are dropped and the overlap of the splits falls, there were near-duplicates.",
    votes={
        "text_unlike high": 1,
        "windows_again high": 2,
        "repeated high": 3,
        "repeated healthy": -5,
        "overlap high": 1.5,
        "generalization_gap high": 1,
        "validation_rise high": 1,
        "copied_length high": 0.5,
    },
    applies=is_language,
)

FOREIGN_TOKENIZER = Cause(
    description="The tokenizer was learned on other text: it spends its tokens on words that do not occur here, and cuts those"
    " that do into small pieces, so that a context holds less.",
    knob="tokenize.kind",
    overrides=override("-S tokenize.kind=bpe"),
    expected="If the bits per byte fall, it was the tokenizer; losses per token cannot be compared.",
    votes={"token_excess high": 3, "token_excess healthy": -3, "vocabulary_used low": 1.5},
    applies=is_language,
)

VOCABULARY_TOO_LARGE = Cause(
    description="Most tokens of the vocabulary never occur in the training text, so nothing is learned about them.",
    knob="tokenize.vocab_size",
    overrides=override("-S tokenize.kind=bpe -S tokenize.vocab_size=1024"),
    expected="If the bits per byte fall with a smaller vocabulary, it was too large for so little text.",
    votes={"vocabulary_used low": 2, "vocabulary_used healthy": -3},
    applies=is_language,
)

SHORT_DOCUMENTS = Cause(
    description="Documents are much shorter than the context, the rest of which is other documents, unrelated to them.",
    knob="model.context_length",
    overrides=lambda case: f"-S model.context_length={max(int(case.knob('model.context_length', 128)) // 4, 16)}",
    expected="If a quarter of the context does as well in less time, the rest was not used.",
    votes={"documents_per_window high": 2.5, "documents_per_window healthy": -3, "context_gain low": 1},
    applies=is_language,
)

TOO_LITTLE_TEXT = Cause(
    description="Overfitting: the model is large enough to memorize the training text before it learns what generalizes.",
    knob="model.dropout",
    overrides=override("-S model.dropout=0.2"),
    expected="If the validation loss falls lower, it was overfitting; fewer steps or more text also help.",
    votes={
        "windows_spread high": 1.5,
        "windows_again high": 1.5,
        "generalization_gap high": 2,
        "validation_rise high": 3,
        "copied_length high": 1,
        "first_pass_gap high": -5,  # nothing can be memorized that was not read before
        "split_difference high": -3,
        "jump high": -3,
    },
    applies=is_language,
)

WRONG_LABELS = Cause(
    description="Labels do not belong to their examples, so only class frequencies can be learned; the rest can only be"
    " memorized.",
    knob="prepare.label_noise",
    overrides=override("-S prepare.label_noise=0.0"),
    expected="If the worst mistakes in metrics/samples.md are classified correctly and labelled wrongly, labels are mixed up.",
    votes={
        "beyond_majority low": 2,
        "beyond_majority healthy": -1,
        "contradicted high": 4,
        "contradicted healthy": -2,
        "logistic_margin low": 0.5,
        "reach healthy": 1,
        "reach low": -3,
        "overfitting high": 1,
        "overfitting healthy": 0.5,
        "update_ratio high": -1,
        "effective_rank low": -2,
        "predicted_classes low": -0.5,
        "start_loss high": -1,
        "stopped_early high": -1,
        "decay_share high": -2,
    },
    hints=(Hint(2.0, knob_above("prepare.label_noise", 0.3)),),
    applies=is_classifier,
)

CLASS_IMBALANCE = Cause(
    description="One class is so frequent that always predicting it costs little.",
    knob="train.class_weights",
    overrides=override("-S train.class_weights=balanced"),
    expected="If more classes are predicted and the macro F1 rises, it was the imbalance.",
    votes={"predicted_classes low": 1.5, "predicted_classes healthy": -2, "beyond_majority low": 0.5},
    hints=(
        Hint(1.5, lambda case: _most_frequent(case) > MOST),
        Hint(-3.0, lambda case: _most_frequent(case) <= MOST),
        Hint(-3.0, knob_is("train.class_weights", "balanced")),
    ),
    applies=is_classifier,
)

TOO_FEW_EXAMPLES = Cause(
    description="Overfitting: the network is large enough to memorize the training examples, and then only grows more"
    " confident in its mistakes.",
    knob="model.dropout",
    overrides=lambda case: f"-S model.dropout=0.2{' -S train.shift=2' if case.kind == 'vision' else ''}",
    expected="If the validation loss no longer rises, it was overfitting; fewer steps or more examples also help.",
    votes={"overfitting high": 3, "overfitting healthy": -2, "logistic_margin low": 0.5, "beyond_majority low": -1},
    applies=is_classifier,
)


def _most_frequent(case: Case) -> float:
    """The share of the most frequent class."""
    return case.levels.get("majority", 0.0)
