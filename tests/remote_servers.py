"""Servers that a DVC remote may be on, on loopback: S3 that checks signatures, SSH, WebDAV; and what goes wrong with each.

Each is behind a `Wire`, which can break in the middle of an upload, and has a `Disk`, which can be full.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
USER, PASSWORD = "lab", "right"


class Wire:
    """A port that passes on to a server, until it breaks."""

    def __init__(self, server: int) -> None:
        self._server, self._left, self._open = server, float("inf"), set[socket.socket]()
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def breaks_after(self, count: int) -> None:
        """Pass on that many more bytes to the server, then close all connections, and every later one at once."""
        self._left = count

    def is_mended(self) -> None:
        self._left = float("inf")

    def close(self) -> None:
        self.breaks_after(0)
        self._listener.close()
        self._cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((HOST, self._server)) if self._left > 0 else None
                except OSError:
                    server = None
                if server is None:
                    client.close()
                    continue
                with self._lock:
                    self._open |= {client, server}
                threading.Thread(target=self._pass_on, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                if counts:
                    with self._lock:
                        data, breaks = data[: int(min(self._left, len(data)))], self._left <= len(data)
                        self._left -= len(data)
                    target.sendall(data)
                    if breaks:
                        self._cut()
                else:
                    target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def _cut(self) -> None:
        for end in tuple(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass
class Disk:
    """How many bytes still fit on a server's disk; a silent one drops the others without an error."""

    room: float = float("inf")
    silent: bool = False

    def take(self, count: int) -> int:
        """How many of these bytes it keeps; an error where it is not silent, and they do not fit."""
        fits = int(min(count, max(self.room, 0)))
        self.room -= count
        if fits < count and not self.silent:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fits


@dataclass
class Server:
    """A server with an empty place for a remote.

    Attributes:
        url: of the place, as `dvc remote add` takes it.
        secrets: options of `dvc remote modify --local` with which it lets one in.
        wrong: the ones of somebody else.
        options: further ones, which are no secrets.
        read, write, names, remove: what it holds: by the path below the place, past the wire.
    """

    url: str
    secrets: dict[str, str]
    wrong: dict[str, str]
    wire: Wire
    disk: Disk
    names: Callable[[], list[str]]
    read: Callable[[str], bytes]
    write: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    options: dict[str, str] = field(default_factory=dict)


def _folder(place: Path) -> dict[str, Any]:
    def write(name: str, content: bytes) -> None:
        (place / name).chmod(0o644)
        (place / name).write_bytes(content)

    return {
        "names": lambda: sorted(str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()),
        "read": lambda name: (place / name).read_bytes(),
        "write": write,
        "remove": lambda name: (place / name).unlink(),
    }


