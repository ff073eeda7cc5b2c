"""What `rally look` is asked for: a snapshot or a fresh network; a prompt, the toy text, plain ids or an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.params.errors import UserError
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class Request:
    """What somebody wants to look at.

    Attributes:
        prompt: a text; None for the toy text of params.yaml.
        ids: token ids in its place, "3 1 4".
        step: of a snapshot, or "last" for the end of the training.
        untrained: the network as it is drawn, whatever was trained.
        knobs: turned for it, each "model.depth=1"; they are of a network that is drawn.
        vocabulary: how many different tokens, for ids where no text has been tokenized.
        image: the number of a held-out image, or a file.

    Raises:
        UserError: the words contradict each other, or one of them is none.
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
            problems.append("--ids: stands in the place of --prompt; one of them would do")
        if self.image is not None and (self.prompt is not None or self.ids is not None):
            problems.append("--image: stands in the place of a text; one of them would do")
        if self.vocabulary is not None and self.ids is None:
            problems.append(
                "--vocabulary: goes with --ids, which need no text; a prompt is read by the tokenizer that is there"
            )
        if self.step != "last" and not re.fullmatch(r"[0-9][0-9_,]{0,15}", self.step):
            problems.append(f"--step: {self.step!r} is no step of a training; a number or `last` would do")
        if self.step != "last" and self.is_drawn:
            problems.append(f"--step: {self.step} is of a training; a network that is drawn anew has none")
        if self.ids is not None and (wrong := [one for one in _pieces(self.ids) if not re.fullmatch(r"[0-9]{1,12}", one)]):
            problems.append(f"--ids: {wrong[0]!r} is no id; whole numbers from 0 on would do")
        if self.ids is not None and not _pieces(self.ids):
            problems.append('--ids: is empty; token ids would do, such as "3 1 4"')
        if problems:
            raise UserError(*problems)

    @property
    def is_drawn(self) -> bool:
        """Whether the network is to be a fresh one."""
        return self.untrained or bool(self.knobs) or self.vocabulary is not None


def read_ids(
    asked: Request, params: Params, tokenizer: Tokenizer | None, vocabulary: int, length: int, notes: list[str]
) -> list[int]:
    """What was asked for as ids, cut to the context."""
    ids = _typed(asked.ids, vocabulary) if asked.ids is not None else _read(asked, params, tokenizer, notes)
    if len(ids) > length:
        notes.append(f"The context holds {length:,} tokens: of {len(ids):,} these are the first.")
    return ids[:length]


def _pieces(text: str) -> list[str]:
    return [piece for piece in re.split(r"[\s,]+", text) if piece]


def _typed(text: str, vocabulary: int) -> list[int]:
    ids = [int(piece) for piece in _pieces(text)]
    if beyond := [token for token in ids if token >= vocabulary]:
        raise UserError(f"--ids: {beyond[0]:,} is none of this vocabulary's, 0 .. {vocabulary - 1:,}")
    return ids


def _read(asked: Request, params: Params, tokenizer: Tokenizer | None, notes: list[str]) -> list[int]:
    """The prompt as ids, without what the tokenizer has none for."""
    assert tokenizer is not None, "a network without one takes ids alone"
    what, text = ("--prompt", asked.prompt) if asked.prompt is not None else ("probe.toy_text", params.probe.toy_text)
    text = text.encode(errors="replace").decode()  # what a terminal passes on need not be text
    if (known := tokenizer.drop_unknown(text)) != text:
        notes.append(f"The tokenizer lacks characters of this prompt; the model reads {known!r}.")
    if not known:
        raise UserError(f"{what}: {text!r} holds nothing that this tokenizer knows; another --prompt, or --ids, would do")
    return [int(token) for token in tokenizer.encode(known)]


def word_of(tokenizer: Tokenizer | None, token: int) -> str:
    """A token as it can stand in a picture."""
    from pipeline.probes.attention.maps import label

    text = label(tokenizer.token_bytes(token)) if tokenizer else str(token)
    return "".join(character if character.isprintable() else "�" for character in text)
