"""What a stage leaves is read as it was written, or refused in one line that says how it is had again."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from plotted_run import leave_classified
from sealing import sealed
from small import TOP, knobs, write_images, write_labelled
from subjects import leave_model, runtime, subject
from test_journey import clone, commit, run

from pipeline import arrays
from pipeline.artifacts import checksums, paths, reading, writing
from pipeline.artifacts.checksums import _write_list, checksum_list
from pipeline.artifacts.paths import CHECKSUMS, READ_OUTS, UNCACHED_STAGES
from pipeline.artifacts.reading import read_json
from pipeline.corpus.encode.encode import evenly_spread
from pipeline.corpus.store.text import SplitWriter, document_chunks, replace_folder
from pipeline.engine.pretrained.source import open_pretrained
from pipeline.inference.trained import open_model, open_snapshots
from pipeline.params.entry_point import entry_point
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml
from pipeline.readings import load_all, read_curve
from pipeline.tasks.base import Shape
from pipeline.tasks.classify import Classification
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.vision import Vision
from pipeline.tokenizers.char import CharTokenizer
from pipeline.tokenizers.table import load as load_tokenizer

STAGES = read_yaml(TOP / "dvc.yaml")["stages"]


def flip(path: Path, place: int = -1) -> None:
    """Turn one bit of a file over and keep its times, as a failing disk does."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture(scope="module")
