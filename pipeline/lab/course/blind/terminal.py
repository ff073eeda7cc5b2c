"""A blind run in the terminal: its curves as bars, the losses of simpler models, and what was measured, without ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.doctor.case import LEVELS, Case
from pipeline.doctor.diagnose import Diagnosis, SignValue
from pipeline.figures.doctor import healthy, words
from pipeline.figures.style import formatted
from pipeline.lab.course.blind.draw import Draw

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40  # bars of a curve


def bars(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve as bars from its lowest to its highest value; of many rows the mean of each stretch.

    >>> bars([4.0, 3.0, 2.0, 1.0])
    '█▆▃▁'
    """
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    count = min(width, len(known))
    ends = [round(place * len(known) / count) for place in range(count + 1)]
    means = [sum(known[low:high]) / (high - low) for low, high in pairwise(ends)]
    low, high = min(means), max(means)
    return "".join(BARS[round((len(BARS) - 1) * (mean - low) / (high - low))] if high > low else BARS[0] for mean in means)


def show_run(console: Console, drawn: Draw, case: Case, seen: Diagnosis) -> None:
    """Print what can be seen of the run: nothing that says whether a number is healthy."""
    run = drawn.run
    console.print(Text(f"Run {drawn.number} of level {drawn.level}: {TASKS[run.task]}, {RECIPES[run.recipe]}", style="bold"))
    curves = Table(box=None, pad_edge=False, show_header=False)
    for name, rows in (
        ("training loss", [value for _, value in case.curve("loss")]),
        ("validation loss", [value for _, value in case.validation_losses]),
        ("gradient norm", [value for _, value in case.curve("gradient_norm")]),
    ):
        if rows:
            curves.add_row(name, Text(formatted(rows[0])), Text(bars(rows), style="cyan"), Text(formatted(rows[-1])))
    console.print(curves)
    levels = " · ".join(f"{name} {formatted(case.levels[name])}" for name in LEVELS if name in case.levels)
    console.print(Text(f"Losses of simpler models: {levels} (nats per token)"))
    says = {sign.name: sign.says for sign in seen.signs}
    for group, names in SHOWN.items():
        console.print(Text(f"\nMeasured: {group}", style="bold"))
        for name in names:
            if name in says:
                console.print(hanging(says[name]))


def show_answer(console: Console, truth: str, description: str, seen: Diagnosis, telling: Sequence[str]) -> None:
    """Print what was done to the run, what the doctor found, and the signs that give the fault away."""
    by_name = {sign.name: sign for sign in seen.signs}
    console.print()
    what = f"{words(truth)}: {description}" if description else "The run was healthy: nothing was done to it."
    console.print(Text(what, style="bold"), soft_wrap=True)
    named = ", then ".join(words(cause) for cause in seen.causes[:2])
    said = f"“{words(seen.finding)}”, and as the cause {named}" if named else f"“{words(seen.finding)}”"
    console.print(f"The doctor, which saw the same numbers, says {said}.", highlight=False, markup=False)
    if telling:
        console.print("What gives it away:")
        for name in telling:
            console.print(hanging(_told(by_name[name])))
    elif description:
        console.print("No sign gives it away: without a run to compare it with, nobody could have known.")


def _told(sign: SignValue) -> str:
    bounds = {"low": sign.low, "high": sign.high, "value": sign.value, "name": sign.name}
    return f"{sign.says} Healthy: {healthy(bounds)}."


def hanging(text: str) -> Table:
    """An item of a list, whose later lines begin below its first word."""
    item = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
    item.add_row(Text("  ·"), Text(text))
    return item


SHOWN = {  # the same for every run, so that the choice gives nothing away
    "before the first step": ("start_loss", "future_leak", "overlap", "attention_entropy_start"),
    "loss": ("nan_loss", "gain", "beyond_unigram", "floor_margin", "setback", "generalization_gap", "dropout_gap"),
    "steps": ("gradient_growth", "gradient_agreement", "update_ratio", "reach", "least_update"),
    "layers": ("gradient_ratio", "activation_growth", "effective_rank", "saturated", "dead"),
    "attention": ("attention_entropy", "previous_token", "attention_sink"),
}

TASKS = {
    "markov": "text of a Markov chain",
    "addition": "sums of three digits",
    "sums": "sums of two to five digits, last digit first",
    "zipf_bigram": "text with Zipf's frequencies",
    "dyck": "nested brackets",
    "manual": "Python's reference manual",
}
RECIPES = {
    "house": "Rally's recipe (Muon)",
    "gpt": "GPT-2's recipe (AdamW, learned positions)",
    "llama": "Llama's recipe (AdamW, RMS norms, SwiGLU)",
}
