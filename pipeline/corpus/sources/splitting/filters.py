"""Filters of a written text data set, the same for all: near-duplicates, fewer training examples, label noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from pipeline.arrays import document_ends, memory_mapped, write_array
from pipeline.artifacts.paths import labels_of
from pipeline.corpus.sources.splitting.near_duplicates import NearDuplicates, near_duplicates
from pipeline.corpus.sources.splitting.removal import keep_documents
from pipeline.corpus.store.labels import select_training
from pipeline.corpus.store.text import Card
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow


def apply_filters(folder: Path, card: Card, knobs: Prepare, follow: Follow) -> tuple[Card, dict[str, Any]]:
    """Apply prepare.dedup_threshold, max_examples and label_noise to the texts in a folder.

    Returns:
        the changed card, and its further entries.

    Raises:
        UserError: the texts cannot be compared, or nothing would be left.
    """
    entries: dict[str, Any] = {}
    if knobs.dedup_threshold:
        found = _near_duplicates(folder, card, knobs.dedup_threshold, follow)
        card = replace(card, sources=_counted(card.sources, found.kept["train"]))
        entries["near_duplicates"] = found.card_entry
    if card.classes:
        labels = np.asarray(memory_mapped(labels_of(folder, "train")))
        choice = select_training(labels, card.classes, knobs)
        entries |= choice.card_entries
        keep_documents(folder, "train", np.isin(np.arange(len(labels)), choice.places))
        write_array(labels_of(folder, "train"), choice.labels.astype(np.uint16))
    return card, entries


def _near_duplicates(folder: Path, card: Card, threshold: float, follow: Follow) -> NearDuplicates:
    if card.test_is_validation:
        raise UserError(f"prepare.dedup_threshold: the test text of '{card.name}' is its validation text; use 0")
    if len(document_ends(folder, "train")) == 1:
        raise UserError(
            f"prepare.dedup_threshold: compares documents, but the training text of '{card.name}' is a single one; use 0"
        )
    found = near_duplicates(folder, threshold, follow)
    for split, kept in found.kept.items():
        if not kept.any():
            raise UserError(f"prepare.dedup_threshold: {threshold:g} leaves nothing of {split}; use a higher one, or 0")
        keep_documents(folder, split, kept)
    return found


def _counted(sources: Any, kept: Bool[np.ndarray, " documents"]) -> list[tuple[str, int]]:
    """How many documents of each data set of a mixture are kept."""
    parts = np.split(kept, np.cumsum([count for _, count in sources])[:-1]) if sources else []
    return [(name, int(part.sum())) for (name, _), part in zip(sources, parts, strict=True)]
