"""What is measured of a run: its losses, what it was at the start, what its network was seen to do at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.lab.studies.record import (
    GENERALIZED,
    MEMORIZED,
    Record,
    accuracy_when_memorized,
    delay,
    edge_of_stability,
    error_rate,
    generalized_at,
    loss_above_uniform,
    memorized_at,
    minus_level,
    number,
    on_validation,
    train_loss,
    validation_accuracy,
    validation_loss,
)


@dataclass(frozen=True)
class Measure:
    """A number of a run.

    Attributes:
        quantity: what it is, with its unit.
        of: takes it of what is kept; inf where the training diverged.
        reads: what the network has to be looked at for: a number of the probes, or one of lab/studies/network_metrics.py; "" = it need not.
        logarithmic: it spans decades.
        rises: the larger, the better.
        absent: what became of a run that has no such number.
    """

    quantity: str
    of: Callable[[Record], float]
    reads: str = ""
    logarithmic: bool = False
    rises: bool = False
    absent: str = "diverged"


NATS = "nats a target"
ACCURACY = "share of targets told right"

MEASURES: dict[str, Measure] = {
    "train_loss": Measure(f"training loss ({NATS})", train_loss),
    "validation_loss": Measure(f"validation loss ({NATS})", validation_loss),
    "excess_loss": Measure(f"validation loss above the source's entropy ({NATS})", minus_level("entropy")),
    "above_unigram": Measure(f"validation loss above the unigram's ({NATS})", minus_level("unigram")),
    "validation_accuracy": Measure(f"validation accuracy ({ACCURACY})", validation_accuracy, rises=True),
    "best_accuracy": Measure(f"best validation accuracy ({ACCURACY})", on_validation("accuracy", max), rises=True),
    "above_majority": Measure(
        "validation accuracy above that of always the most frequent", minus_level("majority", validation_accuracy), rises=True
    ),
    "validation_error": Measure("validation error (share of targets told wrong)", error_rate(validation_accuracy)),
    "least_error": Measure(
        "least validation error of the training (share told wrong)", error_rate(on_validation("accuracy", max))
    ),
    "understood_at": Measure(
        f"step from which {GENERALIZED:.0%} held out are right", generalized_at, logarithmic=True, absent="never"
    ),
    # of the start (engine/sanity.py)
    "start_above_uniform": Measure(f"loss at the start above ln V ({NATS})", loss_above_uniform),
    "start_foretold": Measure(f"half the logits' variance ({NATS})", lambda record: number("logit_variance")(record) / 2),
    "start_excess": Measure(f"loss at the start - ln V - variance / 2 ({NATS})", number("start_excess")),
    "future": Measure("|gradient| of a prediction to later inputs", number("future")),
    "across_batch": Measure("|gradient| of a prediction to other examples", number("across_batch")),
    # of the network at the end (probes/summary.py, lab/studies/network_metrics.py)
    "training_accuracy": Measure(
        f"training accuracy ({ACCURACY})", number("training_accuracy"), reads="training_accuracy", rises=True
    ),
    "test_accuracy": Measure(f"test accuracy ({ACCURACY})", number("test_accuracy"), reads="test_accuracy", rises=True),
    "test_error": Measure(
        "test error (share of targets told wrong)", error_rate(number("test_accuracy")), reads="test_accuracy"
    ),
    "known_at": Measure(
        f"step from which {MEMORIZED:.1%} of the training examples are known",
        memorized_at,
        reads="training_accuracy",
        logarithmic=True,
        absent="never",
    ),
    "accuracy_when_known": Measure(
        "validation accuracy when all training examples are known",
        accuracy_when_memorized,
        reads="training_accuracy",
        rises=True,
        absent="never",
    ),
    "delay": Measure(
        "steps until understood / until known", delay, reads="training_accuracy", logarithmic=True, absent="never"
    ),
    "exact_answers": Measure(
        "held-out questions answered exactly (share)", number("exact_answers"), reads="exact_answers", rises=True
    ),
    "sharpness": Measure("largest eigenvalue of the Hessian", number("sharpness"), reads="sharpness", logarithmic=True),
    "edge": Measure("sharpness x learning rate / 2, median of the second half", edge_of_stability, reads="sharpness"),
    "effective_rank": Measure(
        "effective rank after the last block (directions)", number("effective_rank"), reads="effective_rank"
    ),
    "token_spread": Measure(
        "distance of tokens from their mean / size, after the last block",
        number("token_spread"),
        reads="token_spread",
        logarithmic=True,
    ),
    "attention_logit": Measure("largest attention logit", number("attention_logit"), reads="attention_logit", logarithmic=True),
    "induction": Measure("induction score of the best head", number("induction"), reads="induction", rises=True),
    "gradient_ratio": Measure(
        "gradient norm, first block / last", number("gradient_ratio"), reads="gradient_ratio", logarithmic=True
    ),
    "repeat_loss": Measure(f"loss on what is repeated ({NATS})", number("repeat_loss"), reads="repeat_loss"),
    # of an experiment without a training (lab/studies/bench.py)
    "signal": Measure("RMS after the last layer / after the first", number("signal"), logarithmic=True),
    "signal_foretold": Measure("(gain / 2)^((layers - 1) / 2)", number("signal_foretold"), logarithmic=True),
    "first_gradient": Measure("gradient norm, first layer / last", number("first_gradient"), logarithmic=True),
    "overfit_loss": Measure("loss on the one batch (nats a label)", number("overfit_loss")),
}
