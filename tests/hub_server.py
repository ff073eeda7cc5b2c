"""A hub of models on this machine, with the few endpoints that an upload calls."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from file_server import listening


@dataclass
class Hub:
    """What it has and who may write there.

    Attributes:
        repositories: name -> path -> content.
        private: the repositories that are for their owners alone.
        credentials: (path, Authorization) of each request.
        broken: a path whose requests it answers with 500.
    """

    token: str
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    large: dict[str, bytes] = field(default_factory=dict)
    credentials: list[tuple[str, str | None]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    broken: str = "nothing"
    url: str = ""

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """(status, answer) of a POST."""
        path = path.partition("?")[0]
        if self.broken in path:
            return 501, {"error": "broken"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        name = next((name for name in self.repositories if f"/{name}" in path), "")
        if not name:
            return 404, {"error": "Repository not found"}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [("lfs" if one["path"].endswith(".safetensors") else "regular", one["path"]) for one in files]
            return 200, {"files": [{"path": file, "uploadMode": mode, "shouldIgnore": False} for mode, file in modes]}
        if path.endswith("/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.url}/storage/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return 200, {"transfer": "basic", "objects": objects}
        assert "/commit/" in path, path
        return self._commit(name, [json.loads(line) for line in body.splitlines()])

    def _create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repositories:
            return 409, {"error": "You already created this model repo"}
        self.repositories[name] = {}
        if asked.get("visibility") == "private" or asked.get("private"):
            self.private.add(name)
        return 200, {"url": f"{self.url}/{name}"}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.messages.append(value["summary"])
            elif line["key"] == "file":
                self.repositories[name][value["path"]] = base64.b64decode(value["content"])
            else:
                self.repositories[name][value["path"]] = self.large[value["oid"]]
        return 200, {"commitUrl": f"{self.url}/{name}/commit/{'0' * 40}", "commitOid": "0" * 40}


@contextlib.contextmanager
def hub_on_loopback(token: str) -> Iterator[Hub]:
    """A hub for this token while the block runs."""
    state = Hub(token)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.credentials.append((self.path, self.headers.get("Authorization")))
            known = self.headers.get("Authorization") == f"Bearer {state.token}"
            status, answer = state.answer(self.path, body) if known else (401, {"error": "Invalid credentials"})
            self._send(status, json.dumps(answer).encode())

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.credentials.append((self.path, self.headers.get("Authorization")))
            oid = self.path.rpartition("/")[2]
            assert hashlib.sha256(content).hexdigest() == oid
            state.large[oid] = content
            self._send(200, b"")

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

    with listening(Handler) as state.url:
        yield state
