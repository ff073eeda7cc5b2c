"""Files of the Hugging Face hub, from a server on this machine that answers as the hub does."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_server import Server, serving
from small import knobs
from test_download import answering, sha256

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.published import hub
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.errors import ParamsError, UserError
from pipeline.progress import follower

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TALES = [f"Once upon a time there were {i} bears. " * 3 for i in range(200)]
LINES = "\n".join(json.dumps({"id": i, "text": tale}) for i, tale in enumerate(TALES)).encode()
POEM = "".join(f"Line {i} of a poem.\n" for i in range(500)).encode()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(LINES) as state:
        monkeypatch.setenv("HF_ENDPOINT", state.url.removesuffix("/text.txt"))
        yield state


def made(dataset: Any = hub.hub, **changes: Any) -> tuple[Card, dict[str, list[str]]]:
    """(the card, the documents of each split)."""
    wanted = {"repository": "owner/tales", "revision": COMMIT, "file": "tales.jsonl"} | changes
    prepare = knobs(prepare__dataset="hub", **{f"prepare__{name}": value for name, value in wanted.items()}).prepare
    Path("raw").mkdir(exist_ok=True)
    with SplitWriter(Path("raw")) as splits:
        card = dataset(prepare, splits, follower("none"))
    found = {}
    for split in SPLITS:
        text, ends = Path(f"raw/{split}.txt").read_bytes(), np.load(f"raw/{split}.ends.npy").tolist()
        found[split] = [text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
    return card, found


@pytest.mark.parametrize("packed", [False, True])
def test_each_row_is_a_document_of_one_split(packed: bool, server: Server) -> None:
    server.content = gzip.compress(LINES) if packed else LINES
    card, found = made(file="tales.jsonl.gz" if packed else "tales.jsonl", sha256=sha256(server.content))
    assert sorted(tale for tales in found.values() for tale in tales) == sorted(tale.strip() for tale in TALES)
    assert len(found["train"]) > 130 and len(found["validation"]) > 5 and len(found["test"]) > 5
    assert server.paths == [f"/datasets/owner/tales/resolve/{COMMIT}/tales.jsonl{'.gz' if packed else ''}"]
    assert COMMIT in card.source and card.sha256


def test_a_text_is_cut_by_position(server: Server) -> None:
    server.content = POEM
    _, found = made(file="poem.txt", sha256=sha256(POEM))
    assert "".join(text for split in ("train", "validation", "test") for text in found[split]).encode() == POEM


def test_without_a_checksum_the_hub_is_asked_for_the_one_it_keeps(server: Server) -> None:
    server.headers["X-Linked-ETag"] = f'"{sha256(LINES)}"'
    card, _ = made()
    assert card.sha256 == {"tales.jsonl": sha256(LINES)}
    server.content = LINES[:-1]
    assert made(sha256=sha256(LINES))[0].sha256 == card.sha256  # from the cache


def test_tinystories_clean_has_the_split_that_its_maker_suggests(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HELD_OUT", 10)
    monkeypatch.setattr(hub, "TINYSTORIES_CLEAN", hub.TINYSTORIES_CLEAN._replace(file="tales.jsonl"))
    server.headers["X-Linked-ETag"] = f'"{sha256(LINES)}"'
    _, found = made(hub.tinystories_clean)
    plain = [tale.strip() for tale in TALES]
    assert (found["test"], found["validation"], found["train"]) == (plain[:10], plain[10:20], plain[20:])


def test_a_parquet_file_is_read_by_its_column_or_the_package_that_reads_it_is_named(server: Server) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        with pytest.raises(UserError, match=r"tales\.parquet: needs the package pyarrow; `pip install .*-e '\.\[parquet\]'`"):
            made(file="tales.parquet", sha256=sha256(LINES))
        return
    parquet.write_table(pyarrow.table({"id": range(len(TALES)), "text": TALES}), "tales.parquet")
    server.content = Path("tales.parquet").read_bytes()
    _, found = made(file="tales.parquet", sha256=sha256(server.content))
    assert sum(map(len, found.values())) == len(TALES)
    with pytest.raises(UserError, match=r"prepare\.text_column: tales\.parquet has no column 'story'\. Known: id, text"):
        made(file="tales.parquet", sha256=sha256(server.content), text_column="story")


@pytest.mark.parametrize(
    ("content", "changes", "line"),
    [
        (LINES, {"text_column": "story"}, r"prepare\.text_column: tales\.jsonl, line 1: has no text 'story'"),
        (LINES[:-5], {}, r"tales\.jsonl, line 200: is not JSON"),
        (b'{"text": "\xe9"}', {}, r"tales\.jsonl: is not UTF-8 text"),
        (rb'{"text": "\ud83d"}', {}, r"tales\.jsonl, line 1: the text has half of a character"),
        (b"[" * 5_000, {}, r"tales\.jsonl, line 1: is nested too deeply"),
        (gzip.compress(LINES)[:-9], {"file": "tales.jsonl.gz"}, r"tales\.jsonl\.gz: cannot be unpacked"),
    ],
    ids=["no such key", "cut off", "another encoding", "half of a character", "nested deep", "cut off archive"],
)
def test_a_file_that_cannot_be_read_is_one_line(content: bytes, changes: dict[str, str], line: str, server: Server) -> None:
    server.content = content
    with pytest.raises(UserError, match=line) as refusal:
        made(sha256=sha256(content), **changes)
    assert len(refusal.value.problems) == 1


def test_a_hub_that_keeps_no_checksum_or_does_not_answer_is_one_line(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"prepare\.sha256: is empty, and the hub has none for tales\.jsonl"):
        made()
    server.statuses = [404]
    with pytest.raises(UserError, match=r"tales\.jsonl: the server answers 404"):
        made()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"tales\.jsonl: no answer \(Connection refused\); .*markov"):
        made()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answer = b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n"
        threading.Thread(target=answering, args=(listening, answer), daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(UserError, match=r"tales\.jsonl: no answer \(its answer is not valid: "):
            made()


@pytest.mark.parametrize(
    ("knob", "value", "line"),
    [
        ("repository", "tales", "prepare.repository: 'tales' is not owner/name of a data set; the data set 'hub' needs one"),
        ("revision", "main", "prepare.revision: 'main' is not a commit hash of 40 hexadecimal digits (a branch can change);"),
        ("file", "tales.csv", "prepare.file: 'tales.csv' is not a .txt, .jsonl or .parquet file (or .txt.gz, .jsonl.gz);"),
    ],
)
def test_a_place_that_is_none_is_refused_before_anything_is_asked(knob: str, value: str, line: str) -> None:
    with pytest.raises(ParamsError) as refusal:
        made(**{knob: value})
    assert str(refusal.value).startswith(line)
