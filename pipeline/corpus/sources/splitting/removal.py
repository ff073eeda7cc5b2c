"""Removal of documents from a written split, as a stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from pipeline.arrays import document_ends, memory_mapped, write_array
from pipeline.artifacts.paths import SPLITS, difficulty_of, ends_of, labels_of, text_of
from pipeline.artifacts.reading import open_verified
from pipeline.artifacts.writing import atomic_write
from pipeline.corpus.sources.splitting.text import CHUNK


def count_splits(folder: Path) -> dict[str, Any]:
    """The number of documents and bytes of each split, for the card."""
    ends = {split: document_ends(folder, split) for split in SPLITS}
    sizes = {split: text_of(folder, split).stat().st_size for split in SPLITS}
    return {"documents": {split: len(ends[split]) for split in SPLITS}, "bytes": sizes}


def keep_documents(folder: Path, split: str, kept: Bool[np.ndarray, " documents"]) -> None:
    """Rewrite a split with only those of its documents that are kept."""
    if kept.all():
        return
    ends = np.asarray(document_ends(folder, split))
    sizes = np.diff(ends, prepend=0)
    text = text_of(folder, split)
    with open_verified(text) as old, atomic_write(text) as new:
        for at in np.flatnonzero(kept):
            old.seek(ends[at] - sizes[at])
            for start in range(0, int(sizes[at]), CHUNK):
                new.write(old.read(min(CHUNK, int(sizes[at]) - start)))
    write_array(ends_of(folder, split), np.cumsum(sizes[kept]))
    per_document: list[Callable[[Path], Path]] = [lambda f: labels_of(f, split)]
    if split == "train":
        per_document.append(difficulty_of)
    for path in (file(folder) for file in per_document):
        if path.exists():
            write_array(path, memory_mapped(path)[kept])
