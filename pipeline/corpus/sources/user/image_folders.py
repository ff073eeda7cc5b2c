"""The user's image files, in a folder for each class, and the split of each if the folders give it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.corpus.sources.user.folder_layout import (
    AMBIGUOUS_NAMES,
    ambiguous_name,
    files_in,
    has_held_out,
    is_file,
    is_user_file,
    report_layout,
    split_named,
)
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import say

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}


class ImageFile(NamedTuple):
    """An image file, with its published split ("" = none) and the name of the folder of its class."""

    split: str
    label: str
    path: Path


def find_images(knobs: Prepare) -> list[ImageFile]:
    """The files in the folder of each class and its subfolders, without hidden ones.

    Raises:
        UserError: there is no such folder, it has fewer than two classes, a class is empty, or it is not clear whether its
            folders are classes or splits.
    """
    folder = Path(knobs.path)
    expected = f"use a folder with one folder for each class, such as {folder}/cats and {folder}/dogs"
    if not folder.is_dir():
        raise UserError(f"prepare.path: '{folder}' is not a folder; {expected}")
    folders = _folders_in(folder)
    if not _named_after_splits(folder, folders):
        if len(folders) < 2:
            held = f"one class, '{folders[0].name}'" if folders else "no folder"
            inside = [path.name for path in _folders_in(folders[0])] if folders else []
            hint = f"; or use '{folders[0]}', with {' and '.join(inside[:2])} in it" if len(inside) > 1 else ""
            raise UserError(f"prepare.path: '{folder}' has {held}; {expected}{hint}")
        _report_loose_images(folder)
        found = _splits_within(_images_of_classes("", folders), folder)
    else:
        found = [one for path in folders for one in _images_of_classes(split_named(path.name) or "", _folders_in(path))]
        for path in folders:
            _report_loose_images(path)
    if found[0].split:
        report_layout(Counter(one.split for one in found), folder, "images")
    return found


def _named_after_splits(folder: Path, folders: Sequence[Path]) -> bool:
    """Whether the folders in a folder are splits, with the classes in each.

    Raises:
        UserError: only some are, or they could be either.
    """
    splits = [path for path in folders if split_named(path.name)]
    with_classes = [path for path in splits if _folders_in(path)]
    either = [path for path in folders if path.name.casefold() in AMBIGUOUS_NAMES and _folders_in(path)]
    if either and with_classes:
        raise UserError(ambiguous_name(either[0]))
    if len(splits) == len(with_classes) == len(folders) and has_held_out(split_named(path.name) or "" for path in folders):
        return True
    if with_classes and len(folders) > 1:
        other = next((path for path in folders if path not in with_classes), None)
        besides = f"and {other.name}, which is not" if other else "but not both train and a held-out split"
        raise UserError(
            f"prepare.path: '{folder}' has {with_classes[0].name}, which is laid out as a split with"
            f" '{_folders_in(with_classes[0])[0].name}' in it, {besides}; put only train, val and test there, or only classes"
        )
    if has_held_out(split_named(path.name) or "" for path in splits):
        raise UserError(
            f"prepare.path: '{folder}' has {' and '.join(path.name for path in splits)}, which are names of splits, without"
            f" folders of classes in them; add these ({splits[0].name}/cats), or if they are classes, rename them"
        )
    return False


def _folders_in(folder: Path) -> list[Path]:
    """The user's folders in a folder.

    Raises:
        UserError: there is a broken link, which may have been one.
    """
    found = sorted(path for path in folder.iterdir() if is_user_file(Path(path.name)))
    return [path for path in found if not is_file(path) and path.is_dir()]


def _splits_within(found: list[ImageFile], folder: Path) -> list[ImageFile]:
    """The same images, each with the split after which its folder within its class is named (cats/train, cats/test).

    Raises:
        UserError: only some are in such folders.
    """
    within = {one.path: one.path.relative_to(folder).parts[1] for one in found}
    named = {path: split for path, name in within.items() if (split := split_named(name)) and path.name != name}
    if not has_held_out(named.values()):
        return found
    if other := [one.path for one in found if one.path not in named]:
        raise UserError(
            f"prepare.path: '{next(iter(named))}' is in a folder named after a split, but '{other[0]}' is not;"
            " put all images of every class into train/, val/ or test/, or none"
        )
    return [one._replace(split=named[one.path]) for one in found]


def _images_of_classes(split: str, classes: Sequence[Path]) -> list[ImageFile]:
    found = [ImageFile(split, path.name.strip(), file) for path in classes for file in files_in(path)]
    filled = {one.label for one in found}
    if empty := [path for path in classes if path.name.strip() not in filled]:
        raise UserError(f"prepare.path: no image in '{empty[0]}'; add some, or remove the folder")
    return found


def _report_loose_images(folder: Path) -> None:
    """Print that images beside the folders of classes are left out, since they have no class."""
    beside = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and is_user_file(Path(p.name)) and is_file(p))
    if beside:
        say(f"left out: {len(beside):,} images beside the folders of classes in '{folder}', such as {beside[0].name}")
