"""Time and memory of preparing your own data, and how they grow with its size.

    python -m benchmarks.data.own_data [--images 24000 48000 ...] [--rows ...] [--files ...] [--megabytes ...] [--bpe]
                                  [--pictures smooth|noise|frames] [--classes 10]

For each size the data is generated in a temporary folder, and `prepare` and `tokenize` run on it, each in a process of its
own as DVC runs it. Memory is the resident set of the process and of those that it starts, together, as a monitor of the
system shows it, sampled twenty times per second; what they share counts in each. An exponent of 1 means that twice as much
takes twice as long; it compares each size with the one before, in CPU time.

Images are PNGs of 32 x 32 pixels in colour: gradients between random colours (`smooth`), of which one in twenty is a copy with
a little noise; random pixels (`noise`), which only a full comparison tells apart; or the frames of twenty still scenes
(`frames`). Rows of a CSV are texts of 8 to 20 words with a label; files of text have some 1,000 bytes; a long text is one file.
"""

from __future__ import annotations

import argparse
import csv
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.bench import Lab, Peak, machine, table

SIDE, SCENES = 32, 20
WORDS = 20_000


class Cost(NamedTuple):
    """What a stage took: CPU and wall-clock seconds, and the peak memory of all its processes together, megabytes.

    Attributes:
        resident, apart: see Peak.
    """

    cpu: float
    wall: float
    resident: float
    apart: float


def watched(lab: Lab, stage: str) -> Cost:
    """Run a stage, and measure its time and memory."""
    with Peak() as peak:
        took = lab.run(stage)
    return Cost(took.cpu, took.wall, peak.resident, peak.apart)


# ---------------------------------------------------------------------------------------------------------------- the data


def images(folder: Path, count: int, asked: argparse.Namespace) -> dict[str, Any]:
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in range(asked.classes):
        (folder / f"class{label}").mkdir(parents=True)
    for number, image in enumerate(drawn(rng, count, asked.pictures)):
        Image.fromarray(image).save(folder / f"class{number % asked.classes}" / f"{number}.png", compress_level=1)
    return {"task.kind": "vision"}


def drawn(rng: np.random.Generator, count: int, kind: str) -> Iterator[np.ndarray]:
    """`count` images of [32, 32, 3] bytes."""
    scenes = smooth(rng, SCENES)
    for at in range(0, count, 1000):
        size = min(1000, count - at)
        if kind == "noise":
            yield from rng.integers(0, 256, (size, SIDE, SIDE, 3), dtype=np.uint8)
            continue
        some = scenes[rng.integers(SCENES, size=size)] if kind == "frames" else smooth(rng, size)
        if kind == "smooth":
            some[19::20] = some[18::20][: len(some[19::20])]
        noisy = some.astype(np.int16) + rng.integers(-2, 3, some.shape, dtype=np.int8)
        yield from np.clip(noisy, 0, 255).astype(np.uint8)


def smooth(rng: np.random.Generator, count: int) -> np.ndarray:
    """Gradients between 5 x 5 random colours: [count, 32, 32, 3]."""
    colours = rng.integers(0, 256, (count, 5, 5, 3)).astype(np.float32)
    at = np.linspace(0, 4 - 1e-3, SIDE)
    before, share = at.astype(int), (at % 1).astype(np.float32)
    rows = colours[:, before] * (1 - share)[:, None, None] + colours[:, before + 1] * share[:, None, None]
    return (rows[:, :, before] * (1 - share)[:, None] + rows[:, :, before + 1] * share[:, None]).astype(np.uint8)


def sentences(rng: np.random.Generator, count: int, fewest: int, most: int) -> Iterator[str]:
    """`count` strings of random words, some words more frequent than others."""
    letters = np.array(list("etaoinshrdlucmfwyp"))
    words = np.array(["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, WORDS)])
    for at in range(0, count, 10_000):
        sizes = rng.integers(fewest, most + 1, min(10_000, count - at))
        places = (WORDS * rng.random(int(sizes.sum())) ** 3).astype(int)
        for some in np.split(words[places], np.cumsum(sizes)[:-1]):
            yield " ".join(some)


def rows(folder: Path, count: int, asked: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        labels = rng.integers(asked.classes, size=count)
        writer.writerows((text, f"class{label}") for text, label in zip(sentences(rng, count, 8, 20), labels, strict=True))
    return {"task.kind": "classify"}


def files(folder: Path, count: int, asked: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    for number, text in enumerate(sentences(np.random.default_rng(0), count, 100, 250)):
        (folder / f"{number}.txt").write_text(text + "\n")
    return {}


def megabytes(folder: Path, count: int, asked: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    with (folder / "text.txt").open("w") as file:
        for text in sentences(np.random.default_rng(0), count * 10_000, 9, 30):
            file.write(text + "\n")
            if file.tell() >= count * 10**6:
                break
    return {}


KINDS: dict[str, Callable[[Path, int, argparse.Namespace], dict[str, Any]]] = {
    "images": images,
    "rows": rows,
    "files": files,
    "megabytes": megabytes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, nargs="+", default=[])
    parser.add_argument("--pictures", choices=["smooth", "noise", "frames"], default="smooth")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--bpe", action="store_true", help="text as byte pairs, not as bytes")
    asked = parser.parse_args()
    header = ("data", "stage", "CPU s", "wall s", "memory, MB", "each page once, MB", "exponent")
    lines: list[tuple[object, ...]] = []
    for kind, make in KINDS.items():
        before: dict[str, tuple[int, Cost]] = {}
        for count in getattr(asked, kind):
            with tempfile.TemporaryDirectory() as place:
                knobs = make(Path(place, "own"), count, asked) | {
                    "prepare.dataset": "file",
                    "prepare.path": str(Path(place, "own")),
                    "tokenize.kind": "bpe" if asked.bpe else "byte",
                    "runtime.progress": "none",
                }
                lab = Lab(Path(place, "lab"), knobs)
                for stage in ("prepare", "tokenize"):
                    cost = watched(lab, stage)
                    grown = "–"
                    if stage in before:
                        size, old = before[stage]
                        grown = f"{math.log(cost.cpu / old.cpu) / math.log(count / size):.2f}"
                    before[stage] = count, cost
                    what = f"{asked.pictures} images" if kind == "images" else kind
                    lines.append((f"{count:,} {what}", stage, *(f"{number:.3g}" for number in cost), grown))
                    print(*lines[-1], sep="  ", flush=True)
                shutil.rmtree(lab.folder)
    print(f"\n{machine()}\n\n{table(header, lines)}")


if __name__ == "__main__":
    main()
