"""Near-duplicate images: the groups that comparing every pair finds, at a fraction of the cost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpus.store import duplicate_search
from pipeline.corpus.store.disk_images import Concatenated, DiskImages, Subset
from pipeline.corpus.store.duplicate_search import DuplicateSearch
from pipeline.corpus.store.image_duplicates import digests, duplicate_groups
from pipeline.corpus.store.image_similarity import CELL_TOLERANCE, PIXEL_TOLERANCE
from pipeline.corpus.store.images import channel_statistics

pytestmark = pytest.mark.shapes

Pixels = np.ndarray


def noise(rng: np.random.Generator, count: int, shape: tuple[int, ...] = (9, 12, 3), low: int = 0, high: int = 256) -> Pixels:
    return rng.integers(low, high, (count, *shape), dtype=np.uint8)


def beside(rng: np.random.Generator, images: Pixels, most: int) -> Pixels:
    """Each pixel a little off."""
    return np.clip(images + rng.integers(-most, most + 1, images.shape), 0, 255).astype(np.uint8)


def smooth(rng: np.random.Generator, count: int, side: int = 16) -> Pixels:
    """Slopes between the colours of four corners: a few axes tell them all."""
    corners, at = rng.uniform(0, 255, (count, 2, 2, 1)), np.linspace(0, 1, side)
    rows = corners[:, :1] * (1 - at)[:, None, None] + corners[:, 1:] * at[:, None, None]
    return (rows[:, :, :1] * (1 - at)[:, None] + rows[:, :, 1:] * at[:, None]).astype(np.uint8)


def frames(rng: np.random.Generator, count: int) -> Pixels:
    """Of three still scenes, filmed with a little noise."""
    return beside(rng, noise(rng, 3)[rng.integers(3, size=count)], 2)


def scenes(rng: np.random.Generator, count: int) -> Pixels:
    """A few frames each of many scenes."""
    return beside(rng, smooth(rng, count // 5)[rng.integers(count // 5, size=count)], 3)


def fading(rng: np.random.Generator, count: int) -> Pixels:
    """Each like those next to it alone, so that the first and the last are of one group by way of all others."""
    first, last = noise(rng, 2).astype(float)
    shares = np.linspace(0, 1, count)[:, None, None, None]
    return rng.permutation((first * (1 - shares) + last * shares).round().astype(np.uint8))


def faint(rng: np.random.Generator, count: int) -> Pixels:
    """Nearly black or white, of two levels each: distances are small beside the numbers that they are differences of."""
    images = noise(rng, count, (32, 32, 1), 0, 2)
    images[1::2] = images[::2]
    images[1::2, 0, 0] ^= 1  # alike, but for one pixel
    images[: count // 2] += 254
    return rng.permutation(images)


def textures(rng: np.random.Generator, count: int) -> Pixels:
    """All alike from afar, and in its pixels each like one other."""
    squares = np.repeat(rng.choice(np.array([-60, 60]), (count // 2, 8, 8, 1)), 2, axis=0)
    pattern = np.kron(np.ones((8, 8)), np.array([[1, -1], [-1, 1]]))[None, ..., None]
    images = (128 + pattern * np.kron(squares, np.ones((1, 2, 2, 1)))).astype(np.uint8)
    images[::2, 0, 0] += 1
    return rng.permutation(images)


def of_every_brightness(rng: np.random.Generator, count: int) -> Pixels:
    """The same few pictures at contrasts from strong to none, and images of one colour."""
    strength = rng.uniform(0, 1, (count, 1, 1, 1)) ** 3
    images = (128 + strength * (noise(rng, 4)[rng.integers(4, size=count)].astype(float) - 128)).astype(np.uint8)
    images[::10] = rng.integers(0, 256, (len(images[::10]), 1, 1, 1))
    return images


def mixed(rng: np.random.Generator, count: int) -> Pixels:
    images = noise(rng, count)
    images[: count // 3] = beside(rng, images[-(count // 3) :], 5)
    images[count // 2 :: 7] = images[0]
    return rng.permutation(images)


SETS = [mixed, smooth, frames, scenes, fading, faint, textures, of_every_brightness]


def by_every_pair(images: Pixels, joined: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """The group of each image, from whole numbers as far as they go; some pairs are joined whatever they look like."""
    count = len(images)
    pixels = images.reshape(count, -1).astype(np.int64)
    contrast = np.square(pixels).sum(1) - np.square(pixels.sum(1)) / pixels.shape[1]
    bounds = [[side * part // 8 for part in range(9)] for side in images.shape[1:3]]
    cells = [
        (images[:, top:foot, left:right].astype(np.int64).sum((1, 2)), (foot - top) * (right - left))
        for top, foot in pairwise(bounds[0])
        for left, right in pairwise(bounds[1])
        if top < foot and left < right
    ]
    fainter = np.minimum.outer(contrast, contrast)
    afar = sum(np.square(each[:, None] - each).sum(2) / size for each, size in cells)
    near = np.stack([np.square(one - pixels).sum(1) for one in pixels])
    alike = (near == 0) | ((near <= PIXEL_TOLERANCE**2 * fainter) & (afar <= CELL_TOLERANCE**2 * fainter))
    for one, other in joined:
        alike[one, other] = True
    return connected_components(coo_array(alike), directed=False)[1]


def same(groups: np.ndarray, others: np.ndarray) -> bool:
    """Whether two ways to number things put the same ones together."""
    return len({*zip(groups.tolist(), others.tolist(), strict=True)}) == len({*groups.tolist()}) == len({*others.tolist()})


@pytest.mark.parametrize("leaf", [8, 64])
@pytest.mark.parametrize("make", SETS)
def test_the_groups_are_those_that_comparing_every_pair_finds(make: object, leaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_search, "LEAF_SIZE", leaf)
    monkeypatch.setattr(duplicate_search, "LEAVES_AT_ONCE", 3)
    images = make(np.random.default_rng(leaf), 140)  # type: ignore[operator]
    assert same(duplicate_groups(images), by_every_pair(images))


def test_there_is_something_to_find_in_the_sets() -> None:
    found = {make.__name__: len(np.unique(duplicate_groups(make(np.random.default_rng(0), 300)))) for make in SETS}
    assert found["frames"] == 3 and found["fading"] == 1 and found["textures"] == 150 and found["faint"] == 150
    assert 150 < found["mixed"] < 240 and 10 < found["of_every_brightness"] < 200


def test_groups_that_reach_into_many_leaves_hide_no_pair_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_search, "LEAF_SIZE", 8)
    rng = np.random.default_rng(0)
    images = scenes(rng, 140)
    joined = [(0, other) for other in rng.permutation(140)[:40].tolist()]
    search = DuplicateSearch(images, np.arange(140))
    search.groups.join(*np.array(joined).T)
    search.run()
    assert same(search.groups.group_numbers(), by_every_pair(images, joined))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 1), (2, 2, 3), (5, 9, 4)])
def test_images_of_every_shape_are_compared(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images = noise(rng, 60, shape)
    images[30:] = beside(rng, images[:30], 4)
    assert same(duplicate_groups(images), by_every_pair(images))


def test_no_image_and_one_image_are_no_trouble() -> None:
    for count in (0, 1):
        assert duplicate_groups(noise(np.random.default_rng(0), count)).tolist() == [0] * count


# ----------------------------------------------------------------------------------------------------------------- the cost


def searched(images: Pixels) -> DuplicateSearch:
    search = DuplicateSearch(images, np.arange(len(images)))
    search.run()
    return search


@pytest.mark.parametrize("make", [noise, smooth, frames])
def test_pixels_are_compared_a_few_times_for_each_image_however_many_there_are(make: object) -> None:
    few, many = (searched(make(np.random.default_rng(0), count)) for count in (300, 900))  # type: ignore[operator]
    assert few.compared <= 3 * 300 and many.compared <= 3 * 900


def test_four_times_as_many_images_in_which_few_axes_differ_are_few_times_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_search, "LEAF_SIZE", 8)
    few, many = (searched(smooth(np.random.default_rng(0), count)).projected for count in (500, 2000))
    assert many < 8 * few  # every pair would be 16 times


def test_frames_that_are_known_to_be_of_one_scene_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_search, "LEAF_SIZE", 32)
    count = 1000
    search = searched(frames(np.random.default_rng(0), count))
    assert search.projected < count**2 / 8


# -------------------------------------------------------------------------------------------------------------- on the disk


def stacked(images: Pixels) -> DiskImages:
    stack = DiskImages()
    for image in images:
        stack.append(image)
    return stack


def test_images_on_the_disk_are_those_that_were_put_there() -> None:
    rng = np.random.default_rng(0)
    images = noise(rng, 50)
    stack = stacked(images)
    places = rng.integers(50, size=70)
    assert stack.shape == images.shape and np.array_equal(stack[places], images[places])
    assert np.array_equal(stack[places[:0]], images[:0])
    joined = Concatenated([Subset(stack, places[:20]), images, Subset(images, places[20:])])
    wanted = np.concatenate([images[places[:20]], images, images[places[20:]]])
    assert joined.shape == wanted.shape
    for some in (np.arange(120), rng.permutation(120), np.array([0, 19, 20, 69, 70, 119])):
        assert np.array_equal(joined[some], wanted[some])
    stack.append(images[0])
    assert np.array_equal(stack[np.array([50, 3])], images[[0, 3]])
    assert np.array_equal(duplicate_groups(stack), duplicate_groups(np.concatenate([images, images[:1]])))


def test_the_scale_of_images_is_that_of_all_pixels_at_once(tmp_path: Path) -> None:
    images = noise(np.random.default_rng(0), 300, (70, 50, 3), 3, 200)
    np.save(tmp_path / "train.images.npy", images)
    mean, deviation = channel_statistics(tmp_path / "train.images.npy")
    assert mean == pytest.approx(images.mean(axis=(0, 1, 2)), rel=1e-5)
    assert deviation == pytest.approx(images.std(axis=(0, 1, 2)), rel=1e-5)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images() -> None:
    rng = np.random.default_rng(0)
    stack = DiskImages()
    for _ in range(200):
        for image in noise(rng, 50, (64, 64, 3)):
            stack.append(image)
    tracemalloc.start()
    duplicate_groups(stack, digests(stack))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 90e6 < 10_000 * 64 * 64 * 3
