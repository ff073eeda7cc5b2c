"""The request of `rally look`: which network (trained, snapshot, untrained) and which input (text, ids, image)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.params.errors import UserError, encodable
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class Request:
    """Which network to run, on which input.

    Attributes:
        prompt: a text; None for the toy text of params.yaml.
        ids: token ids instead of a text, "3 1 4".
        step: of a snapshot, or "last" for the end of the training.
        untrained: use the network of params.yaml at initialization, even if there is a trained one.
        knobs: overrides, each "model.depth=1"; with one, the network is untrained.
        vocabulary: the vocabulary size, for ids if no text has been tokenized.
        image: the number of a validation image, or a file.

    Raises:
        UserError: options exclude each other, or the value of one cannot be used.
    """

    prompt: str | None = None
    ids: str | None = None
    step: str = "last"
    untrained: bool = False
    knobs: tuple[str, ...] = ()
    vocabulary: int | None = None
    image: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.prompt is not None and self.ids is not None:
            problems.append("--ids: cannot be combined with --prompt; use one of them")
        if self.image is not None and (self.prompt is not None or self.ids is not None):
            problems.append("--image: cannot be combined with --prompt or --ids; use one of them")
        if self.vocabulary is not None and self.ids is None:
            problems.append("--vocabulary: works only with --ids; the vocabulary of a prompt is that of its tokenizer")
        if self.step != "last" and not re.fullmatch(r"[0-9][0-9_,]{0,15}", self.step):
            problems.append(f"--step: {self.step!r} is not a step; use a number or `last`")
        if self.step != "last" and self.is_untrained:
            problems.append(f"--step: {self.step} is a step of a training; an untrained network has none")
        if self.ids is not None and (wrong := [one for one in _pieces(self.ids) if not re.fullmatch(r"[0-9]{1,12}", one)]):
            problems.append(f"--ids: {wrong[0]!r} is not an id; use whole numbers from 0")
        if self.ids is not None and not _pieces(self.ids):
            problems.append('--ids: is empty; use token ids, such as "3 1 4"')
        if problems:
            raise UserError(*problems)

    @property
    def is_untrained(self) -> bool:
        """Whether the network is one at initialization."""
        return self.untrained or bool(self.knobs) or self.vocabulary is not None


def read_ids(
    request: Request, params: Params, tokenizer: Tokenizer | None, vocabulary: int, length: int, notes: list[str]
) -> list[int]:
    """The requested input as ids, cut to the context."""
    ids = _typed(request.ids, vocabulary) if request.ids is not None else _read(request, params, tokenizer, notes)
    if len(ids) > length:
        notes.append(f"The context holds {length:,} tokens: these are the first of {len(ids):,}.")
    return ids[:length]


def _pieces(text: str) -> list[str]:
    return [piece for piece in re.split(r"[\s,]+", text) if piece]


def _typed(text: str, vocabulary: int) -> list[int]:
    ids = [int(piece) for piece in _pieces(text)]
    if beyond := [token for token in ids if token >= vocabulary]:
        raise UserError(f"--ids: {beyond[0]:,} is not in the vocabulary; ids are 0 .. {vocabulary - 1:,}")
    return ids


def _read(request: Request, params: Params, tokenizer: Tokenizer | None, notes: list[str]) -> list[int]:
    """The prompt as ids, without the characters that the tokenizer lacks."""
    assert tokenizer is not None, "a network without a tokenizer takes ids alone"
    what, text = ("--prompt", request.prompt) if request.prompt is not None else ("probe.toy_text", params.probe.toy_text)
    text = encodable(text)
    if (known := tokenizer.drop_unknown(text)) != text:
        notes.append(f"The tokenizer lacks characters of this prompt; the model reads {known!r}.")
    if not known:
        raise UserError(f"{what}: {text!r} has no character that this tokenizer knows; use another --prompt, or --ids")
    return [int(token) for token in tokenizer.encode(known)]


def token_text(tokenizer: Tokenizer | None, token: int) -> str:
    """The text of a token, printable."""
    from pipeline.probes.attention.maps import label

    text = label(tokenizer.token_bytes(token)) if tokenizer else str(token)
    return "".join(character if character.isprintable() else "�" for character in text)
