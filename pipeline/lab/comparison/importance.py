"""Which knob explains a score: permutation importance on a random forest over variants, or the reason why nobody can know."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from pipeline.lab.comparison.comparable import WITHOUT_EFFECT, differing
from pipeline.lab.comparison.comparison import Importance
from pipeline.lab.experiments.records import Group, Knob
from pipeline.lab.statistics.intervals import Interval

TREES, REPEATS = 300, 20
ROWS_PER_KNOB = 10  # variants
LEAST_R2 = 0.3
LARGEST_SCALE = 3.0  # what a forest makes weaker than to a third is too weak to be measured
TOGETHER = 0.7  # knobs that correlate more than this over the variants, and never vary alone, cannot be told apart
DECADE = 10.0  # a number whose largest value is so many times its smallest is on a logarithmic scale

Matrix = Float[np.ndarray, "rows columns"]


def importance(groups: Sequence[Group], metric: str) -> Importance:
    """The share of each varied knob, and of each two together, in the variance that a forest explains.

    Each row is a variant: the mean over its seeds. A share is found by permutation: the values of one knob (of two, for what
    they have only together) are shuffled among the rows, and each row is predicted by the trees that have not learned from it.
    If the shuffled knobs add f to a prediction, then its squared error rises by 2 cov(y, f), and it moves by 2 var(f). A forest
    makes weak knobs weaker still; cov(y, f) / var(f) is by how much, and cov(y, f)² / var(f) the variance of y that f explains.
    Intervals hold the middle 90 % of REPEATS shuffles, so not the error of the variants themselves.

    Sources: Breiman, "Random Forests", 2001 (out-of-bag permutation); Hutter, Hoos and Leyton-Brown, "An Efficient Approach for
    Assessing Hyperparameter Importance", 2014 (shares of main effects and of pairs).
    """
    rows = [group for group in groups if (values := group.array(metric)).size and np.isfinite(values).all()]
    knobs = _varied(rows)
    if refused := _refused(rows, knobs):
        return Importance(metric, len(rows), {}, {}, None, refused)
    blocks = [_coded([row.knobs[name] for row in rows]) for name in knobs]
    scores = np.array([row.array(metric).mean() for row in rows])
    if not scores.std():
        return Importance(metric, len(rows), {}, {}, None, f"all variants have the same {metric}")
    matrix = np.concatenate(blocks, axis=1)
    places = np.split(np.arange(matrix.shape[1]), np.cumsum([block.shape[1] for block in blocks])[:-1])
    trees, held_out = _forest(matrix, scores)
    found = _predicted(trees, held_out, matrix[None])[0]
    r2 = float(1 - ((scores - found) ** 2).mean() / scores.var())
    if r2 < LEAST_R2:
        why = (
            f"the knobs predict {metric} of variants that the forest has not seen too badly (out-of-bag R² {r2:.2f}, at least"
            f" {LEAST_R2}): what moves it is noise, or not among {', '.join(knobs)}"
        )
        return Importance(metric, len(rows), {}, {}, r2, why)
    alone, pairs = _shares(trees, held_out, matrix, scores, found, places)
    order = np.argsort(-alone.mean(axis=0))
    low, high = np.quantile(alone, 0.05, axis=0), np.quantile(alone, 0.95, axis=0)
    shares = {knobs[k]: Interval(float(low[k]), float(alone[:, k].mean()), float(high[k])) for k in order}
    both = list(itertools.combinations(range(len(knobs)), 2))
    together = {(knobs[j], knobs[k]): float(share) for (j, k), share in zip(both, pairs.mean(axis=0), strict=True)}
    return Importance(metric, len(rows), shares, dict(sorted(together.items(), key=lambda one: -one[1])), r2)


def _varied(rows: Sequence[Group]) -> list[str]:
    """The knobs that all rows have, and that vary."""
    if not rows:
        return []
    names = [name for name in rows[0].knobs if all(name in row.knobs for row in rows)]
    return [
        name
        for name in names
        if not name.startswith(WITHOUT_EFFECT) and any(row.knobs[name] != rows[0].knobs[name] for row in rows)
    ]


def _refused(rows: Sequence[Group], knobs: Sequence[str]) -> str:
    """Why these rows cannot say which knob matters; "" where they may."""
    if len(knobs) < 2:
        return f"{'one knob varies' if knobs else 'no knob varies'}: shares are of two or more"
    if len(rows) < ROWS_PER_KNOB * len(knobs):
        return (
            f"{len(rows)} variants of {len(knobs)} knobs ({', '.join(knobs)}): {ROWS_PER_KNOB * len(knobs)} are needed,"
            f" {ROWS_PER_KNOB} for each knob"
        )
    alone = {next(iter(one)) for pair in itertools.combinations(rows, 2) if len(one := differing(*pair)) == 1}
    blocks = {name: _coded([row.knobs[name] for row in rows]) for name in knobs}
    for name in knobs:
        if name in alone:
            continue
        bond = {other: _correlation(blocks[name], blocks[other]) for other in knobs if other != name}
        nearest = max(bond, key=lambda other: bond[other])
        if bond[nearest] > TOGETHER:
            return f"{name} was never varied alone, but together with {nearest}: what each does cannot be told apart"
    return ""


def _coded(values: Sequence[Knob]) -> Matrix:
    """A knob as columns: a number as one, logarithmic if it spans a decade; a word as one for each that there is."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        numbers = np.array(values, dtype=float)
        is_wide = numbers.min() > 0 and numbers.max() >= DECADE * numbers.min()
        return (np.log10(numbers) if is_wide else numbers)[:, None]
    words = list(dict.fromkeys(map(str, values)))
    return np.array([[str(value) == word for word in words] for value in values], dtype=float)


