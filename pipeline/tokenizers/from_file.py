"""The tokenizer file: a byte-level tokenizer.json that was learned elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.paths import NONE
from pipeline.artifacts.reading import json_of
from pipeline.artifacts.writing import write_json
from pipeline.params.errors import UserError
from pipeline.tokenizers.base import END, Ids, Tokenizer, check_held
from pipeline.tokenizers.bpe import NO_TRIMMINGS, WORD, BytePairs, byte_characters, opened
from pipeline.tokenizers.byte import Bytes
from pipeline.tokenizers.char import Characters

ENDS = (END, "<|end_of_text|>", "</s>", "<eos>")  # what others call the end of a document


KEEPING = ("ByteLevel", "Split", "Digits", "Punctuation")  # ways to cut a text that can keep all of it


PROBE = "  A text,\tits 12 numbers\r\n\n and 'signs': naïve 中文 😀 e\u0301 \ufb01 \u00a0.\n"  # what many tokenizers change


class FromFile(Tokenizer):
    """A byte-level tokenizer.json that somebody else learned, as it is: GPT-2's, Llama 3's and their like.

    A tokenizer.json of ours is read as what it is, so that what was trained with it can be gone on from.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019 (byte-level pairs).
    """

    kind = "file"
    learns_from = ()
    slow = True

    def __init__(self, content: dict[str, Any], has_end: bool) -> None:
        self.content, self.library = content | NO_TRIMMINGS, opened(content)
        self.vocabulary = self.library.get_vocab_size()
        added = {token["id"]: token for token in content["added_tokens"]}
        self.end = next((i for i, token in added.items() if token["content"] in ENDS), None) if has_end else None
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        self._bytes = [
            b"" if i in added and added[i]["special"] else _as_bytes(str(self.library.id_to_token(i)), byte_of, i in added)
            for i in range(self.vocabulary)
        ]
        plain = [token["content"] for token in added.values() if not token["special"]]
        self._at_blanks = not any(" " in token for token in plain) and (
            not content["model"]["merges"]
            or [end for _, (_, end) in self.library.pre_tokenizer.pre_tokenize_str("a b")] == [1, 3]
        )

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> Tokenizer:
        path = path / "tokenizer.json" if path.is_dir() else path
        try:
            content = json_of(path)
            if content.get("kind") == cls.kind:  # one that was read from a file before
                content = content["file"]
            if (ours := _ours(content)) is not None:
                return _with_end(ours, has_end, path)
            if problems := [f"tokenize.path: {path}: {line}" for line in _losses(content)]:
                raise UserError(*problems)
            tokenizer = cls(content, has_end)
        except OSError as error:
            raise UserError(f"tokenize.path: {path}: cannot be read: {error.strerror}") from None
        except UserError:
            raise
        except Exception as error:  # the library raises no narrower one
            raise UserError(f"tokenize.path: {path}: holds no tokenizer of Hugging Face's: {error!r:.200}") from None
        try:
            check_held(tokenizer, PROBE, tokenizer.encode(PROBE))
        except UserError as refusal:
            raise UserError(
                *(f"tokenize.path: {path}: {line.removeprefix('tokenize: ')}" for line in refusal.problems)
            ) from None
        return _with_end(tokenizer, has_end, path)

    def cut(self, text: str) -> int:  # type: ignore[override]  # where it may be cut is not the same for all files
        """Before a blank between letters, where every byte-level rule ends a word; nowhere, where the file has no such rule."""
        return max((match.end() for match in _BETWEEN.finditer(text)), default=0) if self._at_blanks else 0

    def encode(self, text: str) -> Ids:
        return np.array(self.library.encode(text, add_special_tokens=False).ids, np.int64)

    def known(self, text: str) -> str:
        return text

    def token_bytes(self, token: int) -> bytes:
        return self._bytes[token]

    def holds(self, text: str, ids: Ids) -> bool:
        return b"".join(map(self._bytes.__getitem__, ids.tolist())) == text.encode()  # half as long as by `token_bytes`

    def save(self, path: Path) -> None:
        write_json(path, {"kind": self.kind, "end": self.end, "file": self.content})

    @classmethod
    def of(cls, content: dict[str, Any]) -> FromFile:
        return cls(content["file"], content["end"] is not None)


def _losses(content: dict[str, Any]) -> Iterator[str]:
    """What in a tokenizer.json keeps the bytes of a text from coming back, each in words that name it."""
    model, decoder, before = content["model"], content.get("decoder"), [*_parts(content.get("pre_tokenizer"))]
    if (kind := model.get("type", "BPE")) != "BPE":
        yield f"'model.type' is {kind!r}, which is not byte-level; only byte-level BPE holds every text"
        return
    if content.get("normalizer") is not None:
        yield f"'normalizer' is {content['normalizer'].get('type')!r}, which changes the text before it is read; null keeps it"
    if (decoder or {}).get("type") != "ByteLevel" or not any(part.get("type") == "ByteLevel" for part in before):
        yield "'pre_tokenizer' and 'decoder' are not byte-level; only byte-level BPE holds every text"
        return
    if model.get("dropout"):
        yield f"'model.dropout' is {model['dropout']}: the same text would become other tokens each time; set it to null"
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(affix):
            yield f"'model.{affix}' is {model[affix]!r}, which is not in the text; byte-level BPE has none"
    for part in before:
        if part.get("type") not in KEEPING or part.get("behavior") == "Removed":
            yield f"'pre_tokenizer' has a {part.get('type')} that leaves out or replaces some of the text"
        elif part.get("add_prefix_space"):
            yield "'pre_tokenizer.add_prefix_space' is true: it puts a blank before each text; set it to false"
    for token in content.get("added_tokens") or []:
        if not token.get("special") and (token.get("lstrip") or token.get("rstrip")):
            yield f"'added_tokens' has {token['content']!r}, which swallows blanks beside it; set lstrip and rstrip to false"
    ids = {*model["vocab"].values(), *(token["id"] for token in content.get("added_tokens") or [])}
    if ids != {*range(len(ids))}:
        yield f"'model.vocab' has {len(ids):,} ids, which are not 0 to {len(ids) - 1:,}"
    if lacking := [
        byte for byte, character in enumerate(byte_characters()) if byte in IN_TEXT and character not in model["vocab"]
    ]:
        shown = ", ".join(f"0x{byte:02X}" for byte in lacking[:5]) + (", …" if len(lacking) > 5 else "")
        yield f"'model.vocab' lacks {len(lacking)} of the bytes that text is made of ({shown}); it would leave them out"


SAVED: dict[str, type[Tokenizer]] = {"byte": Bytes, "char": Characters}  # kinds that have a file format of their own

IN_TEXT = {*range(0xC0), *range(0xC2, 0xF5)}  # the bytes of UTF-8


def _parts(pre_tokenizer: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The steps in which a text is cut."""
    if pre_tokenizer and pre_tokenizer.get("type") == "Sequence":
        for part in pre_tokenizer["pretokenizers"]:
            yield from _parts(part)
    elif pre_tokenizer:
        yield pre_tokenizer


