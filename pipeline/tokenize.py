"""The stage tokenize: data/raw -> data/tokens (the ids of each split, the tokenizer, and counts of tokens and bytes)."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts
from pipeline.params import Params, door, load

KNOWN = ("bytes", "documents", "entropy_nats_per_byte", "grammar", "sources", "test_is_validation")  # of the text, on its card


@door
def main() -> None:
    """Learn the tokenizer that params.yaml names, and write every split as token ids; images are pixels already."""
    params = load()
    if params.task.kind == "vision":
        _pixels()
    else:
        _ids(params)


def _ids(params: Params) -> None:
    """Learn a tokenizer, and write what it makes of the text."""
    labelled = params.task.kind == "classify"
    card = artifacts.read_json(artifacts.CARD, *KNOWN)

    from pipeline.corpus.documents import whole
    from pipeline.corpus.encoding import encode_split, learn
    from pipeline.corpus.hugging_face import tokenizer_json
    from pipeline.corpus.parts import write_parts
    from pipeline.corpus.progress import follower

    kind, vocabulary, workers = params.tokenize.kind, params.tokenize.vocabulary, params.runtime.workers
    given, follow = Path(params.tokenize.path), follower(params.runtime.progress)
    with whole(artifacts.TOKENS) as folder:
        saved = artifacts.tokenizer_of(folder)
        tokenizer, learned_from = learn(artifacts.RAW, kind, vocabulary, workers, follow, given)
        tokenizer.save(saved)
        tokens, first_token_bytes = {}, {}
        for split in artifacts.SPLITS:
            target = artifacts.tokens_of(folder, split)
            tokens[split], first_token_bytes[split] = encode_split(artifacts.RAW, split, saved, target, workers, follow)
        write_parts(artifacts.RAW, folder, tokenizer, [documents for _, documents in card["sources"]])
        about = {
            "kind": tokenizer.kind,
            "vocabulary": tokenizer.vocabulary,
            "end": tokenizer.end,
            "learned_from_bytes": learned_from,
        }
        about["hugging_face"] = artifacts.digest(tokenizer_json(tokenizer))  # by which a model of theirs knows its own
        counts = {"tokens": tokens, "first_token_bytes": first_token_bytes}
        known = {name: card[name] for name in KNOWN}
        if labelled:
            known["classes"] = card["classes"]
            for split in artifacts.SPLITS:
                artifacts.copy_file(artifacts.labels_of(artifacts.RAW, split), artifacts.labels_of(folder, split))
        artifacts.write_json(artifacts.meta_of(folder), about | counts | known)
        artifacts.seal_folder(folder)
    print(f"{tokenizer.kind}: a vocabulary of {tokenizer.vocabulary:,}, {tokens['train']:,} tokens to train on")


def _pixels() -> None:
    """Images are cut into pixels already: they are copied, with the mean and the deviation by which they are to be read."""
    card = artifacts.read_json(artifacts.CARD, "classes", "image", "examples", "test_is_validation")

    from pipeline.corpus.documents import whole
    from pipeline.corpus.images import scale_of

    with whole(artifacts.TOKENS) as folder:
        for split in artifacts.SPLITS:
            for file in (artifacts.images_of, artifacts.labels_of):
                artifacts.copy_file(file(artifacts.RAW, split), file(folder, split))
        mean, deviation = scale_of(artifacts.images_of(folder, "train"))
        known = {name: card[name] for name in ("classes", "image", "examples", "test_is_validation")}
        artifacts.write_json(artifacts.meta_of(folder), known | {"kind": "pixels", "mean": mean, "deviation": deviation})
        artifacts.seal_folder(folder)
    print(f"pixels: {card['examples']['train']:,} images to train on, {' x '.join(map(str, card['image']))}")


if __name__ == "__main__":
    main()
