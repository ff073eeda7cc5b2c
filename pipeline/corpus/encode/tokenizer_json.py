"""How does a tokenizer of ours read as a tokenizer.json of Hugging Face's, whose ids are the same?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pipeline.tokenizers.base import END_OF_TEXT, Tokenizer
from pipeline.tokenizers.bpe import BpeTokenizer, bytes_to_unicode
from pipeline.tokenizers.char import CharTokenizer
from pipeline.tokenizers.from_file import FileTokenizer

PAD = "<|padding|>"  # what fills a short text up, where texts are read side by side; ours needs no token for it


def tokenizer_json(tokenizer: Tokenizer, *, closes: bool = False) -> dict[str, Any]:
    """A tokenizer of ours as the content of a tokenizer.json.

    Args:
        closes: it puts the end behind each text, as a classifier reads it, and has PAD for its last id.
    """
    form = WRITERS[tokenizer.kind](tokenizer)
    content: dict[str, Any] = json.loads(_with_end_and_padding(form, tokenizer) if closes else form)
    return content


def _with_end_and_padding(form: str, tokenizer: Tokenizer) -> str:
    import tokenizers
    from tokenizers import processors

    assert tokenizer.end is not None, "texts with classes end with a token"
    library = tokenizers.Tokenizer.from_str(form)
    library.add_special_tokens([PAD])
    assert library.token_to_id(PAD) == tokenizer.vocabulary, "padding is the id behind all others"
    end = library.id_to_token(tokenizer.end)
    library.post_processor = processors.TemplateProcessing(f"$A {end}", special_tokens=[(end, tokenizer.end)])
    return str(library.to_str())


def tokenizer_config(tokenizer: Tokenizer, length: int, *, closes: bool = False) -> dict[str, Any]:
    """The tokenizer_config.json that belongs to it: nothing is put before a text, cleaned up, or read as its end."""
    special = {} if tokenizer.end is None else {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
    padding = {"pad_token": PAD, "padding_side": "right"} if closes else {}
    return (
        special
        | padding
        | {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": length,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "split_special_tokens": True,  # a text that spells the end of a document does not end it, here as there
        }
    )


def _byte_json(tokenizer: Tokenizer) -> str:
    """Byte pairs of which none is ever merged: each byte by itself."""
    from tokenizers import decoders, pre_tokenizers

    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _without_merges(bytes_to_unicode(), tokenizer.end, as_bytes, decoders.ByteLevel())


def _char_json(tokenizer: Tokenizer) -> str:
    """Pairs of characters of which none is ever merged. A character that has no id is left out, as `known` leaves it out."""
    from tokenizers import decoders

    assert isinstance(tokenizer, CharTokenizer)
    return _without_merges(tokenizer.alphabet, tokenizer.end, None, decoders.Fuse())


def _without_merges(alphabet: str, end: int | None, before: Any, decoder: Any) -> str:
    import tokenizers
    from tokenizers import models

    library = tokenizers.Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    if before is not None:
        library.pre_tokenizer = before
    library.decoder = decoder
    if end is not None:
        library.add_special_tokens([END_OF_TEXT])
    return library.to_str()


def _bpe_json(tokenizer: Tokenizer) -> str:
    """The file that it is learned in."""
    assert isinstance(tokenizer, BpeTokenizer)
    return str(tokenizer.library.to_str())


def _file_json(tokenizer: Tokenizer) -> str:
    """The file that it was read from."""
    assert isinstance(tokenizer, FileTokenizer)
    return json.dumps(tokenizer.content)


WRITERS: dict[str, Callable[[Tokenizer], str]] = {
    "byte": _byte_json,
    "char": _char_json,
    "bpe": _bpe_json,
    "file": _file_json,
}
