"""What a network makes of one example, in a terminal: the example, the classes, the layers, the heads."""

from __future__ import annotations

import math

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.lab.look.classifier import ClassifierPass
from pipeline.lab.look.heads import SHADES, drawn, habits, shade
from pipeline.lab.look.terminal import table

MOST = 12  # classes that are listed
TALL = 32  # lines of an image at most


def show(told: ClassifierPass, console: Console, head: tuple[int, int] | None = None) -> None:
    """Print it; with `head` (layer, head) that attention map as well."""
    console.print(Text(f"The network {told.network}: {told.parameters:,} parameters", style="bold"))
    for note in told.notes:
        console.print(Text(note, style="yellow"))
    console.print(_given(told))
    for made in (_classes(told), _layers(told), _heads(told)):
        if made is not None:
            console.print()
            console.print(Text(str(made.title), style="bold"))
            made.title = None
            console.print(made)
    if head:
        console.print()
        console.print(_map(told, head))


def _given(told: ClassifierPass) -> Text:
    """The example, and beside it what the answer hangs on."""
    of = "" if told.truth is None else f", of the class {told.classes[told.truth]}"
    if told.image is None:
        text = Text.assemble((f"{len(told.words)} tokens ", "bold"))
        for word, share in zip(told.words, told.saliency, strict=True):
            text.append(word, style="bold reverse" if share > 2 / 3 else "bold" if share > 1 / 3 else "dim")
            text.append("│", style="dim")
        return text.append("\nbold: what the answer hangs on most (|∂ loss of what is said / ∂ embedding|)", style="dim")
    shares = told.image.astype(np.float64).mean(axis=-1) / 255
    text = Text(f"{told.given}{of}; beside it |∂ loss of what is said / ∂ pixel|\n", style="bold")
    for row, slopes in zip(_thinned(shares), _thinned(told.saliency.astype(np.float64)), strict=True):
        text.append("".join(2 * SHADES[shade(one)] for one in row), style="not bold")
        text.append("   " + "".join(2 * SHADES[shade(one)] for one in slopes) + "\n", style="not bold cyan")
    return text


def _thinned(shares: np.ndarray) -> np.ndarray:
    """An image of at most so many lines: of each square the greatest."""
    step = -(-max(shares.shape) // TALL)
    rows, columns = (np.arange(0, side, step) for side in shares.shape)
    found: np.ndarray = np.maximum.reduceat(np.maximum.reduceat(shares, rows, axis=0), columns, axis=1)
    return found


def _classes(told: ClassifierPass) -> Table:
    made = table("Of which class it is", "rank", "class", "probability", "", left=(1, 3))
    for rank, (name, share) in enumerate(told.ranked()[:MOST], start=1):
        right = told.truth is not None and told.classes[told.truth] == name
        bar = "█" * round(24 * share) if math.isfinite(share) else ""
        made.add_row(str(rank), Text(name, style="green" if right else ""), f"{share:.4f}", Text(bar, style="cyan"))
    return made


def _layers(told: ClassifierPass) -> Table | None:
    if not told.layers:
        return None
    made = table("What stands behind each layer", "after", "shape", "RMS", left=(0,))
    for layer in told.layers:
        made.add_row(layer.name, f"[{', '.join(map(str, layer.shape))}]", f"{layer.rms:.3g}")
    return made


def _heads(told: ClassifierPass) -> Table | None:
    if told.image is not None or not told.maps.size:
        return None
    columns = ("head", "itself", "one back", "first", "strongest look")
    made = table(
        "Attention: where each head looks, mean over the text (--head LAYER.HEAD draws its map)", *columns, left=(0, 4)
    )
    for layer, heads in enumerate(told.maps, start=1):
        for head, weights in enumerate(heads, start=1):
            found = habits(weights)
            numbers = (f"{found[name]:.2f}" if math.isfinite(found[name]) else "–" for name in ("itself", "one back", "first"))
            made.add_row(f"{layer}.{head}", *numbers, Text(_strongest(told, weights)))
    return made


def _strongest(told: ClassifierPass, weights: np.ndarray) -> str:
    """The look with the most weight at another place, to either side."""
    away = np.where(np.eye(len(weights), dtype=bool), -1.0, np.nan_to_num(weights))
    query, key = np.unravel_index(int(away.argmax()), away.shape)
    places = told.places
    return f"{places[query]} ({query}) → {places[key]} ({key}) {away[query, key]:.2f}" if away[query, key] > 0 else "–"


def _map(told: ClassifierPass, head: tuple[int, int]) -> Text:
    weights = told.maps[head[0] - 1][head[1] - 1]
    if told.image is None:
        return drawn(told.places, weights, head)
    text = Text(f"Head {head[0]}.{head[1]}: what it looks at, {SHADES[1]} to {SHADES[-1]} from little to most\n", style="bold")
    top = np.nanmax(weights, initial=0.0) or 1.0
    for row in weights / top:
        text.append("".join(2 * SHADES[shade(float(share))] for share in row) + "\n", style="not bold")
    return text
