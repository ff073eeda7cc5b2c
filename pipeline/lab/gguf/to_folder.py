"""A GGUF file as a folder in Hugging Face's format, from which training goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.writing import write_bytes, write_json, write_text
from pipeline.corpus.store.text import replace_folder
from pipeline.lab.gguf.architectures import GGUF_ARCHITECTURES, config_of
from pipeline.lab.gguf.container import LONGEST_SHOWN, Gguf, read
from pipeline.lab.gguf.layout import from_gguf
from pipeline.lab.gguf.vocabulary import tokenizer_of
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

MARK = "gguf_sha256: "  # in the README.md of a folder that was made here


def find_file(path: Path) -> Path | None:
    """The GGUF file that is meant: the path itself, or the only one in a folder that has no other model; None: there is none.

    Raises:
        UserError: a folder has several.
    """
    if path.suffix == ".gguf":
        return path
    if not path.is_dir() or (path / "model.safetensors").is_file():
        return None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        raise UserError(f"{path}: has {len(files)} GGUF files; name one of them: {', '.join(file.name for file in files[:5])}")
    return files[0] if files else None


def to_folder(path: Path, folder: Path, check: Callable[[Path], object]) -> None:
    """Write a folder in Hugging Face's format from a file; a folder that was made from a file before is replaced.

    Args:
        check: raises UserError if the folder cannot be used; nothing is left then.

    Raises:
        UserError: the file cannot be read or holds what Rally's networks do not have, or the folder is something else.
    """
    readme = folder / "README.md"
    if folder.exists() and not (readme.is_file() and f"\n{MARK}" in readme.read_text(encoding="utf-8", errors="replace")):
        raise UserError(f"{folder}: exists and was not made from a GGUF file; use --folder and a new name")
    file = read(path)
    with replace_folder(folder) as unfinished:
        _write(file, unfinished)
        write_text(unfinished / "README.md", CARD.format(mark=MARK, sha256=sha256_of(path), name=path.name))
        try:
            check(unfinished)
        except UserError as refusal:
            raise UserError(*(line.replace(str(unfinished), str(path)) for line in refusal.problems)) from None


def _write(file: Gguf, folder: Path) -> None:
    name = file.metadata.get("general.architecture")
    if not (isinstance(name, str) and name in GGUF_ARCHITECTURES):
        raise UserError(
            f"{file.path}: general.architecture: {name!r:.60} is not supported."
            f" {suggest(str(name)[:LONGEST_SHOWN], tuple(GGUF_ARCHITECTURES))}"
        )
    architecture = GGUF_ARCHITECTURES[name]
    try:
        tokenizer = tokenizer_of(file.metadata)
        config = config_of(file.metadata, file.entries, architecture)
    except KeyError as error:
        raise UserError(f"{file.path}: lacks the key {name}.{str(error.args[0]).removeprefix(f'{name}.')}") from None
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise UserError(f"{file.path}: {error!s:.300}") from None
    tensors = {name: file.tensor(name) for name in file.entries}
    try:
        weights = from_gguf(tensors, architecture, config)
    except KeyError as error:
        shown = str(error.args[0])[:LONGEST_SHOWN]
        raise UserError(f"{file.path}: has the tensor {shown!r}, for which {architecture.class_name} has no place") from None
    config["tie_word_embeddings"] = _is_tied(weights)
    if config["tie_word_embeddings"]:
        weights.pop("lm_head.weight", None)
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer.json", tokenizer)
    content = {name: np.ascontiguousarray(weight) for name, weight in weights.items()}
    write_bytes(folder / "model.safetensors", safetensors.numpy.save(content, {"format": "pt"}))


def _is_tied(weights: dict[str, np.ndarray]) -> bool:
    """Whether the head is the embedding: not stored, or stored a second time."""
    head = weights.get("lm_head.weight")
    embedding = weights.get("model.embed_tokens.weight", weights.get("transformer.wte.weight"))
    return head is None or (embedding is not None and np.array_equal(head, embedding))


CARD = """---
tags:
- rally
{mark}{sha256}
---

Made by `rally import` from {name}; a model in Hugging Face's format, with its numbers as float32.
"""
