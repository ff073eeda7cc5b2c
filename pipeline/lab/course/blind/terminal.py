"""A blind run in the terminal: its curves as bars, the losses of simpler models, what was measured, and the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.doctor.case import LEVELS, Case
from pipeline.doctor.causes.table import CAUSES
from pipeline.doctor.diagnose import Diagnosis, SignValue
from pipeline.figures.doctor import healthy, words
from pipeline.figures.words import formatted
from pipeline.lab.course.blind.draw import Draw
from pipeline.lab.course.blind.levels import LEVELS as LEVELS_OF_FAULTS
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.studies.pages import terminal

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
    """Print what can be seen of the run; at RANGES_AT with healthy ranges, but without saying what lies outside."""
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
    say_lines(console, curves)
    levels = " · ".join(f"{name} {formatted(case.levels[name])}" for name in LEVELS if name in case.levels)
    console.print(Text(f"Losses of simpler models: {levels} (nats per token)"))
    is_open = drawn.level in RANGES_AT
    console.print()
    drawn_table = Table(box=None, pad_edge=False)
    for heading, side in (("Measured", "left"), ("value", "right"), *([("healthy", "left")] if is_open else [])):
        drawn_table.add_column(Text(heading, "bold"), justify=side)  # type: ignore[arg-type]
    for sign in shown_of(seen, drawn.level):
        cells = [READINGS[sign.name], formatted(sign.value), *([range_text(sign)] if is_open else [])]
        drawn_table.add_row(*map(Text, cells))
    say_lines(console, drawn_table)


def shown_at(level: int) -> tuple[str, ...]:
    """The readings that faults of a level move, the same for every run, so that the choice gives nothing away."""
    causes = {FAULTS[fault].cause for fault in LEVELS_OF_FAULTS[level]}
    moved = {sign for cause in causes for sign, side, vote in CAUSES[cause].parsed_votes() if vote > 0.5 and side != "healthy"}
    return tuple(name for name in READINGS if name in moved)


def shown_of(seen: Diagnosis, level: int) -> list[SignValue]:
    """Those of a run that could be read."""
    by_name = {sign.name: sign for sign in seen.signs}
    return [by_name[name] for name in shown_at(level) if name in by_name]


def range_text(sign: SignValue) -> str:
    """Its healthy range in words."""
    return healthy({"low": sign.low, "high": sign.high})


def say_lines(console: Console, what: Table) -> None:
    """A table whose lines do not end in blanks."""
    with console.capture() as kept:
        console.print(what)
    for line in kept.get().splitlines():
        console.print(Text.from_ansi(line.rstrip()), soft_wrap=True)


def show_answer(console: Console, level: int, truth: str, description: str, seen: Diagnosis, telling: Sequence[str]) -> None:
    """Print what was done to the run, what the doctor found, and the readings that say so, with their healthy ranges."""
    console.print()
    what = f"{words(truth)}: {description}" if description else "The run was healthy: nothing was done to it."
    terminal.say_text(console, Text(what, "bold"))
    named = ", then ".join(words(cause) for cause in seen.causes[:2])
    said = f"“{words(seen.finding)}”, and as the cause {named}" if named else f"“{words(seen.finding)}”"
    terminal.say_text(console, f"The doctor, which saw the same numbers, says {said}.")
    shown = shown_of(seen, level)
    inside, outside = ([sign for sign in shown if (sign.side == "healthy") is is_in] for is_in in (True, False))
    if not description:
        _list(console, "Three readings that a fault of this level would have moved:", inside[:TOLD])
        _list(console, "Out of range by chance, in a healthy run:", outside)
        return
    first = [sign for name in telling for sign in outside if sign.name == name]
    _list(console, "What gives it away:", first)
    _list(console, "Also out of range:", [sign for sign in outside if sign not in first])
    if not first:
        terminal.say_text(console, "No reading above gives it away: without a run to compare it with, nobody could have known.")


def _list(console: Console, heading: str, signs: Sequence[SignValue]) -> None:
    if signs:
        console.print(heading)
    for sign in signs:
        item = f"{READINGS[sign.name]}: {formatted(sign.value)} (healthy: {range_text(sign)})"
        for at, line in enumerate(Text(item).wrap(console, console.width - 4)):
            line.rstrip()
            console.print(Text.assemble("  · " if at == 0 else "    ", line), soft_wrap=True)


TOLD = 3  # readings of a healthy run, as the reason
RANGES_AT = (1,)  # levels whose healthy ranges stand beside the readings; at the others a learner has to know them

READINGS = {  # what a reading is, for someone who has not seen it before; in the order in which they are shown
    "future_leak": "change of a prediction with a later token",
    "start_loss": "loss before the first step, above that of guessing (nats)",
    "attention_entropy_start": "evenness of attention before training (1: all tokens alike)",
    "floor_margin": "final loss above the least possible (below 0: too good)",
    "beyond_unigram": "use of context (0: frequencies alone, 1: all that is known)",
    "overlap": "share of the validation text that the training text holds",
    "nan_loss": "the loss became infinite (1: yes)",
    "gain": "progress of the loss (0: guessing, 1: best simpler model)",
    "late_share": "share of the fall of the loss in the last quarter",
    "setback": "largest rise of the loss, as a share of that of guessing",
    "generalization_gap": "validation loss above training loss, as a share of it",
    "dropout_gap": "the same, where dropout is in use",
    "gradient_growth": "gradient norm at the end / early",
    "gradient_agreement": "gradient norm as recorded / computed again",
    "update_ratio": "length of a step / of the weights, median layer",
    "reach": "length of all steps together / of the weights, median layer",
    "decay_share": "share of weight decay in a step",
    "least_update": "movement of the layer that moves least / of the median",
    "gradient_ratio": "gradient norm, first block / last block",
    "activation_growth": "size of features, after the last block / before the first",
    "effective_rank": "directions in which tokens differ after the last block",
    "saturated": "units at a flat end of their activation, share of a block",
    "dead": "units that are never active, share of a block",
    "attention_entropy": "evenness of attention at the end, sharpest head",
    "attention_logit": "largest attention score",
    "previous_token": "attention to the token before, highest of any head",
    "attention_sink": "attention to the first token, mean of heads",
    "batch_leak": "change of a prediction with another example of the batch",
    "cache_difference": "difference between token by token and all at once",
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
