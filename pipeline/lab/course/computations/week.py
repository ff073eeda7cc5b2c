"""Computations over a week: the claims of all studies, a ladder of sizes, how well the learner knew beforehand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.lab.course.computations.base import Result, small, trained
from pipeline.lab.dvc.base_params import BaseParams

PER_WEIGHT = 8  # letters of training text
RUNG = {"train.lr": 0.005, "model.context_length": 32}


def observations(base: BaseParams) -> Result:
    """The verdicts on the claims of every study whose results are here, and the share that held, in percent."""
    from pipeline.artifacts.reading import read_json
    from pipeline.lab.studies.runs.identity import RESULTS

    counts, lines = Counter[str](), []
    for file in sorted(RESULTS.glob("*.json")):
        verdicts = [one for one in read_json(file).get("verdicts", ()) if not one["claim"].endswith("a control")]
        counts.update(one["status"] for one in verdicts)
        if verdicts:
            lines.append(f"{file.stem:28} {', '.join(one['status'] for one in verdicts)}")
    whole = sum(counts.values())
    lines += [", ".join(f"{count} {status}" for status, count in counts.most_common()) or "no study was played here yet"]
    return Result({"held": 100 * counts["held"] / whole if whole else math.nan}, lines)


def rungs(base: BaseParams, widths: Sequence[int]) -> Result:
    """The validation loss of networks of growing width on Python's manual, each trained on PER_WEIGHT letters per weight.

    Two seeds each. The forecast of the last is the straight line through the others, log loss over log weights.
    """
    import numpy as np

    from pipeline.artifacts.paths import meta_of
    from pipeline.artifacts.reading import read_json
    from pipeline.figures import forms
    from pipeline.figures.charts import Chart, Line
    from pipeline.lab.course.computations.size import weights
    from pipeline.lab.doctor.cases import MANUAL, TASKS
    from pipeline.lab.doctor.run_case import write_manual
    from pipeline.lab.studies.measures.record import validation_loss
    from pipeline.lab.studies.runs.sweep import tokens_folder

    write_manual(Path(MANUAL))
    own = {**RUNG, **TASKS["manual"]}
    params = small(base, own)
    vocabulary = int(read_json(meta_of(tokens_folder(params)))["vocabulary"])
    arms, sizes = {}, []
    for width in widths:
        knobs = {**params.model_dump(include={"model"})["model"], "width": width}
        counted = weights(base, {f"model.{name}": value for name, value in knobs.items()}, vocabulary).values["weights"]
        steps = math.ceil(PER_WEIGHT * counted / (params.train.batch_size * params.model.context_length))
        arms[str(width)] = {**own, "model.width": width, "train.steps": steps}
        sizes.append(counted)
    losses = [[validation_loss(record) for record in found] for found in trained(base, arms, seeds=(1, 2)).values()]
    means = [sum(row) / len(row) for row in losses]
    lines = [
        f"width {width:3}: {size:7,} weights, loss {mean:.3f} (seeds: {', '.join(f'{one:.3f}' for one in row)})"
        for width, size, mean, row in zip(widths, sizes, means, losses, strict=True)
    ]
    logs = [math.log10(size) for size in sizes]
    slope, height = np.polyfit(logs[:-1], [math.log10(mean) for mean in means[:-1]], 1)
    forecast = float(10 ** (slope * logs[-1] + height))
    lines += [f"a straight line through all but the last says {forecast:.3f} for the last; it was {means[-1]:.3f}"]
    chart = Chart(
        "Loss over size",
        "Mean of two seeds; the line goes through all rungs but the last. Both axes are logarithmic.",
        "log10 of the weights",
        "validation loss (nats per letter)",
        (Line("measured", logs, means), Line("straight line", logs, [float(10 ** (slope * at + height)) for at in logs])),
        logarithmic=True,
    )
    values = {"fall": means[0] - means[-1], "last": means[-1], "forecast": forecast}
    return Result(values, lines, forms.chart(chart))


def understanding(base: BaseParams) -> Result:
    """The share of the learner's intervals that held what came out, in percent."""
    from pipeline.lab.bets.bet import read_bets
    from pipeline.lab.bets.outcomes import is_inside

    numbers = [bet for bet in read_bets() if bet.counts and bet.who == "learner" and bet.question.kind == "number"]
    held = sum(is_inside(bet.answer, bet.outcome) for bet in numbers if bet.outcome)
    lines = [f"{held} of {len(numbers)} intervals held" if numbers else "no number was bet on yet"]
    return Result({"inside": 100 * held / len(numbers) if numbers else math.nan}, lines)
