"""Signs in the readings of a run: what its layers and heads look like from inside, at the first snapshot and later.

Each is a number of one case, or None where the case does not hold what it hangs on.
"""

from __future__ import annotations

import math
import statistics

from pipeline.doctor.case import Case

FIRST, LAST = 0, -1  # snapshots
ENOUGH = 500  # images, from which on a unit that none of them switches on is a dead one


def activation_growth(case: Case) -> float | None:
    """Root mean square of the features after the last block over that before the first, at the end."""
    sizes = case.at("activation_rms", LAST)
    return sizes[-1] / sizes[0] if len(sizes) > 1 and sizes[0] > 0 else None


def effective_rank(case: Case) -> float | None:
    """In how many directions the tokens still differ after the last block, at the end.

    Where classes are told, before the training: it pulls all of a class together, so that little more than K − 1 are left.

    Source: Papyan et al., "Prevalence of neural collapse during the terminal phase of deep learning training", 2020.
    """
    ranks = case.at("effective_rank", LAST if case.kind == "language" else FIRST)
    return ranks[-1] if ranks else None


def saturated(case: Case) -> float | None:
    """The largest share, over blocks, of hidden features at the flat ends of their activation, at the end."""
    return max(case.at("saturation", LAST), default=None)


def dead(case: Case) -> float | None:
    """The largest share, over blocks, of hidden features that no token of the fixed batch switches on, at the end."""
    if case.knob("model.network") == "mlp" and case.kind == "vision" and case.knob("probe.sequences", 0) < ENOUGH:
        return None  # a place is a whole image there, and a few of those tell nothing
    return max(case.at("dead_units", LAST), default=None)


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


def gradient_agreement(case: Case) -> float | None:
    """The gradient norm that the training wrote down over that which the probe finds for the same weights on held-out text.

    The row that follows each snapshot but the first; the median over them. Both are of a mean loss over a batch, the smaller
    the batch the longer by its noise, which is divided out: ‖g‖² = ‖G‖² (1 + noise scale / tokens). What is left is near 1,
    unless the training adds up, loses or divides wrongly what backward leaves.

    Source: of the length of a noisy gradient, McCandlish et al., "An Empirical Model of Large-Batch Training", 2018.
    """
    rows, tokens = case.curve("gradient_norm"), case.curve("targets")
    ratios = []
    for place, step in enumerate(case.snapshots("gradient_norm")):
        probed = math.sqrt(sum(norm**2 for norm in case.at("gradient_norm", place)))
        behind = [norm for at, norm in rows if at > step][:1] or [norm for _, norm in rows[-1:]]
        if step > 0 and probed > 0 and behind:
            ratios.append(behind[0] / probed / _noisier(case, place, step, tokens))
    return statistics.median(ratios) if ratios else None


