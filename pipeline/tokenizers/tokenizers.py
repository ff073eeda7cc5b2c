"""Into which pieces is text cut for the model? Bytes, characters, or byte pairs merged by how often they stand together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pipeline.artifacts.checksums import how_to_restore
from pipeline.artifacts.paths import NONE, SPLITS
from pipeline.artifacts.reading import load_json, read_json
from pipeline.artifacts.writing import write_json, write_text
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


def load(path: Path) -> Tokenizer:
    """The tokenizer that was saved here.

    Raises:
        UserError: it is missing or damaged.
    """
    content = read_json(path)
    try:
        return TOKENIZERS[content.get("kind", BytePairs.kind)].of(content)  # a Hugging Face file names no kind
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: holds no tokenizer; {how_to_restore(path)}") from None


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

    def holds(self, text: str, ids: Ids) -> bool:
        return ids.max(initial=0) < 256 and ids.astype(np.uint8).tobytes() == text.encode()

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
        raise UserError(
            f"tokenizer: the character {unknown!r} is none of the {len(self.alphabet)} that the data set holds;"
            " tokenize.kind byte or bpe knows every text"
        )

    def known(self, text: str) -> str:
        return "".join(character for character in text if character in self.alphabet)

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.end else self.alphabet[token].encode()

    def holds(self, text: str, ids: Ids) -> bool:
        return ids.max(initial=-1) < len(self.alphabet) and self._codes[ids].tobytes() == text.encode("utf-32-le")

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
        self._lengths = np.array([*map(len, self._bytes)])

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
                if b"".join(map(self._bytes.__getitem__, encoding.ids)) != word.encode():
                    raise UserError(
                        f"tokenize: {word!r} has other bytes than its tokens; data/tokens/tokenizer.json is damaged"
                    )
                self._words[word] = np.array(encoding.ids, np.int32).tobytes()
        return np.frombuffer(b"".join(map(self._words.__getitem__, words)), np.int32).astype(np.int64)

    def known(self, text: str) -> str:
        return text

    def token_bytes(self, token: int) -> bytes:
        return self._bytes[token]

    def holds(self, text: str, ids: Ids) -> bool:
        # Each word was compared when it was first seen (`encode`); to compare all again would take a quarter of encoding.
        return int(self._lengths[ids].sum()) == len(text.encode())

    def save(self, path: Path) -> None:
        write_text(path, self.library.to_str(pretty=True) + "\n")

    @classmethod
    def of(cls, content: dict[str, Any]) -> BytePairs:
        return cls(opened(content))


def opened(content: dict[str, Any]) -> Any:
    """The library's tokenizer of a file, without what is not the tokenizer: a call of transformers leaves in the file how it
    shortened texts and filled them up, and a model how it puts something around them.

    Raises:
        ValueError: the library cannot read it.
    """
    import tokenizers

    try:
        library = tokenizers.Tokenizer.from_str(json.dumps(content | NO_TRIMMINGS))
    except Exception as error:  # the library raises no narrower one
        raise ValueError(str(error)) from None
    library.encode_special_tokens = True  # a text that spells a special token is text
    return library


NO_TRIMMINGS = dict.fromkeys(("truncation", "padding", "post_processor"))


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
            content = load_json(path)
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
        return TOKENIZERS[content["kind"]].of(content)
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


TOKENIZERS: dict[str, type[Tokenizer]] = {
    "byte": Bytes,
    "char": Characters,
    "bpe": BytePairs,
    "file": FromFile,
}
