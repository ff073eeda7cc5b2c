"""Checksums of the files that stages write: recorded when a stage ends, compared before a later stage reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts.paths import CHECKSUMS, NONE, READ_OUTS, UNCACHED_STAGES
from pipeline.artifacts.writing import errors_naming, write_text
from pipeline.params.errors import UserError


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, or of the names and contents of all files of a folder, in hexadecimal digits."""
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and not _is_ignored(p.relative_to(path)))
        lines = (f"{p.relative_to(path).as_posix()} {sha256_of(p)}\n" for p in inside)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_ignored(path: Path) -> bool:
    """Whether a file does not count as content of a folder; .dvcignore excludes the same."""
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def check_sha256(path: Path, expected: str) -> None:
    """Compare a file with the checksum that was recorded when it was written.

    Raises:
        UserError: it is missing, or differs.
    """
    try:
        with errors_naming(path):
            found = sha256_of(path)
    except FileNotFoundError:
        raise UserError(not_found(path)) from None
    if found != expected:
        raise UserError(f"{path}: is damaged (sha256 {found[:12]}…, recorded {expected[:12]}…); {how_to_restore(path)}")


def seal(stage: str) -> None:
    """Record the checksums of the files that a stage has written; the last thing that it does."""
    for out in READ_OUTS[stage]:
        if out.is_dir():
            seal_folder(out)
    loose = [out for out in READ_OUTS[stage] if out.is_file()]
    if loose:
        _write_list(checksum_list(loose[0]), loose)


def seal_folder(folder: Path) -> None:
    """Record the checksums of all files of a folder, in a list inside each folder, so that a copy includes them."""
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        _write_list(inner / CHECKSUMS, [path for path in inner.iterdir() if path.is_file() and path.name != CHECKSUMS])


def _write_list(checksums: Path, files: Sequence[Path]) -> None:
    """Write lines for `sha256sum --check`, below a comment with the checksum of these lines."""
    lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in sorted(files))
    write_text(checksums, f"# {hashlib.sha256(lines.encode()).hexdigest()}\n{lines}")


def checksum_list(path: Path) -> Path:
    """The list that contains a file's checksum: that of its folder; in metrics/, that of the stage that wrote it."""
    stage = _stage_and_out(path)[0]
    return path.with_name(f"{stage}.sha256" if path in READ_OUTS.get(stage, ()) else CHECKSUMS)


def verified(path: Path) -> Path:
    """The path of a file, after its content was compared with its checksum.

    A file that an earlier stage wrote must have one. Any other, such as a copy of a model, is compared if its folder has a
    list of checksums.

    Raises:
        UserError: it is missing, damaged, or an earlier stage's and not listed.
    """
    if not path.exists():
        raise UserError(not_found(path))
    if expected := _recorded_checksum(path):
        check_sha256(path, expected)
    return path


def was_written(path: Path) -> bool:
    """Whether a stage wrote a file that not every run has.

    Raises:
        UserError: it did, and the file is missing.
    """
    if path.exists():
        return True
    if path.name in (_read_list(checksum_list(path)) or {}):
        raise UserError(not_found(path))
    return False


def listed_files(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder with a suffix, sorted; in a stage's folder all that it wrote, also those that are now missing."""
    known = _read_list(folder / CHECKSUMS)
    names = known if known is not None else [path.name for path in folder.glob(f"*{suffix}")]
    return [folder / name for name in sorted(names) if name.endswith(suffix)]


def _recorded_checksum(path: Path) -> str | None:
    """The recorded checksum of a file; None for one that needs none."""
    checksums, is_required = checksum_list(path), bool(_stage_and_out(path)[0])
    known = _read_list(checksums)
    if known is None and is_required:
        raise UserError(f"{checksums}: is missing, so {path.name} cannot be verified; {how_to_restore(checksums)}")
    if known is not None and path.name not in known and is_required:
        raise UserError(f"{path}: is not listed in {checksums}, so no stage wrote it; {how_to_restore(path)}")
    return known.get(path.name) if known is not None else None


def _read_list(checksums: Path) -> dict[str, str] | None:
    """The checksums in a list, by file name; None if there is no list."""
    try:
        with errors_naming(checksums):
            head, _, lines = checksums.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if head != b"# " + hashlib.sha256(lines).hexdigest().encode():
        raise UserError(f"{checksums}: is damaged (its own checksum differs); {how_to_restore(checksums)}")
    return {name: checksum for checksum, _, name in (line.partition("  ") for line in lines.decode().splitlines())}


def not_found(path: Path) -> str:
    """The error message for a missing file."""
    return f"{path}: not found; run `dvc repro` to create it"


def how_to_restore(path: Path) -> str:
    """How to restore a damaged file, for an error message.

    `dvc checkout` and `dvc repro` skip a file whose size and modification time are those that DVC knows, as they are after a
    disk error; so the damaged file has to be removed first, or the stage forced.
    """
    stage, out = _stage_and_out(path)
    if not stage:
        return "copy or create it again"
    rerun = f"`dvc repro --force --single-item {stage}` creates it again"
    return rerun if stage in UNCACHED_STAGES else f"`rm -r {out} && dvc checkout {out}` restores it, {rerun}"


def _stage_and_out(path: Path) -> tuple[str, Path]:
    """(the stage that writes a file, the out of dvc.yaml that is or contains it); ("", NONE) for a file of no stage."""
    for stage, outs in READ_OUTS.items():
        for out in (*outs, Path(f"metrics/{stage}.sha256")):
            if out == path or out in path.parents:
                return stage, out
    return "", NONE
