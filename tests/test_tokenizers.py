"""Text to ids and back: nothing is lost, and streaming a text does not change its ids."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts.paths import NONE, SPLITS
from pipeline.artifacts.writing import write_json
from pipeline.corpus.encode import encode as encoding
from pipeline.corpus.encode.encode import Batch, batches, encode_batch, encode_batches, encode_split, learn, pieces
from pipeline.corpus.encode.tokenizer_json import tokenizer_json
from pipeline.corpus.store.text import SplitWriter, document_chunks
from pipeline.identity import tokenizer_digest
from pipeline.params.errors import UserError
from pipeline.progress import follower
from pipeline.tokenizers.base import END_OF_TEXT, Tokenizer, check_lossless
from pipeline.tokenizers.bpe import WORD, BpeTokenizer, bytes_to_unicode, enough_text
from pipeline.tokenizers.char import CharTokenizer
from pipeline.tokenizers.table import TOKENIZERS, load

QUIET = follower("none")
SEEN = "the cat sat on the mat; the cat's mat isn't the cat. 12+34=46\n\n  \tnaïve «été» 中文字 😀!?\r\n" * 20
MIXED = "thes' \n\té中😀.1\xa0\u2014\x1c"  # letters, digits, blanks, and what is a blank to some and not to others
PAIRS = "".join(one + other for one in MIXED for other in MIXED) * 9  # so that there are merges over every seam
KINDS = list(TOKENIZERS)
some_text = st.text(st.sampled_from(MIXED), max_size=200)


@functools.cache
def somebody_elses(has_end: bool) -> Path:
    """A tokenizer.json as GPT-2's is, learned by the library alone."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer, library.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=599, initial_alphabet=list(bytes_to_unicode()), show_progress=False)
    library.train_from_iterator([SEEN, PAIRS], trainer)
    if has_end:
        library.add_special_tokens([END_OF_TEXT])
    library.save(path := f"{tempfile.mkdtemp()}/tokenizer.json")
    return Path(path)


@functools.cache
def learned(kind: str, has_end: bool = True) -> Tokenizer:
    every = "".join(map(chr, [*range(0x20, 0x180), *b"\t\n\r\x1c", 0x4E2D, 0x2014, 0x1F600]))
    texts = [SEEN, PAIRS, every] if kind == "char" else [SEEN, PAIRS]
    return TOKENIZERS[kind].learn(texts, 600, has_end, somebody_elses(has_end) if kind == "file" else NONE)


# ----------------------------------------------------------------------------------------------------------- every tokenizer


@pytest.mark.parametrize("kind", KINDS)
@given(text=some_text)
def test_decoding_gives_back_what_was_encoded(kind: str, text: str) -> None:
    tokenizer = learned(kind)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text == tokenizer.drop_unknown(text)
    assert b"".join(tokenizer.token_bytes(token) for token in ids.tolist()) == text.encode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_end", [True, False])
def test_ids_run_from_zero_to_the_vocabulary_and_the_end_is_the_last(kind: str, has_end: bool) -> None:
    tokenizer = learned(kind, has_end)
    stands_for = [tokenizer.token_bytes(token) for token in range(tokenizer.vocabulary)]
    assert tokenizer.end == (tokenizer.vocabulary - 1 if has_end else None)
    assert stands_for.count(b"") == has_end and len({*stands_for}) == tokenizer.vocabulary
    assert tokenizer.decode([] if tokenizer.end is None else [tokenizer.end]) == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_end", [True, False])
def test_a_saved_tokenizer_is_the_same_when_it_is_loaded(kind: str, has_end: bool, tmp_path: Path) -> None:
    tokenizer = learned(kind, has_end)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load(tmp_path / "tokenizer.json")
    assert (again.kind, again.vocabulary, again.end) == (kind, tokenizer.vocabulary, tokenizer.end)
    assert np.array_equal(again.encode(SEEN), tokenizer.encode(SEEN))
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


