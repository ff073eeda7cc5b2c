"""The tokenizer bpe: byte-level byte pair encoding, learned from the training text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.paths import NONE
from pipeline.artifacts.writing import write_text
from pipeline.params.errors import UserError
from pipeline.tokenizers.base import END_OF_TEXT, Ids, Tokenizer

# Text is first cut into words, and merges stay inside them, by GPT-2's rule (a word includes the blank before it) with two
# changes. Letters are recognized by Unicode blocks, not categories, so that every regex engine and every version of Unicode
# cuts at the same places. And no word is longer than 64 characters, so that a text without blanks can be cut, streamed and
# learned from like any other.
BLANK = " \t\n\r\x0b\x0c"
LETTER = (
    "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufaff\ufe70-\ufefe"
    "\uff21-\uff3a\uff41-\uff5a\uff66-\uffdc\U00010000-\U0001efff\U00020000-\U0003ffff"
)
WORD = (
    f"'(?:s|t|re|ve|m|ll|d)| ?[{LETTER}]{{1,64}}| ?[0-9]{{1,64}}| ?[^{BLANK}{LETTER}0-9]{{1,64}}"
    f"|[{BLANK}]{{1,64}}(?![^{BLANK}])|[{BLANK}]{{1,64}}"
)
_WORDS = re.compile(WORD)
_SEAM = re.compile(f"[^{BLANK}](?=[ \n])")  # a word ends here, whatever is around it
LEARNED_FROM = 1 << 26  # characters: more text hardly changes a merge
LEARNED_LETTERS = 3 << 19  # in distinct words: the library needs about 130 bytes of memory for each
KNOWN_WORDS = 1 << 16  # cached words: nearly all text by people has fewer distinct ones


class BpeTokenizer(Tokenizer):
    """Byte-level byte pair encoding, learned by the Hugging Face library tokenizers and saved in its file format.

    Source: Rico Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016.
    """

    kind = "bpe"
    learns_from = ("train",)
    slow = True

    def __init__(self, library: Any) -> None:
        self.library = library
        self.end = library.token_to_id(END_OF_TEXT)
        self.vocabulary = library.get_vocab_size()
        self._words: dict[str, bytes] = {}
        byte_of = {character: byte for byte, character in enumerate(bytes_to_unicode())}
        tokens = [library.id_to_token(token) for token in range(self.vocabulary)]
        self._bytes = [b"" if i == self.end else bytes(byte_of[c] for c in token) for i, token in enumerate(tokens)]
        self._lengths = np.array([*map(len, self._bytes)])

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> BpeTokenizer:
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers, trainers

        library = tokenizers.Tokenizer(models.BPE())
        words = pre_tokenizers.Split(tokenizers.Regex(WORD), "isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        library.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
        library.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary - has_end, initial_alphabet=list(bytes_to_unicode()), show_progress=False, special_tokens=[]
        )
        library.train_from_iterator(enough_text(texts), trainer)
        if has_end:
            library.add_special_tokens([END_OF_TEXT])
        return cls(library)

    @staticmethod
    def safe_cut(text: str) -> int:
        for start in (len(text) - 4096, 0):
            if seams := [match.end() for match in _SEAM.finditer(text, max(start, 0))]:
                return seams[-1]
        # No seam anywhere. The last two words may still change with what follows, and blanks before a letter are cut
        # differently from blanks at the end of a part.
        ends = [match.end() for match in _WORDS.finditer(text)][:-2]
        return next((end for end in reversed(ends) if text[end - 1] not in BLANK or text[end] in BLANK), 0)

    def encode(self, text: str) -> Ids:
        # The library merges each word letter by letter; most words of a text have occurred before and are looked up here.
        words = _WORDS.findall(text)
        new = [*set(words).difference(self._words)]
        if len(self._words) + len(new) > KNOWN_WORDS:
            self._words.clear()
            new = [*set(words)]
        for at in range(0, len(new), 1024):  # an encoding needs a hundred times the memory of its word
            some = new[at : at + 1024]
            for word, encoding in zip(some, self.library.encode_batch_fast(some, add_special_tokens=False), strict=True):
                if b"".join(map(self._bytes.__getitem__, encoding.ids)) != word.encode():
                    raise UserError(f"tokenize: the tokens of {word!r} have other bytes; data/tokens/tokenizer.json is damaged")
                self._words[word] = np.array(encoding.ids, np.int32).tobytes()
        return np.frombuffer(b"".join(map(self._words.__getitem__, words)), np.int32).astype(np.int64)

    def drop_unknown(self, text: str) -> str:
        return text

    def token_bytes(self, token: int) -> bytes:
        return self._bytes[token]

    def is_lossless(self, text: str, ids: Ids) -> bool:
        # Each word was compared when it was first encoded; comparing all again would add a quarter to the time of encoding.
        return int(self._lengths[ids].sum()) == len(text.encode())

    def save(self, path: Path) -> None:
        write_text(path, self.library.to_str(pretty=True) + "\n")

    @classmethod
    def from_saved(cls, content: dict[str, Any]) -> BpeTokenizer:
        return cls(library_from(content))


def library_from(content: dict[str, Any]) -> Any:
    """The library's tokenizer for the content of a tokenizer.json, without truncation, padding and post-processing: these
    belong to a call of transformers or to a model, not to the tokenizer.

    Raises:
        ValueError: the library cannot read it.
    """
    import tokenizers

    try:
        library = tokenizers.Tokenizer.from_str(json.dumps(content | NO_POST_PROCESSING))
    except Exception as error:  # the library raises no narrower one
        raise ValueError(str(error)) from None
    library.encode_special_tokens = True  # a special token that is spelled out in a text is text
    return library


NO_POST_PROCESSING = dict.fromkeys(("truncation", "padding", "post_processor"))


def enough_text(texts: Iterable[str]) -> Iterator[str]:
    """The first texts, as many as merges are learned from."""
    seen: set[str] = set()
    size = letters = 0
    for text in texts:
        yield text
        new = set(_WORDS.findall(text)).difference(seen)
        seen |= new
        size += len(text)
        letters += sum(map(len, new))
        if size >= LEARNED_FROM or letters >= LEARNED_LETTERS:
            return


def bytes_to_unicode() -> str:
    """The character that represents each byte in a byte-level tokenizer.json: itself if printable, else one from U+0100 on.

    Source: `bytes_to_unicode` in GPT-2's code.
    """

    def characters() -> Iterator[str]:
        unprintable = 0x100
        for byte in range(256):
            if 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or byte >= 0xAE:
                yield chr(byte)
            else:
                yield chr(unprintable)
                unprintable += 1

    return "".join(characters())
