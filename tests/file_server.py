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
    credentials: list[str | None] = field(default_factory=list)  # and its Authorization
    lets_in: str = ""  # the only Authorization that it serves; "" = everyone
    moved_to: str = ""  # the address that it sends everyone on to
    headers: dict[str, str] = field(default_factory=dict)  # what it says beside the file
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        self.paths.append(request.path)
        self.credentials.append(request.headers.get("Authorization"))
        if self.lets_in and self.credentials[-1] != self.lets_in:
            request.send_error(401)
            return
        if self.moved_to and not request.path.endswith(self.moved_to):
            request.send_response(302)
            for name, value in {"Location": self.moved_to, "Content-Length": "0", **self.headers}.items():
                request.send_header(name, value)
            request.end_headers()
            return
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

    with listening(Handler) as url:
        state.url = f"{url}/text.txt"
        yield state


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on this machine while the block runs, which writes no line about each request; its address."""
    silent = type("Silent", (handler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), silent) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