def _ours(content: dict[str, Any]) -> Tokenizer | None:
    """The tokenizer of ours that a file holds: as we save it, as `rally export` writes it, or as transformers saves that."""
    if "kind" in content:
        return SAVED[content["kind"]].of(content)
    model, added = content["model"], content.get("added_tokens") or []
    plain = model.get("type", "BPE") == "BPE" and not (model.get("dropout") or content.get("normalizer"))
    if not plain or [token["content"] for token in added] not in ([], [END]):
        return None
    if json.dumps(WORD) in json.dumps(content.get("pre_tokenizer")):
        return BytePairs.of(content)
    letters = sorted(model["vocab"], key=model["vocab"].get)
    if model.get("merges") or any(len(letter) > 1 for letter in letters if letter != END):
        return None
    letters = [letter for letter in letters if letter != END]
    if content.get("pre_tokenizer") is None and (content.get("decoder") or {}).get("type") == "Fuse":
        return Characters("".join(letters), bool(added))
    return None


def _with_end(tokenizer: Tokenizer, has_end: bool, path: Path) -> Tokenizer:
    if has_end and tokenizer.end is None:
        raise UserError(
            f"tokenize.path: {path}: has no token for the end of a document, such as {END}; a text of several documents has one"
        )
    return tokenizer


_BETWEEN = re.compile("[A-Za-z](?= [A-Za-z])")


def _as_bytes(token: str, byte_of: dict[str, int], added: bool) -> bytes:
    return token.encode() if added else bytes(byte_of[character] for character in token)
