"""A server of one file on this machine, which answers as well or as badly as a test wants."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """What the server has, how it behaves, and what it was asked for."""

    content: bytes
    tag: str = '"first"'
    ranges: bool = True  # whether it can go on from the middle
    breaks: list[int] = field(default_factory=list)  # after how many bytes each of the next answers breaks off
    statuses: list[int] = field(default_factory=list)  # what it answers first, before it serves the file
    asked: list[str] = field(default_factory=list)  # the Range of each request
    paths: list[str] = field(default_factory=list)  # and its path
    headers: dict[str, str] = field(default_factory=dict)  # what it says beside the file
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        self.paths.append(request.path)
        known = request.headers.get("If-Range") in (None, self.tag)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges and known else 0
        if refusal := self.statuses.pop(0) if self.statuses else 416 if start >= len(self.content) else 0:
            request.send_error(refusal)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.tag:
            request.send_header("ETag", self.tag)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        if request.command == "HEAD":
            return
        end = start + self.breaks.pop(0) if self.breaks else len(self.content)
        request.wfile.write(self.content[start:end])


@contextlib.contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """A server of this content while the block runs."""
    state = Server(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        do_HEAD = do_GET  # noqa: N815 (so the library calls it)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/text.txt"
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield state
        http.shutdown()
