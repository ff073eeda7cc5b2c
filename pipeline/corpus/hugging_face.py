"""How does a tokenizer of ours read as a tokenizer.json of Hugging Face's, whose ids are the same?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pipeline.corpus.tokenizers import END, BytePairs, Characters, FromFile, Tokenizer, byte_characters


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """A tokenizer of ours as the content of a tokenizer.json."""
    content: dict[str, Any] = json.loads(FORMS[tokenizer.kind](tokenizer))
    return content


def tokenizer_config(tokenizer: Tokenizer, length: int) -> dict[str, Any]:
    """The tokenizer_config.json that belongs to it: nothing is put before a text, cleaned up, or read as its end."""
    special = {} if tokenizer.end is None else {"bos_token": END, "eos_token": END}
    return special | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": length,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # a text that spells the end of a document does not end it, here as there
    }


def _bytes(tokenizer: Tokenizer) -> str:
    """Byte pairs of which none is ever merged: each byte by itself."""
    from tokenizers import decoders, pre_tokenizers

    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _unmerged(byte_characters(), tokenizer.end, as_bytes, decoders.ByteLevel())


def _characters(tokenizer: Tokenizer) -> str:
    """Pairs of characters of which none is ever merged. A character that has no id is left out, as `known` leaves it out."""
    from tokenizers import decoders

    assert isinstance(tokenizer, Characters)
    return _unmerged(tokenizer.alphabet, tokenizer.end, None, decoders.Fuse())


def _unmerged(alphabet: str, end: int | None, before: Any, decoder: Any) -> str:
    import tokenizers
    from tokenizers import models

    library = tokenizers.Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    if before is not None:
        library.pre_tokenizer = before
    library.decoder = decoder
    if end is not None:
        library.add_special_tokens([END])
    return library.to_str()


def _byte_pairs(tokenizer: Tokenizer) -> str:
    """The file that it is learned in."""
    assert isinstance(tokenizer, BytePairs)
    return str(tokenizer.library.to_str())


def _as_it_was(tokenizer: Tokenizer) -> str:
    """The file that it was read from."""
    assert isinstance(tokenizer, FromFile)
    return json.dumps(tokenizer.content)


FORMS: dict[str, Callable[[Tokenizer], str]] = {
    "byte": _bytes,
    "char": _characters,
    "bpe": _byte_pairs,
    "file": _as_it_was,
}
