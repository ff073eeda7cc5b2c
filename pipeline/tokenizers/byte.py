"""The tokenizer byte: the 256 bytes of UTF-8."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.paths import NONE
from pipeline.artifacts.writing import write_json
from pipeline.tokenizers.base import Ids, Tokenizer


class ByteTokenizer(Tokenizer):
    """One token for each of the 256 byte values: nothing to learn, and every text can be encoded."""

    kind = "byte"
    learns_from = ()

    def __init__(self, has_end: bool) -> None:
        self.end = 256 if has_end else None
        self.vocabulary = 256 + has_end

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> ByteTokenizer:
        return cls(has_end)

    @staticmethod
    def safe_cut(text: str) -> int:
        return len(text)

    def encode(self, text: str) -> Ids:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)

    def drop_unknown(self, text: str) -> str:
        return text

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else bytes([token])

    def is_lossless(self, text: str, ids: Ids) -> bool:
        return ids.max(initial=0) < 256 and ids.astype(np.uint8).tobytes() == text.encode()

    def save(self, path: Path) -> None:
        write_json(path, {"kind": self.kind, "end": self.end})

    @classmethod
    def from_saved(cls, content: dict[str, Any]) -> ByteTokenizer:
        return cls(content["end"] is not None)