def _correlation(one: Matrix, other: Matrix) -> float:
    """The largest correlation of any two weighted sums of their columns (the first canonical one)."""
    bases = [np.linalg.svd(block - block.mean(axis=0), full_matrices=False) for block in (one, other)]
    left, right = (basis[0][:, basis[1] > 1e-9 * max(1e-300, basis[1].max())] for basis in bases)
    return float(np.linalg.svd(left.T @ right, compute_uv=False).max())


def _forest(matrix: Matrix, scores: Float[np.ndarray, " rows"]) -> tuple[list[Any], Bool[np.ndarray, "trees rows"]]:
    """The trees, and which rows each has not learned from."""
    from sklearn.ensemble import RandomForestRegressor  # 1.5 s

    forest = RandomForestRegressor(TREES, random_state=0).fit(matrix, scores)
    held_out = np.ones((TREES, len(scores)), dtype=bool)
    for tree, learned in enumerate(forest.estimators_samples_):
        held_out[tree, learned] = False
    return [one.tree_ for one in forest.estimators_], held_out


def _predicted(
    trees: Sequence[Any], held_out: Bool[np.ndarray, "trees rows"], copies: Float[np.ndarray, "copies rows columns"]
) -> Float[np.ndarray, "copies rows"]:
    """The mean prediction for each row of several copies of the matrix by the trees that have not learned from that row."""
    count, rows, _ = copies.shape
    single, total = copies.astype(np.float32), np.zeros((count, rows))
    for tree, mask in zip(trees, held_out, strict=True):
        values = single[:, mask].reshape(-1, single.shape[-1])
        total[:, mask] += tree.predict(values)[:, 0].reshape(count, -1)
    return total / np.maximum(held_out.sum(axis=0), 1)


def _shares(
    trees: Sequence[Any],
    held_out: Bool[np.ndarray, "trees rows"],
    matrix: Matrix,
    scores: Float[np.ndarray, " rows"],
    found: Float[np.ndarray, " rows"],
    places: Sequence[np.ndarray],
) -> tuple[Float[np.ndarray, "repeats knobs"], Float[np.ndarray, "repeats pairs"]]:
    """The shares of each knob, which sum to 1, and of each pair in each repeat."""
    rng, count = np.random.default_rng(0), len(places)
    both = list(itertools.combinations(range(count), 2))
    sets = [*((k,) for k in range(count)), *both]
    copies = []
    for _ in range(REPEATS):
        order = rng.permutation(len(matrix))
        for some in sets:
            shuffled, columns = matrix.copy(), np.concatenate([places[k] for k in some])
            shuffled[:, columns] = matrix[order][:, columns]
            copies.append(shuffled)
    moved = _predicted(trees, held_out, np.stack(copies)).reshape(REPEATS, len(sets), -1)
    rise = ((scores - moved) ** 2).mean(axis=-1) - ((scores - found) ** 2).mean()
    change = ((moved - found) ** 2).mean(axis=-1)
    # The rise is a sum over what the knobs do alone and together, so it says what two have only together.
    pairs = np.stack([np.maximum(rise[:, j] + rise[:, k] - rise[:, count + p], 0) for p, (j, k) in enumerate(both)], axis=1)
    alone, scale = rise[:, :count].copy(), np.zeros((REPEATS, count))
    np.divide(rise[:, :count], change[:, :count], out=scale, where=change[:, :count] > 0)
    scale = np.clip(scale, 0.0, LARGEST_SCALE)
    for p, (j, k) in enumerate(both):
        alone[:, [j, k]] -= pairs[:, [p]] / 2
        pairs[:, p] *= scale[:, [j, k]].mean(axis=1)
    alone = np.maximum(alone, 0.0) * scale
    whole = np.maximum(alone.sum(axis=1, keepdims=True), 1e-300)
    return alone / whole, pairs / whole
