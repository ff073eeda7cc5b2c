"""Into which pieces is text cut for the model? Bytes, characters, or byte pairs merged by how often they stand together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pipeline.artifacts import NONE, SPLITS, read_json, way_back, write_json, write_text
from pipeline.params import Refusal

Ids = npt.NDArray[np.int64]

END = "<|endoftext|>"  # what the end of a document is called in tokenizer.json; it stands for no text


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back.

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
            Refusal: the text holds a character that this tokenizer has no id for.
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


def load(path: Path) -> Tokenizer:
    """The tokenizer that was saved here.

    Raises:
        Refusal: it is missing or damaged.
    """
    content = read_json(path)
    try:
        return TOKENIZERS[content.get("kind", BytePairs.kind)].of(content)  # a Hugging Face file names no kind
    except (KeyError, TypeError, ValueError):
        raise Refusal(f"{path}: holds no tokenizer; {way_back(path)}") from None


class Bytes(Tokenizer):
    """The 256 bytes of UTF-8: nothing to learn, and no text that it does not know."""

    kind = "byte"
    learns_from = ()

    def __init__(self, has_end: bool) -> None:
        self.end = 256 if has_end else None
        self.vocabulary = 256 + has_end

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> Bytes:
        return cls(has_end)

    @staticmethod
    def cut(text: str) -> int:
        return len(text)

    def encode(self, text: str) -> Ids:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)

    def known(self, text: str) -> str:
        return text

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else bytes([token])

    def save(self, path: Path) -> None:
        write_json(path, {"kind": self.kind, "end": self.end})

    @classmethod
    def of(cls, content: dict[str, Any]) -> Bytes:
        return cls(content["end"] is not None)


class Characters(Tokenizer):
    """The characters that occur, in order of their code points: those of all splits, for an alphabet gives nothing away."""

    kind = "char"
    learns_from = SPLITS

    def __init__(self, alphabet: str, has_end: bool) -> None:
        self.alphabet = alphabet
        self.end = len(alphabet) if has_end else None
        self.vocabulary = len(alphabet) + has_end
        self._codes = _codes(alphabet)
        self._ids = np.full(int(self._codes.max(initial=0)) + 1, -1, np.int64)
        self._ids[self._codes] = np.arange(len(alphabet))

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> Characters:
        found: set[str] = set()
        for text in texts:
            found.update(text)
        return cls("".join(sorted(found)), has_end)

    @staticmethod
    def cut(text: str) -> int:
        return len(text)

    def encode(self, text: str) -> Ids:
        codes = _codes(text)
        if codes.max(initial=0) < len(self._ids):
            ids: Ids = self._ids[codes]
            if ids.min(initial=0) >= 0:
                return ids
        unknown = next(character for character in text if character not in self.alphabet)
        raise Refusal(
            f"tokenizer: the character {unknown!r} is none of the {len(self.alphabet)} that the data set holds;"
            " tokenize.kind byte or bpe knows every text"
        )

    def known(self, text: str) -> str:
        return "".join(character for character in text if character in self.alphabet)

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else self.alphabet[token].encode()

    def save(self, path: Path) -> None:
        write_json(path, {"kind": self.kind, "alphabet": self.alphabet, "end": self.end})

    @classmethod
    def of(cls, content: dict[str, Any]) -> Characters:
        return cls(content["alphabet"], content["end"] is not None)


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


# ------------------------------------------------------------------------------------------------------------- byte pairs

# Text falls into words first, and merges stay inside them: GPT-2's rule (a word carries the blank before it), with two
# changes. Letters are told by blocks of Unicode, not by its categories, so that every regex engine, and every version of
# Unicode, cuts alike. And no word is longer than 64 characters, so that a text without blanks can be cut, streamed and
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
_SEAM = re.compile(f"[^{BLANK}](?=[ \n])")  # a word ends here, whatever stands around it
LEARNED_FROM = 1 << 26  # characters: more changes hardly a merge
LEARNED_LETTERS = 3 << 19  # of different words: the library takes some 130 bytes of memory for each
KNOWN_WORDS = 1 << 16  # words whose ids are remembered: nearly all that people write consists of fewer


class BytePairs(Tokenizer):
    """Byte-level byte pair encoding in the file format of Hugging Face's tokenizers, by whose library it is learned.

    Source: Rico Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016.
    """

    kind = "bpe"
    learns_from = ("train",)
    slow = True

    def __init__(self, library: Any) -> None:
        self.library = library
        self.end = library.token_to_id(END)
        self.vocabulary = library.get_vocab_size()
        self._words: dict[str, bytes] = {}
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        tokens = [library.id_to_token(token) for token in range(self.vocabulary)]
        self._bytes = [b"" if i == self.end else bytes(byte_of[c] for c in token) for i, token in enumerate(tokens)]

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> BytePairs:
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers, trainers

        library = tokenizers.Tokenizer(models.BPE())
        words = pre_tokenizers.Split(tokenizers.Regex(WORD), "isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        library.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
        library.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary - has_end, initial_alphabet=list(byte_characters()), show_progress=False, special_tokens=[]
        )
        library.train_from_iterator(enough(texts), trainer)
        if has_end:
            library.add_special_tokens([END])
        return cls(library)

    @staticmethod
    def cut(text: str) -> int:
        for start in (len(text) - 4096, 0):
            if seams := [match.end() for match in _SEAM.finditer(text, max(start, 0))]:
                return seams[-1]
        # No seam anywhere. The last two words may still change with what follows; and blanks before a letter fall apart
        # otherwise than blanks at the end of a part would.
        ends = [match.end() for match in _WORDS.finditer(text)][:-2]
        return next((end for end in reversed(ends) if text[end - 1] not in BLANK or text[end] in BLANK), 0)

    def encode(self, text: str) -> Ids:
        # The library looks each word up letter by letter; most words of a text have been seen before, and cost a look-up here.
        words = _WORDS.findall(text)
        new = [*set(words).difference(self._words)]
        if len(self._words) + len(new) > KNOWN_WORDS:
            self._words.clear()
            new = [*set(words)]
        for at in range(0, len(new), 1024):  # an encoding takes a hundred times the memory of its word
            some = new[at : at + 1024]
            for word, encoding in zip(some, self.library.encode_batch_fast(some, add_special_tokens=False), strict=True):
                self._words[word] = np.array(encoding.ids, np.int32).tobytes()
        return np.frombuffer(b"".join(map(self._words.__getitem__, words)), np.int32).astype(np.int64)

    def known(self, text: str) -> str:
        return text

    def token_bytes(self, token: int) -> bytes:
        return self._bytes[token]

    def save(self, path: Path) -> None:
        write_text(path, self.library.to_str(pretty=True) + "\n")

    @classmethod
    def of(cls, content: dict[str, Any]) -> BytePairs:
        import tokenizers

        try:
            return cls(tokenizers.Tokenizer.from_str(json.dumps(content)))
        except Exception as error:  # the library raises no narrower one
            raise ValueError(str(error)) from None


def enough(texts: Iterable[str]) -> Iterator[str]:
    """As many of the texts as merges are learned from."""
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


def byte_characters() -> str:
    """What stands for each byte in a byte-level tokenizer.json: itself where that can be seen, else one from U+0100 on."""

    def characters() -> Iterator[str]:
        unseen = 0x100
        for byte in range(256):
            if 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or byte >= 0xAE:
                yield chr(byte)
            else:
                yield chr(unseen)
                unseen += 1

    return "".join(characters())


# ------------------------------------------------------------------------------------------------- from somebody else's file

ENDS = (END, "<|end_of_text|>", "</s>", "<eos>")  # what others call the end of a document


class FromFile(Tokenizer):
    """A byte-level tokenizer.json that somebody else learned, as it is: GPT-2's, Llama 3's and their like.

    A tokenizer.json of ours is read as what it is, so that what was trained with it can be gone on from.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019 (byte-level pairs).
    """

    kind = "file"
    learns_from = ()
    slow = True

    def __init__(self, content: dict[str, Any], has_end: bool) -> None:
        import tokenizers

        self.content, self.library = content, tokenizers.Tokenizer.from_str(json.dumps(content))
        self.library.encode_special_tokens = True  # a text that spells a special token is text
        self.vocabulary = self.library.get_vocab_size()
        added = {token["id"]: token for token in content["added_tokens"]}
        self.end = next((i for i, token in added.items() if token["content"] in ENDS), None) if has_end else None
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        self._bytes = [
            b"" if i in added and added[i]["special"] else _as_bytes(str(self.library.id_to_token(i)), byte_of, i in added)
            for i in range(self.vocabulary)
        ]
        self._at_blanks = not content["model"]["merges"] or [
            end for _, (_, end) in self.library.pre_tokenizer.pre_tokenize_str("a b")
        ] == [1, 3]

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, has_end: bool, path: Path = NONE) -> Tokenizer:
        path = path / "tokenizer.json" if path.is_dir() else path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if _is_ours(content):
                return _with_end(load(path), has_end, path)
            if content["decoder"]["type"] != "ByteLevel" or content["normalizer"] is not None:
                raise Refusal(f"tokenize.path: {path}: is not byte-level, or changes the text that it reads")
            tokenizer = cls(content, has_end)
        except OSError as error:
            raise Refusal(f"tokenize.path: {path}: cannot be read: {error.strerror}") from None
        except Refusal:
            raise
        except Exception as error:  # the library raises no narrower one
            raise Refusal(f"tokenize.path: {path}: holds no tokenizer of Hugging Face's: {error!r}") from None
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

    def save(self, path: Path) -> None:
        write_json(path, {"kind": self.kind, "end": self.end, "file": self.content})

    @classmethod
    def of(cls, content: dict[str, Any]) -> FromFile:
        return cls(content["file"], content["end"] is not None)


def _is_ours(content: dict[str, Any]) -> bool:
    """Whether a tokenizer.json was written by `save`: it names a kind, or cuts words as no others do."""
    return "kind" in content or json.dumps(WORD) in json.dumps(content.get("pre_tokenizer"))


def _with_end(tokenizer: Tokenizer, has_end: bool, path: Path) -> Tokenizer:
    if has_end and tokenizer.end is None:
        raise Refusal(
            f"tokenize.path: {path}: has no token for the end of a document, such as {END}; a text of several documents has one"
        )
    return tokenizer


_BETWEEN = re.compile("[A-Za-z](?= [A-Za-z])")


def _as_bytes(token: str, byte_of: dict[str, int], added: bool) -> bytes:
    return token.encode() if added else bytes(byte_of[character] for character in token)


TOKENIZERS: dict[str, type[Tokenizer]] = {
    "byte": Bytes,
    "char": Characters,
    "bpe": BytePairs,
    "file": FromFile,
}
