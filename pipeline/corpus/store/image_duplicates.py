"""Which images show the same thing? What a network has seen in training must not be asked of it in a test.

The answer is that of comparing every pair, and is found without doing so:

* Exact copies are told by a digest; an image of one colour has no contrast and is alike to its copies alone.
* The means of an image's cells are projected on their main axes. That shrinks distances, so what lies too far apart there is
  not alike, whatever the other axes and the pixels say.
* Images are gathered by a k-d tree in leaves, whose bounds rule out most pairs of leaves; two leaves that are left are compared
  by one matrix product, and what passes, pixel by pixel.
* Pairs that are in one group already are not looked at, so that a thousand frames of one scene cost a thousand comparisons.

What is asked of an image is asked of the disk, a block at a time (corpus/store/disk_images.py), so that memory does not grow with pixels.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Real, UInt8

from pipeline.corpus.store.disk_images import Images, blocks

# The root mean square by which two images may differ, as a share of the contrast (the deviation of the pixels) of the fainter
# one: as seen from afar, in 8 x 8 cells, and in every pixel. Saved as a JPEG of quality 90, pieces of photographs differ by
# .02 to .05 and .03 to .18. The closest two different images are .07 and .20 apart among 5,000 of MNIST's digits, .11 among
# 1,797 digits of 8 x 8 pixels.
AFAR, NEAR = 0.05, 0.25
CELLS = 8

LEAF = 256  # images that are compared with those of other leaves at once
LEAVES = 16  # of them in one product: what comes of it stays in the processor's cache
SAMPLE = 1024  # images by which the axes are chosen
ATTEMPTS = 4  # to join two leaves by one pair of each image, before the pairs that are left are compared by a product
DENSE = 8  # … unless those are fewer than one in so many of all of the two leaves


Digests = UInt8[np.ndarray, "N 32"]


def lookalikes(images: Images, hashed: Digests | None = None) -> Int[np.ndarray, " N"]:
    """The number of each image's group: those that look alike, directly or by way of others, have the same.

    So do copies, also those that were saved anew as a JPEG or have a little noise on them; a copy that was cut, moved, turned
    or made brighter is not found.

    Args:
        hashed: their digests, where those are known.
    """
    hashed = digests(images) if hashed is None else hashed
    _, first, copy_of = np.unique(_sortable(hashed), return_index=True, return_inverse=True)
    search = Search(images, first)
    search.run()
    return search.groups.numbers()[copy_of.reshape(-1)]


def digests(images: Images) -> Digests:
    """The sha256 of the pixels of each image."""
    found = np.empty((len(images), 32), np.uint8)
    for places in blocks(images, np.arange(len(images))):
        for place, image in zip(places, images[places], strict=True):
            found[place] = np.frombuffer(hashlib.sha256(image.tobytes()).digest(), np.uint8)
    return found


def by_digest(hashed: Digests) -> Int[np.ndarray, " N"]:
    """The places of images in the order of their digests; copies stay in the order in which they lie."""
    return np.argsort(_sortable(hashed), kind="stable")


def _sortable(hashed: Digests) -> np.ndarray:
    """Each digest as one value; they sort as the digests do."""
    return hashed.view([(f"f{at}", ">u8") for at in range(4)]).reshape(-1)


# ------------------------------------------------------------------------------------------------------------- the measure


class Seen(NamedTuple):
    """Some images: of each the sum of squared deviations of its pixels from their mean, and its cells."""

    contrast: Float[np.ndarray, " N"]
    cells: Float[np.ndarray, "N F"]


def _seen(images: UInt8[np.ndarray, "N H W C"]) -> Seen:
    pixels = images.reshape(len(images), -1).astype(np.float64)
    squares = np.einsum("np,np->n", pixels, pixels)  # whole numbers: exact, as are the sums
    return Seen(squares - np.square(pixels.sum(axis=1)) / pixels.shape[1], _from_afar(images))


def _from_afar(images: Real[np.ndarray, "N H W C"]) -> Float[np.ndarray, "N F"]:
    """The means of an image's cells, weighted so that distances are those of images that consist of such cells."""
    cells: Float[np.ndarray, "N R C F"] = images.astype(np.float64)
    weight: Float[np.ndarray, "R C"] = np.ones((1, 1))
    for axis, length in ((1, images.shape[1]), (2, images.shape[2])):
        starts = np.unique(np.arange(CELLS) * length // CELLS)
        cells = np.add.reduceat(cells, starts, axis=axis)
        sizes = np.diff(starts, append=length)
        weight = weight * np.expand_dims(sizes, 2 - axis)  # of rows, then of rows x columns
    return (cells / np.sqrt(weight)[..., None]).reshape(len(images), -1)


def _alike(
    one: UInt8[np.ndarray, "N H W C"], other: UInt8[np.ndarray, "N H W C"], contrast: Float[np.ndarray, " N"]
) -> Bool[np.ndarray, " N"]:
    """Whether two images look alike, for each pair of the fainter one's contrast: the measure itself."""
    difference = one.astype(np.int16) - other
    pixels = difference.reshape(len(difference), -1).astype(np.float64)
    apart = np.einsum("np,np->n", pixels, pixels)
    return (apart <= NEAR**2 * contrast) & (np.square(_from_afar(difference)).sum(axis=1) <= AFAR**2 * contrast)


# -------------------------------------------------------------------------------------------------------------- the search


class Groups:
    """Things that are joined to groups, two at a time."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size)

    def heads(self, things: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Of each its group's first thing."""
        found = self._parent[things]
        while not np.array_equal(further := self._parent[found], found):
            found = further
        self._parent[things] = found
        return found

    def join(self, ones: Int[np.ndarray, " n"], others: Int[np.ndarray, " n"]) -> None:
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            heads = sorted((self._head(one), self._head(other)))
            self._parent[heads[1]] = heads[0]

    def _head(self, thing: int) -> int:
        while (parent := int(self._parent[thing])) != thing:
            self._parent[thing] = self._parent[parent]
            thing = parent
        return thing

    def numbers(self) -> Int[np.ndarray, " size"]:
        """The number of each thing's group, from 0 on."""
        return np.unique(self.heads(np.arange(len(self._parent))), return_inverse=True)[1].reshape(-1).astype(np.int64)


class Search:
    """Groups of some images, no two of which are equal, while they are being found.

    Attributes:
        groups: of the images, by where they stand among `places`.
        projected, compared: pairs of which the projections, and the pixels, were compared.
    """

    def __init__(self, images: Images, places: Int[np.ndarray, " n"]) -> None:
        self.images, self.groups = images, Groups(len(places))
        self.projected = self.compared = 0
        self.places = places
        if len(places):
            self._look(places)

    def _look(self, places: Int[np.ndarray, " n"]) -> None:
        """Project all images, and gather them in leaves: everything below is in the order of the leaves."""
        axes, middle = _axes(self.images, places)
        contrast, view = np.empty(len(places)), np.empty((len(places), axes.shape[1] + 1), np.float32)
        at = 0
        for some in blocks(self.images, places):
            seen = _seen(self.images[some])
            cells = seen.cells - middle
            along = cells @ axes
            beside = np.square(cells).sum(axis=1) - np.square(along).sum(axis=1)  # what the axes leave: one distance more
            contrast[at : at + len(some)] = seen.contrast
            view[at : at + len(some)] = np.column_stack([along, np.sqrt(np.maximum(beside, 0))])
            at += len(some)
        with_contrast = np.flatnonzero(contrast > 0)
        order, self.starts = _leaves(view, contrast, with_contrast)
        self.names, self.places = order, places[order]
        self.contrast, self.view = contrast[order], view[order]
        self.squares = np.square(self.view.astype(np.float64)).sum(axis=1)

    def run(self) -> None:
        if not len(self.places):
            return
        bounds = [*self.starts.tolist(), len(self.places)]
        leaves = [np.arange(start, end) for start, end in itertools.pairwise(bounds)]
        low, high = np.minimum.reduceat(self.view, self.starts), np.maximum.reduceat(self.view, self.starts)
        faintest, strongest = (least.reduceat(self.contrast, self.starts) for least in (np.minimum, np.maximum))
        for rows in leaves:  # first each within itself: where all are alike, most of what follows falls away
            self._compare(rows, rows)
        for leaf, rows in enumerate(leaves):
            heads = self.groups.heads(self.names)
            one, last = np.minimum.reduceat(heads, self.starts), np.maximum.reduceat(heads, self.starts)
            gap = np.maximum(np.maximum(low - high[leaf], low[leaf] - high), 0).astype(np.float64)
            fainter = np.minimum(strongest, strongest[leaf])
            near = np.square(gap).sum(axis=1) * (1 - 1e-5) <= AFAR**2 * fainter
            # Contrast, as a distance, differs by no more than the images do, which is NEAR of the fainter one's at most.
            near &= np.maximum(faintest, faintest[leaf]) <= (1 + NEAR) ** 2 * fainter * (1 + 1e-9)
            near &= (one != last) | (one != one[leaf]) | (last != last[leaf])
            others = np.flatnonzero(near[leaf + 1 :]) + leaf + 1
            for at in range(0, len(others), LEAVES):
                self._compare(rows, np.concatenate([leaves[other] for other in others[at : at + LEAVES]]))

    def _compare(self, rows: Int[np.ndarray, " R"], columns: Int[np.ndarray, " C"]) -> None:
        """Join what looks alike of some images and some others, which are the same or all others."""
        self.projected += len(rows) * len(columns)
        one, other = self._may_be(rows, columns)
        if rows is columns:
            one, other = one[one < other], other[one < other]
        for attempt in itertools.count():
            apart = self.groups.heads(self.names[one]) != self.groups.heads(self.names[other])
            one, other = one[apart], other[apart]
            if not len(one):
                return
            if attempt == ATTEMPTS:
                one, other = self._filtered(one, other)
            # One pair of each image, of these and of those in turn: most of the other pairs are then within a group.
            first = np.unique((one, other)[attempt % 2], return_index=True)[1]
            self._join(one[first], other[first])
            left = np.ones(len(one), bool)
            left[first] = False
            one, other = one[left], other[left]

    def _may_be(
        self, rows: Int[np.ndarray, " R"], columns: Int[np.ndarray, " C"]
    ) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
        """The pairs whose projections are near enough, sorted: |a|² - 2ab + |b|² <= (AFAR contrast)², but for rounding."""
        ones = np.column_stack([2 * self.view[rows], -np.ones(len(rows), np.float32)])
        others = np.column_stack([self.view[columns], self.squares[columns].astype(np.float32)])
        reach = AFAR**2 * self.contrast
        # What float32 may be wrong by: its unit for each number that is summed, and for rounding the coordinates.
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
        """Those of many pairs that pass in every pixel, and in all cells but for rounding: by products, which are quick."""
        rows, row = np.unique(one, return_inverse=True)
        columns, column = np.unique(other, return_inverse=True)
        if DENSE * len(one) < len(rows) * len(columns):
            return one, other
        self.compared += len(rows) * len(columns)
        wanted = np.zeros((len(rows), len(columns)), bool)
        for some in blocks(self.images, np.arange(len(rows))):
            left = self.images[self.places[rows[some]]]
            for more in blocks(self.images, np.arange(len(columns))):
                right = self.images[self.places[columns[more]]]
                least = np.minimum(self.contrast[rows[some]][:, None], self.contrast[columns[more]])
                flat = (images.reshape(len(images), -1).astype(np.float64) for images in (left, right))
                near = _apart(*flat) <= NEAR**2 * least  # whole numbers: exact
                near &= _apart(_from_afar(left), _from_afar(right)) <= AFAR**2 * least * (1 + 1e-9) + 1e-3
                wanted[np.ix_(some, more)] = near
        kept = wanted[row.reshape(-1), column.reshape(-1)]
        return one[kept], other[kept]

    def _join(self, one: Int[np.ndarray, " P"], other: Int[np.ndarray, " P"]) -> None:
        """Join those of some pairs that look alike."""
        self.compared += len(one)
        for some in blocks(self.images, np.arange(len(one))):
            these, those = one[some], other[some]
            left, right = self.images[self.places[these]], self.images[self.places[those]]
            near = _alike(left, right, np.minimum(self.contrast[these], self.contrast[those]))
            self.groups.join(self.names[these[near]], self.names[those[near]])


def _apart(ones: Float[np.ndarray, "N F"], others: Float[np.ndarray, "M F"]) -> Float[np.ndarray, "N M"]:
    """The squared distance of each to each."""
    squares = (np.square(values).sum(axis=1) for values in (ones, others))
    return np.add.outer(*squares) - 2 * ones @ others.T


def _axes(images: Images, places: Int[np.ndarray, " n"]) -> tuple[Float[np.ndarray, "F K"], Float[np.ndarray, " F"]]:
    """(the main axes of some images' cells, as few as tell them apart; their middle): any others cost time alone."""
    some = places[np.linspace(0, len(places) - 1, min(SAMPLE, len(places)), dtype=np.int64)]
    parts = [_seen(images[block]) for block in blocks(images, some)]
    contrast, cells = (np.concatenate(values) for values in zip(*parts, strict=True))
    middle = cells.mean(axis=0)
    cells -= middle
    axes = np.linalg.eigh(cells.T @ cells)[1][:, ::-1]
    along = cells @ axes
    reach = AFAR**2 * np.minimum.outer(contrast, contrast)
    choices = [count for count in (8, 16, 24, 32, 48, 64, 96, 128) if count < along.shape[1]]
    pass_all = np.count_nonzero(_apart(along, along) <= reach)
    for count in choices:
        if np.count_nonzero(_apart(along[:, :count], along[:, :count]) <= reach) <= pass_all + 4:
            return axes[:, :count], middle
    return axes, middle


def _leaves(
    view: Float32[np.ndarray, "n K"], contrast: Float[np.ndarray, " n"], places: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " leaves"]]:
    """(the places such that those of a leaf of a k-d tree lie together, where each leaf starts)."""
    if not len(places):
        return places, places
    far = AFAR * np.sqrt(np.median(contrast[places]))
    found, waiting = list[Int[np.ndarray, " n"]](), [places]
    while waiting:
        node = waiting.pop()
        if len(node) <= LEAF:
            found.append(node)
            continue
        span = np.ptp(view[node], axis=0) / far
        strength = np.sqrt(contrast[node])
        by_contrast = float(np.log(strength.max() / strength.min()) / np.log1p(NEAR))
        values = strength if by_contrast > span.max() else view[node, int(np.argmax(span))]
        half = -(-len(node) // LEAF) // 2 * LEAF
        order = np.argpartition(values, half)
        waiting += [node[order[half:]], node[order[:half]]]
    return np.concatenate(found), np.cumsum([0, *map(len, found[:-1])])
