"""The measures of a run that a study can name: losses, accuracies, values at initialization, metrics of the trained network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.lab.studies.measures.record import (
    CHANGING,
    FREQUENCIES,
    GENERALIZED,
    MEMORIZED,
    Record,
    accuracy_when_memorized,
    before_generalizing,
    delay,
    edge_at_start,
    edge_of_stability,
    error_rate,
    generalized_at,
    loss_above_uniform,
    memorized_at,
    minus_level,
    number,
    on_validation,
    peak,
    reached_at,
    rise,
    second_fall,
    train_loss,
    validation_accuracy,
    validation_loss,
    when_memorized,
)


@dataclass(frozen=True)
class Measure:
    """A number of a run.

    Attributes:
        quantity: what it is, with its unit.
        compute: it from a record; inf where the training diverged.
        network_metric: of the network that it needs: a number of the probes, or one of network_metrics.py; "" = none.
        also_needs: another network metric that it needs; "" = none.
        logarithmic: it spans decades.
        higher_is_better: the best value is the highest.
        if_missing: what a run without such a number did.
        low, high: what it can be, so that no interval and no picture says more. (A loss above a source's entropy can come out
            below 0 only where the sample was easier than the source.)
        sample: of a share of held-out examples: the number of the record that counts them.
    """

    quantity: str
    compute: Callable[[Record], float]
    network_metric: str = ""
    also_needs: str = ""
    logarithmic: bool = False
    higher_is_better: bool = False
    if_missing: str = "diverged"
    low: float = -math.inf
    high: float = math.inf
    sample: str = ""


NATS = "nats per target"

MEASURES: dict[str, Measure] = {
    "train_loss": Measure(f"training loss ({NATS})", train_loss, low=0),
    "validation_loss": Measure(f"validation loss ({NATS})", validation_loss, low=0),
    "excess_loss": Measure(f"validation loss above the source's entropy ({NATS})", minus_level("entropy"), low=0),
    "above_unigram": Measure(f"validation loss above the unigram's ({NATS})", minus_level("unigram")),
    "validation_accuracy": Measure(
        "validation accuracy", validation_accuracy, higher_is_better=True, low=0, high=1, sample="validation_sample"
    ),
    "best_accuracy": Measure(
        "best validation accuracy",
        on_validation("accuracy", max),
        higher_is_better=True,
        low=0,
        high=1,
        sample="validation_sample",
    ),
    "above_majority": Measure(
        "validation accuracy above that of the majority baseline",
        minus_level("majority", validation_accuracy),
        higher_is_better=True,
        low=-1,
        high=1,
    ),
    "validation_error": Measure(
        "validation error rate", error_rate(validation_accuracy), low=0, high=1, sample="validation_sample"
    ),
    "least_error": Measure(
        "lowest validation error rate of the training",
        error_rate(on_validation("accuracy", max)),
        low=0,
        high=1,
        sample="validation_sample",
    ),
    "generalized_at": Measure(
        f"step at which validation accuracy reaches {GENERALIZED:.0%}",
        generalized_at,
        logarithmic=True,
        if_missing="never",
        low=0,
    ),
    "rise": Measure("validation error above its lowest so far, at most", rise, low=0, high=1),
    "second_fall": Measure("height of the hump of the validation error", second_fall, low=0, high=1),
    "halfway_at": Measure(
        "step at which half of the way from the unigram loss to the entropy is done",
        reached_at(0.5),
        logarithmic=True,
        if_missing="never",
        low=0,
    ),
    "reached_at": Measure(
        "step at which four fifths of the way from the unigram loss to the entropy are done",
        reached_at(0.8),
        logarithmic=True,
        if_missing="never",
        low=0,
    ),
    # at initialization (engine/sanity.py)
    "start_above_uniform": Measure(f"loss at the start above ln V ({NATS})", loss_above_uniform),
    "start_predicted": Measure(
        f"half the logits' variance ({NATS})", lambda record: number("logit_variance")(record) / 2, low=0
    ),
    "start_excess": Measure(f"loss at the start - ln V - variance / 2 ({NATS})", number("start_excess")),
    "future": Measure("|gradient| of a prediction with respect to later inputs", number("future"), low=0),
    "across_batch": Measure("|gradient| of a prediction with respect to other examples", number("across_batch"), low=0),
    # of the network at the end (probes/summary.py, lab/studies/measures/network_metrics.py)
    "training_accuracy": Measure(
        "training accuracy",
        number("training_accuracy"),
        network_metric="training_accuracy",
        higher_is_better=True,
        low=0,
        high=1,
    ),
    "test_accuracy": Measure(
        "test accuracy",
        number("test_accuracy"),
        network_metric="test_accuracy",
        higher_is_better=True,
        low=0,
        high=1,
        sample="test_sample",
    ),
    "test_error": Measure(
        "test error rate",
        error_rate(number("test_accuracy")),
        network_metric="test_accuracy",
        low=0,
        high=1,
        sample="test_sample",
    ),
    "memorized_at": Measure(
        f"step at which training accuracy reaches {MEMORIZED:.1%}",
        memorized_at,
        network_metric="training_accuracy",
        logarithmic=True,
        if_missing="never",
        low=0,
    ),
    "accuracy_when_memorized": Measure(
        "validation accuracy when the training examples are memorized",
        accuracy_when_memorized,
        network_metric="training_accuracy",
        higher_is_better=True,
        if_missing="never",
        low=0,
        high=1,
        sample="validation_sample",
    ),
    "delay": Measure(
        "steps until generalizing / steps until memorizing",
        delay,
        network_metric="training_accuracy",
        logarithmic=True,
        if_missing="never",
        low=0,
    ),
    "exact_answers": Measure(
        "exact match on held-out questions",
        number("exact_answers"),
        network_metric="exact_answers",
        higher_is_better=True,
        low=0,
        high=1,
        sample="questions",
    ),
    "sharpness": Measure(
        "largest eigenvalue of the Hessian", number("sharpness"), network_metric="sharpness", logarithmic=True
    ),
    "edge": Measure("sharpness x learning rate / 2, median of the second half", edge_of_stability, network_metric="sharpness"),
    "squared_error": Measure(
        "mean squared error on training examples", number("squared_error"), network_metric="squared_error", logarithmic=True
    ),
    "peak": Measure("highest mean squared error / the first", peak, network_metric="squared_error", logarithmic=True),
    "edge_at_start": Measure(
        "sharpness x learning rate / 2 before the first step", edge_at_start, network_metric="sharpness", logarithmic=True
    ),
    "effective_rank": Measure(
        "effective rank after the last block (directions)", number("effective_rank"), network_metric="effective_rank", low=1
    ),
    "token_spread": Measure(
        "distance of tokens from their mean / norm, after the last block",
        number("token_spread"),
        network_metric="token_spread",
        logarithmic=True,
        low=0,
    ),
    "attention_logit": Measure(
        "largest attention logit", number("attention_logit"), network_metric="attention_logit", logarithmic=True, low=0
    ),
    "induction": Measure(
        "induction score of the best head",
        number("induction"),
        network_metric="induction",
        higher_is_better=True,
        low=0,
        high=1,
    ),
    "gradient_ratio": Measure(
        "gradient norm, first block / last", number("gradient_ratio"), network_metric="gradient_ratio", logarithmic=True, low=0
    ),
    "repeat_loss": Measure(f"loss on repeated tokens ({NATS})", number("repeat_loss"), network_metric="repeat_loss", low=0),
    "late_loss": Measure(
        f"loss on the second half of each window ({NATS})", number("late_loss"), network_metric="late_loss", low=0
    ),
    "loss_beyond": Measure(
        f"loss with twice the context of the training - with as much ({NATS})",
        number("loss_beyond"),
        network_metric="loss_beyond",
    ),
    "fourier_share": Measure(
        f"share of the embedding in {FREQUENCIES} frequencies",
        number("fourier_share"),
        network_metric="fourier_share",
        low=0,
        high=1,
    ),
    "fourier_when_memorized": Measure(
        f"share in {FREQUENCIES} frequencies when the training examples are memorized",
        when_memorized("fourier_share"),
        network_metric="fourier_share",
        also_needs="training_accuracy",
        if_missing="never",
        low=0,
        high=1,
    ),
    "fourier_before": Measure(
        f"share in {FREQUENCIES} frequencies before validation accuracy reaches {CHANGING:.0%}",
        before_generalizing("fourier_share"),
        network_metric="fourier_share",
        if_missing="never",
        low=0,
        high=1,
    ),
    "common_loss": Measure(
        f"loss on the most frequent tokens, half of the text ({NATS})",
        number("common_loss"),
        network_metric="common_loss",
        low=0,
    ),
    "rare_loss": Measure(
        f"loss on the other half, the rarer tokens ({NATS})", number("rare_loss"), network_metric="rare_loss", low=0
    ),
    # of a bench (lab/studies/benches)
    "signal": Measure("RMS after the last layer / after the first", number("signal"), logarithmic=True, low=0),
    "signal_predicted": Measure("(gain / 2)^((layers - 1) / 2)", number("signal_predicted"), logarithmic=True, low=0),
    "first_gradient": Measure("gradient norm, first layer / last", number("first_gradient"), logarithmic=True, low=0),
    "overfit_loss": Measure("loss on the one batch (nats per label)", number("overfit_loss"), low=0),
    "features_kept": Measure("features kept (number)", number("features_kept"), higher_is_better=True, low=0),
    "linear_ratio": Measure("loss / that of the best linear network", number("linear_ratio"), logarithmic=True, low=0),
}

RENAMED_MEASURES = {  # of earlier versions
    "known_at": "memorized_at",
    "understood_at": "generalized_at",
    "accuracy_when_known": "accuracy_when_memorized",
    "start_foretold": "start_predicted",
    "signal_foretold": "signal_predicted",
}
