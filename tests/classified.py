"""Labelled texts and images as the stage prepare leaves them, and classifiers over them that have seen nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sealing import sealed
from small import knobs
from subjects import runtime

from pipeline.artifacts.paths import SPLITS, ends_of, images_of, labels_of, text_of, tokens_of
from pipeline.artifacts.reading import input_sha256
from pipeline.artifacts.writing import write_json
from pipeline.inference.trained import TrainedModel
from pipeline.networks.weights import save_weights
from pipeline.tasks.base import Shape
from pipeline.tasks.table import TASKS
from pipeline.tokenizers.char import CharTokenizer

NAMES = ["cold", "mild", "hot"]
WORDS = (("frost", "snow", "ïce"), ("spring", "breeze", "cloud"), ("sun", "blaze", "fire"))
SIZES = {"train": 240, "validation": 60, "test": 90}


def drawn_texts(split: str) -> tuple[list[str], np.ndarray]:
    random = np.random.default_rng(SPLITS.index(split))
    labels = random.choice(3, size=SIZES[split], p=[0.5, 0.3, 0.2])
    written = [" ".join(random.choice([*WORDS[label], "the", "a", "and"], size=7)) + f" {n}" for n, label in enumerate(labels)]
    return written, labels


def leave_texts(raw: Path) -> Path:
    """data/raw of texts in three classes, each with words of its own."""
    raw.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        written, labels = drawn_texts(split)
        documents = [text.encode() for text in written]
        text_of(raw, split).write_bytes(b"".join(documents))
        np.save(ends_of(raw, split), np.cumsum([len(document) for document in documents]))
        np.save(labels_of(raw, split), labels.astype(np.uint16))
    return raw


def leave_images(raw: Path, missing: tuple[int, ...] = ()) -> Path:
    """data/raw of images 6 x 6 in three classes: a bright third, in noise; some classes may be missing in training."""
    raw.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        random = np.random.default_rng(10 + SPLITS.index(split))
        labels = random.choice([one for one in range(3) if split != "train" or one not in missing], size=SIZES[split])
        images = random.integers(0, 150, size=(len(labels), 6, 6, 1))
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 2] += 60
        np.save(images_of(raw, split), images.astype(np.uint8))
        np.save(labels_of(raw, split), labels.astype(np.uint16))
    return raw


def classifier(folder: Path, kind: str, **changes: Any) -> TrainedModel:
    """A network with every weight drawn at random, over data/raw and data/tokens of its kind, which are left in the folder."""
    raw, tokens = folder / "data/raw", folder / "data/tokens"
    tokens.mkdir(parents=True)
    known: dict[str, Any] = {"classes": NAMES, "test_is_validation": False}
    tokenizer = None
    if kind == "vision":
        leave_images(raw)
        known |= {"kind": "pixels", "image": [6, 6, 1], "mean": [100.0], "deviation": [50.0]}
        known["examples"] = SIZES
        for split in SPLITS:
            shutil.copy(images_of(raw, split), images_of(tokens, split))
    else:
        leave_texts(raw)
        tokenizer = CharTokenizer.learn([text for split in SPLITS for text in drawn_texts(split)[0]], 0, has_end=True)
        tokenizer.save(tokens / "tokenizer.json")
        known |= {"kind": "char", "vocabulary": tokenizer.vocabulary, "end": tokenizer.end}
        for split in SPLITS:
            ids = [np.append(tokenizer.encode(text), tokenizer.end) for text in drawn_texts(split)[0]]
            np.save(tokens_of(tokens, split), np.concatenate(ids).astype(np.uint8))
    for split in SPLITS:
        shutil.copy(labels_of(raw, split), labels_of(tokens, split))
    write_json(tokens / "meta.json", known)
    changes = {"model__network": "mlp", **changes}
    model = knobs(task={"kind": kind}, prepare__dataset="digits" if kind == "vision" else "dyck", **changes).model
    task = TASKS[kind](tokens, model, Shape.of(known))
    network = task.build(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return TrainedModel(network, task, tokenizer, runtime(), step=7, sequences=4)


def leave_classifier(folder: Path, made: TrainedModel, kind: str) -> None:
    """models/trained as train leaves it."""
    sha256 = save_weights(made.model, folder / "models/trained/model.safetensors")
    about = {"task": kind, "model": made.task.model.model_dump(), "tokenizer": input_sha256(folder / "data/tokens")}
    write_json(folder / "models/trained/model.json", about | made.task.shape.as_json() | {"step": made.step, "sha256": sha256})
    sealed(folder)
