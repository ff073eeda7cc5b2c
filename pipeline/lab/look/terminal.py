"""A forward pass in a terminal: the network as a tree with its activations, the next token, the logit lens, the heads."""

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
from pipeline.lab.look.heads import drawn, habits, strongest_far_look
from pipeline.lab.look.logit_lens import Prediction
from pipeline.params.errors import UserError

BARS = "▁▂▃▄▅▆▇█"
UNFOLDED = 4  # blocks that are all shown; of more, the first and the last
WIDE = 118  # columns from which on a terminal has room for everything


def show(looked: ForwardPass, console: Console, head: tuple[int, int] | None = None) -> None:
    """Print it; with `head` (layer, head) that attention map as well."""
    for line in _title(looked):
        console.print(line)
    for made in (_activations(looked, console.width), _next(looked), _lens(looked, console.width), _heads(looked)):
        console.print()
        console.print(Text(str(made.title), style="bold"))  # by itself: a table would fold it to its own width
        made.title = None
        console.print(made)
    if head:
        console.print()
        console.print(drawn(looked.words, looked.seen.maps[head[0] - 1][head[1] - 1], head))


def head_named(text: str | None, maps: np.ndarray) -> tuple[int, int] | None:
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
        raise UserError("--head: nothing attends in this network")
    layer, _, head = text.partition(".")
    if not (layer.isascii() and layer.isdigit() and head.isascii() and head.isdigit()) or len(text) > 9:
        raise UserError(f"--head: {text!r} is no LAYER.HEAD, such as 1.{heads}")
    if not (1 <= int(layer) <= layers and 1 <= int(head) <= heads):
        raise UserError(f"--head: there is no {text}; layers are 1 .. {layers}, heads 1 .. {heads}")
    return int(layer), int(head)


def _title(looked: ForwardPass) -> list[Text]:
    seen, knobs = looked.seen, looked.model
    size = f"{knobs.depth} block{'s' * (knobs.depth > 1)} of width {knobs.width}, {seen.parameters:,} parameters"
    lines = [Text.assemble(("The network ", "bold"), (looked.network, "bold"), f": {size}")]
    lines.append(Text.assemble((f"{len(seen.ids)} token{'s' * (len(seen.ids) > 1)} ", "bold"), "│".join(looked.words)))
    if seen.loss is not None:
        knows = f"{math.log(looked.seen.vocabulary):.3f}"
        lines.append(Text(f"Loss on this text: {seen.loss:.3f} nats a token (who knows nothing: ln V = {knows})"))
    return [*lines, *(Text(note, style="yellow") for note in looked.notes)]


