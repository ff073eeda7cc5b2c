"""The path of every file that a stage writes, and the private folders of Rally."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SPLITS = ("train", "validation", "test")


NONE = Path("data/none")  # stands for no folder in a knob that takes one, because DVC needs every dependency to exist


RAW = Path("data/raw")  # prepare: {split}.txt, {split}.ends.npy, card.json, for some data sets train.difficulty.npy


TOKENS = Path("data/tokens")  # tokenize: {split}.npy, train.parts.npy, tokenizer.json, meta.json


MODEL = Path("models/trained/model")  # train: model.safetensors, model.json


SNAPSHOTS = Path("models/trained/snapshots")  # train: step-00000000.safetensors …, snapshots.json


GOOD = Path("models/trained/good")  # train, if it stopped early: the last weights before it diverged, as model.*


TRAIN_CURVE = Path("metrics/train.csv")  # train: loss, learning rate, gradient norm by step


VALIDATION_CURVE = Path("metrics/validation.csv")  # train: validation loss by step


TRAIN_METRICS = Path("metrics/train.json")  # train: the last row, live while it runs


SANITY = Path("metrics/sanity.json")  # train: sanity checks of the untrained network, in numbers


EVALUATION = Path("metrics/evaluate.json")  # evaluate: the scores that experiments are compared by, and those of baselines


SAMPLES = Path("metrics/samples.md")  # evaluate: samples of a language model, or the worst mistakes of a classifier


MISTAKES = Path("metrics/mistakes.json")  # evaluate: the same mistakes with their pixels, for the pictures


READINGS = Path("metrics/readings")  # probe: one JSON file per reading


PROBE_METRICS = Path("metrics/probe.json")  # probe: a few numbers from the readings, to compare experiments by


DIAGNOSIS = Path("metrics/doctor.json")  # diagnose: the finding, its causes and their experiments, the signs


DIAGNOSIS_PICTURE = Path("plots/doctor.png")  # plot: the doctor's signs; its name sorts first among the pictures of `dvc plots`


PICTURES = Path("plots/pictures")  # plot: one PNG per curve and per reading


REPORT = Path("plots/report.html")  # plot: the run on one page


READ_OUTS: dict[str, tuple[Path, ...]] = {
    "prepare": (RAW,),
    "tokenize": (TOKENS,),
    "train": (MODEL.parent, TRAIN_CURVE, VALIDATION_CURVE, TRAIN_METRICS, SANITY),
    "evaluate": (EVALUATION, SAMPLES, MISTAKES),
    "probe": (READINGS,),
    "diagnose": (DIAGNOSIS,),
}
"""The outs of each stage that later stages read; every file in them has a checksum."""


UNCACHED_STAGES = ("evaluate", "probe", "diagnose")  # stages whose outs git tracks, so `dvc checkout` cannot restore them


CHECKSUMS = "checksums.sha256"  # of a folder's files, in that folder


CARD = RAW / "card.json"


def text_of(raw: Path, split: str) -> Path:
    """UTF-8 text of a split, its documents concatenated."""
    return raw / f"{split}.txt"


def ends_of(raw: Path, split: str) -> Path:
    """int64 [documents]: the byte offset in the text of a split at which each document ends."""
    return raw / f"{split}.ends.npy"


def labels_of(folder: Path, split: str) -> Path:
    """uint16 [examples], in data/raw and data/tokens: class index of each example, if there are classes."""
    return folder / f"{split}.labels.npy"


def images_of(folder: Path, split: str) -> Path:
    """uint8 [examples, height, width, channels], in data/raw and data/tokens."""
    return folder / f"{split}.images.npy"


def difficulty_of(raw: Path) -> Path:
    """float32 [documents]: difficulty of each training document, NaN if its generator does not know it."""
    return raw / "train.difficulty.npy"


def tokens_of(tokens: Path, split: str) -> Path:
    """uint8/16/32 [tokens]: the ids of a split, flat; memory-mappable."""
    return tokens / f"{split}.npy"


def parts_of(tokens: Path) -> Path:
    """(end, difficulty, source) [parts] of the training ids; see corpus/encode/difficulty.py."""
    return tokens / "train.parts.npy"


def tokenizer_of(tokens: Path) -> Path:
    """The tokenizer of the ids."""
    return tokens / "tokenizer.json"


def meta_of(tokens: Path) -> Path:
    """Counts of tokens and bytes, and some entries of the data set's card."""
    return tokens / "meta.json"


def dvc_root() -> Path:
    """The top folder of the user's repository, also when DVC runs a stage in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def program_names(words: Sequence[str]) -> set[str]:
    """The program names in a command line: dvc for `dvc …`, `python …/dvc …` and `python -m dvc …`.

    Not for `sh ./run dvc …` or `timeout 60 dvc …`, which start the program as another process.
    """
    return {Path(word).name for word in (words[2:3] if list(words[1:2]) == ["-m"] else words[:2])}


def private_folder(room: str) -> Path:
    """A git-ignored folder of this clone for files that are not results: checkpoints, timings, caches."""
    return dvc_root() / ".rally" / room


def cache_folder() -> Path:
    """The cache folder that all clones and experiments of this user share; RALLY_CACHE overrides it."""
    import platformdirs

    return Path(os.environ.get("RALLY_CACHE") or platformdirs.user_cache_dir("rally"))


@contextlib.contextmanager
def exclusive_lock(lock: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A block that one process at a time runs. The lock is released when its process ends, in whatever way.

    Args:
        lock: a file, created if missing, or an existing folder.
        waiting: called once if another process holds the lock.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDONLY if lock.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
