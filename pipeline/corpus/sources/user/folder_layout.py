"""The layout of the user's folder: which of its files count, and the splits that its names give."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.artifacts.paths import SPLITS
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import say

# Names of folders and files in published data sets, in any case.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
AMBIGUOUS_NAMES = {"eval", "evaluation", "holdout"}  # validation or test, depending on the author
SYSTEM_FILES = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"}  # files that systems create in folders


def is_user_file(relative: Path) -> bool:
    """Whether a file in a folder is the user's: neither hidden (such as .DS_Store and ._a.txt) nor created by a system."""
    return not any(part.startswith(".") or part in SYSTEM_FILES for part in relative.parts)


def files_in(folder: Path) -> list[Path]:
    """The user's files in a folder and its subfolders, in order.

    Raises:
        UserError: a link is broken or leads to a folder, or a name is not UTF-8.
    """
    found = []
    for at, folders, files in os.walk(folder, onerror=raise_error):
        folders[:] = [name for name in folders if is_user_file(Path(name))]
        for name in folders:
            if (path := Path(at, name)).is_symlink():
                raise UserError(
                    f"{printable_path(path)}: is a link to a folder, and links in prepare.path are not followed; put the folder"
                    " itself there"
                )
        found += [path for name in files if is_user_file(Path(name)) and is_file(path := Path(at, name))]
    return sorted(found)


def raise_error(error: OSError) -> None:
    """Raise the error of a folder that cannot be read, which os.walk would skip silently."""
    raise error


def is_file(path: Path) -> bool:
    """Whether this is a regular file, not a folder or a pipe.

    Raises:
        UserError: it is a broken link, or its name is not UTF-8.
    """
    try:
        str(path).encode()
        mode = path.stat().st_mode
    except UnicodeEncodeError:
        raise UserError(f"{printable_path(path)}: this name is not valid UTF-8; rename it") from None
    except FileNotFoundError:
        raise UserError(f"{printable_path(path)}: is a link to '{path.readlink()}', which does not exist") from None
    return stat.S_ISREG(mode)


def printable_path(path: Path) -> str:
    r"""A path that can be printed, with bytes that are not UTF-8 as \xe9."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def first_few(names: Iterable[str]) -> str:
    """The first three of some names, as a list in words."""
    names = list(names)
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def split_named(name: str) -> str | None:
    """The split that a folder, or a file without its suffix, is named after, if any."""
    return SPLIT_NAMES.get(name.casefold())


def splits_by_name(names: Iterable[str], folder: Path) -> dict[str, str] | None:
    """The split of each file if a folder is laid out by splits, as published data sets are; else None.

    Files are in folders named after splits (train/a.txt, test/b.txt), or are named after them (train.csv, wiki.valid.txt,
    train-00000-of-00002.jsonl). This must hold for all files, with some for training and some held out.

    Args:
        names: within the folder, with / between the parts.

    Raises:
        UserError: only some files are named after splits, or a name could mean either held-out split.
    """
    names = list(names)
    certain = {name: split for name in names if (split := _split_by_name(name))}
    unnamed = [name for name in names if name not in certain]
    other = next((name for name in unnamed if not _split_by_word(name)), None)
    if other is None:
        found = certain | {name: split for name in unnamed if (split := _split_by_word(name))}
        if has_held_out(found.values()):
            report_layout(Counter(found.values()), folder, "files")
            return found
    if "train" in certain.values() and (
        either := [name for name in unnamed if _words(name) & AMBIGUOUS_NAMES and not _split_by_word(name)]
    ):
        raise UserError(ambiguous_name(folder / either[0]))
    if other is not None and has_held_out(certain.values()):
        train, held_out = (next(name for name in certain if (certain[name] == "train") is which) for which in (True, False))
        raise UserError(
            f"prepare.path: '{folder}' has {train} and {held_out}, which are named after splits, and {other}, which is"
            " not; rename it, or move it elsewhere"
        )
    return None


def has_held_out(found: Iterable[str]) -> bool:
    """Whether these splits include train and at least one held-out split."""
    return "train" in (splits := set(found)) and len(splits) > 1


def report_layout(sizes: Mapping[str, int], folder: Path, what: str) -> None:
    """Print that the published splits are kept, and their sizes."""
    parts = ", ".join(f"{split} {sizes[split]:,}" for split in SPLITS if split in sizes)
    say(f"'{folder}' is laid out by splits, which are kept ({what}: {parts}){_missing_note(sizes)}")


def missing_splits(given: Iterable[str], knobs: Prepare) -> dict[str, float]:
    """The held-out splits that a published data set lacks, each with its share of the training part, from which it is taken."""
    shares = {"validation": knobs.validation_share, "test": knobs.test_share}
    return {split: share for split, share in shares.items() if split not in set(given)}


def describe_layout(given: Iterable[str]) -> str:
    """How published splits are kept, in words for the card."""
    parts = [split for split in SPLITS if split in set(given)]
    return f"as the folder is laid out: {' and '.join(parts)} are what is in there{_missing_note(parts)}"


def _missing_note(given: Iterable[str]) -> str:
    lacking = [split for split in SPLITS if split not in set(given)]
    return f"; {' and '.join(lacking)} taken from train, because there is none" if lacking else ""


def _split_by_name(name: str) -> str | None:
    """The split by a whole name: that of a folder that it is in, or its own without its suffix."""
    *folders, own = name.split("/")
    return next(filter(None, map(split_named, (*folders, own.rpartition(".")[0] or own))), None)


def _split_by_word(name: str) -> str | None:
    """The split by one of the words of its own name."""
    found = {SPLIT_NAMES[word] for word in _words(name.rpartition("/")[2]) & SPLIT_NAMES.keys()}
    return found.pop() if len(found) == 1 else None


def _words(name: str) -> set[str]:
    return set(re.split(r"[-._ 0-9/]+", name.casefold()))


def ambiguous_name(path: Path) -> str:
    """The error for a folder or a file whose name could mean either held-out split."""
    return f"prepare.path: '{path}' could be validation or test; rename it to val or test"
