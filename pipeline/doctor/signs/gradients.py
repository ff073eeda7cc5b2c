"""Signs in the gradients and updates: their norms over time and layers, and how far steps move the weights."""

from __future__ import annotations

import math
import statistics

from pipeline.doctor.case import LAST, Case
from pipeline.doctor.signs.base import FEW, FITTED, LANGUAGE, RULE, THUMB, Range, Sign


def gradient_growth(case: Case) -> float | None:
    """Mean gradient norm of the last tenth of the steps over that of the second tenth (the first is often special)."""
    norms = [norm for _, norm in case.curve("gradient_norm")]
    if len(norms) < 2 * FEW:
        return None
    tenth = len(norms) // 10 or 1
    early, late = statistics.mean(norms[tenth : 2 * tenth]), statistics.mean(norms[-tenth:])
    return late / early if early > 0 else None


def gradient_spike(case: Case) -> float | None:
    """The largest gradient norm of the second half over its median."""
    norms = [norm for _, norm in case.curve("gradient_norm")]
    norms = norms[len(norms) // 2 :]
    return max(norms) / statistics.median(norms) if len(norms) >= FEW and statistics.median(norms) > 0 else None


def clipped_steps(case: Case) -> float | None:
    """The share of steps whose gradient was clipped; None without clipping."""
    shares = [share for _, share in case.curve("clipped")]
    return statistics.mean(shares) if shares and case.knob("train.grad_clip", 0.0) else None


def skipped_steps(case: Case) -> float | None:
    """The share of steps that were skipped because float16 overflowed."""
    steps = case.progress.get("step")
    return case.progress["skipped_steps"] / steps if steps and "skipped_steps" in case.progress else None


def gradient_agreement(case: Case) -> float | None:
    """The gradient norm that training recorded over that which the probe computes for the same weights on validation text.

    The row after each snapshot but the first; the median over them. Both are of a mean loss over a batch, and noise makes the
    norm of a small batch larger. This is divided out: ‖g‖² = ‖G‖² (1 + noise scale / tokens). What is left is near 1, unless
    training accumulates, loses or wrongly scales gradients.

    Source: for the norm of a noisy gradient, McCandlish et al., "An Empirical Model of Large-Batch Training", 2018.
    """
    rows, tokens = case.curve("gradient_norm"), case.curve("targets")
    ratios = []
    for snapshot, step in enumerate(case.snapshots("gradient_norm")):
        probed = math.sqrt(sum(norm**2 for norm in case.at("gradient_norm", snapshot)))
        behind = [norm for at, norm in rows if at > step][:1] or [norm for _, norm in rows[-1:]]
        if step > 0 and probed > 0 and behind:
            ratios.append(behind[0] / probed / _noise_factor(case, snapshot, step, tokens))
    return statistics.median(ratios) if ratios else None


def _noise_factor(case: Case, snapshot: int, step: float, tokens: list[tuple[float, float]]) -> float:
    """How many times larger noise alone makes the gradient norm of a training batch than that of the probe's batch."""
    probed = case.knob("probe.sequences", 0) * case.knob("model.context_length", 0)
    before = max(((at, count) for at, count in tokens if at <= step), default=(0.0, 0.0))
    after = min(((at, count) for at, count in tokens if at > step), default=None)
    if not probed or after is None:  # at the end: as many tokens as the steps before it had
        before, after = (tokens[-2], tokens[-1]) if probed and len(tokens) > 1 else ((0.0, 0.0), (1.0, probed or 1.0))
    trained = (after[1] - before[1]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
    if trained <= 0:  # a curve without steps or targets between its rows does not give the batch size
        return 1.0
    noise = case.at("noise_scale", snapshot)
    if not probed or not noise:  # where noise dominates the gradient, its norm depends on the batch size alone
        return math.sqrt(probed / trained) if probed else 1.0
    return math.sqrt((1 + noise[0] / trained) / (1 + noise[0] / probed))


def gradient_ratio(case: Case) -> float | None:
    """Gradient norm of the first block (of an MLP: layer) over that of the last, at the end."""
    found = case.readings.get("gradient_norm")
    if found is None or not case.snapshots("gradient_norm"):
        return None
    blocks = [
        row[LAST]
        for tick, row in zip(found.axes[0].ticks, found.values, strict=True)
        if str(tick).startswith(("block", "layer"))
    ]
    norms = [float(norm) for norm in blocks if norm is not None]
    return norms[0] / norms[-1] if len(norms) > 1 and norms[-1] > 0 else None


def update_ratio(case: Case) -> float | None:
    """‖ΔW‖ / ‖W‖ of a step, of the median layer, at the snapshot where it is largest (the learning rate decays)."""
    middles = [statistics.median(layers) for layers in case.at_each("update_ratio")]
    return max(middles, default=None)


def reach(case: Case) -> float | None:
    """How many times its own norm the median layer could move in the whole training: its largest update ratio · steps.

    The ratio alone does not show a low learning rate: in a long training, small steps get as far.
    """
    ratio, steps = update_ratio(case), case.knob("train.steps")
    if steps is None and not case.progress.get("diverged"):
        steps = case.progress.get("step")
    return None if ratio is None or not steps else ratio * float(steps)


def decay_share(case: Case) -> float | None:
    """The share of weight decay in how far a step moves the median layer: lr · weight_decay / update ratio.

    At the snapshot where the ratio is largest, with the peak learning rate. Only where the decay is decoupled.
    """
    ratio, decay = update_ratio(case), case.knob("train.weight_decay", 0.0)
    if not ratio or not decay or case.knob("train.optimizer") == "adam":
        return None
    return float(case.knob("train.lr", 0.0)) * decay / ratio


def least_update(case: Case) -> float | None:
    """‖ΔW‖ / ‖W‖ of the layer that moves least over that of the median layer, each at its largest over the snapshots."""
    found = case.readings.get("update_ratio")
    if found is None or not case.snapshots("update_ratio"):
        return None
    largest = [max((value for value in row if value is not None), default=0.0) for row in found.values]
    return min(largest) / statistics.median(largest) if largest and statistics.median(largest) > 0 else None


GRADIENTS = {
    "gradient_growth": Sign(
        gradient_growth,
        "The gradient norm at the end is {value} times that early in training.",
        Range(THUMB, high=3.0, sick_high=8.0),
        "updates",
    ),
    "gradient_spike": Sign(
        gradient_spike,
        "The largest gradient norm of the second half is {value} times the median.",
        Range(THUMB, high=12.0, sick_high=30.0),
        "updates",
        LANGUAGE,
    ),
    "clipped_steps": Sign(
        clipped_steps,
        "Gradient clipping changed {value} of the steps.",
        Range("Godbole et al., 2023: above half is 'extremely aggressive'", high=0.5, sick_high=0.9),
        "updates",
    ),
    "skipped_steps": Sign(
        skipped_steps,
        "{value} of the steps were skipped because float16 overflowed.",
        Range(THUMB, high=0.02, sick_high=0.2),
        "updates",
    ),
    "gradient_agreement": Sign(
        gradient_agreement,
        "The gradient norm that training recorded is {value} times that of a fresh computation with the same weights.",
        Range(FITTED, low=0.61, high=1.4, sick_low=0.48, sick_high=1.5),
        "updates",
        LANGUAGE,
    ),
    "gradient_ratio": Sign(
        gradient_ratio,
        "Vanishing or exploding gradients: the gradient norm of the first block is {value} times that of the last.",
        Range(FITTED, low=0.027, high=19.0, sick_low=0.0017, sick_high=67.0),
        "gradient_norm",
    ),
    "update_ratio": Sign(
        update_ratio,
        "A step moves the median layer by up to {value} of its norm.",
        Range(
            FITTED + "; low: Rally's RESULTS B (AdamW: 1e-4 and more; below 1e-6 broken)",
            low=1e-4,
            high=0.05,
            sick_low=1e-6,
            sick_high=0.074,
        ),
        "update_ratio",
    ),
    "reach": Sign(
        reach,
        "All steps together could move the median layer by {value} times its norm.",
        Range(FITTED, low=0.86, sick_low=0.55),
        "update_ratio",
    ),
    "decay_share": Sign(
        decay_share,
        "The share of weight decay in how far a step moves a layer is {value}.",
        Range(RULE + "weight decay that makes up half of a step no longer only regularizes", high=0.3, sick_high=0.5),
        "update_ratio",
    ),
    "least_update": Sign(
        least_update,
        "The layer that moves least moves {value} times as far as the median layer.",
        Range(RULE + "a layer that is trained moves", low=0.01, sick_low=1e-4),
        "update_ratio",
    ),
}