# ------------------------------------------------------------------------------------------------------------------- S3


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[Server]:
    """Moto's, which checks the signature of every request."""
    import boto3
    import requests
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open, as those of every real server

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
            pass

    disk = Disk()
    moto = DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        count = int(environ.get("CONTENT_LENGTH") or 0)
        try:
            if environ["REQUEST_METHOD"] == "PUT":
                disk.take(count)
        except OSError:
            environ["wsgi.input"].read(count)
            start("507 Insufficient Storage", [("Content-Type", "application/xml")])  # as MinIO answers
            return [b"<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its limit</Message></Error>"]
        return moto(environ, start)

    server = make_server(HOST, 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{HOST}:{server.port}"

    def client(service: str, key: str, secret: str) -> Any:
        return boto3.client(
            service, endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1"
        )

    try:
        requests.post(f"{url}/moto-api/reset", timeout=60)  # its memory is the process's
        iam = client("iam", "nobody", "nothing")
        iam.create_user(UserName=USER)
        key = iam.create_access_key(UserName=USER)["AccessKey"]
        policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        iam.put_user_policy(UserName=USER, PolicyName="all", PolicyDocument=policy)
        requests.post(f"{url}/moto-api/reset-auth", data=b"0", timeout=60)  # from here on everything is checked
        mine = client("s3", key["AccessKeyId"], key["SecretAccessKey"])
        mine.create_bucket(Bucket="rally")
        wire = Wire(server.port)
        at = {"Bucket": "rally"}
        yield Server(
            url="s3://rally/lab",
            options={"endpointurl": f"http://{HOST}:{wire.port}", "region": "us-east-1"},
            secrets={"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]},
            wrong={"access_key_id": key["AccessKeyId"], "secret_access_key": "wrong"},
            wire=wire,
            disk=disk,
            names=lambda: [file["Key"].removeprefix("lab/") for file in mine.list_objects_v2(**at).get("Contents", [])],
            read=lambda name: mine.get_object(Key=f"lab/{name}", **at)["Body"].read(),
            write=lambda name, content: mine.put_object(Key=f"lab/{name}", Body=content, **at),
            remove=lambda name: mine.delete_object(Key=f"lab/{name}", **at),
        )
        wire.close()
    finally:
        requests.post(f"{url}/moto-api/reset-auth", data=b"1000000", timeout=60)
        server.shutdown()
        server.server_close()


# ------------------------------------------------------------------------------------------------------------------ SSH


@contextlib.contextmanager
def ssh(folder: Path) -> Iterator[Server]:
    """Asyncssh's, with a key for each user."""
    import asyncssh

    (place := folder / "lab").mkdir()
    disk = Disk()

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=str(folder).encode())

        def write(self, file_obj: object, offset: int, data: bytes) -> int:
            disk.take(len(data))
            return super().write(file_obj, offset, data)  # type: ignore[return-value]

    keys = {}
    for name in ("host", "mine", "wrong"):
        keys[name] = asyncssh.generate_private_key("ssh-ed25519")
        keys[name].write_private_key(str(folder / name))
        (folder / name).chmod(0o600)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> Any:
        known = asyncssh.import_authorized_keys(keys["mine"].export_public_key().decode())
        return await asyncssh.listen(
            HOST, 0, server_host_keys=[keys["host"]], authorized_client_keys=known, sftp_factory=Files, allow_scp=False
        )

    server = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    wire = Wire(server.sockets[0].getsockname()[1])
    try:
        yield Server(
            url=f"ssh://{USER}@{HOST}:{wire.port}/lab",
            secrets={"keyfile": str(folder / "mine")},
            wrong={"keyfile": str(folder / "wrong")},
            wire=wire,
            disk=disk,
            **_folder(place),
        )
    finally:
        wire.close()
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# --------------------------------------------------------------------------------------------------------------- WebDAV


@contextlib.contextmanager
def webdav(folder: Path) -> Iterator[Server]:
    """WsgiDAV's on cheroot, with a password."""
    from cheroot.wsgi import Server as Cheroot
    from wsgidav.fs_dav_provider import FileResource, FilesystemProvider
    from wsgidav.wsgidav_app import WsgiDAVApp

    (place := folder / "lab").mkdir()
    disk = Disk()

    class Resource(FileResource):  # type: ignore[misc]
        def begin_write(self, *, content_type: str | None = None) -> Any:
            file = super().begin_write(content_type=content_type)
            whole = file.write

            def write(data: bytes) -> int:
                whole(data[: disk.take(len(data))])
                return len(data)

            file.write = write
            return file

    class Provider(FilesystemProvider):  # type: ignore[misc]
        def get_resource_inst(self, path: str, environ: dict[str, Any]) -> Any:
            found = super().get_resource_inst(path, environ)
            if isinstance(found, FileResource):
                found.__class__ = Resource
            return found

    app = WsgiDAVApp({
        "provider_mapping": {"/": Provider(str(folder), readonly=False, fs_opts={})},
        "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "logging": {"enable": False},
        "verbose": 0,
    })  # fmt: skip
    server = Cheroot((HOST, 0), app)
    server.error_log = lambda *words, **options: None
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    wire = Wire(server.bind_addr[1])
    try:
        yield Server(
            url=f"webdav://{HOST}:{wire.port}/lab",
            secrets={"user": USER, "password": PASSWORD},
            wrong={"user": USER, "password": "wrong"},
            wire=wire,
            disk=disk,
            **_folder(place),
        )
    finally:
        wire.close()
        server.stop()
        thread.join()


SERVERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Server]]] = {"s3": s3, "ssh": ssh, "webdav": webdav}
