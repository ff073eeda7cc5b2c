"""Every file that a stage leaves, named once, and the folders that Rally keeps for itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SPLITS = ("train", "validation", "test")


NONE = Path("data/none")  # what a knob that names a folder names where there is none: DVC wants every dependency to be there


RAW = Path("data/raw")  # prepare: {split}.txt, {split}.ends.npy, card.json, and train.difficulty.npy of some


TOKENS = Path("data/tokens")  # tokenize: {split}.npy, train.parts.npy, tokenizer.json, meta.json


MODEL = Path("models/trained/model")  # train: model.safetensors, model.json


SNAPSHOTS = Path("models/trained/snapshots")  # train: step-00000000.safetensors …, snapshots.json


GOOD = Path("models/trained/good")  # train, where it gave up: the last weights before it went wrong, as model.*


TRAIN_CURVE = Path("metrics/train.csv")  # train: loss, learning rate, gradient norm by step


VALIDATION_CURVE = Path("metrics/validation.csv")  # train: loss on held-out text by step


TRAIN_METRICS = Path("metrics/train.json")  # train: the last row, live while it runs


SANITY = Path("metrics/sanity.json")  # train: whether the fresh network was sound, in numbers


EVALUATION = Path("metrics/evaluate.json")  # evaluate: the scores that experiments are compared by, beside simpler things


SAMPLES = Path("metrics/samples.md")  # evaluate: what it writes; of a classifier, its worst mistakes


MISTAKES = Path("metrics/mistakes.json")  # evaluate, of a classifier: the same with their pixels, for the pictures


READINGS = Path("metrics/readings")  # probe: one JSON a reading


PROBE_METRICS = Path("metrics/probe.json")  # probe: a few numbers of the readings, by which experiments are compared


DIAGNOSIS = Path("metrics/doctor.json")  # diagnose: healthy, or what is wrong and what would tell; its signs


DIAGNOSIS_PICTURE = Path("plots/doctor.png")  # plot: the doctor's signs, by its name the first of all pictures in `dvc plots`


PICTURES = Path("plots/pictures")  # plot: one PNG a curve and a reading


REPORT = Path("plots/report.html")  # plot: the run on one page


LEFT_BY: dict[str, tuple[Path, ...]] = {
    "prepare": (RAW,),
    "tokenize": (TOKENS,),
    "train": (MODEL.parent, TRAIN_CURVE, VALIDATION_CURVE, TRAIN_METRICS, SANITY),
    "evaluate": (EVALUATION, SAMPLES, MISTAKES),
    "probe": (READINGS,),
    "diagnose": (DIAGNOSIS,),
}
"""What later stages read of each stage; every file of it has a checksum."""


NOT_CACHED = ("evaluate", "probe", "diagnose")  # stages whose outs git keeps, so that `dvc checkout` cannot bring them back


CHECKSUMS = "checksums.sha256"  # of a folder's files, in that folder


CARD = RAW / "card.json"


def text_of(raw: Path, split: str) -> Path:
    """UTF-8 text of a split, its documents one after the other."""
    return raw / f"{split}.txt"


def ends_of(raw: Path, split: str) -> Path:
    """int64 [documents]: the byte offset in the text of a split at which each document ends."""
    return raw / f"{split}.ends.npy"


def labels_of(folder: Path, split: str) -> Path:
    """uint16 [examples], of data/raw and data/tokens: the number of each example's class, where there are classes."""
    return folder / f"{split}.labels.npy"


def images_of(folder: Path, split: str) -> Path:
    """uint8 [examples, height, width, channels], of data/raw and data/tokens."""
    return folder / f"{split}.images.npy"


def difficulty_of(raw: Path) -> Path:
    """float32 [documents]: how hard each training document is, where its maker knows; not a number where not."""
    return raw / "train.difficulty.npy"


def tokens_of(tokens: Path, split: str) -> Path:
    """uint8/16/32 [tokens]: the ids of a split, flat; memory-mappable."""
    return tokens / f"{split}.npy"


def parts_of(tokens: Path) -> Path:
    """(end, difficulty, source) [parts]: of what the training ids consist; see corpus/encode/difficulty.py."""
    return tokens / "train.parts.npy"


def tokenizer_of(tokens: Path) -> Path:
    """The tokenizer that made the ids."""
    return tokens / "tokenizer.json"


def meta_of(tokens: Path) -> Path:
    """Counts of tokens and bytes, and what the card knows of the text."""
    return tokens / "meta.json"


def dvc_root() -> Path:
    """The repository that the user stands in, also when DVC runs a stage in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def programs(words: Sequence[str]) -> set[str]:
    """The names that a process goes by, from its command line: dvc for `dvc …`, `python …/dvc …` and `python -m dvc …`.

    Not for `sh ./run dvc …` or `timeout 60 dvc …`, which have started one or are about to.
    """
    return {Path(word).name for word in (words[2:3] if list(words[1:2]) == ["-m"] else words[:2])}


def private(room: str) -> Path:
    """A git-ignored folder of this clone, for what is no result: checkpoints, timings, caches."""
    return dvc_root() / ".rally" / room


def cache() -> Path:
    """The folder that every clone and every experiment of this user shares; the variable RALLY_CACHE puts it elsewhere."""
    import platformdirs

    return Path(os.environ.get("RALLY_CACHE") or platformdirs.user_cache_dir("rally"))


@contextlib.contextmanager
def alone(lock: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A block that one process at a time is in; the lock goes with its process, however that ends.

    Args:
        lock: a file, made where it is not there, or a folder that is.
        waiting: called once where another process is in it.
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
