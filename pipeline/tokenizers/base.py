"""The interface of every tokenizer, and the check that encoding a text loses nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pipeline.artifacts.paths import NONE
from pipeline.params.errors import UserError

Ids = npt.NDArray[np.int64]

END_OF_TEXT = "<|endoftext|>"  # the token that ends a document in tokenizer.json; it stands for no text


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back. Its contract: the tokens of a text have exactly the bytes of the text (`check_lossless`).

    Attributes:
        kind: its name in TOKENIZERS.
        learns_from: the splits whose text `learn` reads.
        slow: whether a long text is worth several processes.
        vocabulary: number of ids, 0 .. vocabulary - 1.
        end: the id that follows each document, the highest of all; None if the text is one document.
    """

    kind: ClassVar[str]
    learns_from: ClassVar[tuple[str, ...]]
    slow: ClassVar[bool] = False
    vocabulary: int
    end: int | None

    @classmethod
    def from_saved(cls, content: dict[str, Any]) -> Tokenizer:
        """The tokenizer that `save` wrote, from the content of its file."""

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> Tokenizer:
        """A tokenizer for these texts, of which it reads as many as it needs: any beginning of them is a fair sample.

        Args:
            vocabulary: the most ids, for kinds that can choose.
            has_end: whether documents end with a token of their own.
            path: of a tokenizer.json that was learned elsewhere.
        """

    @staticmethod
    def safe_cut(text: str) -> int:
        """The last offset at which a text can be cut: whatever follows, both parts have the ids that the whole would have."""

    def encode(self, text: str) -> Ids:
        """The ids of a text, int64 [tokens].

        Raises:
            UserError: the text has a character without an id.
        """

    def drop_unknown(self, text: str) -> str:
        """The text without the characters that have no id."""

    def token_bytes(self, token: int) -> bytes:
        """The bytes of text that an id stands for, not always whole characters; none for the end of a document."""

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""

    def decode(self, ids: Ids | Iterable[int]) -> str:
        """The text of some ids; invalid UTF-8 becomes U+FFFD."""
        return b"".join(self.token_bytes(int(token)) for token in ids).decode("utf-8", errors="replace")

    def is_lossless(self, text: str, ids: Ids) -> bool:
        """Whether these ids have exactly the bytes of a text."""
        return b"".join(map(self.token_bytes, ids.tolist())) == text.encode()


def check_lossless(tokenizer: Tokenizer, text: str, ids: Ids) -> None:
    """Compare the ids of a text with the text: anything lost here would be missing from every score.

    Raises:
        UserError: their bytes differ; the message shows the first place.
    """
    if tokenizer.is_lossless(text, ids):
        return
    expected, decoded = text.encode(), b"".join(map(tokenizer.token_bytes, ids.tolist()))
    shorter = min(len(expected), len(decoded))
    place = next((i for i in range(shorter) if expected[i] != decoded[i]), shorter)
    before, in_text, in_tokens = (
        bytes(part).decode("utf-8", errors="replace")
        for part in (expected[max(place - 20, 0) : place], expected[place : place + 20], decoded[place : place + 20])
    )
    raise UserError(
        f"tokenize: the tokens of a text do not decode to that text: after {before!r} the text has {in_text!r}, its tokens"
        f" {in_tokens!r}; use tokenize.kind=byte or bpe, which encode every text"
    )
