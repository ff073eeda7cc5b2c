"""A forward pass in a terminal: the network as a tree with its activations, the next token, the logit lens, the heads."""

from __future__ import annotations

import math

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.lab.look import Looked
from pipeline.params import Refusal
from pipeline.probes.forward import Activation
from pipeline.probes.lens import Prediction

BARS = "▁▂▃▄▅▆▇█"
SHADES = " ░▒▓█"
UNFOLDED = 4  # blocks that are all shown; of more, the first and the last
WIDE = 118  # columns from which on a terminal has room for everything


def show(looked: Looked, console: Console, head: tuple[int, int] | None = None) -> None:
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
        console.print(_map(looked, head))


def head_named(text: str | None, looked: Looked) -> tuple[int, int] | None:
    """(layer, head), both from 1, of "2.1".

    Raises:
        Refusal: there is no such head.
    """
    if text is None:
        return None
    layers, heads = looked.forward.maps.shape[:2]
    layer, _, head = text.partition(".")
    if not (layer.isascii() and layer.isdigit() and head.isascii() and head.isdigit()) or len(text) > 9:
        raise Refusal(f"--head: {text!r} is no LAYER.HEAD, such as 1.{heads}")
    if not (1 <= int(layer) <= layers and 1 <= int(head) <= heads):
        raise Refusal(f"--head: there is no {text}; layers are 1 .. {layers}, heads 1 .. {heads}")
    return int(layer), int(head)


def _title(looked: Looked) -> list[Text]:
    seen, knobs = looked.forward, looked.model
    size = f"{knobs.depth} block{'s' * (knobs.depth > 1)} of width {knobs.width}, {seen.parameters:,} parameters"
    lines = [Text.assemble(("The network ", "bold"), (looked.network, "bold"), f": {size}")]
    words = Text.assemble((f"{len(seen.ids)} tokens ", "bold"))
    for place, word in enumerate(looked.words):
        words.append(word, style="reverse" if place % 2 else "")
    lines.append(words)
    if seen.loss is not None:
        knows = f"{math.log(len_vocabulary(looked)):.3f}"
        lines.append(Text(f"Loss on this text: {seen.loss:.3f} nats a token (who knows nothing: ln V = {knows})"))
    return [*lines, *(Text(note, style="yellow") for note in looked.notes)]


def len_vocabulary(looked: Looked) -> int:
    """How many different tokens there are."""
    return looked.forward.activations[-1].shape[-1]


