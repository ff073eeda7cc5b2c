"""Computations about a step: gradient accumulation, the range test of the learning rate, radical changes of a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.figures.words import formatted
from pipeline.lab.course.computations.base import Result, small, trained
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.lab.faults.base import Fault
    from pipeline.lab.training.run_one import SmallRun


def accumulation(base: BaseParams, steps: int = 20) -> Result:
    """Whether a batch of 32 moves the weights as two of 16 and four of 8 do; and what a mean of means does.

    Two runs count as equal if no weight differs by more than a millionth of the largest weight.
    """
    import torch

    from pipeline.lab.faults.table import FAULTS
    from pipeline.lab.studies.runs.sweep import tokens_folder

    first, apart, lines = None, 0.0, []
    for parts in (1, 2, 4):
        params = small(base, {"train.steps": steps, "train.batch_size": 32, "train.accumulation_steps": parts})
        run = _run(params, tokens_folder(params))
        weights = torch.cat([weight.detach().flatten() for weight in run.progress.model.parameters()])
        if first is None:
            first = weights
        apart = max(apart, float((weights - first).abs().max() / first.abs().max()))
        lines.append(f"32 = {32 // parts:2} x {parts}: training loss {run.progress.curve[-1]['loss']:.6f}")
    fault, norms = FAULTS["mean of means"], []
    for spoilt in (None, fault):
        knobs = {"train.steps": 1, "train.log_points": 1, "train.batch_size": 32, "train.accumulation_steps": 4}
        params = small(base, {**knobs, "train.validation_points": 0})
        norms.append(_run(params, tokens_folder(params), spoilt).progress.curve[-1]["gradient_norm"])
    lines += [
        f"largest difference of a weight after {steps} steps: {formatted(apart)} of the largest weight",
        f"with examples of unequal length and a mean of means the first gradient is {norms[1] / norms[0]:.2f} times as long",
    ]
    return Result({"equal": apart <= 1e-6, "difference": apart, "mean_of_means": norms[1] / norms[0]}, lines)


def _run(params: Params, tokens: Path, fault: Fault | None = None) -> SmallRun:
    from pipeline.lab.studies.runs.run_variant import StepMeasurements
    from pipeline.lab.training.run_one import run_one

    return run_one(params, tokens, fault, lambda run: StepMeasurements(set(), dict))[0]


def range_test(base: BaseParams, knobs: Mapping[str, Any], low: float = 1e-5, high: float = 10.0, steps: int = 150) -> Result:
    """The learning rate from which on the loss climbs, in one run whose rate rises evenly on a log scale.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2015 (section 3.3).
    """
    from pipeline.engine.loop import train_step
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.engine.setup import build_training
    from pipeline.figures import forms
    from pipeline.figures.charts import Chart, Line
    from pipeline.lab.studies.runs.sweep import tokens_folder

    params = small(base, {**knobs, "train.steps": steps, "train.schedule": "constant", "train.warmup_ratio": 0.0})
    runtime = Runtime(params.runtime, params.train.precision)
    progress, task = build_training(params.seed, "language", params.model, params.train, tokens_folder(params), runtime)
    rates, losses, smooth = list[float](), list[float](), 0.0
    for step in range(steps):
        rates.append(low * (high / low) ** (step / (steps - 1)))
        train = params.train.model_copy(update={"lr": rates[-1]})
        train_step(progress, task, train, params.seed, runtime, lambda: False)
        loss = float(progress.recent.pop()[0])
        progress.recent.clear()
        if not math.isfinite(loss):
            break
        smooth = 0.9 * smooth + 0.1 * loss
        losses.append(smooth / (1 - 0.9 ** (step + 1)))
        if losses[-1] > 2 * losses[0]:
            break
    lowest = min(range(len(losses)), key=losses.__getitem__)
    turn = rates[lowest]
    logs = [math.log10(rate) for rate in rates[: len(losses)]]
    chart = Chart(
        "Loss while the learning rate rises",
        f"One run of {steps} steps. The loss is lowest at a rate of {formatted(turn)}; beyond it, it climbs.",
        "log10 of the learning rate",
        "training loss, smoothed",
        (Line("loss", logs, losses),),
    )
    lines = [f"the smoothed loss is lowest, {losses[lowest]:.3f}, at a learning rate of {formatted(turn)}"]
    lines += [f"a tenth of it, {formatted(turn / 10)}, is the usual choice where nothing better is known"]
    return Result({"turn": turn}, lines, forms.chart(chart))


RADICAL: Mapping[str, Mapping[str, Any]] = {
    "as it is": {},
    "no norms": {"model.norm": "none"},
    "no attention to position": {"model.position": "none"},
    "one head": {"model.heads": 1},
    "batches of 1": {"train.batch_size": 1},
    "plain SGD": {"train.optimizer": "sgd", "train.lr": 0.1},
    "rate x 30": {"train.lr": 0.3},
}


def radical_changes(base: BaseParams) -> Result:
    """Six radical changes of one recipe, one run each: what each costs, in nats of validation loss."""
    from pipeline.lab.studies.measures.record import validation_loss

    records = trained(base, RADICAL)
    losses = {name: validation_loss(found[0]) for name, found in records.items()}
    asis = losses.pop("as it is")
    order = sorted(losses, key=losses.__getitem__, reverse=True)
    lines = [f"{'as it is':26} {asis:.3f}"]
    lines += [f"{name:26} {losses[name]:.3f}  {losses[name] - asis:+.3f}" for name in order]
    return Result({"worst": order[0], "least": order[-1], "harmless": sum(losses[name] - asis < 0.02 for name in order)}, lines)
