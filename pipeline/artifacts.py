"""Every file that a stage leaves, named once; written whole or not at all; and what makes two runs the same run.

The ground of the house: no torch, nothing of ours but params.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.params import Refusal, read_yaml

# ------------------------------------------------------------------------------------------------- names, one for a file

SPLITS = ("train", "validation", "test")

RAW = Path("data/raw")  # prepare: {split}.txt, {split}.ends.npy, card.json
TOKENS = Path("data/tokens")  # tokenize: {split}.npy, tokenizer.json, meta.json
MODEL = Path("models/model")  # train: model.safetensors, model.json
SNAPSHOTS = Path("models/snapshots")  # train: step-00000000.safetensors …, snapshots.json
TRAIN_CURVE = Path("metrics/train.csv")  # train: loss, learning rate, gradient norm by step
VALIDATION_CURVE = Path("metrics/validation.csv")  # train: loss on held-out text by step
TRAIN_METRICS = Path("metrics/train.json")  # train: the last row, live while it runs
EVALUATION = Path("metrics/evaluate.json")  # evaluate: the scores that experiments are compared by, beside simpler things
SAMPLES = Path("metrics/samples.md")  # evaluate: what it writes
READINGS = Path("metrics/readings")  # probe: one JSON a reading
PICTURES = Path("plots/pictures")  # plot: one PNG a curve and a reading
REPORT = Path("plots/report.html")  # plot: the run on one page


def text_of(split: str) -> Path:
    """UTF-8 text of a split, its documents one after the other."""
    return RAW / f"{split}.txt"


def ends_of(split: str) -> Path:
    """int64 [documents]: the byte offset in text_of(split) at which each document ends."""
    return RAW / f"{split}.ends.npy"


def tokens_of(split: str) -> Path:
    """uint8/16/32 [tokens]: the ids of a split, flat; memory-mappable."""
    return TOKENS / f"{split}.npy"


CARD = RAW / "card.json"
TOKENIZER = TOKENS / "tokenizer.json"
TOKENS_META = TOKENS / "meta.json"


def dvc_root() -> Path:
    """The repository that the user stands in, also when DVC runs a stage in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def private(room: str) -> Path:
    """A git-ignored folder of this clone, for what is no result: checkpoints, timings, caches."""
    return dvc_root() / ".rally" / room


# ---------------------------------------------------------------------------------------------------- whole or not at all


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """An open file that becomes `path` only when the block ends well: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    with writing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Sorted keys, finite numbers only, one trailing newline: equal content gives equal bytes.

    Raises:
        ValueError: a number is not finite (DVC's tables cannot hold it: leave it out and set a `diverged` flag).
    """
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # A list of plain values on one line: a map of attention is thousands of numbers, and git keeps it.
    text = re.sub(r"\[\n *([^\[\]{}]*)\n *\]", lambda found: "[" + re.sub(r"\n *", " ", found[1]) + "]", text)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file that an earlier stage left.

    Raises:
        Refusal: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{path}: is not there; `dvc repro` makes it") from None
    except ValueError:
        raise Refusal(f"{path}: is damaged (no JSON); `dvc checkout` brings it back, `dvc repro` makes it anew") from None


def rounded(number: float, digits: int = 6) -> float:
    """A number with so many significant digits: metrics that people read, and bytes that do not hang on the last bit."""
    if number == 0 or not math.isfinite(number):
        return number
    return round(number, digits - 1 - math.floor(math.log10(abs(number))))


# ------------------------------------------------------------------------------------------- checksums, identity of a run


def sha256_of(path: Path) -> str:
    """The sha256 of a file, or of every file of a folder with its name, in hexadecimal digits."""
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        lines = (f"{p.relative_to(path).as_posix()} {sha256_of(p)}\n" for p in inside)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Hold a file against the checksum that was written down when it was made.

    Raises:
        Refusal: it is missing, or not the file that was written.
    """
    if not path.exists():
        raise Refusal(f"{path}: is not there; `dvc repro` makes it")
    if (found := sha256_of(path)) != expected:
        raise Refusal(
            f"{path}: is damaged (sha256 {found[:12]}…, written as {expected[:12]}…); `dvc checkout --force` brings it back"
        )


def identity(stage: str, params: Mapping[str, Any]) -> str:
    """The name of a run: a digest of the stage's parameters, data and code. Equal names promise equal results.

    What the code and the data are is what dvc.yaml says they are (its `deps`); a law of the house keeps that true.

    Args:
        stage: a stage of dvc.yaml.
        params: the values of the sections that the stage lists.
    """
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode())
    for dependency in sorted(map(str, read_yaml(Path("dvc.yaml"))["stages"][stage]["deps"])):
        digest.update(f"{dependency} {sha256_of(Path(dependency))}\n".encode())
    return digest.hexdigest()[:32]
