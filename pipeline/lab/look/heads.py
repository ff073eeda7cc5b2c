"""What the heads of a forward pass look at, in numbers and words, and one of them as a map in characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from pipeline.lab.look.forward_pass import ForwardPass

SHADES = " ░▒▓█"


def habits(weights: np.ndarray) -> dict[str, float]:
    """Where a head looks on the whole, as means over the prompt; not a number where there is a single token.

    itself, one back, first: the weight of that key, of the queries that have it behind them. entropy: of the rows from the
    second on, each as a share of what an even look at all before it would have: 0 one key, 1 all alike.
    """
    rows = weights.astype(np.float64)
    if len(rows) < 2:
        return {"itself": float(rows[0, 0]), "one back": math.nan, "first": math.nan, "entropy": math.nan}
    nats = -(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(axis=1)
    return {
        "itself": float(rows.diagonal().mean()),
        "one back": float(rows.diagonal(-1).mean()),
        "first": float(rows[1:, 0].mean()),
        "entropy": float((nats[1:] / np.log(np.arange(2, len(rows) + 1))).mean()),
    }


def most_decided(maps: np.ndarray) -> tuple[int, int]:
    """(layer, head), from 1, of the head of least entropy."""
    entropies = np.array([[habits(map_)["entropy"] for map_ in line] for line in maps])
    layer, head = np.unravel_index(int(np.nan_to_num(entropies, nan=np.inf).argmin()), entropies.shape)
    return int(layer) + 1, int(head) + 1


def strongest_far_look(looked: ForwardPass, weights: np.ndarray) -> str:
    """The look with the most weight at a token that is neither the first nor the one before nor itself."""
    far = np.where(np.tri(len(weights), k=-2) > 0, weights, -1.0)
    far[:, 0] = -1.0
    query, key = np.unravel_index(int(far.argmax()), far.shape)
    if not far[query, key] > 0:
        return "–"
    words = looked.words
    return f"{words[query]} ({query}) → {words[key]} ({key}) {far[query, key]:.2f}"


def drawn(words: Sequence[str], weights: np.ndarray, head: tuple[int, int]) -> Text:
    """One head's map in characters: what each token (row) looks at (column)."""
    room = max(map(cell_len, words))
    text = Text(
        f"Head {head[0]}.{head[1]}: rows look at columns, {SHADES[1]} to {SHADES[-1]} from little to all\n", style="bold"
    )
    for word, row in zip(words, weights, strict=True):
        text.append(" " * (room - cell_len(word)) + word + " ", style="dim")
        text.append("".join(2 * SHADES[shade(float(share))] for share in row).rstrip() + "\n", style="not bold")
    return text


def shade(share: float) -> int:
    """Which of the shades: the least from 2 % on."""
    return 0 if not share >= 0.02 else min(len(SHADES) - 1, 1 + int(share * (len(SHADES) - 1)))
