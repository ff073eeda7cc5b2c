"""A server on this machine that says one thing and does another."""

from __future__ import annotations

import contextlib
import gzip
import random
import socket
import threading
from collections.abc import Iterator


def answer(content: bytes, sha256: str, chance: random.Random, port: int) -> tuple[bytes, str]:
    """(the bytes of an answer to any request, what is wrong with it)."""
    length = len(content)
    ways: dict[str, tuple[str, list[str], bytes]] = {
        "nothing": ("200 OK", [f"Content-Length: {length}"], content),
        "another file": ("200 OK", [f"Content-Length: {length}"], content[::-1]),
        "longer than it is": ("200 OK", [f"Content-Length: {length + 1000}"], content),
        "shorter than it is": ("200 OK", [f"Content-Length: {length // 2}"], content),
        "two lengths": ("200 OK", [f"Content-Length: {length}", "Content-Length: 5"], content),
        "a length that is none": ("200 OK", ["Content-Length: many"], content),
        "a negative length": ("200 OK", ["Content-Length: -1"], content),
        "cut off": ("200 OK", [f"Content-Length: {length}"], content[: length // 3]),
        "no length": ("200 OK", [], content),
        "chunks that are none": ("200 OK", ["Transfer-Encoding: chunked"], content),
        "chunks, and a length": ("200 OK", ["Transfer-Encoding: chunked", "Content-Length: 4"], b"4\r\nabcd\r\n0\r\n\r\n"),
        "packed, unasked": ("200 OK", ["Content-Encoding: gzip"], gzip.compress(content)),
        "packed, and not": ("200 OK", ["Content-Encoding: gzip", f"Content-Length: {length}"], content),
        "a redirect to itself": ("302 Found", [f"Location: http://127.0.0.1:{port}/x"], b""),
        "a redirect to a file": ("302 Found", ["Location: file:///etc/hostname"], b""),
        "a redirect to nowhere": ("301 Moved", ["Location: "], b""),
        "a redirect that is none": ("302 Found", ["Location: http://[::1"], b""),
        "part of another file": ("206 Partial Content", [f"Content-Range: bytes 7-{length}/{length}"], content),
        "a range that is none": ("206 Partial Content", ["Content-Range: bytes x-y/z"], content),
        "everything is there": ("416 Range Not Satisfiable", [], b""),
        "busy": ("503 Busy", ["Retry-After: 99999"], b""),
        "gone": ("404 \x1b[31mNot Found", [], b"<html>"),
        "an error of its own": ("599 ?", [], b""),
        "no status": ("", [], content),
        "odd headers": ("200 OK", ["ETag: \x1b[31m", "X: " + "y" * 5000, f"Content-Length: {length}"], content),
        "a page in its place": ("200 OK", ["Content-Type: text/html"], b"<html>sign in</html>"),
        "a checksum of its own": ("200 OK", [f'X-Linked-ETag: "{"0" * 64}"', f"Content-Length: {length}"], content),
        "a checksum that is none": ("200 OK", ['X-Linked-ETag: "../../x"', f"Content-Length: {length}"], content),
    }
    what = chance.choice(list(ways))
    status, headers, body = ways[what]
    if not any(line.startswith("X-Linked-ETag") for line in headers):
        headers = [*headers, f'X-Linked-ETag: "{sha256}"']
    head = "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers]) if status else "hello"
    return head.encode("latin-1") + b"\r\n\r\n" + body, what


@contextlib.contextmanager
def lying(content: bytes, sha256: str, chance: random.Random) -> Iterator[tuple[str, str]]:
    """(its address, what it does) while the block runs; all its answers are of one kind."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        said, what = answer(content, sha256, chance, port)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        asked = connection.recv(65536)
                        connection.sendall(said.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if asked.startswith(b"HEAD") else said)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{port}", what
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
