"""Every file that a stage leaves, named once; written whole or not at all; and what makes two runs the same run.

The ground of the house: no torch, nothing of ours but params.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.params import DEEPEST, UserError, read_yaml

if TYPE_CHECKING:
    import numpy.typing as npt

# ------------------------------------------------------------------------------------------------- names, one for a file

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
    """(end, difficulty, source) [parts]: of what the training ids consist; see corpus/encode/difficulty.py."""
    return tokens / "train.parts.npy"


def tokenizer_of(tokens: Path) -> Path:
    """The tokenizer that made the ids."""
    return tokens / "tokenizer.json"


def made_for(tokens: Path) -> str:
    """The sha256 by which a model knows what it was trained to read: the tokenizer, or, of images, their size and scale.

    Raises:
        Refusal: the file is damaged.
    """
    return sha256_of(verified(tokenizer_of(tokens) if is_left(tokenizer_of(tokens)) else meta_of(tokens)))


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
def naming(path: Path) -> Iterator[None]:
    """A block in which an error of the operating system names a file.

    Where a write fails, as on a full disk, the system does not say which file it was, and numpy not even why.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


class NewFile:
    """A file that is being written, as a stream. It is none of Python's file objects, so that numpy writes to it through
    `write`, whose errors say what happened, and not behind its back.

    Args:
        path: is overwritten.
        shown: the name that errors call it by, if not its own.
    """

    def __init__(self, path: Path, shown: Path | None = None) -> None:
        self.shown = shown or path
        with naming(self.shown):
            self._file = path.open("wb")

    def write(self, content: bytes | memoryview) -> int:
        with naming(self.shown):
            return self._file.write(content)

    def seek(self, place: int) -> None:
        with naming(self.shown):
            self._file.seek(place)

    def sync(self) -> None:
        """Wait until all of it is on the disk."""
        with naming(self.shown):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with naming(self.shown):
            self._file.close()

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():  # the first error is the one to be told
            self.close()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[NewFile]:
    """An open file that becomes `path` only when the block ends well: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with NewFile(unfinished, path) as file:
            yield file
            file.sync()
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


def sync(path: Path) -> None:
    """Wait until all of a file is on the disk."""
    with naming(path), path.open("rb") as file:
        os.fsync(file.fileno())


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


def write_array(path: Path, numbers: npt.NDArray[Any]) -> None:
    """Write an .npy file, in C order and without pickle."""
    import numpy as np  # here, for whoever wants no numbers should not wait for it

    with writing(path) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(numbers), allow_pickle=False)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file that an earlier stage left.

    Raises:
        Refusal: it is missing or damaged.
    """
    with opened(source) as old, writing(target) as new:
        shutil.copyfileobj(old, new, 1 << 20)


def write_kept(path: Path, content: Mapping[str, Any]) -> None:
    """Keep a result in this clone, with its own checksum, so that it need not be computed again."""
    write_json(path, {"content": content, "sha256": digest(content)})


def read_kept(path: Path) -> dict[str, Any] | None:
    """A result that `write_kept` kept; None where there is none, or a damaged one, which is as good as none."""
    try:
        kept = read_json(path, "content", "sha256")
    except UserError:
        return None
    return kept["content"] if digest(kept["content"]) == kept["sha256"] else None


def rounded(number: float, digits: int = 6) -> float:
    """A number with so many significant digits: metrics that people read, and bytes that do not hang on the last bit."""
    if number == 0 or not math.isfinite(number):
        return number
    return round(number, digits - 1 - math.floor(math.log10(abs(number))))


# -------------------------------------------------------------------------------------------------------------- checksums


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
    """Compare a file with the checksum that was written down when it was made.

    Raises:
        Refusal: it is missing, or not the file that was written.
    """
    try:
        with naming(path):
            found = sha256_of(path)
    except FileNotFoundError:
        raise UserError(missing(path)) from None
    if found != expected:
        raise UserError(f"{path}: is damaged (sha256 {found[:12]}…, written as {expected[:12]}…); {way_back(path)}")


def seal(stage: str) -> None:
    """Write down the checksums of what a stage has left: the last thing that it does."""
    for out in LEFT_BY[stage]:
        if out.is_dir():
            seal_folder(out)
    loose = [out for out in LEFT_BY[stage] if out.is_file()]
    if loose:
        _write_checksums(checksums_of(loose[0]), loose)


def seal_folder(folder: Path) -> None:
    """Write down the checksums of all files of a folder, each folder's in itself, so that a copy of it brings them along."""
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        _write_checksums(inner / CHECKSUMS, [path for path in inner.iterdir() if path.is_file() and path.name != CHECKSUMS])


def _write_checksums(checksums: Path, files: Sequence[Path]) -> None:
    """The lines that `sha256sum --check` reads, below the checksum of these lines, which it takes for a comment."""
    lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in sorted(files))
    write_text(checksums, f"# {hashlib.sha256(lines.encode()).hexdigest()}\n{lines}")


