"""Summaries of attention heads, and an attention map in characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from pipeline.lab.look.forward_pass import ForwardPass

SHADES = " ░▒▓█"


def attention_summary(weights: np.ndarray) -> dict[str, float]:
    """Where a head attends, as means over the prompt; NaN for a single token.

    itself, previous, first: the weight of that key, over the queries that have it before them. entropy: of the rows from the
    second on, each as a share of that of uniform attention: 0 is a single key, 1 is uniform.
    """
    rows = weights.astype(np.float64)
    if len(rows) < 2:
        return {"itself": float(rows[0, 0]), "previous": math.nan, "first": math.nan, "entropy": math.nan}
    nats = -(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(axis=1)
    return {
        "itself": float(rows.diagonal().mean()),
        "previous": float(rows.diagonal(-1).mean()),
        "first": float(rows[1:, 0].mean()),
        "entropy": float((nats[1:] / np.log(np.arange(2, len(rows) + 1))).mean()),
    }


def lowest_entropy_head(maps: np.ndarray) -> tuple[int, int]:
    """(layer, head), from 1, of the head with the lowest entropy."""
    entropies = np.array([[attention_summary(map_)["entropy"] for map_ in line] for line in maps])
    layer, head = np.unravel_index(int(np.nan_to_num(entropies, nan=np.inf).argmin()), entropies.shape)
    return int(layer) + 1, int(head) + 1


def strongest_distant(forward: ForwardPass, weights: np.ndarray) -> str:
    """The strongest attention to a token that is neither the first, the previous, nor the query itself."""
    far = np.where(np.tri(len(weights), k=-2) > 0, weights, -1.0)
    far[:, 0] = -1.0
    query, key = np.unravel_index(int(far.argmax()), far.shape)
    if not far[query, key] > 0:
        return "–"
    words = forward.words
    return f"{words[query]} ({query}) → {words[key]} ({key}) {far[query, key]:.2f}"


def draw_map(words: Sequence[str], weights: np.ndarray, head: tuple[int, int]) -> Text:
    """A head's attention map in characters: queries are rows, keys are columns."""
    room = max(map(cell_len, words))
    text = Text(
        f"Head {head[0]}.{head[1]}: rows are queries, columns are keys, {SHADES[1]} to {SHADES[-1]} from little to all\n",
        style="bold",
    )
    for word, row in zip(words, weights, strict=True):
        text.append(" " * (room - cell_len(word)) + word + " ", style="dim")
        text.append("".join(2 * SHADES[shade(float(share))] for share in row).rstrip() + "\n", style="not bold")
    return text


def shade(share: float) -> int:
    """The index of the shade; the lightest starts at 2 %."""
    return 0 if not share >= 0.02 else min(len(SHADES) - 1, 1 + int(share * (len(SHADES) - 1)))
