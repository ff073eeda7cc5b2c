"""Every tokenizer by its name, and loading a saved one."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts.checksums import how_to_restore
from pipeline.artifacts.reading import read_json
from pipeline.params.errors import UserError
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.bpe import BpeTokenizer
from pipeline.tokenizers.byte import ByteTokenizer
from pipeline.tokenizers.char import CharTokenizer
from pipeline.tokenizers.from_file import FileTokenizer


def load(path: Path) -> Tokenizer:
    """The tokenizer that was saved at this path.

    Raises:
        UserError: it is missing or damaged.
    """
    content = read_json(path)
    try:
        return TOKENIZERS[content.get("kind", BpeTokenizer.kind)].from_saved(content)  # a Hugging Face file has no kind
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: is not a tokenizer; {how_to_restore(path)}") from None


TOKENIZERS: dict[str, type[Tokenizer]] = {
    "byte": ByteTokenizer,
    "char": CharTokenizer,
    "bpe": BpeTokenizer,
    "file": FileTokenizer,
}
