"""Rally's tokenizers as a Hugging Face tokenizer.json with the same ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pipeline.tokenizers.base import END_OF_TEXT, Tokenizer
from pipeline.tokenizers.bpe import BpeTokenizer, bytes_to_unicode
from pipeline.tokenizers.char import CharTokenizer
from pipeline.tokenizers.from_file import FileTokenizer

PAD = "<|padding|>"  # pads short texts in a batch of transformers; Rally needs no token for it


def tokenizer_json(tokenizer: Tokenizer, *, closes: bool = False) -> dict[str, Any]:
    """A tokenizer as the content of a tokenizer.json.

    Args:
        closes: whether it appends the end of a document to each text, as classifiers read it, and has PAD as its last id.
    """
    text = WRITERS[tokenizer.kind](tokenizer)
    content: dict[str, Any] = json.loads(_with_end_and_padding(text, tokenizer) if closes else text)
    return content


def _with_end_and_padding(text: str, tokenizer: Tokenizer) -> str:
    import tokenizers
    from tokenizers import processors

    assert tokenizer.end is not None, "texts with labels have a token for their end"
    library = tokenizers.Tokenizer.from_str(text)
    library.add_special_tokens([PAD])
    assert library.token_to_id(PAD) == tokenizer.vocabulary, "the id of the padding follows all others"
    end = library.id_to_token(tokenizer.end)
    library.post_processor = processors.TemplateProcessing(f"$A {end}", special_tokens=[(end, tokenizer.end)])
    return str(library.to_str())


def tokenizer_config(tokenizer: Tokenizer, length: int, *, closes: bool = False) -> dict[str, Any]:
    """The tokenizer_config.json that belongs to it: no prefix, no cleaning, and no special tokens read from a text.

    Args:
        length: context length of the model, tokens.
    """
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
            "split_special_tokens": True,  # the end of a document that is spelled out in a text is text
        }
    )


def _byte_json(tokenizer: Tokenizer) -> str:
    """BPE without merges over bytes."""
    from tokenizers import decoders, pre_tokenizers

    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _without_merges(bytes_to_unicode(), tokenizer.end, as_bytes, decoders.ByteLevel())


def _char_json(tokenizer: Tokenizer) -> str:
    """BPE without merges over characters. A character without an id is dropped, as by `drop_unknown`."""
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
    """The file in which it is saved."""
    assert isinstance(tokenizer, BpeTokenizer)
    return str(tokenizer.library.to_str())


def _file_json(tokenizer: Tokenizer) -> str:
    """The file from which it was read."""
    assert isinstance(tokenizer, FileTokenizer)
    return json.dumps(tokenizer.content)


WRITERS: dict[str, Callable[[Tokenizer], str]] = {
    "byte": _byte_json,
    "char": _char_json,
    "bpe": _bpe_json,
    "file": _file_json,
}
