"""The stage tokenize: data/raw -> data/tokens (the ids of each split, the tokenizer, and counts of tokens and bytes)."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts
from pipeline.params import door, load

KNOWN = ("bytes", "documents", "entropy_nats_per_byte", "grammar", "sources", "test_is_validation")  # of the text, on its card


@door
def main() -> None:
    """Learn the tokenizer that params.yaml names, and write every split as token ids."""
    params = load()
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
        about = {"kind": kind, "vocabulary": tokenizer.vocabulary, "end": tokenizer.end, "learned_from_bytes": learned_from}
        about["hugging_face"] = artifacts.digest(tokenizer_json(tokenizer))  # by which a model of theirs knows its own
        counts = {"tokens": tokens, "first_token_bytes": first_token_bytes}
        known = {name: card[name] for name in KNOWN}
        artifacts.write_json(artifacts.meta_of(folder), about | counts | known)
    print(f"{kind}: a vocabulary of {tokenizer.vocabulary:,}, {tokens['train']:,} tokens to train on")


if __name__ == "__main__":
    main()
