"""All faults by name: bugs that are put into a training on purpose, to test the doctor and for studies."""

from __future__ import annotations

from pipeline.lab.faults import data, model, optimization, reported_data, reported_model, reported_optimization
from pipeline.lab.faults.base import Fault

FOREIGN = ".rally/trial/foreign/tokenizer.json"  # a tokenizer learned on the names of all Unicode characters: capitals

ADAMW = {"train.optimizer": "adamw", "train.lr": 0.005}  # for faults that only it has

FAULTS: dict[str, Fault] = {
    "rate x30": Fault("the learning rate is thirty times too high", "learning rate too high", factors={"train.lr": 30.0}),
    "rate /100": Fault("the learning rate is a hundred times too low", "learning rate too low", factors={"train.lr": 0.01}),
    "no warm-up": Fault(
        "six post-norm layers, AdamW at six times the learning rate, and no warm-up",
        "no warm-up",
        knobs={
            **ADAMW,
            "train.lr": 0.03,
            "train.warmup_ratio": 0.0,
            "train.schedule": "cosine",
            "model.residual": "post",
            "model.depth": 6,
        },
    ),
    "gradients kept": Fault("gradients are never zeroed", "gradients not zeroed", inject=optimization.keeps_gradients),
    "target is input": Fault("targets are not shifted", "targets not shifted", inject=data.targets_its_inputs),
    "no mask": Fault("the causal mask is missing", "no causal mask", inject=model.forgets_the_mask),
    "mask inverted": Fault("the causal mask is inverted", "causal mask inverted", inject=model.inverts_the_mask),
    "scores x width": Fault(
        "attention scores are multiplied by the square root of the head width",
        "wrong attention scale",
        inject=model.multiplies_scores,
    ),
    "weights x10": Fault(
        "initial weights are ten times too large",
        "initial weights too large",
        knobs={"model.init": "fan_in"},
        inject=model.draws_large_weights,
    ),
    "no residuals": Fault(
        "twelve layers and no residual connections",
        "no residual connections",
        knobs={"model.residual": "none", "model.depth": 12, "model.init": "fan_in"},
    ),
    "frozen block": Fault(
        "the middle block was not passed to the optimizer", "frozen layer", inject=optimization.freezes_a_block
    ),
    "dead units": Fault(
        "nine tenths of the ReLU units are dead",
        "dead units",
        knobs={"model.activation": "relu", "model.bias": True},
        inject=model.kills_units,
    ),
    "saturated units": Fault(
        "the inputs of the sigmoids are thirty times too large",
        "saturating activation",
        knobs={"model.activation": "sigmoid"},
        inject=model.saturates_units,
    ),
    "dropout in use": Fault(
        "dropout stays active in evaluation",
        "dropout on in evaluation",
        knobs={"model.dropout": 0.2},
        inject=model.drops_in_use,
    ),
    "mean of means": Fault(
        "micro-batches of unequal size are averaged as if they were equal",
        "losses averaged wrongly",
        knobs={"train.accumulation_steps": 4},
        inject=optimization.averages_means,
    ),
    "validation is training": Fault(
        "the validation text is in the training split",
        "validation text in the training split",
        inject=data.validates_on_training_text,
    ),
    "labels shuffled": Fault("targets belong to other inputs", "shuffled targets", inject=data.shuffles_targets),
    "float16 unscaled": Fault(
        "float16 without a loss scaler",
        "float16 without loss scaling",
        knobs={"train.precision": "float16", "train.batch_size": 8},
        inject=optimization.drops_the_scaler,
    ),
    "epsilon 1": Fault("Adam's epsilon is 1", "epsilon too large", knobs={**ADAMW, "train.epsilon": 1.0}),
    "dropout .9": Fault("nine tenths of the features are dropped", "regularized to death", knobs={"model.dropout": 0.9}),
    "smoothing .7": Fault("a label smoothing of .7", "regularized to death", knobs={"train.label_smoothing": 0.7}),
    "ema .999": Fault("the average of all weights since the start is evaluated", "averages lag", knobs={"train.ema": 0.999}),
    "rises to the end": Fault(
        "a warm-up as long as the training",
        "ends before the warm-up",
        knobs={"train.warmup_ratio": 1.0, "train.cooldown_ratio": 0.0},
    ),
    "width 8": Fault("layers of eight features", "too small to learn it", knobs={"model.width": 8}),
    "even attention": Fault(
        "attention weighs all earlier tokens alike",
        "attention ignores content",
        knobs={"model.attention": "average", "model.kv_heads": 0},
    ),
    "foreign tokenizer": Fault(
        "a tokenizer that was learned on the names of all Unicode characters",
        "tokenizer of another text",
        knobs={"tokenize.kind": "file", "tokenize.path": FOREIGN},
    ),
    "200 held out": Fault("a validation split of 200 tokens", "too little held-out text", inject=data.shortens_validation),
    "text repeated": Fault(
        "the training text is 2,000 tokens, again and again", "text repeats itself", inject=data.repeats_text
    ),
    "noisy text": Fault("three in ten training tokens are random", "damaged training text", inject=data.damages_text),
    "decay 10": Fault("a weight decay of 10", "weight decay too strong", knobs={**ADAMW, "train.weight_decay": 10.0}),
    # The ten of the frozen test of 2026-12-01; the causes in brackets were then the closest that the doctor had.
    "shifted twice": Fault(  # (targets not shifted)
        "the loader and the loss both shift the targets", "targets shifted twice", inject=reported_data.shifts_twice
    ),
    "padding counts": Fault(  # (documents shorter than the context)
        "short texts are padded to the context, and padding counts in the loss",
        "padding counted in the loss",
        inject=reported_data.counts_padding,
    ),
    "windows in order": Fault(  # (too little training text)
        "the windows of a batch differ by one token each, and are read in order",
        "training examples not shuffled",
        inject=reported_data.reads_in_order,
    ),
    "ids renumbered": Fault(
        "the vocabulary of the validation split is in another order",
        "validation text unlike training text",
        inject=reported_data.numbers_validation_anew,
    ),
    "schedule x8": Fault(  # (learning rate too low)
        "the schedule of the learning rate is called eight times per step",
        "learning-rate schedule not followed",
        inject=reported_optimization.runs_ahead,
    ),
    "betas swapped": Fault(
        "the two decays of Adam are swapped", "momentum too long", knobs={**ADAMW, "train.beta1": 0.999, "train.beta2": 0.9}
    ),
    "old weights": Fault(  # (none)
        "a resume takes the oldest checkpoint instead of the newest",
        "resumed from old weights",
        inject=reported_optimization.resumes_from_old_weights,
    ),
    "stream detached": Fault(  # (frozen layer)
        "the input of the last block is detached", "gradient cut off", inject=reported_model.detaches_the_stream
    ),
    "softmax twice": Fault(  # (saturating activation)
        "the loss takes probabilities for logits", "softmax before the loss", inject=reported_model.normalizes_outputs_twice
    ),
    "heads viewed": Fault(
        "heads are split off without a transpose", "no causal mask", inject=reported_model.views_heads_as_positions
    ),
}
