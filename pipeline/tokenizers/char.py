"""The tokenizer char: one token for each character that occurs in the data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.artifacts.paths import NONE, SPLITS
from pipeline.artifacts.writing import write_json
from pipeline.params.errors import UserError
from pipeline.tokenizers.base import Ids, Tokenizer


class CharTokenizer(Tokenizer):
    """The characters of all splits in order of their code points. An alphabet gives away nothing of the held-out text."""

    kind = "char"
    learns_from = SPLITS

    def __init__(self, alphabet: str, has_end: bool) -> None:
        self.alphabet = alphabet
        self.end = len(alphabet) if has_end else None
        self.vocabulary = len(alphabet) + has_end
        self._codes = _code_points(alphabet)
        self._ids = np.full(int(self._codes.max(initial=0)) + 1, -1, np.int64)
        self._ids[self._codes] = np.arange(len(alphabet))

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> CharTokenizer:
        found: set[str] = set()
        for text in texts:
            found.update(text)
        return cls("".join(sorted(found)), has_end)

    @staticmethod
    def safe_cut(text: str) -> int:
        return len(text)

    def encode(self, text: str) -> Ids:
        codes = _code_points(text)
        if codes.max(initial=0) < len(self._ids):
            ids: Ids = self._ids[codes]
            if ids.min(initial=0) >= 0:
                return ids
        unknown = next(character for character in text if character not in self.alphabet)
        raise UserError(
            f"tokenizer: the character {unknown!r} is not one of the {len(self.alphabet)} in the data set;"
            " use tokenize.kind=byte or bpe, which encode every text"
        )

    def drop_unknown(self, text: str) -> str:
        return "".join(character for character in text if character in self.alphabet)

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else self.alphabet[token].encode()

    def is_lossless(self, text: str, ids: Ids) -> bool:
        return ids.max(initial=-1) < len(self.alphabet) and self._codes[ids].tobytes() == text.encode("utf-32-le")

    def save(self, path: Path) -> None:
        write_json(path, {"kind": self.kind, "alphabet": self.alphabet, "end": self.end})

    @classmethod
    def from_saved(cls, content: dict[str, Any]) -> CharTokenizer:
        return cls(content["alphabet"], content["end"] is not None)


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)
