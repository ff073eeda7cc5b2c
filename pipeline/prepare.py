"""The stage prepare: a data set -> data/raw (the examples of each split, and a card that documents their source)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file (an editor's Run button): start again as dvc.yaml does
    os.chdir(Path(__file__).absolute().parents[1])
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.prepare", *sys.argv[1:]])

from dataclasses import asdict

from pipeline.artifacts import checksums, paths, writing
from pipeline.params.entry_point import entry_point
from pipeline.params.errors import printable
from pipeline.params.load import load


@entry_point
def main() -> None:
    """Write the three splits of the data set that params.yaml names."""
    params = load()

    from pipeline.corpus.sources.splitting.filters import apply_filters
    from pipeline.corpus.sources.splitting.removal import count_splits
    from pipeline.corpus.sources.table import IMAGES, LABELLED_TEXTS, TEXTS
    from pipeline.corpus.store.images import ImageWriter
    from pipeline.corpus.store.text import SplitWriter, replace_folder
    from pipeline.progress import follower

    name, follow = params.prepare.dataset, follower(params.runtime.progress)
    with replace_folder(paths.RAW) as folder:
        if params.task.kind == "vision":
            writer = ImageWriter(folder)
            card = IMAGES[name](params.prepare, writer, follow)
            counts = writer.save(folder, card, params.prepare)
        else:
            with SplitWriter(folder) as splits:
                card = (LABELLED_TEXTS if params.task.kind == "classify" else TEXTS)[name](params.prepare, splits, follow)
            card, removed = apply_filters(folder, card, params.prepare, follow)
            counts = removed | count_splits(folder)
        writing.write_json(folder / paths.CARD.name, asdict(card) | counts)
        checksums.seal_folder(folder)
    held = (
        f"{what}: {', '.join(f'{split} {count:,}' for split, count in of_splits.items())}"
        for what, of_splits in counts.items()
        if isinstance(of_splits, dict) and what != "near_duplicates"
    )
    if near := counts.get("near_duplicates"):
        left_out = ", ".join(f"{split} {count:,}" for split, count in near["left_out"].items())
        print(f"near-duplicates of held-out documents dropped: {left_out}; {paths.CARD} shows examples")
    print(printable(f"{card.name}: {'; '.join(held)}; source and splits: {paths.CARD}"))


if __name__ == "__main__":
    main()
