"""The interface of every tokenizer, and the check that its tokens hold all of a text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pipeline.artifacts.paths import NONE
from pipeline.params.errors import UserError

Ids = npt.NDArray[np.int64]


END = "<|endoftext|>"  # what the end of a document is called in tokenizer.json; it stands for no text


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back. Its contract: the bytes of the tokens of a text are the bytes of the text (`check_held`).

    Attributes:
        kind: its name in TOKENIZERS.
        learns_from: the splits whose text `learn` wants to see.
        slow: whether a long text is worth several processes.
        vocabulary: how many ids there are: 0 .. vocabulary - 1.
        end: the id that stands behind each document, the last of all; None where the text is one document.
    """

    kind: ClassVar[str]
    learns_from: ClassVar[tuple[str, ...]]
    slow: ClassVar[bool] = False
    vocabulary: int
    end: int | None

    @classmethod
    def of(cls, content: dict[str, Any]) -> Tokenizer:
        """The tokenizer that a saved file describes."""

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> Tokenizer:
        """A tokenizer for these texts, of which it reads as many as it needs: they come in an order that is even throughout.

        Args:
            vocabulary: how large a kind that has the choice may become.
            path: of the file where somebody else has learned it.
        """

    @staticmethod
    def cut(text: str) -> int:
        """The last place at which a text may be cut: whatever follows, the parts have the ids that the whole would have."""

    def encode(self, text: str) -> Ids:
        """int64 [tokens].

        Raises:
            UserError: the text holds a character that this tokenizer has no id for.
        """

    def known(self, text: str) -> str:
        """The text without the characters that `encode` would refuse."""

    def token_bytes(self, token: int) -> bytes:
        """The bytes of text that an id stands for; they need not be whole characters. The end of a document stands for none."""

    def save(self, path: Path) -> None:
        """Write what `load` reads."""

    def decode(self, ids: Ids | Iterable[int]) -> str:
        """The text of some ids; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes(int(token)) for token in ids).decode("utf-8", errors="replace")

    def holds(self, text: str, ids: Ids) -> bool:
        """Whether these ids are all of a text and nothing else."""
        return b"".join(map(self.token_bytes, ids.tolist())) == text.encode()


def check_held(tokenizer: Tokenizer, text: str, ids: Ids) -> None:
    """Hold the ids that a tokenizer made of a text against the text: what is lost here would be missing from every score.

    Raises:
        UserError: they are not its bytes; with the first place where the two part.
    """
    if tokenizer.holds(text, ids):
        return
    wanted, held = text.encode(), b"".join(map(tokenizer.token_bytes, ids.tolist()))
    shorter = min(len(wanted), len(held))
    place = next((i for i in range(shorter) if wanted[i] != held[i]), shorter)
    before, here, there = (
        bytes(part).decode("utf-8", errors="replace")
        for part in (wanted[max(place - 20, 0) : place], wanted[place : place + 20], held[place : place + 20])
    )
    raise UserError(
        f"tokenize: the tokens of a text are not the text, so its scores would be of another one: behind {before!r} it goes on"
        f" with {here!r}, and its tokens with {there!r}; tokenize.kind byte or bpe holds every text"
    )
