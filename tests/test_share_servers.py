"""`rally share` over S3, SSH and WebDAV, and after each mishap a colleague's clone, which gets whole data or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from remote_servers import SERVERS, Server
from shared_lab import Clone, copy_of, make_lab, runs

pytestmark = pytest.mark.slow
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("share")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RALLY_RUNS", str(folder / "runs"))
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        patch.setenv("AWS_MAX_ATTEMPTS", "1")  # otherwise half a minute of attempts at a server that is away
        patch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
        patch.setenv("HOME", str(folder))  # no keys and known hosts of the user
        yield make_lab(folder / "original")


class Journey:
    """A lab that shares over a server, and its colleagues."""

    def __init__(self, lab: Clone, server: Server, capsys: Capture) -> None:
        self.lab, self.server, self._capsys, self._colleagues = lab, server, capsys, 0
        lab.configure({"url": server.url, "verify": "true", **server.options})
        lab.commit("our remote")
        assert lab.dvc("exp", "run", "-n", "slower", "-S", "seed=3") == 0
        self.files = {"slower": lab.files()}
        lab.git("checkout", "-q", ".")
        assert lab.dvc("checkout") == 0
        self.files["main"] = lab.files()

    def share(self, *words: str) -> tuple[int, str]:
        """(exit status, the last line that was said of an error or the first of the result) of `rally share`."""
        self._capsys.readouterr()
        status = self.lab.rally("share", *words)
        out, err = self._capsys.readouterr()
        return status, (err.splitlines()[-1] if status else out.splitlines()[0])

    def colleague(self) -> Clone:
        """A new clone with an empty cache, and credentials."""
        self._colleagues += 1
        clone = self.lab.clone(f"colleague-{self._colleagues}")
        clone.configure(self.server.secrets, private=True)
        return clone

    def a_colleague_gets_all(self) -> None:
        clone = self.colleague()
        assert clone.dvc("pull") == 0
        assert clone.files() == self.files["main"]
        assert clone.dvc("exp", "pull", "origin", "slower") == 0
        assert clone.dvc("exp", "apply", "slower") == 0
        assert clone.files() == self.files["slower"]

    def a_colleague_is_refused(self) -> None:
        """Nothing short or changed gets into the clone: what is there is whole."""
        clone = self.colleague()
        assert clone.dvc("pull") != 0
        assert clone.files().items() <= self.files["main"].items()

    def nothing_was_shared(self) -> None:
        """No reference; and what is there under a final name is whole."""
        assert self.lab.references_there() == []
        whole = {content for files in self.files.values() for content in files.values()}
        for name in self.server.names():
            content = self.server.read(name)
            assert content in whole or name.endswith((".dir", ".tmp")), f"{name}: {len(content)} bytes"

    def object(self, name: str) -> str:
        """Where the server has a file of the commit; parts of uploads that broke do not count."""
        whole = [stored for stored in self.server.names() if not stored.endswith(".tmp")]
        return next(stored for stored in whole if self.server.read(stored) == self.files["main"][name])


@pytest.fixture
def journey(original: Clone, tmp_path: Path, capsys: Capture, request: pytest.FixtureRequest) -> Iterator[Journey]:
    (place := tmp_path / "server").mkdir()
    with SERVERS[request.param](place) as server:
        yield Journey(copy_of(original, tmp_path / "team"), server, capsys)


@pytest.mark.parametrize("journey", SERVERS, indirect=True)
def test_what_is_shared_is_whole_whatever_happens_on_the_way(journey: Journey) -> None:
    lab, server = journey.lab, journey.server

    lab.configure(server.wrong, private=True)
    status, said = journey.share()
    assert status == 2
    assert "does not accept these credentials" in said and "`dvc remote modify --local team" in said and "\n" not in said
    journey.nothing_was_shared()

    lab.configure(server.secrets, private=True)
    server.wire.breaks_after(0)
    status, said = journey.share()
    assert status == 1
    assert said.startswith(f"remote team ({server.url}): ")
    server.wire.is_mended()

    server.wire.breaks_after(350_000)  # in the middle of the second of two large files
    status, said = journey.share()
    assert status == 1
    assert said.startswith(f"remote team ({server.url}): ") and said.endswith(
        "No git reference was sent. The same command goes on"
    )
    server.wire.is_mended()
    journey.nothing_was_shared()

    server.disk.room = 100_000
    status, said = journey.share()
    assert status == 1
    assert "disk may be full" in said or "space" in said or "Storage" in said
    journey.nothing_was_shared()
    server.disk.room = float("inf")

    status, said = journey.share("--run-cache")
    assert status == 0 and said.endswith("which was asked for the size of each")
    assert lab.references_there() == ["main", "slower"]
    journey.a_colleague_gets_all()

    large, small = journey.object("models/large"), journey.object("models/small")
    server.write(large, journey.files["main"]["models/large"][:-1000])
    journey.a_colleague_is_refused()
    assert journey.share()[0] == 0
    assert server.read(large) == journey.files["main"]["models/large"]

    server.remove(small)  # one file of a folder: DVC's push would say that everything is up to date
    journey.a_colleague_is_refused()
    assert journey.share()[0] == 0
    assert server.read(small) == journey.files["main"]["models/small"]

    server.write(large, b"x" * 300_000)  # which has the right size
    journey.a_colleague_is_refused()
    server.write(large, b"x" * 300_000)  # where a pull with `verify` took it away
    assert journey.share("--verify")[0] == 0
    assert server.read(large) == journey.files["main"]["models/large"]

    colleague, before = journey.colleague(), runs()
    (colleague.root / "dvc.lock").unlink()
    assert colleague.dvc("fetch", "--run-cache") == 0
    assert colleague.dvc("repro", "--pull") == 0
    assert runs() == before, "nothing ran: all of it came out of the run cache"
    assert colleague.files() == journey.files["main"]


@pytest.mark.parametrize("journey", ["webdav"], indirect=True)
def test_a_server_that_drops_bytes_without_an_error_gets_no_reference_and_keeps_no_short_file(journey: Journey) -> None:
    journey.lab.configure(journey.server.secrets, private=True)
    journey.server.disk.room, journey.server.disk.silent = 100_000, True
    status, said = journey.share()
    assert status == 1
    assert " whole, though sent twice. No git reference was sent" in said and "models/large" in said
    journey.nothing_was_shared()
    journey.server.disk.room = float("inf")
    assert journey.share()[0] == 0
    journey.a_colleague_gets_all()