def table(title: str, *columns: str, left: tuple[int, ...] = (0,)) -> Table:
    made = Table(title=title, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        justify = "left" if number in left else "right"
        made.add_column(column, justify=justify, header_style="dim", no_wrap=True, overflow="ellipsis")
    return made


# --------------------------------------------------------------------------------------------------------- activations


def _activations(looked: Looked, width: int) -> Table:
    wide = width >= WIDE
    columns = ["part", "shape", "parameters", *(["mean"] if wide else []), "RMS", *(["least", "greatest"] if wide else [])]
    columns += ["reads", *(["RMS by token"] if wide else [])]
    made = table("What comes about, in its order", *columns, left=(0, columns.index("reads"), len(columns) - 1))
    for activation, lead in _tree(looked, "", ""):
        where = Text.assemble((lead, "dim"), _short(activation.name, activation.within))
        more = [activation.detail] if activation.detail else []
        if activation.shut is not None:
            more.append(f"{activation.shut:.0%} shut, {activation.dead:.0%} dead")
        if not _unfolded(looked, activation.name):
            more.append("folded; the page shows all")
        if activation.broken:
            more.append(f"{activation.broken:,} no number")
        numbers = [*([_n(activation.mean)] if wide else []), _n(activation.rms)]
        numbers += [_n(activation.low), _n(activation.high)] if wide else []
        reads = Text(", ".join(_near(name, activation.within) for name in activation.inputs))
        reads.append("".join(f" ({one})" for one in more), style="yellow" if activation.broken else "dim")
        row = [where, _shape(activation), f"{activation.parameters:,}" if activation.parameters else "", *numbers, reads]
        made.add_row(*row, *([sparks(activation.by_token)] if wide else []))
    return made


def _tree(looked: Looked, within: str, lead: str) -> list[tuple[Activation, str]]:
    """Activations with the branch of the tree that leads to each; of many blocks only the first and the last unfolded."""
    parts = looked.forward.within(within)
    rows = []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        rows.append((part, lead + ("└ " if last else "├ ")))
        if _unfolded(looked, part.name):
            rows += _tree(looked, part.name, lead + ("  " if last else "│ "))
    return rows


def _unfolded(looked: Looked, name: str) -> bool:
    depth = looked.model.depth
    return depth <= UNFOLDED or name not in {f"blocks.{number}" for number in range(1, depth - 1)}


def _short(name: str, within: str) -> str:
    return name.removeprefix(f"{within}.") if within else name


def _near(name: str, within: str) -> str:
    """A name as it is said from inside of a part: what is beside it by its last words."""
    return name.removeprefix(f"{within}.") if within and name.startswith(f"{within}.") else name


def _shape(activation: Activation) -> str:
    return f"[{', '.join(map(str, activation.shape))}]"


def _n(number: float) -> str:
    return "–" if not math.isfinite(number) else f"{number:.3g}"


def sparks(values: list[float], most: int = 24) -> str:
    """Sizes as bars, from 0 to the largest."""
    top = max((value for value in values if math.isfinite(value)), default=0.0)
    return "".join(BARS[min(7, int(8 * value / top))] if top and math.isfinite(value) else " " for value in values[:most])


# ----------------------------------------------------------------------------------------------- what it says, and when


def _next(looked: Looked) -> Table:
    prediction = looked.forward.predictions[-1]
    vocabulary = len_vocabulary(looked)
    title = (
        f"What comes next after {looked.words[-1]!r}: entropy {_n(prediction.entropy)} nats,"
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


def _lens(looked: Looked, width: int) -> Table:
    """The likeliest next token after each layer, at as many of the last positions as there is room for."""
    seen, words = looked.forward, looked.words
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
    made.add_row(Text("in the text", style="dim"), *(Text(looked.word(one.token) if one else "", style="dim") for one in follows))
    return made


def _said(looked: Looked, prediction: Prediction) -> str:
    best = prediction.top[0]
    return f"{looked.word(best.token)} {best.probability:.2f}" if math.isfinite(best.probability) else "no number"


def _cell(looked: Looked, prediction: Prediction) -> Text:
    right = prediction.follows is not None and prediction.follows.token == prediction.top[0].token
    return Text(_said(looked, prediction), style="green" if right else "")


# -------------------------------------------------------------------------------------------------------------- heads


def _heads(looked: Looked) -> Table:
    title = "Attention: where each head looks, mean over the prompt (--head LAYER.HEAD draws its map)"
    made = table(title, "head", "itself", "one back", "first", "entropy", "strongest look farther back", left=(0, 5))
    for layer, heads in enumerate(looked.forward.maps, start=1):
        for head, weights in enumerate(heads, start=1):
            itself, back = weights.diagonal().mean(), weights.diagonal(-1).mean() if len(weights) > 1 else math.nan
            first = weights[1:, 0].mean() if len(weights) > 1 else math.nan
            row = (f"{layer}.{head}", f"{itself:.2f}", f"{back:.2f}", f"{first:.2f}", f"{entropy_of(weights):.2f}")
            made.add_row(*row, _strongest(looked, weights))
    return made


def entropy_of(weights: np.ndarray) -> float:
    """Mean entropy of the rows from the second on, each as a share of what an even look at all before it would have."""
    rows = weights.astype(np.float64)
    nats = -(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(axis=1)
    return float((nats[1:] / np.log(np.arange(2, len(rows) + 1))).mean()) if len(rows) > 1 else math.nan


def _strongest(looked: Looked, weights: np.ndarray) -> Text:
    """The look at a token that is neither the first nor itself nor the one before, and has the most weight."""
    far = np.where(np.tri(len(weights), k=-2) > 0, weights, -1.0)
    far[:, 0] = -1.0
    query, key = np.unravel_index(int(far.argmax()), far.shape)
    if not far[query, key] > 0:
        return Text("–")
    words = looked.words
    return Text(f"{words[query]} ({query}) → {words[key]} ({key}) {far[query, key]:.2f}")


def _map(looked: Looked, head: tuple[int, int]) -> Text:
    """One head's map in characters: what each token (row) looks at (column)."""
    weights, words = looked.forward.maps[head[0] - 1][head[1] - 1], looked.words
    room = max(map(cell_len, words))
    drawn = Text(f"Head {head[0]}.{head[1]}: rows look at columns, {SHADES[1]} to {SHADES[-1]} from little to all\n", style="bold")
    for word, row in zip(words, weights, strict=True):
        drawn.append(" " * (room - cell_len(word)) + word + " ", style="dim")
        drawn.append("".join(2 * SHADES[_shade(float(share))] for share in row).rstrip() + "\n", style="not bold")
    return drawn


def _shade(share: float) -> int:
    """Which of the shades: the least from 2 % on."""
    return 0 if not share >= 0.02 else min(len(SHADES) - 1, 1 + int(share * (len(SHADES) - 1)))