NO_TOKENIZERS = [
    *("{}", "[]", '{"kind": "morse"}', '{"kind": ["char"]}', '{"kind": "char"}', '{"version": "1.0"}'),
    *('{"kind": "char", "alphabet": 5, "end": null}', '{"kind": "file", "end": null, "file": {"model": 1}}'),
    '{"kind": "file", "end": null, "file": []}',
]


@pytest.mark.parametrize("content", NO_TOKENIZERS)
def test_a_file_that_holds_no_tokenizer_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"tokenizer\.json: (is not a tokenizer|is damaged)"):
        load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("kind", KINDS)
@given(text=some_text, size=st.integers(1, 40), more=st.booleans())
def test_a_document_in_pieces_has_the_ids_that_it_has_whole(kind: str, text: str, size: int, more: bool) -> None:
    tokenizer = learned(kind)
    content = (text * 20 if more else text).encode()
    parts = [(content[at : at + size], at + size >= len(content)) for at in range(0, len(content), size)]
    cut = [*pieces(parts, tokenizer.safe_cut)]
    whole = tokenizer.encode(content.decode()).tolist()
    assert [token for text, _ in cut for token in tokenizer.encode(text).tolist()] == whole
    assert [last for _, last in cut] == [False] * (len(cut) - 1) + [True] * bool(content)


def test_no_cut_of_byte_pairs_divides_a_word_whatever_follows() -> None:
    words = re.compile(WORD)
    for letters in itertools.product(" \n're", repeat=6):
        text = "".join(letters)
        for end in range(1, 6):
            place = BpeTokenizer.safe_cut(text[:end])
            assert words.findall(text[:place]) + words.findall(text[place:]) == words.findall(text), (text, end)


def test_a_piece_stays_small_whatever_the_text_is_like() -> None:
    for unit in ("x", " ", "\n", "1", "中", "é!", "a b "):
        content = (unit * 20_000).encode()
        parts = [(content[at : at + 1000], at + 1000 >= len(content)) for at in range(0, len(content), 1000)]
        assert max(len(text) for text, _ in pieces(parts, BpeTokenizer.safe_cut)) < 1400, repr(unit)


# ---------------------------------------------------------------------------------------------------------------- characters


def test_a_character_that_the_data_lacks_is_refused_by_name_and_can_be_left_out() -> None:
    tokenizer = CharTokenizer("abc", has_end=False)
    for text, unknown in (("abéc", "é"), ("ab!", "!"), ("a\U0010ffff", "\\U0010ffff")):
        with pytest.raises(UserError, match="is not one of the 3 in the data set") as refusal:
            tokenizer.encode(text)
        assert unknown in str(refusal.value)
    assert tokenizer.drop_unknown("aébc!") == "abc"


def test_bytes_that_are_no_characters_are_shown_as_such() -> None:
    assert learned("byte").decode([0xC3, 0x28]) == "\ufffd("


# ---------------------------------------------------------------------------------------------------------------- byte pairs


def library_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    assert isinstance(tokenizer, BpeTokenizer)
    ids: list[int] = tokenizer.library.encode(text, add_special_tokens=False).ids
    return ids


@given(st.text(max_size=200))
def test_byte_pairs_are_those_of_the_library_whose_file_they_are_saved_in(text: str) -> None:
    assert learned("bpe").encode(text).tolist() == library_ids(learned("bpe"), text)


