"""The stage tokenize: data/raw -> data/tokens (the ids of each split, the tokenizer, and counts of tokens and bytes)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "tokenize":  # Python wants its own module of this name, and looks into pipeline/ first
    print("pipeline/tokenize.py hides Python's own module tokenize here: start Python in the folder above", file=sys.stderr)
    sys.exit(2)
if __name__ == "__main__" and not __package__:  # run as a file (an editor's Run button): start again as dvc.yaml does
    os.chdir(Path(__file__).absolute().parents[1])
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.tokenize", *sys.argv[1:]])

from pipeline import identity
from pipeline.artifacts import checksums, paths, reading, writing
from pipeline.params.entry_point import entry_point
from pipeline.params.load import load
from pipeline.params.schema import Params

KNOWN = (
    "bytes",
    "documents",
    "entropy_nats_per_byte",
    "grammar",
    "sources",
    "test_is_validation",
)  # entries of the card that meta.json repeats


@entry_point
def main() -> None:
    """Train the tokenizer that params.yaml names, and write every split as token ids; images are copied."""
    params = load()
    if params.task.kind == "vision":
        _pixels()
    else:
        _ids(params)


def _ids(params: Params) -> None:
    """Train a tokenizer, and write the token ids of every split."""
    labelled = params.task.kind == "classify"
    card = reading.read_json(paths.CARD, *KNOWN)

    from pipeline.corpus.encode.difficulty import write_parts
    from pipeline.corpus.encode.encode import encode_split, learn
    from pipeline.corpus.encode.tokenizer_json import tokenizer_json
    from pipeline.corpus.store.text import replace_folder
    from pipeline.progress import follower

    kind, vocabulary, workers = params.tokenize.kind, params.tokenize.vocab_size, params.runtime.workers
    given, follow = Path(params.tokenize.path), follower(params.runtime.progress)
    with replace_folder(paths.TOKENS) as folder:
        saved = paths.tokenizer_of(folder)
        tokenizer, learned_from = learn(paths.RAW, kind, vocabulary, workers, follow, given)
        tokenizer.save(saved)
        tokens, first_token_bytes = {}, {}
        for split in paths.SPLITS:
            target = paths.tokens_of(folder, split)
            tokens[split], first_token_bytes[split] = encode_split(paths.RAW, split, saved, target, workers, follow)
        write_parts(paths.RAW, folder, tokenizer, [documents for _, documents in card["sources"]])
        about = {
            "kind": tokenizer.kind,
            "vocabulary": tokenizer.vocabulary,
            "end": tokenizer.end,
            "learned_from_bytes": learned_from,
        }
        about["hugging_face"] = identity.tokenizer_digest(
            tokenizer_json(tokenizer)
        )  # by which a Hugging Face model recognizes its tokenizer
        counts = {"tokens": tokens, "first_token_bytes": first_token_bytes}
        known = {name: card[name] for name in KNOWN}
        if labelled:
            known["classes"] = card["classes"]
            for split in paths.SPLITS:
                reading.copy_file(paths.labels_of(paths.RAW, split), paths.labels_of(folder, split))
        writing.write_json(paths.meta_of(folder), about | counts | known)
        checksums.seal_folder(folder)
    if tokenizer.kind == "bpe" and (card["grammar"] or card["entropy_nats_per_byte"] is not None):
        print("this text is generated character by character, which byte pairs hide; -S tokenize.kind=char keeps it visible")
    print(f"{tokenizer.kind}: a vocabulary of {tokenizer.vocabulary:,}, {tokens['train']:,} training tokens")


def _pixels() -> None:
    """Copy the images, with the mean and standard deviation for their normalization."""
    card = reading.read_json(paths.CARD, "classes", "image", "examples", "test_is_validation")

    from pipeline.corpus.store.images import channel_statistics
    from pipeline.corpus.store.text import replace_folder

    with replace_folder(paths.TOKENS) as folder:
        for split in paths.SPLITS:
            for file in (paths.images_of, paths.labels_of):
                reading.copy_file(file(paths.RAW, split), file(folder, split))
        mean, deviation = channel_statistics(paths.images_of(folder, "train"))
        known = {name: card[name] for name in ("classes", "image", "examples", "test_is_validation")}
        writing.write_json(paths.meta_of(folder), known | {"kind": "pixels", "mean": mean, "deviation": deviation})
        checksums.seal_folder(folder)
    print(f"pixels: {card['examples']['train']:,} training images, {' x '.join(map(str, card['image']))}")


if __name__ == "__main__":
    main()
