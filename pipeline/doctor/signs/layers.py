"""Signs in the activations of the layers: their growth, rank, saturated and dead units, and the drift of the logits."""

from __future__ import annotations

from pipeline.doctor.case import FIRST, LAST, Case
from pipeline.doctor.signs.base import FITTED, LANGUAGE, Range, Sign

ENOUGH = 500  # images; with fewer, a unit that none of them activates need not be dead


def activation_growth(case: Case) -> float | None:
    """Root mean square of the features after the last block over that before the first, at the end."""
    sizes = case.at("activation_rms", LAST)
    return sizes[-1] / sizes[0] if len(sizes) > 1 and sizes[0] > 0 else None


def effective_rank(case: Case) -> float | None:
    """In how many directions the tokens still differ after the last block, at the end.

    For classifiers before training, which collapses all examples of a class, so that little more than K − 1 directions remain.

    Source: Papyan et al., "Prevalence of neural collapse during the terminal phase of deep learning training", 2020.
    """
    ranks = case.at("effective_rank", LAST if case.kind == "language" else FIRST)
    return ranks[-1] if ranks else None


def saturated(case: Case) -> float | None:
    """The largest share, over blocks, of hidden features at the flat ends of their activation, at the end."""
    return max(case.at("saturation", LAST), default=None)


def dead(case: Case) -> float | None:
    """The largest share, over blocks, of hidden features that no token of the fixed batch activates, at the end."""
    if case.knob("model.network") == "mlp" and case.kind == "vision" and case.knob("probe.sequences", 0) < ENOUGH:
        return None  # an MLP has one position per image, and a few images are too few
    return max(case.at("dead_units", LAST), default=None)


def log_partition_drift(case: Case) -> float | None:
    """How far the mean of ln Z, the denominator of the softmax, has drifted over the snapshots, nats."""
    means = [values[0] for values in case.at_each("log_partition")]
    return max(means) - min(means) if means else None


LAYERS = {
    "activation_growth": Sign(
        activation_growth,
        "Features leave the last block {value} times as large as they entered the first.",
        Range(FITTED + "; low: Rally's RESULTS B", low=0.1, high=110.0, sick_low=1e-3, sick_high=150.0),
        "activation_rms",
    ),
    "effective_rank": Sign(
        effective_rank,
        "After the last block, tokens (positions in images) differ in {value} directions.",
        Range("Rally's RESULTS A9: 1.0 without residuals, 16 to 23 of 64 with them", low=2.0, sick_low=1.3),
        "effective_rank",
    ),
    "saturated": Sign(
        saturated,
        "In one block, {value} of the hidden units are at a flat end of their activation.",
        Range("Rally's RESULTS B: below 5 % healthy, above 20 % broken", high=0.1, sick_high=0.4),
        "saturation",
    ),
    "dead": Sign(
        dead,
        "In one block, {value} of the hidden units are never active (dead units).",
        Range("Rally's RESULTS B: below 5 % healthy, above 20 % broken", high=0.1, sick_high=0.3),
        "dead_units",
    ),
    "log_partition": Sign(
        log_partition_drift,
        "Logit drift: the log of the softmax denominator (ln Z) drifted by {value} nats.",
        Range("Rally's RESULTS B: a drift below 5", high=5.0, sick_high=20.0),
        "log_partition",
        LANGUAGE,
    ),
}
