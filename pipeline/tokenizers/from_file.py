"""The tokenizer file: a byte-level tokenizer.json that was learned elsewhere."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.paths import NONE
from pipeline.artifacts.reading import load_json
from pipeline.artifacts.writing import write_json
from pipeline.params.errors import UserError
from pipeline.tokenizers.base import END_OF_TEXT, Ids, Tokenizer, check_lossless
from pipeline.tokenizers.bpe import NO_POST_PROCESSING, WORD, BpeTokenizer, bytes_to_unicode, library_from
from pipeline.tokenizers.byte import ByteTokenizer
from pipeline.tokenizers.char import CharTokenizer

ENDS_OF_TEXT = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>")  # names of the token that ends a document
LOSSLESS_STEPS = ("ByteLevel", "Split", "Digits", "Punctuation")  # pre-tokenizers that can keep all of a text
PROBE = "  A text,\tits 12 numbers\r\n\n and 'signs': naïve 中文 😀 e\u0301 \ufb01 \u00a0.\n"  # what many tokenizers lose


class FileTokenizer(Tokenizer):
    """A byte-level tokenizer.json that was learned elsewhere, unchanged, such as GPT-2's or Llama 3's.

    A tokenizer.json that Rally wrote becomes the kind that wrote it, so that a model trained with it can be trained further.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019 (byte-level pairs).
    """

    kind = "file"
    learns_from = ()
    slow = True

    def __init__(self, content: dict[str, Any], has_end: bool) -> None:
        self.content, self.library = content | NO_POST_PROCESSING, library_from(content)
        self.vocabulary = self.library.get_vocab_size()
        added = {token["id"]: token for token in content["added_tokens"]}
        self.end = next((i for i, token in added.items() if token["content"] in ENDS_OF_TEXT), None) if has_end else None
        byte_of = {character: byte for byte, character in enumerate(bytes_to_unicode())}
        self._bytes = [
            b"" if i in added and added[i]["special"] else _bytes_of(str(self.library.id_to_token(i)), byte_of, i in added)
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
            content = load_json(path)
            if content.get("kind") == cls.kind:  # one that this kind saved before
                content = content["file"]
            if (own := _rally_tokenizer(content)) is not None:
                return _check_end(own, has_end, path)
            if problems := [f"tokenize.path: {path}: {line}" for line in _problems(content)]:
                raise UserError(*problems)
            tokenizer = cls(content, has_end)
        except OSError as error:
            raise UserError(f"tokenize.path: {path}: cannot be read: {error.strerror}") from None
        except UserError:
            raise
        except Exception as error:  # the library raises no narrower one
            raise UserError(f"tokenize.path: {path}: is not a Hugging Face tokenizer: {error!r:.200}") from None
        probe = unicodedata.normalize("NFC", PROBE) if content.get("normalizer") else PROBE
        try:
            check_lossless(tokenizer, probe, tokenizer.encode(probe))
        except UserError as refusal:
            raise UserError(
                *(f"tokenize.path: {path}: {line.removeprefix('tokenize: ')}" for line in refusal.problems)
            ) from None
        return _check_end(tokenizer, has_end, path)

    def safe_cut(self, text: str) -> int:  # type: ignore[override]  # depends on the file
        """Before a blank between letters, where byte-level rules end a word; nowhere if the file has no such rule."""
        return max((match.end() for match in _LETTER_BEFORE_BLANK.finditer(text)), default=0) if self._at_blanks else 0

    def encode(self, text: str) -> Ids:
        return np.array(self.library.encode(text, add_special_tokens=False).ids, np.int64)

    def drop_unknown(self, text: str) -> str:
        return text

    def token_bytes(self, token: int) -> bytes:
        return self._bytes[token]

    def is_lossless(self, text: str, ids: Ids) -> bool:
        return b"".join(map(self._bytes.__getitem__, ids.tolist())) == text.encode()  # twice as fast as by `token_bytes`

    def save(self, path: Path) -> None:
        write_json(path, {"kind": self.kind, "end": self.end, "file": self.content})

    @classmethod
    def from_saved(cls, content: dict[str, Any]) -> FileTokenizer:
        return cls(content["file"], content["end"] is not None)


def _problems(content: dict[str, Any]) -> Iterator[str]:
    """The reasons why a tokenizer.json would lose some of a text, one line each."""
    model, decoder, before = content["model"], content.get("decoder"), [*_steps(content.get("pre_tokenizer"))]
    if (kind := model.get("type", "BPE")) != "BPE":
        yield f"'model.type' is {kind!r}, which is not byte-level; use a tokenizer of byte-level BPE"
        return
    if content.get("normalizer") not in (None, {"type": "NFC"}):  # text that is not in NFC is found by `check_lossless`
        yield f"'normalizer' is {content['normalizer'].get('type')!r}, which changes the text; set it to null"
    if (decoder or {}).get("type") != "ByteLevel" or not any(part.get("type") == "ByteLevel" for part in before):
        yield "'pre_tokenizer' and 'decoder' are not byte-level; use a tokenizer of byte-level BPE"
        return
    if model.get("dropout"):
        yield f"'model.dropout' is {model['dropout']}: the same text would get other tokens each time; set it to null"
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(affix):
            yield f"'model.{affix}' is {model[affix]!r}, which is not in the text; byte-level BPE has no affixes"
    for part in before:
        if part.get("type") not in LOSSLESS_STEPS or part.get("behavior") == "Removed":
            yield f"'pre_tokenizer' has a {part.get('type')} that drops or replaces some of the text"
        elif part.get("add_prefix_space"):
            yield "'pre_tokenizer.add_prefix_space' is true: it adds a blank before each text; set it to false"
    for token in content.get("added_tokens") or []:
        if not token.get("special") and (token.get("lstrip") or token.get("rstrip")):
            yield f"'added_tokens' has {token['content']!r}, which drops blanks next to it; set lstrip and rstrip to false"
    ids = {*model["vocab"].values(), *(token["id"] for token in content.get("added_tokens") or [])}
    if ids != {*range(len(ids))}:
        yield f"'model.vocab' has {len(ids):,} ids, which are not 0 to {len(ids) - 1:,}"
    if lacking := [
        byte for byte, character in enumerate(bytes_to_unicode()) if byte in NEEDED_BYTES and character not in model["vocab"]
    ]:
        shown = ", ".join(f"0x{byte:02X}" for byte in lacking[:5]) + (", …" if len(lacking) > 5 else "")
        yield f"'model.vocab' lacks {len(lacking)} of the bytes of UTF-8 ({shown}); it would drop them"


# Those of UTF-8, but for control characters and characters beyond U+3FFFF: SmolLM2 lacks eight of these, and a text that has
# one is found by `check_lossless`.
NEEDED_BYTES = {*b"\t\n\r", *range(0x20, 0x7F), *range(0x80, 0xC0), *range(0xC2, 0xF1)}


def _steps(pre_tokenizer: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The steps of a pre-tokenizer, nested ones too."""
    if pre_tokenizer and pre_tokenizer.get("type") == "Sequence":
        for part in pre_tokenizer["pretokenizers"]:
            yield from _steps(part)
    elif pre_tokenizer:
        yield pre_tokenizer


