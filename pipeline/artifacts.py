"""Every file that a stage leaves, named once; written whole or not at all; and what makes two runs the same run.

The ground of the house: no torch, nothing of ours but params.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.params import DEEPEST, Refusal, read_yaml

if TYPE_CHECKING:
    import numpy.typing as npt

# ------------------------------------------------------------------------------------------------- names, one for a file

SPLITS = ("train", "validation", "test")

NONE = Path("data/none")  # what a knob that names a folder names where there is none: DVC wants every dependency to be there
RAW = Path("data/raw")  # prepare: {split}.txt, {split}.ends.npy, card.json, and train.difficulty.npy of some
TOKENS = Path("data/tokens")  # tokenize: {split}.npy, train.parts.npy, tokenizer.json, meta.json
MODEL = Path("models/model")  # train: model.safetensors, model.json
SNAPSHOTS = Path("models/snapshots")  # train: step-00000000.safetensors …, snapshots.json
GOOD = Path("models/good")  # train, where it gave up: the last weights before it went wrong, as model.*
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


CARD = RAW / "card.json"
MOST_JSON = 1 << 28  # bytes of a JSON file: ten times the longest tokenizer.json


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
    """(end, difficulty, source) [parts]: of what the training ids consist; see corpus/parts.py."""
    return tokens / "train.parts.npy"


def tokenizer_of(tokens: Path) -> Path:
    """The tokenizer that made the ids."""
    return tokens / "tokenizer.json"


def made_for(tokens: Path) -> str:
    """The sha256 by which a model knows what it was trained to read: the tokenizer, or, of images, their size and scale."""
    return sha256_of(tokenizer_of(tokens) if tokenizer_of(tokens).exists() else meta_of(tokens))


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


# ---------------------------------------------------------------------------------------------------- whole or not at all


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


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """An open file that becomes `path` only when the block ends well: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what killed processes left of this file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.unfinished"):
        try:
            os.kill(int(left.name.split(".")[-2]), 0)  # no signal, only the question whether it lives
        except (ProcessLookupError, ValueError):
            left.unlink(missing_ok=True)
        except PermissionError:
            pass


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


def json_of(path: Path) -> Any:
    """The content of a JSON file, whoever wrote it.

    Raises:
        ValueError: it is not JSON, or is longer or nested deeper than anything of use.
    """
    if path.stat().st_size > MOST_JSON:
        raise ValueError(f"more than {MOST_JSON:,} bytes")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [content]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return content
    raise ValueError(f"nested deeper than {DEEPEST} levels")  # Python could read it, and neither show nor write it


def _inside(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def read_json(path: Path, *wanted: str) -> dict[str, Any]:
    """The content of a JSON file that an earlier stage left: an object, in which the wanted keys stand.

    Raises:
        Refusal: it is missing or damaged.
    """
    try:
        content = json_of(path)
    except FileNotFoundError:
        raise Refusal(f"{path}: is not there; `dvc repro` makes it") from None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not content.keys() >= set(wanted):
        raise Refusal(f"{path}: is damaged, or of other code; `dvc checkout --force` brings it back, `dvc repro` makes it anew")
    return content


def memory_mapped(path: Path) -> npt.NDArray[Any]:
    """The numbers of an .npy file that an earlier stage left, read from the disk as they are wanted.

    Raises:
        Refusal: it is missing or damaged.
    """
    import numpy as np  # here, for whoever wants no numbers should not wait for it

    try:
        numbers: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise Refusal(f"{path}: is not there; `dvc repro` makes it") from None
    except (ValueError, EOFError):
        raise Refusal(f"{path}: is damaged; `dvc checkout --force` brings it back, `dvc repro` makes it anew") from None
    return numbers


def rounded(number: float, digits: int = 6) -> float:
    """A number with so many significant digits: metrics that people read, and bytes that do not hang on the last bit."""
    if number == 0 or not math.isfinite(number):
        return number
    return round(number, digits - 1 - math.floor(math.log10(abs(number))))


# ------------------------------------------------------------------------------------------- checksums, identity of a run


def sha256_of(path: Path) -> str:
    """The sha256 of a file, or of every file of a folder with its name, in hexadecimal digits."""
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and not _is_ignored(p.relative_to(path)))
        lines = (f"{p.relative_to(path).as_posix()} {sha256_of(p)}\n" for p in inside)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_ignored(path: Path) -> bool:
    """What is none of a folder's content: .dvcignore names it too."""
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


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


def digest(content: Any) -> str:
    """The sha256 of what JSON says, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def tokenizer_digest(content: Mapping[str, Any]) -> str:
    """The sha256 of what decides the ids in a tokenizer.json, however it was saved.

    Other versions of the library lay merges out otherwise and leave out what is null or false. How texts are shortened and
    filled up (a call of transformers leaves both in the file), what is put around them, and how ids become text again, all
    that changes no id of a text.
    """
    model = {key: value for key, value in dict(content.get("model") or {}).items() if value not in (None, False, "", 0)}
    merges = model.get("merges", [])
    model["merges"] = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
    added = [[token.get("id"), token.get("content"), token.get("special")] for token in content.get("added_tokens") or []]
    return digest([model, content.get("normalizer"), content.get("pre_tokenizer"), sorted(added, key=str)])


def identity(stage: str, params: Mapping[str, Any], places: Mapping[str, Path] | None = None) -> str:
    """The name of a run: a digest of the stage's parameters, data and code. Equal names promise equal results.

    What the code and the data are is what dvc.yaml says they are (its `deps`); a law of the house keeps that true.

    Args:
        stage: a stage of dvc.yaml.
        params: the values of the sections that the stage lists.
        places: where a dependency lies, by its name in dvc.yaml, if not there.
    """
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode())
    for dependency in sorted(map(str, read_yaml(Path("dvc.yaml"))["stages"][stage]["deps"])):
        path = (places or {}).get(dependency) or _named_by(dependency, params)
        if path == NONE:
            continue
        if not path.exists():
            raise Refusal(f"{dependency.strip('${}')}: there is no '{path}' here")
        digest.update(f"{dependency} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:32]


def _named_by(dependency: str, params: Mapping[str, Any]) -> Path:
    """A dependency of dvc.yaml as a path; ${section.knob} stands for what the knob says."""
    if not (knob := re.fullmatch(r"\$\{(\w+)\.(\w+)\}", dependency)):
        return Path(dependency)
    return Path(params.get(knob[1], {}).get(knob[2], NONE))
