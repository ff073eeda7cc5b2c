"""How is text read and divided? As a stream, whatever its size."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, Protocol, runtime_checkable

from pipeline.corpus.sources.file_formats import HEAD, binary_problem, encoding_problem
from pipeline.corpus.store.text import SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Advance

CHUNK = 1 << 20  # bytes read at once

Ranges = Mapping[str, tuple[int, int]]
"""Where each split begins and ends in a text, bytes."""


@runtime_checkable
class Stream(Protocol):
    """What bytes can be read from: a file, or what is packed in one."""

    def read(self, size: int, /) -> bytes: ...


# ------------------------------------------------------------------------------------------------------------ reading text


def read_utf8(stream: Stream, name: str, *, exact: bool = False) -> Iterator[bytes]:
    r"""Text as UTF-8 in chunks, with \n at the end of each line and no byte order mark.

    Args:
        name: of the text, for the message.
        exact: leave every byte as it is (for texts that others publish figures on), but a character that the end cuts.

    Raises:
        UserError: it is not UTF-8 text; what it is instead, and which command makes text of it, is said.
    """
    utf8 = codecs.getincrementaldecoder("utf-8" if exact else "utf-8-sig")()
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    read, head = 0, b""
    try:
        while chunk := stream.read(CHUNK):
            if len(head) < HEAD:
                head += chunk[: HEAD - len(head)]
                if not exact and (what := binary_problem(head)):
                    raise UserError(f"{name}: {what}")
            text = utf8.decode(chunk)
            if not exact and (place := chunk.find(b"\0")) >= 0:
                raise UserError(f"{name}: {encoding_problem(head, 0, read + place)}")
            read += len(chunk)
            yield (text if exact else lines.decode(text)).encode()
        if not exact:
            yield lines.decode(utf8.decode(b"", final=True), final=True).encode()
    except UnicodeDecodeError as error:
        place = max(read - len(utf8.getstate()[0]), 0) + error.start
        raise UserError(f"{name}: {encoding_problem(head, error.object[error.start], place)}") from None


def split_documents(chunks: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    """The documents of a text between separators, without the blanks around them; empty ones are left out."""
    rest = b""
    for chunk in chunks:
        *documents, rest = (rest + chunk).split(separator)
        yield from filter(None, map(bytes.strip, documents))
    yield from filter(None, [rest.strip()])


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text, each with its end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (f"{line.decode()}\n" for line in lines)
    if rest:
        yield rest.decode()


def json_lines(lines: Iterable[str], name: str) -> Iterator[tuple[int, Any]]:
    """(number, value) of each line of JSON that is not empty.

    Args:
        name: of the text, for the message.

    Raises:
        UserError: a line is not JSON, or holds more than can be read.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, parse_json_line(line, f"{name}, line {number}")


def parse_json_line(line: str, where: str) -> Any:
    """The value that a line of JSON holds.

    Raises:
        UserError: it is not JSON, is nested too deep, or holds a number of too many digits.
    """
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: is not JSON: {error.msg} (column {error.colno:,})") from None
    except RecursionError:
        raise UserError(f"{where}: is nested too deep to be read; an object of a text and a label is wanted") from None
    except ValueError:  # Python's limit to the digits of an integer
        raise UserError(f"{where}: holds a number of thousands of digits; put it in quotes, or leave it out") from None


def is_encodable(text: str) -> bool:
    r"""Whether a text has no half of a character: JSON may hold one as "\ud83d", and UTF-8 cannot."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def with_progress(chunks: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    """The same chunks, while `advance` hears of each."""
    for chunk in chunks:
        advance(len(chunk))
        yield chunk


# --------------------------------------------------------------------------------------------------------------- splitting


def text_digest(document: bytes) -> bytes:
    """What equal documents have in common, and no others; as an order it hangs on nothing else of them."""
    return hashlib.blake2b(document, digest_size=16).digest()


def split_of_key(key: bytes, knobs: Prepare) -> str:
    """The split to which whatever has this key belongs: by a digest of the key, so that new data moves no other."""
    share = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64
    if share < knobs.validation_share:
        return "validation"
    return "test" if share < knobs.validation_share + knobs.test_share else "train"


def split_by_position(splits: SplitWriter, text: Iterable[bytes], ranges: Callable[[int], Ranges], *, at_lines: bool) -> None:
    """Cut one document into a training, a validation and a test part, each at a whole character or at the end of a line."""
    with tempfile.TemporaryFile(dir=splits.folder) as file:  # its length is known only when all of it has come
        for chunk in text:
            file.write(chunk)
        total = file.tell()
        reach = min(total // 100, 4096) if at_lines else 0
        for split, (start, end) in ranges(total).items():
            start, end = (_cut_point(file, place, reach) for place in (start, end))
            if start == end:
                continue  # Splits says what is missing
            file.seek(start)
            for at in range(start, end, CHUNK):
                size = min(CHUNK, end - at)
                splits.write(split, file.read(size), [size] if at + size == end else [])


def _cut_point(file: IO[bytes], place: int, reach: int) -> int:
    """The next place at which a text may be cut: behind a line that ends within reach, or else before a whole character."""
    file.seek(max(place - 1, 0))
    near = file.read(max(reach, 4))
    if place == 0 or len(near) == 1:
        return place
    if (line := near.find(b"\n", 0, reach)) >= 0:
        return place + line
    ahead = near[1:]
    return place + next((i for i, byte in enumerate(ahead) if byte & 0xC0 != 0x80), len(ahead))


def position_shares(validation: float, test: float) -> Callable[[int], Ranges]:
    """The first part for training, then validation, then test; the shares are those of the two last ones."""

    def ranges(total: int) -> Ranges:
        first, second = round(total * (1 - validation - test)), round(total * (1 - test))
        return {"train": (0, first), "validation": (first, second), "test": (second, total)}

    return ranges