def _rally_tokenizer(content: dict[str, Any]) -> Tokenizer | None:
    """The Rally tokenizer in a file, if there is one: as `save` or `rally export` wrote it, or transformers saved it again."""
    if "kind" in content:
        kinds: dict[str, type[Tokenizer]] = {"byte": ByteTokenizer, "char": CharTokenizer}  # BPE's file names no kind
        return kinds[content["kind"]].from_saved(content)
    model, added = content["model"], content.get("added_tokens") or []
    plain = model.get("type", "BPE") == "BPE" and not (model.get("dropout") or content.get("normalizer"))
    if not plain or [token["content"] for token in added] not in ([], [END_OF_TEXT]):
        return None
    if json.dumps(WORD) in json.dumps(content.get("pre_tokenizer")):
        return BpeTokenizer.from_saved(content)
    letters = sorted(model["vocab"], key=model["vocab"].get)
    if model.get("merges") or any(len(letter) > 1 for letter in letters if letter != END_OF_TEXT):
        return None
    letters = [letter for letter in letters if letter != END_OF_TEXT]
    if content.get("pre_tokenizer") is None and (content.get("decoder") or {}).get("type") == "Fuse":
        return CharTokenizer("".join(letters), bool(added))
    return None


def _check_end(tokenizer: Tokenizer, has_end: bool, path: Path) -> Tokenizer:
    if has_end and tokenizer.end is None:
        raise UserError(
            f"tokenize.path: {path}: has no token for the end of a document, such as {END_OF_TEXT}; a text of several documents"
            " needs one"
        )
    return tokenizer


_LETTER_BEFORE_BLANK = re.compile("[A-Za-z](?= [A-Za-z])")


def _bytes_of(token: str, byte_of: dict[str, int], added: bool) -> bytes:
    return token.encode() if added else bytes(byte_of[character] for character in token)
