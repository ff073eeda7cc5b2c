"""What did the user write? A file, or a folder of files, each one document."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.artifacts import SPLITS
from pipeline.corpus.documents import Card, Splits
from pipeline.corpus.progress import Follow
from pipeline.corpus.text import by_position, checked, shares, told
from pipeline.params import Prepare, Refusal


def file(knobs: Prepare, splits: Splits, follow: Follow) -> Card:
    """The user's own text: a file, or a folder of them, each one document."""
    documents, copies = _distinct(own_files(knobs), follow)
    deal_out = _by_document if len(documents) > 2 else _each_by_position
    members, how = deal_out(documents, knobs, splits)
    if copies:
        how += f"; {copies} files that hold the same as another are left out"
    return Card(
        name="file",
        source="the user's own files",
        licence="the user's own: not known to us",
        split=how + "; line ends became \\n",
        members=members,
    )


def own_files(knobs: Prepare) -> dict[str, Path]:
    """The files that prepare.path names, or those in that folder that prepare.pattern names; each under its name in there.

    Raises:
        Refusal: there are none.
    """
    path = Path(knobs.path)
    if path.is_file():
        return {path.name: path}
    if not path.is_dir():
        wild = "; wildcards stand in prepare.pattern, and the path names a folder" if re.search(r"[*?\[]", knobs.path) else ""
        raise Refusal(f"prepare.path: there is no file or folder '{path}' here{wild}")
    try:
        found = sorted(p for p in path.glob(knobs.pattern) if p.is_file())
    except (ValueError, NotImplementedError) as error:
        raise Refusal(f"prepare.pattern: '{knobs.pattern}' is no pattern of files inside '{path}': {error}") from None
    if not found:
        raise Refusal(f"prepare.pattern: no file in '{path}' fits '{knobs.pattern}'; put your text there")
    return {p.relative_to(path).as_posix() if p.is_relative_to(path) else p.name: p for p in found}


def _text_of(name: str, path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from checked(stream, name)
    except OSError as error:
        raise Refusal(f"{name}: cannot be read: {error.strerror}") from None


def _distinct(files: Mapping[str, Path], follow: Follow) -> tuple[dict[str, tuple[str, Path]], int]:
    """(name and path of each file by a digest of its text, how many copies were left out); empty files are no documents."""
    found: dict[str, tuple[str, Path]] = {}
    copies = 0
    with follow("reading your text", sum(path.stat().st_size for path in files.values())) as advance:
        for name, path in files.items():
            digest, size = hashlib.sha256(), 0
            for chunk in told(_text_of(name, path), advance):
                digest.update(chunk)
                size += len(chunk)
            copies += digest.hexdigest() in found
            if size:
                found.setdefault(digest.hexdigest(), (name, path))
    if not found:
        raise Refusal(f"prepare.path: {', '.join(list(files)[:3])}{' …' if len(files) > 3 else ''}: there is no text in there")
    return found, copies


def _by_document(documents: Mapping[str, tuple[str, Path]], knobs: Prepare, splits: Splits) -> tuple[dict[str, list[str]], str]:
    # In the order of their digests: drawn by what the documents say, so that a new file moves hardly any other one.
    drawn = sorted(documents)
    most = (len(drawn) - 1) // 2
    first = min(max(round(knobs.validation_share * len(drawn)), 1), most)
    second = first + min(max(round(knobs.test_share * len(drawn)), 1), most)
    parts = {"train": drawn[second:], "validation": drawn[:first], "test": drawn[first:second]}
    members: dict[str, list[str]] = {}
    for split, keys in parts.items():
        chosen = sorted(documents[key] for key in keys)
        members[split] = [name for name, _ in chosen]
        for name, path in chosen:
            for chunk in _text_of(name, path):
                splits.write(split, chunk)
            splits.write(split, b"", [0])
    return members, "by document (each file is one), drawn by a digest of its text"


def _each_by_position(
    documents: Mapping[str, tuple[str, Path]], knobs: Prepare, splits: Splits
) -> tuple[dict[str, list[str]], str]:
    names = sorted(documents.values())
    for name, path in names:
        by_position(splits, _text_of(name, path), shares(knobs.validation_share, knobs.test_share), at_lines=True)
    how = "by position, at ends of lines (fewer than three files): training, then validation, then test"
    return {split: [name for name, _ in names] for split in SPLITS}, how