def test_anyone_who_reads_the_file_with_the_library_gets_the_same_ids(tmp_path: Path) -> None:
    import tokenizers

    learned("bpe").save(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(SEEN).ids == learned("bpe").encode(SEEN).tolist()
    assert theirs.token_to_id(END_OF_TEXT) == learned("bpe").end


def test_every_byte_has_the_character_that_byte_level_files_give_it() -> None:
    from tokenizers import pre_tokenizers

    assert sorted(bytes_to_unicode()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in map(chr, [*range(0x80), 0xE9, 0x20AC]):
        assert as_bytes.pre_tokenize_str(text)[0][0] == "".join(bytes_to_unicode()[byte] for byte in text.encode())


def test_a_text_that_spells_the_end_of_a_document_does_not_end_it() -> None:
    tokenizer = learned("bpe")
    assert tokenizer.end not in tokenizer.encode(f"a{END_OF_TEXT}b").tolist()
    assert tokenizer.decode(tokenizer.encode(f"a{END_OF_TEXT}b")) == f"a{END_OF_TEXT}b"


def test_words_that_are_forgotten_are_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tokenizers.bpe.KNOWN_WORDS", 5)
    tokenizer = TOKENIZERS["bpe"].learn([SEEN, PAIRS], 600, True)
    for _ in range(3):
        assert np.array_equal(tokenizer.encode(SEEN), learned("bpe").encode(SEEN))


def test_merges_do_not_depend_on_threads_or_on_the_hashes_of_a_process(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("".join(f"{i * i} times {i % 37} is {'ab' * (i % 5)}\n" for i in range(3000)))
    program = (
        "import sys; from pathlib import Path; from pipeline.tokenizers.bpe import BpeTokenizer;"
        f"BpeTokenizer.learn(Path({str(text)!r}).read_text().splitlines(True), 700, True).save(Path(sys.argv[1]))"
    )
    for name, threads in (("one", "1"), ("two", "2")):
        settings = os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], env=settings, check=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len(json.loads((tmp_path / "one").read_text())["model"]["vocab"]) > 500


# ------------------------------------------------------------------------------------------------- from somebody else's file


@given(st.text(max_size=200) | some_text)
def test_the_ids_of_a_file_are_those_of_the_library_that_it_is_for(text: str) -> None:
    import tokenizers

    library = tokenizers.Tokenizer.from_file(str(somebody_elses(True)))
    library.encode_special_tokens = True
    assert learned("file").encode(text).tolist() == library.encode(text, add_special_tokens=False).ids


Content = dict[str, Any]


def changed(part: str, **changes: Any) -> Callable[[Content], Content]:
    return lambda content: content | {part: {**content[part], **changes}}


def cut_by(*parts: Content) -> Callable[[Content], Content]:
    """Cut by these steps before the bytes are made visible."""
    return lambda content: (
        content | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [*parts, content["pre_tokenizer"]]}}
    )


def without(*letters: str) -> Callable[[Content], Content]:
    """A vocabulary of some bytes alone, without merges."""

    def change(content: Content) -> Content:
        kept = [letter for letter in bytes_to_unicode() if letter not in letters]
        model = content["model"] | {"vocab": {letter: i for i, letter in enumerate(kept)}, "merges": []}
        return content | {"model": model, "added_tokens": []}

    return change


