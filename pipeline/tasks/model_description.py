"""The description of a network in model.json, validated before anything is built from it: the folder may come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.reading import read_json
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.params.names import suggest
from pipeline.params.parse import parse
from pipeline.params.renamed import of_today
from pipeline.params.schema import IMAGES, LABELLED, TEXTS
from pipeline.tasks.base import Shape
from pipeline.tasks.table import TASKS

MAX_VOCABULARY = 1 << 24  # far more than Unicode has
MAX_PIXELS = 1 << 14  # of a side of an image


@dataclass(frozen=True)
class ModelDescription:
    """The content of model.json.

    Attributes:
        task: its kind, an entry of TASKS.
        tokenizer: the checksum of its tokenizer (of images, of their scale and size).
        sha256: the checksum of its weights.
        about: all of the file.
    """

    task: str
    model: Model
    shape: Shape
    tokenizer: str
    sha256: str
    about: dict[str, Any]


def read_description(folder: Path) -> ModelDescription:
    """Read and validate the model.json of a folder.

    Raises:
        UserError: with one line for each value that is missing or invalid.
    """
    file = folder / "model.json"
    about = of_today(read_json(file, "task", "model", "tokenizer", "sha256"))
    if problems := [f"{file}: {line}" for line in _problems(about)]:
        raise UserError(*problems)
    model = parse(Model, about["model"], (str(file), "model"))
    return ModelDescription(about["task"], model, Shape.of(about), about["tokenizer"], about["sha256"], about)


def _problems(about: dict[str, Any]) -> Iterator[str]:
    task, vocabulary = about["task"], about.get("vocabulary", 0)
    classes, image = about.get("classes", []), about.get("image", [])
    if not (isinstance(task, str) and task in TASKS):
        yield f"task: there is no {task!r:.60}. {suggest(str(task)[:60], tuple(TASKS))}"
    if not _is_integer(vocabulary, 0, MAX_VOCABULARY):
        yield f"vocabulary: {vocabulary!r:.60} is not an integer from 0 to {MAX_VOCABULARY:,}"
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        yield f"classes: {classes!r:.60} is not a list of names"
    if not (isinstance(image, list) and len(image) in (0, 3) and all(_is_integer(side, 1, MAX_PIXELS) for side in image)):
        yield f"image: {image!r:.60} is not height, width and channels"
    for name, value, kinds in (("vocabulary", vocabulary, TEXTS), ("classes", classes, LABELLED), ("image", image, IMAGES)):
        if task in kinds and not value:
            yield f"{name}: {value!r} is empty, but a model of task.kind {task} needs it"
    for name in ("model", "train"):
        if not isinstance(about.get(name, {}), dict):
            yield f"{name}: {about[name]!r:.60} is not a section of knobs"
    for name in ("tokenizer", "sha256"):
        if not is_sha256(about[name]):
            yield f"{name}: {about[name]!r:.60} is not 64 hexadecimal digits"
    if not _is_integer(about.get("step", 0), 0, 1 << 62):
        yield f"step: {about['step']!r:.60} is not an integer >= 0"


def is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_integer(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high
