"""Checksums of what stages leave: written as a stage ends, compared before a later stage reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts.paths import CHECKSUMS, LEFT_BY, NONE, NOT_CACHED
from pipeline.artifacts.writing import naming, write_text
from pipeline.params.errors import UserError


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
        UserError: it is missing, or not the file that was written.
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
        UserError: it is missing, damaged, or a stage's and in no list.
    """
    if not path.exists():
        raise UserError(missing(path))
    if expected := _written_down(path):
        check_sha256(path, expected)
    return path


def is_left(path: Path) -> bool:
    """Whether a stage has left a file that not every run has.

    Raises:
        UserError: it has, and the file is lost.
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