def with_token(text: str, **how: bool) -> Callable[[Content], Content]:
    def change(content: Content) -> Content:
        plain = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word", "special"), False)
        number = 1 + max(*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"]))
        return content | {"added_tokens": [*content["added_tokens"], {"id": number, "content": text} | plain | how]}

    return change


SPLIT = {"type": "Split", "pattern": {"String": "  "}, "behavior": "Removed", "invert": False}
LOSSES: dict[str, tuple[Callable[[Content], Content], str]] = {
    "another decoder": (lambda c: c | {"decoder": {"type": "Metaspace"}}, "'pre_tokenizer' and 'decoder' are not byte-level;"),
    "no decoder": (lambda c: c | {"decoder": None}, "'pre_tokenizer' and 'decoder' are not byte-level;"),
    "words of another kind": (
        lambda c: c | {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}},
        "'pre_tokenizer' and 'decoder' are not byte-level;",
    ),
    "a normalizer": (lambda c: c | {"normalizer": {"type": "NFKC"}}, "'normalizer' is 'NFKC', which changes the text"),
    "accents stripped": (lambda c: c | {"normalizer": {"type": "StripAccents"}}, "'normalizer' is 'StripAccents'"),
    "no end": (lambda c: c | {"added_tokens": []}, r"has no token for the end of a document, such as <\|endoftext\|>"),
    "no model": (lambda c: c | {"model": {"type": "BPE"}}, "is not a Hugging Face tokenizer"),
    "WordPiece": (changed("model", type="WordPiece"), "'model.type' is 'WordPiece', which is not byte-level;"),
    "Unigram": (
        lambda c: c | {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}},
        "'model.type' is 'Unigram', which is not byte",
    ),
    "merges left out by chance": (changed("model", dropout=0.1), r"'model\.dropout' is 0\.1: the same text would get other"),
    "a blank in front": (
        changed("pre_tokenizer", add_prefix_space=True),
        r"'pre_tokenizer\.add_prefix_space' is true: it adds",
    ),
    "blanks thrown away": (
        cut_by({"type": "WhitespaceSplit"}),
        "'pre_tokenizer' has a WhitespaceSplit that drops or replaces",
    ),
    "double blanks thrown away": (cut_by(SPLIT), "'pre_tokenizer' has a Split that drops or replaces"),
    "an end of each word": (
        changed("model", end_of_word_suffix="</w>"),
        r"'model\.end_of_word_suffix' is '</w>', which is not in",
    ),
    "a token that swallows blanks": (
        with_token("cat", lstrip=True),
        "'added_tokens' has 'cat', which drops blanks next to it",
    ),
    "ids with a gap": (lambda c: changed("model", vocab=c["model"]["vocab"] | {"qqq": 9999})(c), "which are not 0 to 432"),
    "bytes that are left out": (
        without("q", "\u0120"),
        r"'model\.vocab' lacks 2 of the bytes of UTF-8 \(0x20, 0x71\)",
    ),
    "an ordinary word that is special": (
        lambda c: c | {"added_tokens": [*c["added_tokens"], {"id": c["model"]["vocab"]["t"], "content": "t"} | SPECIAL]},
        "the tokens of a text do not decode to that text: after '  A tex' the text has 't,",
    ),
}
SPECIAL = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}


@pytest.mark.parametrize("what", LOSSES)
def test_a_file_that_would_lose_text_or_cannot_be_read_is_one_line(what: str, tmp_path: Path) -> None:
    change, line = LOSSES[what]
    (tmp_path / "own.json").write_text(json.dumps(change(json.loads(somebody_elses(True).read_text()))))
    with pytest.raises(UserError, match=rf"^tokenize\.path: .*own\.json: .*{line}") as refused:
        TOKENIZERS["file"].learn([], 0, True, tmp_path / "own.json")
    assert len(refused.value.problems) == 1


def test_a_file_that_composes_characters_is_read_and_a_text_that_it_would_change_refused(tmp_path: Path) -> None:
    content = json.loads(somebody_elses(True).read_text()) | {"normalizer": {"type": "NFC"}}
    (tmp_path / "own.json").write_text(json.dumps(content))
    tokenizer = TOKENIZERS["file"].learn([], 0, True, tmp_path / "own.json")
    for text in ("na\u00efve caf\u00e9", "\ufb01 \u00a0 \u4e2d"):
        check_lossless(tokenizer, text, tokenizer.encode(text))
    with pytest.raises(UserError, match="the tokens of a text do not decode to that text: after 'caf' "):
        check_lossless(tokenizer, "cafe\u0301", tokenizer.encode("cafe\u0301"))


def test_a_file_that_lacks_control_characters_is_read_and_a_text_with_one_refused(tmp_path: Path) -> None:
    content = without(bytes_to_unicode()[0x04], bytes_to_unicode()[0xF1])(json.loads(somebody_elses(True).read_text()))
    (tmp_path / "own.json").write_text(json.dumps(content))
    tokenizer = TOKENIZERS["file"].learn([], 0, False, tmp_path / "own.json")
    check_lossless(tokenizer, "the cat\t\n", tokenizer.encode("the cat\t\n"))
    with pytest.raises(UserError, match="the tokens of a text do not decode to that text"):
        check_lossless(tokenizer, "the\x04cat", tokenizer.encode("the\x04cat"))


