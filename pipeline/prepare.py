"""The stage prepare: a data set -> data/raw (the text of each split, and a card that says where it came from)."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.params import door, load


@door
def main() -> None:
    """Write the three splits of the data set that params.yaml names."""
    params = load()

    from pipeline.corpus.documents import Splits, whole
    from pipeline.corpus.progress import follower
    from pipeline.corpus.table import DATASETS

    dataset = DATASETS[params.prepare.dataset]
    with whole(artifacts.RAW) as folder:
        with Splits(folder) as splits:
            card = dataset(params.prepare, splits, follower(params.runtime.progress))
        artifacts.write_json(folder / artifacts.CARD.name, card.with_counts(splits))
    held = (f"{split} {splits.bytes[split]:,} ({splits.documents[split]:,})" for split in artifacts.SPLITS)
    print(f"{card.name}: bytes (documents): {', '.join(held)}; where it comes from, how it was split: {artifacts.CARD}")


if __name__ == "__main__":
    main()
