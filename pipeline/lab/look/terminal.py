"""A language model's forward pass in a terminal: the tree of activations, the next token, the logit lens, the heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.lab.look.activations import Activation
from pipeline.lab.look.forward_pass import ForwardPass
from pipeline.lab.look.heads import attention_summary, draw_map, strongest_distant
from pipeline.lab.look.logit_lens import Prediction
from pipeline.params.errors import UserError

BARS = "▁▂▃▄▅▆▇█"
EXPANDED = 4  # at most this many blocks are shown in full; of more, the first and the last
WIDE = 118  # columns of a terminal with room for everything


def show(forward: ForwardPass, console: Console, head: tuple[int, int] | None = None) -> None:
    """Print it; with `head` (layer, head) that attention map as well."""
    for line in _title(forward):
        console.print(line)
    for made in (_activations(forward, console.width), _next_token(forward), _lens(forward, console.width), _heads(forward)):
        console.print()
        console.print(Text(str(made.title), style="bold"))  # printed alone: a table would wrap it to its own width
        made.title = None
        console.print(made)
    if head:
        console.print()
        console.print(draw_map(forward.words, forward.record.maps[head[0] - 1][head[1] - 1], head))


def parse_head(text: str | None, maps: np.ndarray) -> tuple[int, int] | None:
    """(layer, head), both from 1, of "2.1".

    Args:
        maps: of all heads, layer by layer.

    Raises:
        UserError: there is no such head.
    """
    if text is None:
        return None
    layers, heads = maps.shape[:2]
    if not layers:
        raise UserError("--head: this network has no attention")
    layer, _, head = text.partition(".")
    if not (layer.isascii() and layer.isdigit() and head.isascii() and head.isdigit()) or len(text) > 9:
        raise UserError(f"--head: {text!r} is not LAYER.HEAD, such as 1.{heads}")
    if not (1 <= int(layer) <= layers and 1 <= int(head) <= heads):
        raise UserError(f"--head: there is no {text}; layers are 1 .. {layers}, heads 1 .. {heads}")
    return int(layer), int(head)


def _title(forward: ForwardPass) -> list[Text]:
    record, knobs = forward.record, forward.model
    size = f"{knobs.depth} block{'s' * (knobs.depth > 1)} of width {knobs.width}, {record.parameters:,} parameters"
    lines = [Text.assemble(("The network ", "bold"), (forward.network, "bold"), f": {size}")]
    lines.append(Text.assemble((f"{len(record.ids)} token{'s' * (len(record.ids) > 1)} ", "bold"), "│".join(forward.words)))
    if record.loss is not None:
        uniform = f"{math.log(forward.record.vocabulary):.3f}"
        lines.append(Text(f"Loss on this text: {record.loss:.3f} nats per token (uniform guessing: ln V = {uniform})"))
    return [*lines, *(Text(note, style="yellow") for note in forward.notes)]


def table(title: str, *columns: str, left: Sequence[int] = (0,)) -> Table:
    made = Table(title=title, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        side: Literal["left", "right"] = "left" if number in left else "right"
        made.add_column(Text(column), justify=side, header_style="dim", no_wrap=True, overflow="ellipsis")
    return made


# --------------------------------------------------------------------------------------------------------- activations


def _activations(forward: ForwardPass, width: int) -> Table:
    wide = width >= WIDE
    columns = ["part", "shape", "parameters", "mean", "RMS", "min", "max", "reads", "RMS by token"]
    if not wide:
        columns = [column for column in columns if column not in ("mean", "min", "max", "RMS by token")]
    left = [number for number, column in enumerate(columns) if column in ("part", "reads", "RMS by token")]
    made = table("Activations, in the order of execution", *columns, left=left)
    for activation, lead in _tree(forward, "", ""):
        row: dict[str, str | Text] = {
            "part": Text.assemble((lead, "dim"), _short_name(activation.name, activation.within)),
            "shape": f"[{', '.join(map(str, activation.shape))}]",
            "parameters": f"{activation.parameters:,}" if activation.parameters else "",
            "mean": _number(activation.mean),
            "RMS": _number(activation.rms),
            "min": _number(activation.low),
            "max": _number(activation.high),
            "reads": _reads(forward, activation),
            "RMS by token": sparkline(activation.by_token),
        }
        made.add_row(*(row[column] for column in columns))
    return made


def _reads(forward: ForwardPass, activation: Activation) -> Text:
    """The inputs of a part, and remarks on its output."""
    more = [activation.detail] if activation.detail else []
    if activation.saturated is not None:
        more.append(f"{activation.saturated:.0%} saturated")
    if activation.dead is not None:
        more.append(f"{activation.dead:.0%} dead")
    if not _is_expanded(forward, activation.name):
        more.append("collapsed; the page shows all")
    if activation.not_finite:
        more.append(f"{activation.not_finite:,} not finite")
    inputs = Text(", ".join(_short_name(name, activation.within) for name in activation.inputs))
    return inputs.append("".join(f" ({one})" for one in more), style="yellow" if activation.not_finite else "dim")


def _tree(forward: ForwardPass, within: str, lead: str) -> list[tuple[Activation, str]]:
    """Activations, each with its branch of the tree; of many blocks only the first and the last are expanded."""
    parts = forward.record.within(within)
    rows = []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        rows.append((part, lead + ("└ " if last else "├ ")))
        if _is_expanded(forward, part.name):
            rows += _tree(forward, part.name, lead + ("  " if last else "│ "))
    return rows


def _is_expanded(forward: ForwardPass, name: str) -> bool:
    depth = forward.model.depth
    return depth <= EXPANDED or name not in {f"blocks.{number}" for number in range(1, depth - 1)}


def _short_name(name: str, within: str) -> str:
    """A name relative to the part that contains it."""
    return name.removeprefix(f"{within}.") if within else name


def _number(number: float) -> str:
    return "–" if not math.isfinite(number) else f"{number:.3g}"


def sparkline(values: list[float], most: int = 24) -> str:
    """Values as bars, from 0 to the largest."""
    top = max((value for value in values if math.isfinite(value)), default=0.0)
    return "".join(BARS[min(7, int(8 * value / top))] if top and math.isfinite(value) else " " for value in values[:most])


# ----------------------------------------------------------------------------------------------- predictions


def _next_token(forward: ForwardPass) -> Table:
    prediction = forward.record.predictions[-1]
    vocabulary = forward.record.vocabulary
    title = (
        f"Next token after {forward.words[-1]!r}: entropy {_number(prediction.entropy)} nats,"
        f" perplexity {math.exp(prediction.entropy):,.1f} (uniform guessing: {vocabulary:,})"
        if math.isfinite(prediction.entropy)
        else "Next token: the probabilities are NaN"
    )
    made = table(title, "rank", "token", "id", "probability", "logit", "", left=(1, 5))
    for choice in prediction.top:
        bar = "█" * round(24 * choice.probability) if math.isfinite(choice.probability) else ""
        row = (str(choice.rank), Text(forward.word(choice.token)), str(choice.token), f"{choice.probability:.4f}")
        made.add_row(*row, f"{choice.logit:.3f}", Text(bar, style="cyan"))
    return made


def _lens(forward: ForwardPass, width: int) -> Table:
    """The most probable next token after each layer, at as many of the last positions as there is room for."""
    record, words = forward.record, forward.words
    each = 2 + max(cell_len(_top_token(forward, one)) for line in record.lens.values() for one in line)
    shown = range(max(0, len(words) - max(1, (width - 14) // each)), len(words))
    through = "the final norm and the head" if record.normed else "the head alone, because this network has no final norm"
    made = table(
        f"Logit lens: the most probable next token after each layer, through {through}",
        "after",
        *(words[place] for place in shown),
        left=tuple(range(len(words) + 1)),
    )
    for after, line in record.lens.items():
        made.add_row(after, *(_cell(forward, line[place]) for place in shown))
    actual = [record.predictions[place].actual for place in shown]
    made.add_row(
        Text("in the text", style="dim"), *(Text(forward.word(one.token) if one else "", style="dim") for one in actual)
    )
    return made


def _top_token(forward: ForwardPass, prediction: Prediction) -> str:
    best = prediction.top[0]
    return f"{forward.word(best.token)} {best.probability:.2f}" if math.isfinite(best.probability) else "NaN"


def _cell(forward: ForwardPass, prediction: Prediction) -> Text:
    right = prediction.actual is not None and prediction.actual.token == prediction.top[0].token
    return Text(_top_token(forward, prediction), style="green" if right else "")


def _heads(forward: ForwardPass) -> Table:
    title = "Attention of each head, mean over the prompt (--head LAYER.HEAD draws its map)"
    columns = ("head", "itself", "previous", "first", "entropy", "strongest attention farther back")
    made = table(title, *columns, left=(0, 5))
    for layer, heads in enumerate(forward.record.maps, start=1):
        for head, weights in enumerate(heads, start=1):
            numbers = (f"{number:.2f}" if math.isfinite(number) else "–" for number in attention_summary(weights).values())
            made.add_row(f"{layer}.{head}", *numbers, Text(strongest_distant(forward, weights)))
    return made
