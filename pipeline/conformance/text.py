"""Checks of the data: what is held in memory and fed to the network, against the tokens on disk; and the order of windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

import numpy as np

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import tokens_of
from pipeline.tasks.base import Batch
from pipeline.tasks.lm import LanguageModelling

Numbers = dict[str, float]
SHIFTS = (-1, 0, 2, 3)  # wrong distances from input to target that are named
MOST = 2_000_000  # tokens of a split that are compared and searched


class StoredText:
    """The tokens of a split, read from disk a second time."""

    def __init__(self, task: LanguageModelling, split: str) -> None:
        self.ids = np.asarray(memory_mapped(tokens_of(task.tokens, split))[:MOST]).astype(np.uint32)
        self.bytes = self.ids.tobytes()

    def is_at(self, window: np.ndarray, place: int) -> bool:
        """Whether a window stands at a place."""
        return place >= 0 and np.array_equal(self.ids[place : place + len(window)], window)

    def holds(self, window: np.ndarray, likely: int = -1) -> bool:
        """Whether a window stands in the text; fast where it does at a likely place."""
        return self.is_at(window, likely) or self._after(window, -1) >= 0

    def only_start_of(self, window: np.ndarray, likely: int = -1) -> int:
        """Where a window stands in the text: at a likely place, or at the only one; −1 if there is none, or more than one."""
        if self.is_at(window, likely):
            return likely
        first = self._after(window, -1)
        return first if first >= 0 and self._after(window, first) < 0 else -1

    def _after(self, window: np.ndarray, start: int) -> int:
        wanted, at = window.astype(np.uint32).tobytes(), 4 * start + 3
        while True:
            at = self.bytes.find(wanted, at + 1) if at >= 0 else self.bytes.find(wanted)
            if at < 0 or at % 4 == 0:
                return at // 4 if at >= 0 else -1


def unlike_stored(task: LanguageModelling) -> Numbers:
    """The share of each split in memory that is not what stands on disk; a split of another length is all unlike."""
    found = {}
    for name, split in (("text", "train"), ("held_out_text", "validation")):
        held, stored = np.asarray(task.ids(split)), memory_mapped(tokens_of(task.tokens, split))
        same = len(held) == len(stored)
        found[name] = float((held[:MOST] != stored[:MOST]).mean()) if same else 1.0
    return found


def fed(batches: Iterable[tuple[Batch, np.ndarray]], text: StoredText, in_memory: np.ndarray) -> Numbers:
    """Inputs and targets of training batches, each with the places where its windows likely stand, against the text.

    inputs: the share of windows that stand neither in the stored text nor in that in memory.
    targets: the share of targets that are not the token after their input in the window.
    shift: the distance at which nearly all targets are found instead (0: the input itself, 2: the token after the next);
        1 where targets are right or at no distance.
    padded: the share of windows of which the last quarter or more is one token.
    permuted: 1 where a wrong batch of targets has the right tokens in another order, else 0.
    """
    windows = wrong = missing = targets = padded = 0
    at_shift, permuted = dict.fromkeys(SHIFTS, 0), 0
    counted = dict.fromkeys(SHIFTS, 0)
    held = in_memory[:MOST].astype(np.uint32).tobytes()
    for batch, places in batches:
        inputs, given = batch.inputs.numpy(), batch.targets.numpy()
        likely = [*places, *[-1] * len(inputs)][: len(inputs)]
        for row, own, place in zip(inputs, given, likely, strict=True):
            windows += 1
            missing += not text.holds(row, int(place)) and row.astype(np.uint32).tobytes() not in held
            right = row[1:]  # the last target has no input to be compared with
            wrong += int((own[:-1] != right).sum())
            targets += len(right)
            for shift in SHIFTS:
                a, b = (own[max(0, -shift) : len(own) - max(0, shift)], row[max(0, shift) : len(row) + min(0, shift)])
                at_shift[shift] += int((a == b).sum())
                counted[shift] += len(a)
            padded += int(_constant_tail(row) >= len(row) // 4)
        permuted += bool((given[:, :-1] != inputs[:, 1:]).mean() > 0.05) and _same_tokens(given, inputs)
    shares = {shift: at_shift[shift] / max(counted[shift], 1) for shift in SHIFTS}
    best = max(SHIFTS, key=lambda shift: shares[shift])
    share = wrong / max(targets, 1)
    return {
        "inputs": missing / max(windows, 1),
        "targets": share,
        "shift": float(best) if share > 0.05 and shares[best] > 0.95 else 1.0,
        "permuted": float(permuted > 0),
        "padded": padded / max(windows, 1),
    }


def _constant_tail(row: np.ndarray) -> int:
    """How many tokens at the end of a window are the same."""
    other = np.flatnonzero(row != row[-1])
    return len(row) - 1 - int(other[-1]) if len(other) else len(row)


def _same_tokens(given: np.ndarray, inputs: np.ndarray) -> bool:
    """Whether the counts of the targets' tokens are those of the inputs, but for one token in each window."""
    if (given < 0).any():
        return False
    top = int(max(given.max(), inputs.max())) + 1
    off = np.abs(np.bincount(given.ravel(), minlength=top) - np.bincount(inputs.ravel(), minlength=top)).sum()
    return bool(off <= 2 * len(given))


def places(starts: Mapping[int, list[int]], length: int, size: int) -> Numbers:
    """How surprising the places of the windows are if they were drawn at random: −log₁₀ of a bound on the chance of each.

    spread: they are not uniform over the text (Kolmogorov). neighbours: those of a batch follow one another, or move on
    with the step (Chernoff; rank correlation, normal approximation). again: the same windows come again (Chernoff, of the
    draws; where they are many for the text, of the places that none has hit, which are negatively associated).

    Args:
        starts: the places of the windows of each step.
        size: how many places there are.
    """
    every = np.array([start for found in starts.values() for start in found])
    at = np.array([step for step, found in starts.items() for _ in found])
    count = len(every)
    if count < 16 or size < 4 * length:
        return {}
    near = sum(abs(a - b) < length for found in starts.values() for a, b in itertools.pairwise(found))
    ranked = np.sort(every) / size
    distance = max(np.max(np.arange(1, count + 1) / count - ranked), np.max(ranked - np.arange(count) / count))
    ties = count - len(np.unique(every))
    trend = 0.0
    if len(starts) > 2 and len(np.unique(every)) > 1:
        trend = float(np.corrcoef(at.argsort().argsort(), every.argsort().argsort())[0, 1]) ** 2 * (count - 1) / 2
    found = {
        "spread": max(2 * count * float(distance) ** 2 - math.log(2), 0.0),
        "neighbours": max(_too_many(near, count - len(starts), min(2 * length / size, 0.5)), trend),
        "again": max(_too_many(ties, count, count / size), _too_many(size - count + ties, size, (1 - 1 / size) ** count)),
    }
    return {name: surprise / math.log(10) for name, surprise in found.items()}


def _too_many(hits: int, of: int, share: float) -> float:
    """−ln of a bound on the chance of so many hits, each with probability `share`."""
    if not of or hits / of <= share:
        return 0.0
    found = min(hits / of, 1 - 1e-9)
    return of * (found * math.log(found / share) + (1 - found) * math.log((1 - found) / (1 - share)))