def table(title: str, *columns: str, left: Sequence[int] = (0,)) -> Table:
    made = Table(title=title, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        side: Literal["left", "right"] = "left" if number in left else "right"
        made.add_column(Text(column), justify=side, header_style="dim", no_wrap=True, overflow="ellipsis")
    return made


# --------------------------------------------------------------------------------------------------------- activations


def _activations(looked: ForwardPass, width: int) -> Table:
    wide = width >= WIDE
    columns = ["part", "shape", "parameters", "mean", "RMS", "least", "greatest", "reads", "RMS by token"]
    if not wide:
        columns = [column for column in columns if column not in ("mean", "least", "greatest", "RMS by token")]
    left = [number for number, column in enumerate(columns) if column in ("part", "reads", "RMS by token")]
    made = table("What comes about, in its order", *columns, left=left)
    for activation, lead in _tree(looked, "", ""):
        row: dict[str, str | Text] = {
            "part": Text.assemble((lead, "dim"), _near(activation.name, activation.within)),
            "shape": f"[{', '.join(map(str, activation.shape))}]",
            "parameters": f"{activation.parameters:,}" if activation.parameters else "",
            "mean": _number(activation.mean),
            "RMS": _number(activation.rms),
            "least": _number(activation.low),
            "greatest": _number(activation.high),
            "reads": _reads(looked, activation),
            "RMS by token": sparks(activation.by_token),
        }
        made.add_row(*(row[column] for column in columns))
    return made


def _reads(looked: ForwardPass, activation: Activation) -> Text:
    """What a part read, and what else must be said of what it made."""
    more = [activation.detail] if activation.detail else []
    if activation.saturated is not None:
        more.append(f"{activation.saturated:.0%} saturated")
    if activation.dead is not None:
        more.append(f"{activation.dead:.0%} dead")
    if not _unfolded(looked, activation.name):
        more.append("folded; the page shows all")
    if activation.broken:
        more.append(f"{activation.broken:,} no number")
    said = Text(", ".join(_near(name, activation.within) for name in activation.inputs))
    return said.append("".join(f" ({one})" for one in more), style="yellow" if activation.broken else "dim")


def _tree(looked: ForwardPass, within: str, lead: str) -> list[tuple[Activation, str]]:
    """Activations with the branch of the tree that leads to each; of many blocks only the first and the last unfolded."""
    parts = looked.seen.within(within)
    rows = []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        rows.append((part, lead + ("└ " if last else "├ ")))
        if _unfolded(looked, part.name):
            rows += _tree(looked, part.name, lead + ("  " if last else "│ "))
    return rows


def _unfolded(looked: ForwardPass, name: str) -> bool:
    depth = looked.model.depth
    return depth <= UNFOLDED or name not in {f"blocks.{number}" for number in range(1, depth - 1)}


def _near(name: str, within: str) -> str:
    """A name as it is said inside of a part: what is in it by its last words."""
    return name.removeprefix(f"{within}.") if within else name


def _number(number: float) -> str:
    return "–" if not math.isfinite(number) else f"{number:.3g}"


def sparks(values: list[float], most: int = 24) -> str:
    """Sizes as bars, from 0 to the largest."""
    top = max((value for value in values if math.isfinite(value)), default=0.0)
    return "".join(BARS[min(7, int(8 * value / top))] if top and math.isfinite(value) else " " for value in values[:most])


# ----------------------------------------------------------------------------------------------- what it says, and when


def _next(looked: ForwardPass) -> Table:
    prediction = looked.seen.predictions[-1]
    vocabulary = looked.seen.vocabulary
    title = (
        f"What comes next after {looked.words[-1]!r}: entropy {_number(prediction.entropy)} nats,"
        f" as unsure as among {math.exp(prediction.entropy):,.1f} of {vocabulary:,}"
        if math.isfinite(prediction.entropy)
        else "What comes next: what the network says are no numbers"
    )
    made = table(title, "rank", "token", "id", "probability", "logit", "", left=(1, 5))
    for choice in prediction.top:
        bar = "█" * round(24 * choice.probability) if math.isfinite(choice.probability) else ""
        row = (str(choice.rank), Text(looked.word(choice.token)), str(choice.token), f"{choice.probability:.4f}")
        made.add_row(*row, f"{choice.logit:.3f}", Text(bar, style="cyan"))
    return made


def _lens(looked: ForwardPass, width: int) -> Table:
    """The likeliest next token after each layer, at as many of the last positions as there is room for."""
    seen, words = looked.seen, looked.words
    each = 2 + max(cell_len(_said(looked, one)) for line in seen.lens.values() for one in line)
    shown = range(max(0, len(words) - max(1, (width - 14) // each)), len(words))
    through = "the final norm and the head" if seen.normed else "the head alone: this network has no norm before it"
    made = table(
        f"Logit lens: what is likeliest next after each layer, read through {through}",
        "after",
        *(words[place] for place in shown),
        left=tuple(range(len(words) + 1)),
    )
    for after, line in seen.lens.items():
        made.add_row(after, *(_cell(looked, line[place]) for place in shown))
    follows = [seen.predictions[place].follows for place in shown]
    made.add_row(
        Text("in the text", style="dim"), *(Text(looked.word(one.token) if one else "", style="dim") for one in follows)
    )
    return made


def _said(looked: ForwardPass, prediction: Prediction) -> str:
    best = prediction.top[0]
    return f"{looked.word(best.token)} {best.probability:.2f}" if math.isfinite(best.probability) else "no number"


def _cell(looked: ForwardPass, prediction: Prediction) -> Text:
    right = prediction.follows is not None and prediction.follows.token == prediction.top[0].token
    return Text(_said(looked, prediction), style="green" if right else "")


def _heads(looked: ForwardPass) -> Table:
    title = "Attention: where each head looks, mean over the prompt (--head LAYER.HEAD draws its map)"
    columns = ("head", "itself", "one back", "first", "entropy", "strongest look farther back")
    made = table(title, *columns, left=(0, 5))
    for layer, heads in enumerate(looked.seen.maps, start=1):
        for head, weights in enumerate(heads, start=1):
            numbers = (f"{number:.2f}" if math.isfinite(number) else "–" for number in habits(weights).values())
            made.add_row(f"{layer}.{head}", *numbers, Text(strongest_far_look(looked, weights)))
    return made
