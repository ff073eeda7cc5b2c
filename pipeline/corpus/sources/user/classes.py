"""Labels that mean the same class, and the order of classes; for rows of tables and for folders of images."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal

from pipeline.progress import say

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
MISSING_VALUES = {"nan", "na", "n/a", "none", "null", "<na>"}  # what programs write for a missing value


def label_key(label: str) -> Hashable:
    """A key that is equal for labels that mean the same.

    These are the same number (1, 1.0 and 01: pandas writes 1.0 if a column had a missing value), the same truth value (True and
    true), and the same word up to blanks and the encoding of accents. Labels that differ in case are different.
    """
    if NUMBER.fullmatch(label):
        return Decimal(label)
    if label.lower() in ("true", "false"):
        return label.lower()
    return " ".join(unicodedata.normalize("NFC", label).split())


def merge_labels(labels: Iterable[str]) -> dict[str, str]:
    """The class of each label: labels that mean the same are one class, named by the shortest of them.

    Prints which labels are merged, which differ only in case, and which look like a missing value.
    """
    spellings: dict[Hashable, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        spellings[label_key(label)].append(label)
    names = {key: min(same, key=lambda label: (len(label), label)) for key, same in spellings.items()}
    _say_merged({names[key]: same for key, same in spellings.items() if len(same) > 1})
    by_case: dict[str, list[str]] = defaultdict(list)
    for name in names.values():
        by_case[name.casefold()].append(name)
    if similar := [same for same in by_case.values() if len(same) > 1]:
        say(
            f"the classes {_quoted(similar[0])} differ only in case and are separate classes; if they are one, use one spelling"
        )
    if missing := sorted(name for name in names.values() if name.casefold() in MISSING_VALUES):
        say(f"the label {_quoted(missing)} is used as a class, although programs write it for a missing value")
    return {label: names[key] for key, same in spellings.items() for label in same}


def sort_classes(classes: Iterable[str]) -> list[str]:
    """Classes that are numbers in numerical order, then all others in alphabetical order."""
    return sorted(classes, key=lambda name: (0, Decimal(name), name) if NUMBER.fullmatch(name) else (1, 0, name))


def _say_merged(merged: Mapping[str, list[str]]) -> None:
    if merged:
        name, same = next(iter(merged.items()))
        more = f" (likewise in {len(merged) - 1:,} more classes)" if len(merged) > 1 else ""
        say(f"the labels {_quoted(same)} mean the same and are one class, '{name}'{more}")


def _quoted(words: Iterable[str]) -> str:
    return " and ".join(f"'{word}'" for word in words)
