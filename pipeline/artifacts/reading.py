"""Readers for the files of earlier stages: checksums are compared first, JSON is limited in size and depth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.artifacts.checksums import how_to_restore, sha256_of, verified, was_written
from pipeline.artifacts.paths import meta_of, tokenizer_of
from pipeline.artifacts.writing import atomic_write, errors_naming
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import MAX_DEPTH

MAX_JSON_BYTES = 1 << 28  # of a JSON file: ten times the longest tokenizer.json


def input_sha256(tokens: Path) -> str:
    """The SHA-256 of a model's input format: of the tokenizer, or for images of meta.json with their size and scale.

    Raises:
        UserError: the file is damaged.
    """
    return sha256_of(verified(tokenizer_of(tokens) if was_written(tokenizer_of(tokens)) else meta_of(tokens)))


def open_verified(path: Path) -> BinaryIO:
    """A file of an earlier stage, open for reading.

    Raises:
        UserError: it is missing or damaged.
    """
    return verified(path).open("rb")


def read_text(path: Path) -> str:
    """The text of a file of an earlier stage.

    Raises:
        UserError: it is missing, damaged, or not UTF-8.
    """
    with open_verified(path) as file, errors_naming(path):
        content = file.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is damaged (not UTF-8); {how_to_restore(path)}") from None


def load_json(path: Path) -> Any:
    """The content of any JSON file.

    Raises:
        ValueError: it is not JSON, too long, or nested too deeply.
    """
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"more than {MAX_JSON_BYTES:,} bytes")
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """The content of JSON text.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return content
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")  # Python can read it, but neither print nor write it


def _inside(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def read_json(path: Path, *wanted: str) -> dict[str, Any]:
    """The content of a JSON file of an earlier stage: an object that has the wanted keys.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content = parse_json(read_text(path))
    except ValueError:
        content = None
    if not isinstance(content, dict) or not content.keys() >= set(wanted):
        raise UserError(f"{path}: is damaged, or was written by another version; {how_to_restore(path)}")
    return content


def copy_file(source: Path, target: Path) -> None:
    """Copy a file of an earlier stage.

    Raises:
        UserError: it is missing or damaged.
    """
    with open_verified(source) as old, atomic_write(target) as new:
        shutil.copyfileobj(old, new, 1 << 20)
