"""Every tokenizer by its name, and the one that a folder was tokenized with."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts.checksums import way_back
from pipeline.artifacts.reading import read_json
from pipeline.params.errors import UserError
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.bpe import BytePairs
from pipeline.tokenizers.byte import Bytes
from pipeline.tokenizers.char import Characters
from pipeline.tokenizers.from_file import FromFile


def load(path: Path) -> Tokenizer:
    """The tokenizer that was saved here.

    Raises:
        UserError: it is missing or damaged.
    """
    content = read_json(path)
    try:
        return TOKENIZERS[content.get("kind", BytePairs.kind)].of(content)  # a Hugging Face file names no kind
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: holds no tokenizer; {way_back(path)}") from None


TOKENIZERS: dict[str, type[Tokenizer]] = {
    "byte": Bytes,
    "char": Characters,
    "bpe": BytePairs,
    "file": FromFile,
}
