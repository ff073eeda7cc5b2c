"""Files of earlier stages, opened: compared with their checksums, JSON with limits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.artifacts.checksums import is_left, sha256_of, verified, way_back
from pipeline.artifacts.paths import meta_of, tokenizer_of
from pipeline.artifacts.writing import naming, writing
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import DEEPEST

MOST_JSON = 1 << 28  # bytes of a JSON file: ten times the longest tokenizer.json


def made_for(tokens: Path) -> str:
    """The sha256 by which a model knows what it was trained to read: the tokenizer, or, of images, their size and scale.

    Raises:
        UserError: the file is damaged.
    """
    return sha256_of(verified(tokenizer_of(tokens) if is_left(tokenizer_of(tokens)) else meta_of(tokens)))


def opened(path: Path) -> BinaryIO:
    """A file that an earlier stage left, open for reading.

    Raises:
        UserError: it is missing or damaged.
    """
    return verified(path).open("rb")


def read_text(path: Path) -> str:
    """The text of a file that an earlier stage left.

    Raises:
        UserError: it is missing, damaged, or no UTF-8.
    """
    with opened(path) as file, naming(path):
        content = file.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is damaged (it is no UTF-8); {way_back(path)}") from None


def json_of(path: Path) -> Any:
    """The content of a JSON file, whoever wrote it.

    Raises:
        ValueError: it is not JSON, or is longer or nested deeper than anything of use.
    """
    if path.stat().st_size > MOST_JSON:
        raise ValueError(f"more than {MOST_JSON:,} bytes")
    return json_in(path.read_text(encoding="utf-8"))


def json_in(text: str) -> Any:
    """The content of JSON text.

    Raises:
        ValueError: it is not JSON, or is nested deeper than anything of use.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [content]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return content
    raise ValueError(f"nested deeper than {DEEPEST} levels")  # Python could read it, and neither show nor write it


def _inside(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def read_json(path: Path, *wanted: str) -> dict[str, Any]:
    """The content of a JSON file that an earlier stage left: an object, in which the wanted keys stand.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content = json_in(read_text(path))
    except ValueError:
        content = None
    if not isinstance(content, dict) or not content.keys() >= set(wanted):
        raise UserError(f"{path}: is damaged, or of other code; {way_back(path)}")
    return content


def copy_file(source: Path, target: Path) -> None:
    """Copy a file that an earlier stage left.

    Raises:
        UserError: it is missing or damaged.
    """
    with opened(source) as old, writing(target) as new:
        shutil.copyfileobj(old, new, 1 << 20)
