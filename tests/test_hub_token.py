"""A private data set of the hub is read with the user's token, which goes to the hub alone and is written nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Server, serving
from test_download import sha256
from test_hub import LINES, made, project  # noqa: F401 (a fixture for all tests here)

from pipeline.corpus.sources.published.hub_token import hub_auth, hub_token
from pipeline.params.errors import UserError

TOKEN = "hf_abcdefghij"
WAYS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME", "HOME")


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a token, and their home."""
    for name in (*WAYS, "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A hub whose file is for TOKEN alone."""
    with serving(LINES) as state:
        state.lets_in = f"Bearer {TOKEN}"
        state.headers["X-Linked-ETag"] = f'"{sha256(LINES)}"'
        monkeypatch.setenv("HF_ENDPOINT", state.url.removesuffix("/text.txt"))
        yield state


def log_in(way: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token in one of the places where the Hugging Face tools look."""
    inside = {"XDG_CACHE_HOME": "huggingface/token", "HOME": ".cache/huggingface/token", "HF_HOME": "token"}
    if way not in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        file = home / inside.get(way, "elsewhere")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{TOKEN}\n")
        monkeypatch.setenv(way, str(file if way == "HF_TOKEN_PATH" else home))
    else:
        monkeypatch.setenv(way, TOKEN)


def written(folder: Path) -> bytes:
    """All that lies under a folder, but for the user's home."""
    files = (path for path in folder.rglob("*") if path.is_file() and "home" not in path.relative_to(folder).parts)
    return b"".join(path.read_bytes() + str(path).encode() for path in files)


@pytest.mark.parametrize("way", WAYS)
def test_a_private_file_is_read_with_the_token_from_where_the_hubs_tools_have_it(
    way: str, private: Server, nobody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(way, nobody, monkeypatch)
    card, found = made()
    assert len(found["train"]) > 130
    assert private.credentials == [f"Bearer {TOKEN}"] * 2  # for the checksum, and for the file
    said = "".join(capsys.readouterr())
    assert TOKEN not in f"{said}{card}{private.paths}"
    assert TOKEN.encode() not in written(tmp_path)


# The environments that the hub's library is asked in, one after the other: it reads them when its constants are imported.
THEIRS = """import importlib, json, os, sys
from huggingface_hub import constants, get_token
for changes in json.load(sys.stdin):
    os.environ.update(changes)
    importlib.reload(constants)
    print(get_token())
    for name in changes:
        del os.environ[name]
"""


def test_the_hubs_own_library_finds_the_same_token(nobody: Path) -> None:
    pytest.importorskip("huggingface_hub")
    asked, ours = [], []
    for way in WAYS:
        with pytest.MonkeyPatch.context() as patch:
            (home := nobody / way).mkdir()
            log_in(way, home, patch)
            asked.append({way: os.environ[way]})
            ours.append(hub_token()[0])
    done = subprocess.run([sys.executable, "-c", THEIRS], input=json.dumps(asked), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ours == [TOKEN] * len(WAYS)


def test_the_token_is_not_sent_on_to_another_host(private: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving(LINES) as elsewhere:  # another port is another host
        private.moved_to = f"{elsewhere.url}?signature=x"
        _, found = made()
    assert len(found["train"]) > 130
    assert private.credentials == [f"Bearer {TOKEN}"] * 2
    assert elsewhere.credentials == [None]


def test_the_token_stays_when_the_hub_sends_on_to_itself(private: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    private.moved_to = "/datasets/new-owner/tales.jsonl"
    assert len(made()[1]["train"]) > 130
    assert private.credentials == [f"Bearer {TOKEN}"] * 3


def test_a_password_for_the_host_in_netrc_does_not_take_its_place(
    private: Server, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nobody / ".netrc").write_text("machine 127.0.0.1\nlogin me\npassword mine\n")
    (nobody / ".netrc").chmod(0o600)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert len(made()[1]["train"]) > 130


@pytest.mark.parametrize("checksum", ["", sha256(LINES)])
@pytest.mark.parametrize(
    ("token", "line"),
    [
        ("", r"answers 401 Unauthorized; if the data set is private, set HF_TOKEN or type `hf auth login` \(over https\)$"),
        ("hf_other", r"answers 401 Unauthorized; the token in HF_TOKEN does not open it, or there is no such file; HF_HUB_DI"),
    ],
)
def test_without_the_right_token_one_line_says_how_to_get_in(
    token: str, line: str, checksum: str, private: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match=line) as refusal:
        made(sha256=checksum)
    assert len(refusal.value.problems) == 1
    assert "hf_other" not in str(refusal.value)


@pytest.mark.parametrize(
    ("endpoint", "sent"),
    [("", True), ("https://hub.example.org", True), ("http://hub.example.org", False), ("http://localhost@example.org", False)],
)
def test_the_token_is_never_sent_in_the_clear(endpoint: str, sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert (hub_auth() is not None) == sent
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert hub_auth() is None


@pytest.mark.parametrize("content", [b"hf_a\nhf_b", "hf_ä".encode(), b"\xff\xfe", b"hf_a hf_b"])
def test_what_is_no_token_is_one_line_without_it(content: bytes, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nobody / "token").write_bytes(content)
    monkeypatch.setenv("HF_HOME", str(nobody))
    with pytest.raises(UserError, match=r"token: (is not a token of the hub|the token of the hub cannot be read)") as refusal:
        hub_token()
    assert len(refusal.value.problems) == 1 and "hf_a" not in str(refusal.value)
