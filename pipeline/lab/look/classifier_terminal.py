"""A classifier's forward pass in a terminal: the example, the classes, the layers, the heads."""

from __future__ import annotations

import math

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.lab.look.classifier import ClassifierPass
from pipeline.lab.look.heads import SHADES, attention_summary, draw_map, shade
from pipeline.lab.look.terminal import table

MOST = 12  # classes that are listed
TALL = 32  # lines of an image at most


def show(result: ClassifierPass, console: Console, head: tuple[int, int] | None = None) -> None:
    """Print it; with `head` (layer, head) that attention map as well."""
    console.print(Text(f"The network {result.network}: {result.parameters:,} parameters", style="bold"))
    for note in result.notes:
        console.print(Text(note, style="yellow"))
    console.print(_example(result))
    for made in (_classes(result), _layers(result), _heads(result)):
        if made is not None:
            console.print()
            console.print(Text(str(made.title), style="bold"))
            made.title = None
            console.print(made)
    if head:
        console.print()
        console.print(_map(result, head))


def _example(result: ClassifierPass) -> Text:
    """The example with its saliency."""
    of = "" if result.truth is None else f", class {result.classes[result.truth]}"
    if result.image is None:
        text = Text.assemble((f"{len(result.words)} tokens ", "bold"))
        for word, share in zip(result.words, result.saliency, strict=True):
            text.append(word, style="bold reverse" if share > 2 / 3 else "bold" if share > 1 / 3 else "dim")
            text.append("│", style="dim")
        return text.append(
            "\nbold: most salient for the prediction (|∂ loss of the predicted class / ∂ embedding|)", style="dim"
        )
    shares = result.image.astype(np.float64).mean(axis=-1) / 255
    text = Text(f"{result.example}{of}; right: saliency, |∂ loss of the predicted class / ∂ pixel|\n", style="bold")
    for row, slopes in zip(_thinned(shares), _thinned(result.saliency.astype(np.float64)), strict=True):
        text.append("".join(2 * SHADES[shade(one)] for one in row), style="not bold")
        text.append("   " + "".join(2 * SHADES[shade(one)] for one in slopes) + "\n", style="not bold cyan")
    return text


def _thinned(shares: np.ndarray) -> np.ndarray:
    """An image of at most TALL lines, each cell the maximum of a square."""
    step = -(-max(shares.shape) // TALL)
    rows, columns = (np.arange(0, side, step) for side in shares.shape)
    found: np.ndarray = np.maximum.reduceat(np.maximum.reduceat(shares, rows, axis=0), columns, axis=1)
    return found


def _classes(result: ClassifierPass) -> Table:
    made = table("Class probabilities", "rank", "class", "probability", "", left=(1, 3))
    for rank, (name, share) in enumerate(result.ranked()[:MOST], start=1):
        right = result.truth is not None and result.classes[result.truth] == name
        bar = "█" * round(24 * share) if math.isfinite(share) else ""
        made.add_row(str(rank), Text(name, style="green" if right else ""), f"{share:.4f}", Text(bar, style="cyan"))
    return made


def _layers(result: ClassifierPass) -> Table | None:
    if not result.layers:
        return None
    made = table("Layer outputs", "after", "shape", "RMS", left=(0,))
    for layer in result.layers:
        made.add_row(layer.name, f"[{', '.join(map(str, layer.shape))}]", f"{layer.rms:.3g}")
    return made


def _heads(result: ClassifierPass) -> Table | None:
    if result.image is not None or not result.maps.size:
        return None
    columns = ("head", "itself", "previous", "first", "strongest attention")
    made = table("Attention of each head, mean over the text (--head LAYER.HEAD draws its map)", *columns, left=(0, 4))
    for layer, heads in enumerate(result.maps, start=1):
        for head, weights in enumerate(heads, start=1):
            found = attention_summary(weights)
            numbers = (f"{found[name]:.2f}" if math.isfinite(found[name]) else "–" for name in ("itself", "previous", "first"))
            made.add_row(f"{layer}.{head}", *numbers, Text(_strongest(result, weights)))
    return made


def _strongest(result: ClassifierPass, weights: np.ndarray) -> str:
    """The strongest attention to another position, to either side."""
    away = np.where(np.eye(len(weights), dtype=bool), -1.0, np.nan_to_num(weights))
    query, key = np.unravel_index(int(away.argmax()), away.shape)
    positions = result.positions
    return f"{positions[query]} ({query}) → {positions[key]} ({key}) {away[query, key]:.2f}" if away[query, key] > 0 else "–"


def _map(result: ClassifierPass, head: tuple[int, int]) -> Text:
    weights = result.maps[head[0] - 1][head[1] - 1]
    if result.image is None:
        return draw_map(result.positions, weights, head)
    text = Text(
        f"Head {head[0]}.{head[1]}: attention per patch, {SHADES[1]} to {SHADES[-1]} from little to most\n", style="bold"
    )
    top = np.nanmax(weights, initial=0.0) or 1.0
    for row in weights / top:
        text.append("".join(2 * SHADES[shade(float(share))] for share in row) + "\n", style="not bold")
    return text