def _noisier(case: Case, place: int, step: float, tokens: list[tuple[float, float]]) -> float:
    """How many times as long a gradient of the training's batch is as one of the probe's, by their noise alone."""
    probed = case.knob("probe.sequences", 0) * case.knob("model.context_length", 0)
    before = max(((at, count) for at, count in tokens if at <= step), default=(0.0, 0.0))
    after = min(((at, count) for at, count in tokens if at > step), default=None)
    if not probed or after is None:  # at the end: as many tokens as the steps before it had
        before, after = (tokens[-2], tokens[-1]) if probed and len(tokens) > 1 else ((0.0, 0.0), (1.0, probed or 1.0))
    trained = (after[1] - before[1]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
    if trained <= 0:  # a curve without steps or targets between its rows says nothing of the batch
        return 1.0
    noise = case.at("noise_scale", place)
    if not probed or not noise:  # where noise drowns the gradient, there is nothing else
        return math.sqrt(probed / trained) if probed else 1.0
    return math.sqrt((1 + noise[0] / trained) / (1 + noise[0] / probed))


def update_ratio(case: Case) -> float | None:
    """‖ΔW‖ / ‖W‖ of a step, of the middle layer, at that snapshot where it is largest (the rate falls towards the end)."""
    middles = [statistics.median(layers) for layers in _each(case, "update_ratio")]
    return max(middles, default=None)


def reach(case: Case) -> float | None:
    """How many times its own length the middle layer could move in the whole training: its largest update ratio · steps.

    A ratio alone does not tell a low rate: in a long training small steps get as far.
    """
    stride, steps = update_ratio(case), case.knob("train.steps")
    if steps is None and not case.progress.get("diverged"):
        steps = case.progress.get("step")
    return None if stride is None or not steps else stride * float(steps)


def decay_share(case: Case) -> float | None:
    """Of how far a step moves the middle layer, the part that weight decay makes by itself: lr · weight_decay / update ratio.

    At that snapshot where the ratio is largest, with the peak rate. Only where the decay is decoupled.
    """
    stride, decay = update_ratio(case), case.knob("train.weight_decay", 0.0)
    if not stride or not decay or case.knob("train.optimizer") == "adam":
        return None
    return float(case.knob("train.lr", 0.0)) * decay / stride


def least_update(case: Case) -> float | None:
    """‖ΔW‖ / ‖W‖ of the layer that moves least over that of the middle one, each at its largest over the snapshots."""
    found = case.readings.get("update_ratio")
    if found is None or not case.snapshots("update_ratio"):
        return None
    largest = [max((value for value in row if value is not None), default=0.0) for row in found.values]
    return min(largest) / statistics.median(largest) if largest and statistics.median(largest) > 0 else None


def attention_entropy_start(case: Case) -> float | None:
    """How evenly heads look at what is before them, at the first snapshot: 1 is evenly; an untrained head is near it."""
    return _mean(case.at("attention_entropy", FIRST))


def attention_entropy(case: Case) -> float | None:
    """The same at the end, of the sharpest head."""
    return min(case.at("attention_entropy", LAST), default=None)


def attention_logit(case: Case) -> float | None:
    """The largest |score| of any head at any snapshot."""
    return max((value for heads in _each(case, "attention_logit") for value in heads), default=None)


def previous_token(case: Case) -> float | None:
    """How much the head that does so most looks at the token just before it, at the end. Exactly 0: it may not."""
    return max(case.at("previous_token", LAST), default=None)


def attention_sink(case: Case) -> float | None:
    """The mean over heads of what is looked at the first token, at the end. Exactly 0: they may not look back."""
    return _mean(case.at("attention_sink", LAST))


def log_partition(case: Case) -> float | None:
    """How far the mean of ln Z, the denominator of the softmax, has drifted over the snapshots, nats."""
    means = [values[0] for values in _each(case, "log_partition")]
    return max(means) - min(means) if means else None


def context_gain(case: Case) -> float | None:
    """Loss at the first positions less that at the last, nats, at the end: what context is worth to the model."""
    found = case.readings.get("loss_by_position")
    if found is None or not found.values:
        return None
    losses = [float(loss) for loss in found.values[LAST] if loss is not None]
    few = max(len(losses) // 8, 1)
    return statistics.mean(losses[:few]) - statistics.mean(losses[-few:]) if len(losses) > 2 * few else None


def distinct_2(case: Case) -> float | None:
    """The share of different pairs of tokens in what it writes, at the end."""
    return _series(case, "sample_quality", "distinct_2")


def copied_length(case: Case) -> float | None:
    """Characters of the longest piece of what it writes that stands in the training text, at the end."""
    lengths = case.at("copied_length", LAST)
    return lengths[0] if lengths else None


def _each(case: Case, reading: str) -> list[list[float]]:
    """The numbers of a reading at each snapshot that has any."""
    every = (case.at(reading, snapshot) for snapshot in range(len(case.snapshots(reading))))
    return [numbers for numbers in every if numbers]


def _series(case: Case, reading: str, name: str) -> float | None:
    """The last number of a named line."""
    found = case.readings.get(reading)
    lines = {} if found is None else dict(zip(map(str, found.axes[0].ticks), found.values, strict=True))
    values = [value for value in lines.get(name, []) if value is not None]
    return float(values[-1]) if values else None


def _mean(numbers: list[float]) -> float | None:
    return statistics.mean(numbers) if numbers else None