def left_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project as all stages leave it, with files of several kinds of task side by side."""
    with contextlib.chdir(folder := tmp_path_factory.mktemp("project")):
        return leave_all(folder)


def leave_all(tmp_path: Path) -> Path:
    leave_classified(tmp_path)
    made = subject(tmp_path, CharTokenizer.learn(["the cat sat on the mat; the dog sat on the cat.\n"], 0, has_end=True))
    write_images(tmp_path / "images")
    for split in paths.SPLITS:
        text = paths.text_of(paths.RAW, split)
        np.save(paths.ends_of(paths.RAW, split), np.array([20, text.stat().st_size]))
        for folder in (paths.RAW, paths.TOKENS):
            for of in (paths.images_of, paths.labels_of):
                shutil.copy(of(tmp_path / "images", split), of(folder, split))
    np.save(paths.difficulty_of(paths.RAW), np.zeros(2, np.float32))
    writing.write_json(paths.CARD, {"name": "cats"})
    count = len(np.load(paths.tokens_of(paths.TOKENS, "train")))
    np.save(paths.parts_of(paths.TOKENS), np.array([(count, 0, 0)], arrays.PART))
    leave_model(tmp_path, made)
    (paths.GOOD).mkdir()
    shutil.copy(paths.MODEL.with_suffix(".json"), paths.GOOD)
    return sealed(tmp_path)


@pytest.fixture
def project(left_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which we stand."""
    shutil.copytree(left_once, folder := tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def a_tokens_task() -> LanguageModelling:
    return LanguageModelling(paths.TOKENS, knobs().model, Shape.of(read_json(paths.meta_of(paths.TOKENS))))


def a_vision_task() -> Vision:
    return Vision(paths.TOKENS, knobs().model, Shape(0, ("a", "b", "c"), (6, 6, 1)))


# Every file that a later stage or a command reads, with what reads it. Weights are named too: model.json says what they are.
RAW, TOKENS, MODELS = paths.RAW, paths.TOKENS, paths.MODEL.parent
READERS: dict[str, Callable[[], Any]] = {
    "data/raw/train.txt": lambda: list(document_chunks(RAW, "train", 100)),
    "data/raw/validation.txt": lambda: list(evenly_spread(RAW, "validation")),
    "data/raw/train.ends.npy": lambda: list(document_chunks(RAW, "train", 100)),
    "data/raw/test.labels.npy": lambda: arrays.memory_mapped(paths.labels_of(RAW, "test")),
    "data/raw/test.images.npy": lambda: arrays.memory_mapped(paths.images_of(RAW, "test")),
    "data/raw/train.difficulty.npy": lambda: arrays.memory_mapped(paths.difficulty_of(RAW)),
    "data/raw/card.json": lambda: read_json(paths.CARD),
    "data/tokens/train.npy": lambda: a_tokens_task().ids("train"),
    "data/tokens/train.parts.npy": lambda: a_tokens_task().parts(),
    "data/tokens/validation.labels.npy": lambda: a_vision_task().images("validation"),
    "data/tokens/validation.images.npy": lambda: a_vision_task().images("validation"),
    "data/tokens/meta.json": a_tokens_task,
    "data/tokens/tokenizer.json": lambda: load_tokenizer(paths.tokenizer_of(TOKENS)),
    "models/trained/model.json": lambda: open_model(MODELS, runtime()),
    "models/trained/model.safetensors": lambda: open_model(MODELS, runtime()),
    "models/trained/good/model.json": lambda: open_pretrained(paths.GOOD),
    "models/trained/snapshots/snapshots.json": lambda: next(open_snapshots(MODELS, runtime(), sequences=1, toy_text="")),
    "models/trained/snapshots/step-000000000.safetensors": lambda: next(
        open_snapshots(MODELS, runtime(), sequences=1, toy_text="")
    ),
    "metrics/train.csv": lambda: read_curve(paths.TRAIN_CURVE),
    "metrics/validation.csv": lambda: read_curve(paths.VALIDATION_CURVE),
    "metrics/train.json": lambda: read_json(paths.TRAIN_METRICS),
    "metrics/sanity.json": lambda: read_json(paths.SANITY),
    "metrics/evaluate.json": lambda: read_json(paths.EVALUATION),
    "metrics/samples.md": lambda: reading.read_text(paths.SAMPLES),
    "metrics/mistakes.json": lambda: read_json(paths.MISTAKES),
    "metrics/readings/attention.json": load_all,
    "metrics/doctor.json": lambda: read_json(paths.DIAGNOSIS),
}


# ------------------------------------------------------------------------------------------------------------ one flipped bit


@pytest.mark.parametrize("file", READERS)
def test_a_file_with_one_bit_flipped_is_refused_by_its_reader(file: str, project: Path) -> None:
    place = random.Random(file).randrange(Path(file).stat().st_size)
    flip(Path(file), place)
    with pytest.raises(UserError) as refused:
        READERS[file]()
    [line] = refused.value.problems
    assert line.startswith(f"{file}: is damaged (sha256 ")
    flip(Path(file), place)
    os.utime(file)
    READERS[file]()


def test_readers_read_files_of_every_out() -> None:
    outs = {out for outs in READ_OUTS.values() for out in outs}
    assert [str(out) for out in outs if not any(out == Path(file) or out in Path(file).parents for file in READERS)] == []


@pytest.mark.parametrize("place", [0, 1, 40, 66, 130, -3])
@pytest.mark.parametrize(
    "file", ["data/tokens/train.npy", "models/trained/good/model.json", "metrics/train.csv", "metrics/samples.md"]
)
def test_a_damaged_list_of_checksums_is_named_itself(file: str, place: int, project: Path) -> None:
    checksums = checksum_list(Path(file))
    flip(checksums, place)
    with pytest.raises(UserError, match=f"^{checksums}: is damaged") as refused:
        READERS[file]()
    assert str(checksums if "metrics" in file else checksums.parts[0]) in str(refused.value).partition(";")[2] or (
        "--single-item evaluate" in str(refused.value)
    )


@pytest.mark.parametrize(
    "file", ["data/raw/train.txt", "models/trained/model.json", "metrics/train.csv", "metrics/evaluate.json"]
)
def test_what_a_stage_left_is_never_read_without_a_checksum(file: str, project: Path) -> None:
    checksums, name = checksum_list(Path(file)), Path(file).name
    others = [line.split()[1] for line in checksums.read_text().splitlines()[1:] if not line.endswith(f"  {name}")]
    _write_list(checksums, [checksums.with_name(other) for other in others])
    with pytest.raises(UserError, match=f"^{file}: is not listed in {checksums}"):
        READERS[file]()
    checksums.unlink()
    with pytest.raises(UserError, match=f"^{checksums}: is missing, so {name} cannot be verified"):
        READERS[file]()


def test_a_file_that_is_lost_is_missed_though_not_every_run_has_it(project: Path) -> None:
    (paths.READINGS / "attention.json").unlink()
    with pytest.raises(UserError, match=r"^metrics/readings/attention\.json: not found"):
        load_all()
    assert not checksums.was_written(RAW / "of another run.npy")
    paths.difficulty_of(RAW).unlink()
    with pytest.raises(UserError, match=r"^data/raw/train\.difficulty\.npy: not found"):
        checksums.was_written(paths.difficulty_of(RAW))


def test_a_copy_of_a_model_brings_its_checksums_along_and_one_without_is_read_as_it_is(project: Path) -> None:
    shutil.copytree("models/trained", "mine")
    open_pretrained(Path("mine"))
    flip(Path("mine/model.json"))
    with pytest.raises(UserError, match=r"^mine/model\.json: is damaged .*; copy or create it again$"):
        open_pretrained(Path("mine"))
    shutil.copytree("models/trained", "old", ignore=shutil.ignore_patterns(CHECKSUMS))
    open_pretrained(Path("old"))


def test_the_lists_are_such_as_sha256sum_reads(project: Path) -> None:
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("there is no sha256sum here")
    checked = sorted({checksum_list(Path(file)) for file in READERS})
    assert len(checked) == 9
    for listed in checked:
        done = subprocess.run([tool, "--check", "--strict", listed.name], cwd=listed.parent, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_is_compared_again_once_it_has_changed(project: Path) -> None:
    card = paths.CARD
    read_json(card)
    flip(card)
    os.utime(card)
    with pytest.raises(UserError, match="is damaged"):
        read_json(card)


# ------------------------------------------------------------------------------------------------------ dvc.yaml and the lists


@pytest.mark.parametrize("stage", READ_OUTS)
def test_dvc_keeps_all_that_a_stage_leaves_and_its_checksums(stage: str) -> None:
    outs = {name: entry for kind in ("outs", "metrics") for entry in STAGES[stage].get(kind, ()) for name in (_name(entry),)}
    loose = [out for out in READ_OUTS[stage] if out.suffix]
    wanted = {*map(str, READ_OUTS[stage]), *(str(checksum_list(out)) for out in loose)}
    assert wanted <= outs.keys() <= wanted | {str(paths.PROBE_METRICS)}  # which no stage reads
    assert {name for name, entry in outs.items() if isinstance(entry, dict)} == (
        outs.keys() if stage in UNCACHED_STAGES else set()
    )


def _name(entry: Any) -> str:
    return next(iter(entry)) if isinstance(entry, dict) else entry


def test_a_stage_that_reads_a_file_of_metrics_depends_on_the_checksum_of_it() -> None:
    for stage, content in STAGES.items():
        read = [Path(dep) for dep in content["deps"] if dep.startswith("metrics/") and dep != str(paths.READINGS)]
        lists = {path for path in read if path.suffix == ".sha256"}
        assert {checksum_list(path) for path in read if path not in lists} == lists, stage


# ---------------------------------------------------------------------------------- files that lie, with the right checksum


def save(path: Path, numbers: npt.NDArray[Any]) -> Callable[[], None]:
    return lambda: np.save(path, numbers, allow_pickle=True)


ENDS, IDS, LABELS = (of(folder, "train") for of, folder in (
    (paths.ends_of, RAW), (paths.tokens_of, TOKENS), (paths.labels_of, TOKENS),
))  # fmt: skip
SIZE = 384  # bytes of the training text
LIES: dict[str, tuple[str, Callable[[], None], str]] = {
    "an end behind the text": ("data/raw/train.ends.npy", save(ENDS, np.array([20, SIZE + 1])), "does not divide the 384"),
    "ends that fall": ("data/raw/train.ends.npy", save(ENDS, np.array([30, 20, SIZE])), "does not divide"),
    "an end before the text": ("data/raw/train.ends.npy", save(ENDS, np.array([-1, SIZE])), "does not divide"),
    "no ends": ("data/raw/train.ends.npy", save(ENDS, np.array([], np.int64)), "does not divide"),
    "ends of another type": ("data/raw/train.ends.npy", save(ENDS, np.array([20.0, SIZE])), "holds float64 in 1 dimension"),
    "ends of another byte order": ("data/raw/train.ends.npy", save(ENDS, np.array([SIZE], ">i8")), "holds >i8 in 1 dimension"),
    "objects": ("data/raw/train.ends.npy", save(ENDS, np.array([20, None])), "not an array"),
    "an archive": ("data/raw/train.ends.npy", lambda: np.savez(ENDS.open("wb"), a=np.zeros(3)), "not an array"),
    "an empty file": ("data/raw/train.ends.npy", lambda: ENDS.write_bytes(b""), "not an array"),
    "ids of another type": ("data/tokens/train.npy", save(IDS, np.zeros(99, np.int64)), "holds int64"),
    "ids in rows": ("data/tokens/train.npy", save(IDS, np.zeros((9, 9), np.uint16)), "holds uint16 in 2 dimensions"),
    "an id beyond the vocabulary": ("data/tokens/train.npy", save(IDS, np.full(99, 16, np.uint16)), "holds 16, and there"),
    "parts beyond the ids": (
        "data/tokens/train.parts.npy",
        save(paths.parts_of(TOKENS), np.array([(10**6, 0, 0)], arrays.PART)),
        "does not divide",
    ),
    "parts of another type": ("data/tokens/train.parts.npy", save(paths.parts_of(TOKENS), np.zeros(3)), "holds float64"),
    "a label beyond the classes": (
        "data/tokens/validation.labels.npy",
        save(paths.labels_of(TOKENS, "validation"), np.full(20, 3, np.uint16)),
        "holds 3, and there are 3 classes",
    ),
    "images column by column": (
        "data/tokens/validation.images.npy",
        save(paths.images_of(TOKENS, "validation"), np.asfortranarray(np.zeros((20, 6, 6, 1), np.uint8))),
        "column by column",
    ),
    "images of another size": (
        "data/tokens/validation.images.npy",
        save(paths.images_of(TOKENS, "validation"), np.zeros((20, 6, 5, 1), np.uint8)),
        "holds 20 x 6 x 5 x 1 pixels",
    ),
    "fewer images than labels": (
        "data/tokens/validation.images.npy",
        save(paths.images_of(TOKENS, "validation"), np.zeros((19, 6, 6, 1), np.uint8)),
        "holds 19 x 6 x 6 x 1 pixels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused_though_its_checksum_is_right(lie: str, project: Path) -> None:
    file, tell, says = LIES[lie]
    tell()
    sealed(project)
    with pytest.raises(UserError) as refused:
        READERS[file]()
    [line] = refused.value.problems
    assert line.startswith(f"{file}: ") and says in line


def test_a_label_of_a_text_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    write_labelled(tmp_path)
    with pytest.raises(UserError, match=r"train\.labels\.npy: holds 2, and there are 2 classes"):
        Classification(tmp_path, knobs().model, Shape(11, ("a", "b"))).size("train")


@pytest.mark.parametrize("seed", range(8))
def test_whatever_an_npy_file_says_of_itself_it_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    """Its header is Python's text: flipped bits make it another type, another shape, or no header."""
    path, rng = tmp_path / "train.ends.npy", random.Random(seed)
    for _ in range(40):
        np.save(path, np.arange(5))
        flip(path, rng.randrange(128))
        try:
            numbers = arrays.memory_mapped(path)
        except UserError:
            continue
        assert numbers.dtype == np.int64 and numbers.ndim == 1 and len(numbers) <= 5


# -------------------------------------------------------------------------------------------------- full disks, and kills


needs_a_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")

WRITES: dict[str, Callable[[writing.NewFile], Any]] = {
    "bytes": lambda file: file.write(b"a" * 100_000),
    "an array": lambda file: np.lib.format.write_array(file, np.zeros(100_000)),  # type: ignore[arg-type]
    "what waits in memory": lambda file: (file.write(b"a"), file.sync()),
}


@needs_a_full_device
@pytest.mark.parametrize("what", WRITES)
def test_however_something_is_written_a_full_device_has_its_number_and_the_file_its_name(what: str) -> None:
    with pytest.raises(OSError) as failed, writing.NewFile(Path("/dev/full"), Path("a.npy")) as file:
        WRITES[what](file)
    assert (failed.value.errno, failed.value.filename) == (errno.ENOSPC, "a.npy")


@pytest.mark.parametrize(("number", "says"), [
    (errno.ENOSPC, r"^data/raw/train\.txt: No space left on device; [0-9,]+ bytes are free on the disk of /"),
    (errno.EDQUOT, r"^data/raw/train\.txt: Disk quota exceeded; [0-9,]+ bytes are free"),
    (errno.EFBIG, r"^data/raw/train\.txt: File too large; it exceeds the limit on file sizes"),
    (errno.EIO, r"^data/raw/train\.txt: Input/output error$"),
])  # fmt: skip
def test_the_line_says_what_is_wanted(number: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    @entry_point
    def main() -> None:
        raise OSError(number, os.strerror(number), "data/raw/train.txt")

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(says, line)


def filled(folder: Path, text: str) -> None:
    with replace_folder(folder) as new:
        (new / "file").write_text(text)


def test_a_folder_that_cannot_be_filled_stays_what_it_was_and_the_error_has_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    filled(folder, "old")

    def fill() -> None:
        with replace_folder(folder) as new, writing.errors_naming(new / "train.txt"):
            assert (folder / "file").read_text() == "old"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError) as failed:
        fill()
    assert failed.value.filename == str(folder / "train.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    assert (folder / "file").read_text() == "old"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_folder_is_whole_whenever_the_process_that_fills_it_is_killed(number: int, tmp_path: Path) -> None:
    """Killed before the old one is put aside, before the new one takes its place, and before the old one is removed."""
    program = f"""
import os, shutil
from pathlib import Path
from pipeline.corpus.store.text import replace_folder
left = {number}
def counted(does):
    def one(*words, **more):
        global left
        left -= 1
        if not left:
            os._exit(9)
        return does(*words, **more)
    return one
with replace_folder(Path("raw")) as new:
    (new / "file").write_text("new")
    Path.replace, shutil.rmtree = counted(Path.replace), counted(shutil.rmtree)
"""
    filled(tmp_path / "raw", "old")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(TOP)})
    assert done.returncode == 9
    with pytest.raises(RuntimeError), replace_folder(tmp_path / "raw"):
        raise RuntimeError  # the next one fails: what was there is there all the same
    assert (tmp_path / "raw/file").read_text() == ("new" if number == 3 else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@needs_a_full_device
def test_a_full_disk_says_which_text_was_being_written(tmp_path: Path) -> None:
    paths.text_of(tmp_path, "validation").symlink_to("/dev/full")

    def write() -> None:
        with SplitWriter(tmp_path) as splits:
            splits.add("train", b"a text")
            splits.add("validation", b"a text" * 10_000)

    with pytest.raises(OSError) as failed:
        write()
    assert failed.value.filename == str(tmp_path / "validation.txt")


def test_a_copy_that_fails_names_the_new_file_not_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"a" * 10)
    (tmp_path / "folder").write_text("a file where a folder is wanted")
    with pytest.raises(OSError) as failed:
        reading.copy_file(tmp_path / "old", tmp_path / "folder/new")
    assert str(failed.value.filename).startswith(str(tmp_path / "folder"))


# ------------------------------------------------------------------------------------------------------- the stages themselves


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("clone"))
    run(folder, "dvc", "repro", "--quiet")
    commit(folder)
    return folder


DAMAGED = {  # a file of each kind of out -> the stage that reads it first
    "data/raw/train.txt": "tokenize",
    "models/trained/model.json": "evaluate",
    "metrics/train.csv": "diagnose",
    "metrics/train.sha256": "diagnose",
    "metrics/evaluate.json": "diagnose",
    "metrics/readings/activation_rms.json": "diagnose",
    "metrics/doctor.json": "plot",
}


@pytest.mark.slow
@pytest.mark.parametrize("file", DAMAGED)
def test_the_advice_brings_back_what_a_failing_disk_has_damaged(file: str, ran_once: Path) -> None:
    path = ran_once / file
    right = path.read_bytes()
    flip(path, len(right) // 2)
    command, private = [sys.executable, "-m", f"pipeline.{DAMAGED[file]}"], {"DVC_ROOT": str(ran_once)}
    done = subprocess.run(command, cwd=ran_once, capture_output=True, text=True, env=os.environ | private)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith(f"{file}: is damaged")
    for advice in re.findall("`([^`]+)`", line):
        if path.read_bytes() == right:
            flip(path, len(right) // 2)
        in_words = advice.replace("dvc ", f"{sys.executable} -m dvc ")
        followed = subprocess.run(in_words, shell=True, cwd=ran_once, capture_output=True, text=True)
        assert followed.returncode == 0, followed.stderr
        assert path.read_bytes() == right, advice
    assert "up to date" in run(ran_once, "dvc", "status")


def test_where_the_new_folder_cannot_be_made_the_error_has_the_name_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def failing(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if self.name == ".raw.unfinished":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        mkdir(self, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", failing)
    with pytest.raises(PermissionError) as failed, replace_folder(tmp_path / "raw"):
        raise AssertionError("was made")
    assert failed.value.filename == str(tmp_path / "raw")


def test_where_the_new_folder_cannot_take_its_place_the_old_one_is_back_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, replace = tmp_path / "raw", Path.replace
    with replace_folder(folder) as new:
        (new / "text").write_text("old")

    def failing(self: Path, target: Path) -> Path:
        if self.name == ".raw.unfinished":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="Input/output error") as failed, replace_folder(folder) as new:
        (new / "text").write_text("new")
    assert failed.value.filename == str(folder)
    assert [file.read_text() for file in folder.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
