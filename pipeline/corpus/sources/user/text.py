"""The user's own text, a file or a folder of files, each one document, made into three splits."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.splitting.text import position_shares, read_utf8, split_by_position, with_progress
from pipeline.corpus.sources.user.bad_data import BadData
from pipeline.corpus.sources.user.folder_layout import (
    describe_layout,
    first_few,
    is_file,
    is_user_file,
    missing_splits,
    printable_path,
    raise_error,
    splits_by_name,
)
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow, say

TOO_SMALL = 0.5  # of its share: splits that get less are reported


class Document(NamedTuple):
    """A text file, with the digest of its text, which decides on its split, and its size in bytes."""

    digest: str
    name: str
    path: Path
    size: int


def user_text(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """The user's own text: a file, or a folder of them, each one document. Published splits are kept.

    Raises:
        UserError: there are no files, they cannot be read, or there is no text for training.
    """
    files = find_files(knobs)
    layout = splits_by_name(files, Path(knobs.path))
    bad_data = BadData(knobs, "files")
    documents, copies = _distinct(files, layout or {}, bad_data, follow)
    skipped = bad_data.report()
    if not documents:
        raise UserError(f"prepare.path: {first_few(files)}: no text in it")
    given: dict[str, list[Document]] = {}
    for one in documents:
        given.setdefault((layout or {}).get(one.name, "train"), []).append(one)
    if "train" not in given:
        raise UserError("prepare.path: all training text is also held out, so that none is left for training")
    members, how = _write_splits(given, missing_splits(given, knobs), splits)
    if layout:
        how = "; ".join(filter(None, (describe_layout(given), how)))
    if copies:
        how += f"; {copies} files that hold the same as another are left out"
    return Card(
        name="file",
        source="the user's own files",
        licence="the user's own: not known to us",
        split=how + "; line ends became \\n",
        members=members,
        left_out=skipped,
    )


def find_files(knobs: Prepare) -> dict[str, Path]:
    """The file prepare.path, or the files in that folder that match prepare.pattern, by their names in the folder.

    Hidden files and those that systems create (__MACOSX) are skipped, unless the pattern names hidden ones.

    Raises:
        UserError: there are none, a link is broken, or a name is not UTF-8.
    """
    path = Path(knobs.path)
    if path.is_file():
        return {path.name: path} if is_file(path) else {}
    if not path.is_dir():
        wildcards = (
            "; set prepare.pattern to the wildcards, and prepare.path to the folder" if re.search(r"[*?\[]", knobs.path) else ""
        )
        raise UserError(f"prepare.path: no file or folder '{path}'{wildcards}")
    wants_hidden = any(part.startswith(".") for part in Path(knobs.pattern).parts)
    try:
        found = [p for p in path.glob(knobs.pattern) if wants_hidden or is_user_file(p.relative_to(path))]
    except (ValueError, NotImplementedError) as error:
        raise UserError(f"prepare.pattern: '{knobs.pattern}' is not a pattern of files in '{path}': {error}") from None
    found = sorted(p for p in found if is_file(p))
    if "**" in knobs.pattern:
        _no_linked_folder(path)
    if not found:
        raise UserError(f"prepare.pattern: no file in '{path}' matches '{knobs.pattern}'; put your text there")
    return {p.relative_to(path).as_posix() if p.is_relative_to(path) else p.name: p for p in found}


def _no_linked_folder(path: Path) -> None:
    for at, folders, _ in os.walk(path, onerror=raise_error):
        for name in folders:
            if (folder := Path(at, name)).is_symlink() and is_user_file(folder.relative_to(path)):
                raise UserError(
                    f"{printable_path(folder)}: is a link to a folder, which ** does not follow; put the folder itself there,"
                    " or set prepare.path to it"
                )


def _text_of(name: str, path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from read_utf8(stream, name)
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}") from None


def _distinct(
    files: Mapping[str, Path], layout: Mapping[str, str], bad_data: BadData, follow: Follow
) -> tuple[list[Document], int]:
    """(each distinct text, number of duplicates dropped); empty files are not documents.

    Of duplicates in two splits, the one in the later split is kept.
    """
    found: dict[str, Document] = {}
    copies = 0
    with follow("reading your text", sum(path.stat().st_size for path in files.values())) as advance:
        for name in sorted(files, key=lambda name: -SPLITS.index(layout.get(name, "train"))):
            digest, size = hashlib.sha256(), 0
            try:
                for chunk in with_progress(_text_of(name, files[name]), advance):
                    digest.update(chunk)
                    size += len(chunk)
            except UserError as refusal:
                bad_data.add(str(refusal))
                continue
            copies += digest.hexdigest() in found
            if size:
                found.setdefault(digest.hexdigest(), Document(digest.hexdigest(), name, files[name], size))
    return list(found.values()), copies


def split_by_size(sizes: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, list[str]]:
    """Whole documents in splits, such that each held-out split comes as close to its share of the bytes as its last one allows.

    They are taken in the order of their keys, so that a new document hardly moves any other. Documents larger than twice a
    share go to training: held out, one alone would decide a score. If the others are not enough, they are divided in
    proportion; if there are none, the smallest documents are held out.

    Args:
        sizes: bytes of each document, by a key that is independent of its name and size; more of them than shares.
        shares: of each held-out split.

    Returns:
        the keys of each split, train included.
    """
    total = sum(sizes.values())
    large = 2 * min(shares.values(), default=0.0) * total
    small = sum(size for size in sizes.values() if size < large)
    available = min(1.0, small / (sum(shares.values()) * total)) if shares else 1.0
    left = sorted(sizes, key=lambda key: (max(sizes[key], large), key))
    parts: dict[str, list[str]] = {}
    first = 0
    for others, (split, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
        last, lacking = first, share * available * total
        while last == first or (len(left) - last > others and sizes[left[last]] < 2 * lacking):
            lacking -= sizes[left[last]]
            last += 1
        parts[split], first = left[first:last], last
    return {"train": left[first:], **parts}


BY_DOCUMENT = (
    "by document (each file is one), in the order of a digest of its text, until its share of the bytes is met; files larger"
    " than twice a share are for training"
)
BY_POSITION = "by position, at ends of lines (fewer than three files): training, then validation, then test"


def _write_splits(
    given: Mapping[str, list[Document]], lacking: Mapping[str, float], splits: SplitWriter
) -> tuple[dict[str, list[str]], str]:
    """Write the published splits, and take the lacking ones from training; (the names in each, how it was split)."""
    train, parts = given["train"], {split: given[split] for split in given if split != "train"}
    by_document = len(train) > 2 or not lacking
    if by_document:
        assigned = split_by_size({one.digest: one.size for one in train}, lacking)
        of_digest = {one.digest: one for one in train}
        parts |= {split: [of_digest[digest] for digest in digests] for split, digests in assigned.items()}
        _report_uneven_split(parts, lacking)
    for split, documents in parts.items():
        for one in sorted(documents, key=lambda one: one.name):
            for chunk in _text_of(one.name, one.path):
                splits.write(split, chunk)
            splits.write(split, b"", [0])
    if not by_document:
        for one in sorted(train, key=lambda one: one.name):
            asked = position_shares(lacking.get("validation", 0.0), lacking.get("test", 0.0))
            split_by_position(splits, _text_of(one.name, one.path), asked, at_lines=True)
    members = {split: sorted(one.name for one in parts.get(split, train)) for split in SPLITS}
    return members, (BY_DOCUMENT if by_document else BY_POSITION) if lacking else ""


def _report_uneven_split(parts: Mapping[str, Sequence[Document]], shares: Mapping[str, float]) -> None:
    """Warn of splits that get less than half of their share because files are not divided; published ones have no share."""
    shares = dict(shares) | ({"train": 1 - sum(shares.values())} if shares else {})
    sizes = {split: sum(one.size for one in parts[split]) for split in shares}
    too_small = [split for split in shares if sizes[split] < TOO_SMALL * shares[split] * sum(sizes.values())]
    if too_small:
        got = ", ".join(f"{split} {sizes[split]:,} (share {shares[split]:.0%})" for split in SPLITS if split in shares)
        say(
            f"warning: {' and '.join(too_small)} got less than half of the share asked for, because files are not divided;"
            f" bytes: {got}. Use smaller or more files, or a single one, which is cut by position"
        )