def test_a_file_that_is_not_there_too_deep_or_no_object_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^tokenize\.path: .*nowhere: cannot be read: No such file or directory$"):
        TOKENIZERS["file"].learn([], 0, True, tmp_path / "nowhere")
    for content in ("[" * 5000, "[]", "5", '{"model": ' + "[" * 70 + "]" * 70 + "}"):
        (tmp_path / "own.json").write_text(content)
        with pytest.raises(UserError, match=r"own\.json: is not a Hugging Face tokenizer"):
            TOKENIZERS["file"].learn([], 0, True, tmp_path / "own.json")


HARMLESS: dict[str, Callable[[Content], Content]] = {
    "shortens": lambda c: c | {"truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}},
    "fills up": lambda c: (
        c
        | {
            "padding": {"strategy": {"Fixed": 99}, "direction": "Right", "pad_to_multiple_of": None}
            | {"pad_id": 0, "pad_type_id": 0, "pad_token": "!"}
        }
    ),
    "puts something around it": lambda c: (
        c
        | {
            "post_processor": {
                "type": "TemplateProcessing",
                "pair": [],
                "single": [{"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}],
            }
            | {"special_tokens": {END_OF_TEXT: {"id": END_OF_TEXT, "ids": [5], "tokens": ["!"]}}}
        }
    ),
    "says what is usual": changed("model", dropout=0.0, unk_token="", byte_fallback=False),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_a_file_says_beside_its_tokenizer_changes_no_id_and_not_what_it_is_known_by(what: str, tmp_path: Path) -> None:
    plain = json.loads(somebody_elses(True).read_text())
    content = HARMLESS[what](plain)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    read = TOKENIZERS["file"].learn([], 0, True, tmp_path)
    for text in (SEEN, "a", ""):
        assert read.encode(text).tolist() == learned("file").encode(text).tolist()
    assert tokenizer_digest(content) == tokenizer_digest(plain) != tokenizer_digest(with_token("cat")(plain))


def test_a_file_that_was_read_before_is_held_to_its_text_again(tmp_path: Path) -> None:
    learned("file").save(tmp_path / "tokenizer.json")
    again = TOKENIZERS["file"].learn([], 0, True, tmp_path)
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    saved = json.loads((tmp_path / "again.json").read_text())
    write_json(tmp_path / "tokenizer.json", saved | {"file": changed("model", dropout=0.5)(saved["file"])})
    with pytest.raises(UserError, match=r"'model\.dropout' is 0\.5"):
        TOKENIZERS["file"].learn([], 0, True, tmp_path)


def test_a_token_of_several_words_is_never_cut(tmp_path: Path) -> None:
    content = with_token("cat sat")(json.loads(somebody_elses(True).read_text()))
    read = TOKENIZERS["file"].from_saved({"file": content, "end": 1})
    assert read.decode(read.encode("the cat sat on")) == "the cat sat on" and read.safe_cut("the cat sat on") == 0


# A call that shortens and fills up leaves both in the file that transformers saves afterwards.
@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_transformers_saved_after_a_shortened_call_is_the_same_tokenizer(
    kind: str, has_end: bool, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    ours = learned(kind, has_end)
    write_json(tmp_path / "tokenizer.json", content := tokenizer_json(ours))
    library = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    library.pad_token = "a"
    library(SEEN, truncation=True, max_length=64, padding="max_length")
    library.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again/tokenizer.json").read_text())
    assert saved["truncation"] and saved["padding"]
    read = TOKENIZERS["file"].learn([], 0, has_end, tmp_path / "again")
    assert read.encode(SEEN).tolist() == ours.encode(SEEN).tolist() and read.end == ours.end
    assert tokenizer_digest(saved) == tokenizer_digest(content)
    if kind in ("char", "bpe"):  # a file of ours is read as what it is, so that models know it again
        read.save(tmp_path / "read.json")
        ours.save(tmp_path / "ours.json")
        assert (tmp_path / "read.json").read_bytes() == (tmp_path / "ours.json").read_bytes()


def test_a_text_that_its_tokens_do_not_hold_is_refused_with_the_place_where_they_part(tmp_path: Path) -> None:
    swallowing = with_token("cat", lstrip=True)(json.loads(somebody_elses(True).read_text()))
    losing = learned("bpe").library.to_str()
    losing = json.loads(losing)
    losing["model"] |= {"vocab": {"!": 0, "a": 1}, "merges": []}
    for tokenizer, text, line in (
        (
            TOKENIZERS["file"].from_saved({"file": swallowing, "end": 1}),
            "the cat",
            "after 'the' the text has ' cat', its tokens 'cat'",
        ),
        (TOKENIZERS["bpe"].from_saved(losing | {"added_tokens": []}), "a b", "the tokens of ' b' have other bytes"),
    ):
        with pytest.raises(UserError, match=line):
            encode_batch(tokenizer, Batch([("a", True), (text, True)], 8))


@pytest.mark.parametrize("kind", KINDS)
@given(text=some_text.filter(bool), data=st.data())
def test_ids_of_another_text_are_told_from_those_of_this(kind: str, text: str, data: st.DataObject) -> None:
    tokenizer = learned(kind)
    ids = tokenizer.encode(text)
    place = data.draw(st.integers(0, len(ids) - 1))
    assert tokenizer.is_lossless(text, ids)
    assert not tokenizer.is_lossless(text, np.delete(ids, place)) and not tokenizer.is_lossless(
        text, np.insert(ids, place, ids[place])
    )
    with pytest.raises(UserError, match=r"^tokenize: the tokens of a text do not decode to that text"):
        check_lossless(tokenizer, text, np.delete(ids, place))


def test_a_file_whose_merges_run_over_blanks_is_never_cut() -> None:
    content = json.loads(somebody_elses(True).read_text())
    content["pre_tokenizer"]["use_regex"] = False
    assert TOKENIZERS["file"].from_saved({"file": content, "end": 1}).safe_cut("a b c") == 0
    assert learned("file").safe_cut("a b c d, e") == 5


# ----------------------------------------------------------------------------------------------------------------- streaming


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A data/raw of a few documents, one of them long."""
    with SplitWriter(tmp_path) as splits:
        for split in SPLITS:
            for document in (SEEN, "short", "a longer one " * 900, "é"):
                splits.add(split, document.encode())
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_becomes_one_flat_array_with_the_end_of_each_document(
    kind: str, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PIECE", 1600)  # the long documents come in several
    tokenizer, _ = learn(raw, kind, 300, 1, QUIET, somebody_elses(True))
    tokenizer.save(raw / "tokenizer.json")
    count, first = encode_split(raw, "test", raw / "tokenizer.json", raw / "test.npy", 1, QUIET)
    ids = np.load(raw / "test.npy", mmap_mode="r")
    assert count == len(ids) and first == len(tokenizer.token_bytes(int(ids[0])))
    assert ids.dtype == (np.uint8 if kind == "char" else np.uint16)
    ends = np.flatnonzero(ids == tokenizer.end)
    documents = [tokenizer.decode(part.tolist()) for part in np.split(ids, ends + 1)]
    assert documents == [SEEN, "short", "a longer one " * 900, "é", ""]
    tokens = [tokenizer.encode(document).tolist() for document in documents[:-1]]
    assert ids.tolist() == [token for document in tokens for token in [*document, tokenizer.end]]


def test_a_training_text_of_one_document_has_no_end(tmp_path: Path) -> None:
    with SplitWriter(tmp_path) as splits:
        for split in SPLITS:
            splits.add(split, b"one document")
    assert {learn(tmp_path, kind, 300, 1, QUIET, somebody_elses(True))[0].end for kind in KINDS} == {None}


def test_processes_give_the_ids_that_one_process_gives(raw: Path) -> None:
    learned("bpe").save(raw / "tokenizer.json")
    texts = [*batches(pieces(document_chunks(raw, "train", 700), BpeTokenizer.safe_cut), 1000)]
    assert len(texts) > 8
    one = [(ids.tolist(), size) for ids, size in encode_batches(learned("bpe"), raw / "tokenizer.json", texts, 1)]
    two = [(ids.tolist(), size) for ids, size in encode_batches(learned("bpe"), raw / "tokenizer.json", texts, 2)]
    assert one == two
    assert sum(size for _, size in one) == (raw / "train.txt").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 1000])
def test_what_a_killed_process_was_to_encode_another_does_and_gives_up_in_the_end(kills: int, raw: Path) -> None:
    learned("bpe").save(raw / "tokenizer.json")
    texts = [*batches(pieces(document_chunks(raw, "train", 100), BpeTokenizer.safe_cut), 100)]
    assert len(texts) > 50
    one = [ids.tolist() for ids, _ in encode_batches(learned("bpe"), raw / "tokenizer.json", texts, 1)]
    several, found = encode_batches(learned("bpe"), raw / "tokenizer.json", texts, 2), []
    with pytest.raises(UserError, match="killed repeatedly") if kills > 2 else contextlib.nullcontext():
        for place, (ids, _) in enumerate(several):
            found.append(ids.tolist())
            for process in multiprocessing.active_children() if place < kills else ():
                process.kill()
                process.join()
    assert found == one[: len(found)]
    assert (len(found) == len(one)) == (kills == 1)


def test_only_a_few_batches_are_under_way_at_any_time(raw: Path) -> None:
    learned("bpe").save(raw / "tokenizer.json")
    given = 0

    def texts() -> Iterator[Batch]:
        nonlocal given
        for _ in range(50):
            given += 1
            yield Batch([("the cat", True)], 7)

    for taken, _ in enumerate(encode_batches(learned("bpe"), raw / "tokenizer.json", texts(), 2)):
        assert given <= taken + 6


@pytest.mark.parametrize("size", [4, 7, 100, 10_000])
def test_the_text_that_is_learned_from_is_all_text_in_an_order_that_is_even_throughout(size: int, tmp_path: Path) -> None:
    documents = ["".join(chr(0x4E00 + 50 * i + k) for k in range(i)) + "é" for i in range(60)]
    with SplitWriter(tmp_path) as splits:
        for split in SPLITS:
            for document in documents:
                splits.add(split, document.encode())
    parts = [*encoding.evenly_spread(tmp_path, "train", size)]
    assert sorted("".join(parts)) == sorted("".join(documents))
    assert all(any(part in document for document in documents) for part in parts)
    text = "".join(documents)
    if size == 100:
        places = [text.index(part) for part in parts]
        for some in (len(parts) // 4, len(parts) // 2):
            counts, _ = np.histogram(places[:some], bins=4, range=(0, len(text)))
            assert counts.min() > some / 8


def test_merges_are_learned_from_as_much_text_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len([*enough_text(["the same words again "] * 1000)]) == 1000
    monkeypatch.setattr("pipeline.tokenizers.bpe.LEARNED_LETTERS", 100)
    assert len([*enough_text(["the same words again "] * 1000)]) == 1000
    assert len([*enough_text("another" + "x" * i for i in range(1000))]) < 20
    monkeypatch.setattr("pipeline.tokenizers.bpe.LEARNED_FROM", 100)
    assert len([*enough_text(["the same words again "] * 1000)]) == 5


def test_short_documents_are_gathered_and_long_ones_are_not() -> None:
    gathered = [*batches([("ab", True)] * 5 + [("x" * 50, False)] + [("c", True)], 6)]
    assert [batch.size for batch in gathered] == [6, 54, 1]
    assert encode_batch(learned("byte"), gathered[0]).tolist() == [97, 98, 256] * 3
