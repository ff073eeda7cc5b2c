"""All causes by name.

A vote is "sign side": points. A sign that is sick (or healthy) counts in full, one that is odd by half; a sign without a value
does not vote. Points are small whole numbers or halves, so that a verdict can be added up by hand: 3 settles it, 2 speaks
strongly for it, 1 goes along with it; what is below 0 speaks against it. Of causes with equal points, the one listed first here
is named first.
"""

from __future__ import annotations

from pipeline.doctor.causes import architecture, components, data, evaluation, mistakes, optimization, recipe
from pipeline.doctor.causes.base import Cause

CAUSES: dict[str, Cause] = {
    "learning rate too high": optimization.LEARNING_RATE_TOO_HIGH,
    "learning rate too low": optimization.LEARNING_RATE_TOO_LOW,
    "no warm-up": optimization.NO_WARM_UP,
    "gradients not zeroed": optimization.GRADIENTS_NOT_ZEROED,
    "targets not shifted": data.TARGETS_NOT_SHIFTED,
    "no causal mask": architecture.NO_CAUSAL_MASK,
    "causal mask inverted": architecture.MASK_INVERTED,
    "wrong attention scale": architecture.WRONG_ATTENTION_SCALE,
    "initial weights too large": architecture.INITIAL_WEIGHTS_TOO_LARGE,
    "no residual connections": architecture.NO_RESIDUALS,
    "too deep for its width": architecture.TOO_DEEP,
    "frozen layer": optimization.FROZEN_LAYER,
    "dead units": architecture.DEAD_UNITS,
    "saturating activation": architecture.SATURATING_ACTIVATION,
    "dropout on in evaluation": evaluation.DROPOUT_IN_EVALUATION,
    "losses averaged wrongly": optimization.LOSSES_AVERAGED_WRONGLY,
    "validation text in the training split": evaluation.VALIDATION_TEXT_IN_TRAINING,
    "regularized to death": recipe.REGULARIZED_TO_DEATH,
    "averages lag": recipe.AVERAGES_LAG,
    "ends before the warm-up": recipe.ENDS_BEFORE_WARM_UP,
    "attention ignores content": recipe.CONTENT_IGNORED,
    "too small to learn it": recipe.TOO_SMALL,
    "context too short": recipe.CONTEXT_TOO_SHORT,
    "no normalization": recipe.NO_NORMALIZATION,
    "squared gradients forgotten": recipe.SQUARES_FORGOTTEN,
    "momentum too long": recipe.MOMENTUM_TOO_LONG,
    "tokenizer of another text": data.FOREIGN_TOKENIZER,
    "vocabulary too large": data.VOCABULARY_TOO_LARGE,
    "too little held-out text": data.TOO_LITTLE_HELD_OUT,
    "validation text unlike training text": data.UNLIKE_SPLITS,
    "text repeats itself": data.REPEATED_TEXT,
    "documents shorter than the context": data.SHORT_DOCUMENTS,
    "damaged training text": data.DAMAGED_TEXT,
    "shuffled targets": data.SHUFFLED_TARGETS,
    "learning-rate schedule not followed": mistakes.SCHEDULE_NOT_FOLLOWED,
    "targets shifted twice": mistakes.SHIFTED_TWICE,
    "padding counted in the loss": mistakes.PADDING_COUNTED,
    "training examples not shuffled": mistakes.NOT_SHUFFLED,
    "softmax before the loss": mistakes.SOFTMAX_BEFORE_LOSS,
    "gradient cut off": mistakes.GRADIENT_CUT_OFF,
    "resumed from old weights": mistakes.OLD_WEIGHTS,
    "batches not the stored text": components.BATCHES_NOT_STORED,
    "loss not the cross-entropy of its targets": components.LOSS_NOT_CROSS_ENTROPY,
    "gradient not that of the loss": components.GRADIENT_NOT_OF_LOSS,
    "update not that of the optimizer": components.UPDATE_NOT_OPTIMIZERS,
    "network not that of its knobs": components.NETWORK_NOT_OF_KNOBS,
    "evaluation not of the trained model": components.EVALUATION_NOT_OF_MODEL,
    "changed during training": components.CHANGED_ON_THE_WAY,
    "float16 without loss scaling": optimization.FLOAT16_WITHOUT_SCALING,
    "epsilon too large": optimization.EPSILON_TOO_LARGE,
    "weight decay too strong": optimization.WEIGHT_DECAY_TOO_STRONG,
    "batch too small": optimization.BATCH_TOO_SMALL,
    "too little training text": data.TOO_LITTLE_TEXT,
    "gradient clipping too strong": optimization.CLIPPING_TOO_STRONG,
    "examples leak into each other": architecture.EXAMPLES_LEAK,
    "wrong KV cache": evaluation.WRONG_KV_CACHE,
    "wrong labels": data.WRONG_LABELS,
    "class imbalance": data.CLASS_IMBALANCE,
    "too few examples": data.TOO_FEW_EXAMPLES,
    "too few steps": optimization.TOO_FEW_STEPS,
    "unsuitable network": architecture.WRONG_NETWORK,
}