def checksums_of(path: Path) -> Path:
    """The list in which the checksum of a file stands: that of its folder; in metrics/, that of the stage that wrote it."""
    stage = _left_by(path)[0]
    return path.with_name(f"{stage}.sha256" if path in LEFT_BY.get(stage, ()) else CHECKSUMS)


def verified(path: Path) -> Path:
    """The path of a file that an earlier stage left, once its content was compared with its checksum.

    A file of any other folder, such as a copy of a model, is compared where its folder has a list of checksums.

    Raises:
        Refusal: it is missing, damaged, or a stage's and in no list.
    """
    if not path.exists():
        raise UserError(missing(path))
    if expected := _written_down(path):
        check_sha256(path, expected)
    return path


def is_left(path: Path) -> bool:
    """Whether a stage has left a file that not every run has.

    Raises:
        Refusal: it has, and the file is lost.
    """
    if path.exists():
        return True
    if path.name in (_listed(checksums_of(path)) or {}):
        raise UserError(missing(path))
    return False


def left_in(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder by name: of a stage's, all that the stage has left, and not only those that are still there."""
    known = _listed(folder / CHECKSUMS)
    names = known if known is not None else [path.name for path in folder.glob(f"*{suffix}")]
    return [folder / name for name in sorted(names) if name.endswith(suffix)]


def _written_down(path: Path) -> str | None:
    """The checksum of a file, as it stands in its list; None for one that need not have any."""
    checksums, obliged = checksums_of(path), bool(_left_by(path)[0])
    known = _listed(checksums)
    if known is None and obliged:
        raise UserError(f"{checksums}: is missing, so {path.name} cannot be verified; {way_back(checksums)}")
    if known is not None and path.name not in known and obliged:
        raise UserError(f"{path}: is not listed in {checksums}, so no stage wrote it; {way_back(path)}")
    return known.get(path.name) if known is not None else None


def _listed(checksums: Path) -> dict[str, str] | None:
    """The checksums in a list, by the names of their files; None where there is no list."""
    try:
        with naming(checksums):
            head, _, lines = checksums.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if head != b"# " + hashlib.sha256(lines).hexdigest().encode():
        raise UserError(f"{checksums}: is damaged (its own checksum differs); {way_back(checksums)}")
    return {name: checksum for checksum, _, name in (line.partition("  ") for line in lines.decode().splitlines())}


def missing(path: Path) -> str:
    """What to say of a file that is not there."""
    return f"{path}: is not there; `dvc repro` makes it"


def way_back(path: Path) -> str:
    """How a damaged file is had again.

    `dvc checkout` and `dvc repro` leave a file alone whose size and time of change are as DVC knows them, as they are on a
    failing disk; so what is damaged has to go first, or the stage has to be forced.
    """
    stage, out = _left_by(path)
    if not stage:
        return "copy it again, or make it anew"
    anew = f"`dvc repro --force --single-item {stage}` makes it anew"
    return anew if stage in NOT_CACHED else f"`rm -r {out} && dvc checkout {out}` brings it back, {anew}"


def _left_by(path: Path) -> tuple[str, Path]:
    """(the stage that leaves a file, the out of dvc.yaml that it is or lies in); ("", NONE) for a file of no stage."""
    for stage, outs in LEFT_BY.items():
        for out in (*outs, Path(f"metrics/{stage}.sha256")):
            if out == path or out in path.parents:
                return stage, out
    return "", NONE


# --------------------------------------------------------------------------------------------- read, but not before verified


def opened(path: Path) -> BinaryIO:
    """A file that an earlier stage left, open for reading.

    Raises:
        Refusal: it is missing or damaged.
    """
    return verified(path).open("rb")


def read_text(path: Path) -> str:
    """The text of a file that an earlier stage left.

    Raises:
        Refusal: it is missing, damaged, or no UTF-8.
    """
    with opened(path) as file, naming(path):
        content = file.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is damaged (it is no UTF-8); {way_back(path)}") from None


def json_of(path: Path) -> Any:
    """The content of a JSON file, whoever wrote it.

    Raises:
        ValueError: it is not JSON, or is longer or nested deeper than anything of use.
    """
    if path.stat().st_size > MOST_JSON:
        raise ValueError(f"more than {MOST_JSON:,} bytes")
    return json_in(path.read_text(encoding="utf-8"))


def json_in(text: str) -> Any:
    """The content of JSON text.

    Raises:
        ValueError: it is not JSON, or is nested deeper than anything of use.
    """
    try:
        content = json.loads(text)
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
        content = json_in(read_text(path))
    except ValueError:
        content = None
    if not isinstance(content, dict) or not content.keys() >= set(wanted):
        raise UserError(f"{path}: is damaged, or of other code; {way_back(path)}")
    return content


PART = [("end", "<i8"), ("difficulty", "<f4"), ("source", "|u1")]  # of {split}.parts.npy; see corpus/encode/difficulty.py

ARRAYS = (  # what is in an .npy file, by the end of its name: dimensions, and types that will do
    (".ends.npy", 1, ("int64",)),
    (".labels.npy", 1, ("uint16",)),
    (".images.npy", 4, ("uint8",)),
    (".difficulty.npy", 1, ("float32",)),
    (".parts.npy", 1, (PART,)),
    (".npy", 1, ("uint8", "uint16", "uint32")),
)


def memory_mapped(path: Path) -> npt.NDArray[Any]:
    """The numbers of an .npy file that an earlier stage left, read from the disk as they are wanted.

    Raises:
        Refusal: it is missing or damaged, or of another type or shape than a file of its name.
    """
    import numpy as np

    verified(path)
    try:
        with naming(path):
            numbers: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # never a pickle, nor an archive
    except OSError:
        raise
    except Exception as error:  # numpy reads a header with Python's own parser, and lets through whatever that raises
        raise UserError(f"{path}: is damaged (no array: {_first_line(error)}); {way_back(path)}") from None
    dimensions, types = next((of[1:] for of in ARRAYS if path.name.endswith(of[0])), (numbers.ndim, (numbers.dtype,)))
    if numbers.ndim != dimensions or numbers.dtype not in [np.dtype(one) for one in types] or not numbers.flags.c_contiguous:
        wanted = " or ".join(str(np.dtype(one)) for one in types)
        raise UserError(
            f"{path}: holds {numbers.dtype} in {numbers.ndim} dimensions"
            f"{'' if numbers.flags.c_contiguous else ', column by column'}; expected {wanted} in {dimensions};"
            f" {way_back(path)}"
        )
    return numbers


def in_blocks(path: Path, size: int) -> Iterator[npt.NDArray[Any]]:
    """The same numbers in the order in which they lie, flat, so many at a time.

    What was read of a memory map counts as memory of the process for as long as the map is there; of this, one block does.

    Raises:
        Refusal: as `memory_mapped`.
    """
    import numpy as np

    mapped = memory_mapped(path)
    with path.open("rb") as file, naming(path):
        file.seek(path.stat().st_size - mapped.nbytes)
        while len(block := np.frombuffer(file.read(size * mapped.itemsize), mapped.dtype)):
            yield block


def document_ends(folder: Path, split: str) -> npt.NDArray[Any]:
    """int64 [documents]: the byte offset in the text of a split at which each document ends; none lies behind the text.

    Raises:
        Refusal: the file is missing or damaged, or does not belong to the text.
    """
    path, size = ends_of(folder, split), text_of(folder, split).stat().st_size
    ends = memory_mapped(path)
    if not len(ends) or ends[0] < 0 or ends[-1] != size or (ends[1:] < ends[:-1]).any():
        raise UserError(
            f"{path}: is damaged (it does not divide the {size:,} bytes of {text_of(folder, split).name} into documents);"
            f" {way_back(path)}"
        )
    return ends


def parts_in(tokens: Path, count: int) -> npt.NDArray[Any]:
    """(end, difficulty, source) [parts] of the training ids; see corpus/encode/difficulty.py.

    Args:
        count: of training ids, which the parts divide.

    Raises:
        Refusal: the file is missing or damaged, or does not belong to the ids.
    """
    path = parts_of(tokens)
    parts = memory_mapped(path)
    ends = parts["end"]
    if not len(ends) or ends[0] <= 0 or ends[-1] != count or (ends[1:] <= ends[:-1]).any():
        raise UserError(f"{path}: is damaged (it does not divide the {count:,} training tokens into parts); {way_back(path)}")
    return parts


def check_below(path: Path, numbers: npt.NDArray[Any], bound: int, what: str) -> None:
    """See that all numbers of a file stand for something.

    Args:
        numbers: unsigned; what the file holds.
        bound: the first that is too high.
        what: what they number, in the plural.

    Raises:
        Refusal: one is too high.
    """
    import numpy as np

    if np.iinfo(numbers.dtype).max >= bound and (highest := int(numbers.max(initial=0))) >= bound:
        raise UserError(f"{path}: holds {highest}, and there are {bound} {what}, from 0 on; {way_back(path)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# ---------------------------------------------------------------------------------------------------- identity of a run


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
            raise UserError(f"{dependency.strip('${}')}: there is no '{path}' here")
        digest.update(f"{dependency} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:32]


def _named_by(dependency: str, params: Mapping[str, Any]) -> Path:
    """A dependency of dvc.yaml as a path; ${section.knob} stands for what the knob says."""
    if not (knob := re.fullmatch(r"\$\{(\w+)\.(\w+)\}", dependency)):
        return Path(dependency)
    return Path(params.get(knob[1], {}).get(knob[2], NONE))
