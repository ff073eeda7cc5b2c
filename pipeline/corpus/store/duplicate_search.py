"""The search for similar images: finds the groups that comparing every pair would find, without comparing every pair.

* Exact copies are found by a digest beforehand; an image of one colour has no contrast and is similar to its copies alone.
* The cell means of images are projected on their principal axes. That shrinks distances, so images that are too far apart
  there are not similar, whatever the other axes and the pixels are.
* A k-d tree gathers images in leaves, whose bounds rule out most pairs of leaves. Two leaves that are left are compared by
  one matrix product, and the pairs that pass, pixel by pixel.
* Pairs that are in one group already are not compared, so that a thousand frames of one scene cost a thousand comparisons.

Pixels are read from the disk, a block at a time (disk_images.py), so that memory does not grow with them.
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Float32, Int

from pipeline.corpus.store.disk_images import Images, blocks
from pipeline.corpus.store.image_similarity import (
    CELL_TOLERANCE,
    PIXEL_TOLERANCE,
    are_similar,
    cell_means,
    features_of,
    squared_distances,
)

LEAF_SIZE = 256  # images
LEAVES_AT_ONCE = 16  # compared by one matrix product, which then fits in the processor's cache
SAMPLE = 1024  # images from which the axes are computed
ATTEMPTS = 4  # at joining two leaves by one pair of each image, before the remaining pairs are compared by a product
DENSE = 8  # … unless fewer than one pair in DENSE of all pairs of the two leaves remains


class UnionFind:
    """A disjoint-set forest of the numbers 0 .. size - 1."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size)

    def roots(self, items: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The root of each item: the lowest item of its group."""
        found = self._parent[items]
        while not np.array_equal(further := self._parent[found], found):
            found = further
        self._parent[items] = found
        return found

    def join(self, ones: Int[np.ndarray, " n"], others: Int[np.ndarray, " n"]) -> None:
        """Join the groups of each pair of items."""
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self._parent[high] = low

    def _root(self, item: int) -> int:
        while (parent := int(self._parent[item])) != item:
            self._parent[item] = self._parent[parent]
            item = parent
        return item

    def group_numbers(self) -> Int[np.ndarray, " size"]:
        """The number of each item's group, from 0 on."""
        return np.unique(self.roots(np.arange(len(self._parent))), return_inverse=True)[1].reshape(-1).astype(np.int64)


class DuplicateSearch:
    """The search for similar images among some that are all different. `run` fills `groups`.

    Args:
        places: of the images that are searched.

    Attributes:
        groups: of the images, by their index in the argument `places`.
        projected, compared: number of pairs whose projections, and whose pixels, were compared.
    """

    def __init__(self, images: Images, places: Int[np.ndarray, " n"]) -> None:
        self.images, self.groups = images, UnionFind(len(places))
        self.projected = self.compared = 0
        self.places = places
        if len(places):
            self._build_tree(places)

    def _build_tree(self, places: Int[np.ndarray, " n"]) -> None:
        """Project all images and gather them in leaves; all arrays of this search are in the order of the leaves."""
        axes, center = _principal_axes(self.images, places)
        contrast, view = np.empty(len(places)), np.empty((len(places), axes.shape[1] + 1), np.float32)
        at = 0
        for some in blocks(self.images, places):
            features = features_of(self.images[some])
            cells = features.cells - center
            along = cells @ axes
            residual = np.square(cells).sum(axis=1) - np.square(along).sum(axis=1)  # off the axes: one more coordinate
            contrast[at : at + len(some)] = features.contrast
            view[at : at + len(some)] = np.column_stack([along, np.sqrt(np.maximum(residual, 0))])
            at += len(some)
        with_contrast = np.flatnonzero(contrast > 0)
        order, self.starts = _tree_leaves(view, contrast, with_contrast)
        self.members, self.places = order, places[order]
        self.contrast, self.view = contrast[order], view[order]
        self.squares = np.square(self.view.astype(np.float64)).sum(axis=1)

    def run(self) -> None:
        """Join all images that are similar."""
        if not len(self.places):
            return
        bounds = [*self.starts.tolist(), len(self.places)]
        leaves = [np.arange(start, end) for start, end in itertools.pairwise(bounds)]
        low, high = np.minimum.reduceat(self.view, self.starts), np.maximum.reduceat(self.view, self.starts)
        faintest, strongest = (least.reduceat(self.contrast, self.starts) for least in (np.minimum, np.maximum))
        for rows in leaves:  # first each within itself: if all are similar, most of the work below is skipped
            self._compare(rows, rows)
        for leaf, rows in enumerate(leaves):
            roots = self.groups.roots(self.members)
            lowest, highest = np.minimum.reduceat(roots, self.starts), np.maximum.reduceat(roots, self.starts)
            gap = np.maximum(np.maximum(low - high[leaf], low[leaf] - high), 0).astype(np.float64)
            fainter = np.minimum(strongest, strongest[leaf])
            near = np.square(gap).sum(axis=1) * (1 - 1e-5) <= CELL_TOLERANCE**2 * fainter
            # Contrasts, as distances, differ by at most as much as the images: PIXEL_TOLERANCE times that of the fainter one.
            near &= np.maximum(faintest, faintest[leaf]) <= (1 + PIXEL_TOLERANCE) ** 2 * fainter * (1 + 1e-9)
            near &= (lowest != highest) | (lowest != lowest[leaf]) | (highest != highest[leaf])
            others = np.flatnonzero(near[leaf + 1 :]) + leaf + 1
            for at in range(0, len(others), LEAVES_AT_ONCE):
                self._compare(rows, np.concatenate([leaves[other] for other in others[at : at + LEAVES_AT_ONCE]]))

    def _compare(self, rows: Int[np.ndarray, " R"], columns: Int[np.ndarray, " C"]) -> None:
        """Join the similar pairs of images of `rows` and of `columns`, which are the same or have none in common."""
        self.projected += len(rows) * len(columns)
        one, other = self._candidates(rows, columns)
        if rows is columns:
            one, other = one[one < other], other[one < other]
        for attempt in itertools.count():
            separate = self.groups.roots(self.members[one]) != self.groups.roots(self.members[other])
            one, other = one[separate], other[separate]
            if not len(one):
                return
            if attempt == ATTEMPTS:
                one, other = self._filtered(one, other)
            # One pair of each image, of either side in turn: most of the other pairs are then within a group.
            first = np.unique((one, other)[attempt % 2], return_index=True)[1]
            self._join(one[first], other[first])
            left = np.ones(len(one), bool)
            left[first] = False
            one, other = one[left], other[left]

    def _candidates(
        self, rows: Int[np.ndarray, " R"], columns: Int[np.ndarray, " C"]
    ) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
        """The pairs whose projections are close enough, sorted: |a|² - 2ab + |b|² <= CELL_TOLERANCE² · contrast.

        Errs on the side of too many pairs, by as much as float32 may round.
        """
        ones = np.column_stack([2 * self.view[rows], -np.ones(len(rows), np.float32)])
        others = np.column_stack([self.view[columns], self.squares[columns].astype(np.float32)])
        reach = CELL_TOLERANCE**2 * self.contrast
        # The error of float32: one unit for each number that is summed, and for rounding the coordinates.
        size = self.squares[rows] + self.squares[columns].max() + reach[rows]
        slack = (2 * ones.shape[1] + 32) * 2.0**-24 * size
        product: Float32[np.ndarray, "R C"] = ones @ others.T
        least = self.squares[rows] - reach[rows] - slack
        found = np.flatnonzero(product >= np.nextafter(least.astype(np.float32), np.float32(-np.inf))[:, None])
        row, column = found // len(columns), found % len(columns)
        near = self.squares[rows][row] - product.reshape(-1)[found] <= reach[columns][column] + slack[row]
        return rows[row[near]], columns[column[near]]

    def _filtered(
        self, one: Int[np.ndarray, " P"], other: Int[np.ndarray, " P"]
    ) -> tuple[Int[np.ndarray, " Q"], Int[np.ndarray, " Q"]]:
        """The pairs, of many, that pass by pixels, and by cells up to rounding: found by matrix products, which are fast."""
        rows, row = np.unique(one, return_inverse=True)
        columns, column = np.unique(other, return_inverse=True)
        if DENSE * len(one) < len(rows) * len(columns):
            return one, other
        self.compared += len(rows) * len(columns)
        passing = np.zeros((len(rows), len(columns)), bool)
        for some in blocks(self.images, np.arange(len(rows))):
            left = self.images[self.places[rows[some]]]
            for more in blocks(self.images, np.arange(len(columns))):
                right = self.images[self.places[columns[more]]]
                least = np.minimum(self.contrast[rows[some]][:, None], self.contrast[columns[more]])
                flat = (images.reshape(len(images), -1).astype(np.float64) for images in (left, right))
                near = squared_distances(*flat) <= PIXEL_TOLERANCE**2 * least  # integers: exact
                near &= squared_distances(cell_means(left), cell_means(right)) <= CELL_TOLERANCE**2 * least * (1 + 1e-9) + 1e-3
                passing[np.ix_(some, more)] = near
        kept = passing[row.reshape(-1), column.reshape(-1)]
        return one[kept], other[kept]

    def _join(self, one: Int[np.ndarray, " P"], other: Int[np.ndarray, " P"]) -> None:
        """Join those pairs that are similar."""
        self.compared += len(one)
        for some in blocks(self.images, np.arange(len(one))):
            these, those = one[some], other[some]
            left, right = self.images[self.places[these]], self.images[self.places[those]]
            near = are_similar(left, right, np.minimum(self.contrast[these], self.contrast[those]))
            self.groups.join(self.members[these[near]], self.members[those[near]])


def _principal_axes(images: Images, places: Int[np.ndarray, " n"]) -> tuple[Float[np.ndarray, "F K"], Float[np.ndarray, " F"]]:
    """(the principal axes of some images' cells, the mean of the cells); only as many axes as rule out most pairs."""
    some = places[np.linspace(0, len(places) - 1, min(SAMPLE, len(places)), dtype=np.int64)]
    parts = [features_of(images[block]) for block in blocks(images, some)]
    contrast, cells = (np.concatenate(values) for values in zip(*parts, strict=True))
    center = cells.mean(axis=0)
    cells -= center
    axes = np.linalg.eigh(cells.T @ cells)[1][:, ::-1]
    along = cells @ axes
    reach = CELL_TOLERANCE**2 * np.minimum.outer(contrast, contrast)
    choices = [count for count in (8, 16, 24, 32, 48, 64, 96, 128) if count < along.shape[1]]
    pass_all = np.count_nonzero(squared_distances(along, along) <= reach)
    for count in choices:
        if np.count_nonzero(squared_distances(along[:, :count], along[:, :count]) <= reach) <= pass_all + 4:
            return axes[:, :count], center
    return axes, center


def _tree_leaves(
    view: Float32[np.ndarray, "n K"], contrast: Float[np.ndarray, " n"], places: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " leaves"]]:
    """(the places ordered by the leaves of a k-d tree, where each leaf starts)."""
    if not len(places):
        return places, places
    far = CELL_TOLERANCE * np.sqrt(np.median(contrast[places]))
    found, waiting = list[Int[np.ndarray, " n"]](), [places]
    while waiting:
        node = waiting.pop()
        if len(node) <= LEAF_SIZE:
            found.append(node)
            continue
        span = np.ptp(view[node], axis=0) / far
        strength = np.sqrt(contrast[node])
        by_contrast = float(np.log(strength.max() / strength.min()) / np.log1p(PIXEL_TOLERANCE))
        values = strength if by_contrast > span.max() else view[node, int(np.argmax(span))]
        half = -(-len(node) // LEAF_SIZE) // 2 * LEAF_SIZE
        order = np.argpartition(values, half)
        waiting += [node[order[half:]], node[order[:half]]]
    return np.concatenate(found), np.cumsum([0, *map(len, found[:-1])])
