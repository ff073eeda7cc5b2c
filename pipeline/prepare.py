"""The stage prepare: a data set -> data/raw (the text of each split, and a card that entries where it came from)."""

from __future__ import annotations

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
            card, entries = apply_filters(folder, card, params.prepare, follow)
            counts = entries | count_splits(folder)
        writing.write_json(folder / paths.CARD.name, asdict(card) | counts)
        checksums.seal_folder(folder)
    held = (
        f"{what}: {', '.join(f'{split} {count:,}' for split, count in of_splits.items())}"
        for what, of_splits in counts.items()
        if isinstance(of_splits, dict) and what != "near_duplicates"
    )
    if near := counts.get("near_duplicates"):
        left_out = ", ".join(f"{split} {count:,}" for split, count in near["left_out"].items())
        print(f"near-duplicates of held-out documents left out: {left_out}; the card shows examples")
    print(printable(f"{card.name}: {'; '.join(held)}; source and split: {paths.CARD}"))


if __name__ == "__main__":
    main()
