"""A budget as tables in a terminal, or as JSON."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.lab.budget.estimate import ASSUMED_FLOPS, Budget
from pipeline.lab.budget.fit import CHANGES, GIB
from pipeline.lab.budget.memory_tracker import PARTS, PHASES
from pipeline.lab.scaling.own import advice_text


def show(budget: Budget, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        print(json.dumps(budget.as_json(), indent=1))
        return
    console = Console(highlight=False)
    for table in (_size(budget), _memory(budget), _work(budget), _fit(budget)):
        console.print(table)
    for line in _advice(budget):
        console.print(line, markup=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number == 1 else "left", header_style="dim")
    return table


def _size(budget: Budget) -> Table:
    table = _table(f"{budget.parameters:,} parameters", "of which", "", "")
    for part, count in budget.step.parameters.items():
        table.add_row(part.replace("_", " "), f"{count:,}", f"{count / budget.parameters:.1%}")
    if budget.step.fixed:
        table.add_row("not trained", f"{budget.step.fixed:,}", "running means and variances of batch norm")
    return table


def _memory(budget: Budget) -> Table:
    micro_batch = budget.params.train.batch_size // budget.params.train.accumulation_steps
    together = f"{micro_batch} {_examples(budget)} at once"
    title = f"\n{size(budget.step.bytes)} at the peak of a step ({budget.target.precision}, {together})"
    table = _table(title, "in it", "", "")
    for part in PARTS:
        if held := budget.step.peak[part]:
            table.add_row(part, size(held), _MEANINGS[part])
    table.add_row("kept for backward", size(budget.step.kept), "by the forward pass, logits included")
    table.add_row("optimizer", size(budget.step.state), "state in all; a checkpoint holds it and the weights")
    return table


_MEANINGS = {
    "weights": "float32 in every precision",
    "gradients": "those complete at that moment",
    "optimizer": "state",
    "batch": "ids or pixels, and targets",
    "activations": "made by the forward pass and still needed",
    "logits": "of size tokens times vocabulary: logits, probabilities, their gradients",
    "temporaries": "of the backward pass or of the update",
}


def _work(budget: Budget) -> Table:
    train, timing = budget.params.train, budget.timing
    table = _table("\nWork", "", "", "")
    table.add_row(_unit(budget), f"{number(budget.flops_per_target)}FLOPs", _closed_form(budget))
    phases = ", ".join(f"{phase} {number(budget.step.flops[phase])}" for phase in PHASES)
    table.add_row("a step", f"{number(budget.flops_per_step)}FLOPs", phases)
    table.add_row(
        "the training", f"{number(budget.flops)}FLOPs", f"{train.steps:,} steps, {train.validation_points} validations"
    )
    table.add_row(_examples(budget) if budget.data.shape.classes else "tokens", number(budget.amount), _amount(budget))
    if not budget.data.shape.classes:
        table.add_row("", "", advice_text(budget.params, budget.flops))
    if timing:
        speed = f"{number(budget.flops_per_step / timing.step)}FLOP/s"
        at_random = "pixels" if budget.data.shape.image else "ids"
        table.add_row("a step here", clock(timing.step), f"median of {timing.steps} steps on random {at_random}; {speed}")
        if budget.data.shape.classes:
            table.add_row(
                f"{_examples(budget)} per second", number(budget.params.train.batch_size / timing.step), "of these steps"
            )
        table.add_row("the training here", clock(timing.total(train)), "with its validations, without loading and saving")
        if timing.peak is not None:
            table.add_row("measured peak", size(timing.peak), "by the allocator, in these steps")
    assumed = f"assuming {number(ASSUMED_FLOPS)}FLOP/s, which is a guess"
    table.add_row("on a 12 GB card", clock(budget.flops / ASSUMED_FLOPS), assumed)
    return table


def _unit(budget: Budget) -> str:
    """The unit that FLOPs are counted for."""
    shape = budget.data.shape
    return "an image" if shape.image else "a text" if shape.classes else "a token"


def _examples(budget: Budget) -> str:
    """What a batch consists of."""
    shape = budget.data.shape
    return "images" if shape.image else "texts" if shape.classes else "sequences"


def _closed_form(budget: Budget) -> str:
    """The closed form for a language model; for others, the unit of the number."""
    shape, model = budget.data.shape, budget.params.model
    if shape.image:
        return f"of {' x '.join(map(str, shape.image))} numbers: one of {len(shape.classes)} classes"
    if shape.classes:
        read = budget.data.longest_read(model.context_length)
        return f"of {read} tokens, the longest that is read: one of {len(shape.classes)} classes"
    flops = 6 * budget.step.multiplied + 12 * model.depth * model.width * model.context_length
    return f"closed form 6N + 12LdT: {number(flops)} (N: the {budget.step.multiplied:,} parameters that multiply every token)"


def _amount(budget: Budget) -> str:
    said = [] if budget.epochs is None else [f"{budget.epochs:.1f} times the data"]
    if not budget.data.shape.classes:
        per_parameter = budget.amount / budget.parameters
        said.insert(0, f"{per_parameter:.1f} per parameter")
    return "; ".join(said)


def _fit(budget: Budget) -> Table:
    table = _table("\nFits?", "", "needs", "")
    for verdict in budget.verdicts:
        style = "green" if verdict.fits else "red"
        word = "fits" if verdict.fits else "does not fit"
        table.add_row(Text(f"{verdict.device.name} ({size(verdict.device.memory)})"), size(verdict.needed), word, style=style)
    return table


def _advice(budget: Budget) -> list[str]:
    if budget.changes is None:
        shape = budget.data.shape
        smaller = "a larger patch, or a smaller width or batch" if shape.image else "a smaller model, length or batch"
        return [f"\nNo known change makes it fit ({budget.target.name}); use {smaller}."]
    if not budget.changes or budget.changed is None:
        return []
    costs = {change.knob: change.cost for change in CHANGES}
    more = sum(budget.changed.flops.values()) / budget.flops_per_step - 1
    return [
        f"\nTo fit ({budget.target.name}), the cheapest first:",
        *(f"  -S {knob}={value}   {costs[knob]}" for knob, value in budget.changes.items()),
        f"  then {size(budget.changed.bytes)} at the peak"
        + (f", {more:.0%} more FLOPs" if more > 0.005 else ", no more FLOPs"),
    ]


def size(count: int) -> str:
    """Bytes in GB, MB or kB, in powers of 1,024 as for cards."""
    for unit, bytes_of_it in (("GB", GIB), ("MB", 2**20)):
        if count >= bytes_of_it:
            return f"{count / bytes_of_it:,.2f} {unit}"
    return f"{count / 1024:.1f} kB"


def number(count: float) -> str:
    """A large number in three digits, ending in a space or a prefix for its unit: 1.23 G, 456 ."""
    for letter, power in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= power:
            return f"{count / power:.3g} {letter}"
    return f"{count:.3g} "


def clock(seconds: float, like: float | None = None) -> str:
    """A time in ms, s, min or h.

    Args:
        like: the time whose unit it has, as the other end of a range does; None = its own.

    >>> clock(4000), clock(4000, like=13000)
    ('66.7 min', '1.1 h')
    """
    of = seconds if like is None else like
    if of < 1:
        return f"{seconds * 1000:.1f} ms"
    if of < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if of < 5400 else f"{seconds / 3600:.1f} h"
