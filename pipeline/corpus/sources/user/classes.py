"""Which labels mean the same class, and in which order do classes stand? For rows of tables and folders of images alike."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal

from pipeline.progress import say

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
MISSING_VALUES = {"nan", "na", "n/a", "none", "null", "<na>"}  # what programs write where a value is missing


def label_key(label: str) -> Hashable:
    """What labels that mean the same have in common.

    The same number (1, 1.0 and 01: pandas writes 1.0 once a column has held a gap), the same truth value (True and true), the
    same word but for blanks and for how accents are stored. Letters that differ in case mean two things.
    """
    if NUMBER.fullmatch(label):
        return Decimal(label)
    if label.lower() in ("true", "false"):
        return label.lower()
    return " ".join(unicodedata.normalize("NFC", label).split())


def merge_labels(labels: Iterable[str]) -> dict[str, str]:
    """The class of each label: labels that mean the same are one class, called by the shortest of them. What is merged, what
    differs in case alone and what looks like a missing value is said.
    """
    spellings: dict[Hashable, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        spellings[label_key(label)].append(label)
    names = {key: min(same, key=lambda label: (len(label), label)) for key, same in spellings.items()}
    _say_merged({names[key]: same for key, same in spellings.items() if len(same) > 1})
    by_case: dict[str, list[str]] = defaultdict(list)
    for name in names.values():
        by_case[name.casefold()].append(name)
    if alike := [same for same in by_case.values() if len(same) > 1]:
        say(f"the classes {_quoted(alike[0])} differ in case alone and are kept apart; write them alike if they are one")
    if gaps := sorted(name for name in names.values() if name.casefold() in MISSING_VALUES):
        say(f"the label {_quoted(gaps)} is taken for a class, though programs write it where a label is missing")
    return {label: names[key] for key, same in spellings.items() for label in same}


def sort_classes(classes: Iterable[str]) -> list[str]:
    """Classes that are numbers in the order of numbers, then all others in the order of letters."""
    return sorted(classes, key=lambda name: (0, Decimal(name), name) if NUMBER.fullmatch(name) else (1, 0, name))


def _say_merged(merged: Mapping[str, list[str]]) -> None:
    if merged:
        name, same = next(iter(merged.items()))
        more = f" (and so in {len(merged) - 1:,} more classes)" if len(merged) > 1 else ""
        say(f"the labels {_quoted(same)} mean the same and are one class, '{name}'{more}")


def _quoted(words: Iterable[str]) -> str:
    return " and ".join(f"'{word}'" for word in words)
