"""`rally upload`: a folder to the Hugging Face hub, with a hub on this machine in the place of the real one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, hub_on_loopback
from small import TOP
from test_hub_token import TOKEN, nobody  # noqa: F401 (a fixture for all tests here)

from pipeline.lab.cli import main

HEAD = "---\nlicense: mit\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- rally\n---\n\n# plays\n"
FILES = {"README.md": HEAD.encode(), "config.json": b"{}", "model.safetensors": bytes(range(256)) * 9, ".note": b"mine"}
SENT = {name: content for name, content in FILES.items() if name != ".note"}

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed (the extra `hub`)"
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an exported folder."""
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((TOP / name).read_bytes())
    for name, content in FILES.items():
        (tmp_path / "exported").mkdir(exist_ok=True)
        (tmp_path / "exported" / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_on_loopback(TOKEN) as state:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        yield state


def uploaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """(exit status, what it prints, what it says) of `rally upload WORDS`."""
    monkeypatch.setattr("sys.argv", ["rally", "upload", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert TOKEN not in out + err
    return int(ended.value.code or 0), out, err


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line with which `rally upload WORDS` ends, status 2."""
    status, out, err = uploaded(monkeypatch, capsys, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    return err.strip()


@needs_library
def test_a_folder_is_sent_whole_for_its_owner_alone(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = uploaded(monkeypatch, capsys, "me/plays")
    assert (status, out) == (0, f"{hub.url}/me/plays\n")
    assert hub.repositories == {"me/plays": SENT}
    assert hub.private == {"me/plays"}
    assert {given for path, given in hub.credentials if not path.startswith("/storage")} == {f"Bearer {TOKEN}"}
    assert [given for path, given in hub.credentials if path.startswith("/storage")] == [None]


@needs_library
def test_a_public_one_is_told_what_its_readers_would_miss(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = uploaded(monkeypatch, capsys, "me/plays", "exported", "--public")
    assert status == 0 and hub.private == set()
    assert "README.md: model-index: there is none; `dvc repro evaluate` measures scores" in err


@needs_library
def test_what_is_there_stays_unless_it_is_to_be_updated(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uploaded(monkeypatch, capsys, "me/plays")
    (project / "exported/config.json").write_text('{"newer": 1}')
    line = refused(monkeypatch, capsys, "me/plays")
    assert line == f"me/plays: is on {hub.url} already; --update adds a commit to it, or use another name"
    assert hub.repositories["me/plays"]["config.json"] == b"{}"
    assert uploaded(monkeypatch, capsys, "me/plays", "--update")[0] == 0
    assert hub.repositories["me/plays"]["config.json"] == b'{"newer": 1}'
    assert len(hub.messages) == 2


@needs_library
def test_an_upload_that_breaks_off_goes_on_with_update(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.broken = "/commit/"
    status, _, err = uploaded(monkeypatch, capsys, "me/plays")
    line = err.splitlines()[-1]  # before it the library draws the bar of the file that arrived
    assert status == 2 and line.startswith(f"{hub.url}: answers 501 (")
    assert line.endswith("; me/plays is there, and empty: the same with --update sends the files")
    hub.broken = "nothing"
    assert uploaded(monkeypatch, capsys, "me/plays", "--update")[0] == 0
    assert hub.repositories["me/plays"] == SENT


@needs_library
def test_a_wrong_token_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    line = refused(monkeypatch, capsys, "me/plays")
    assert line == f"{hub.url}: the token in HF_TOKEN is not taken (401); it must be of the owner, type write"
    assert hub.repositories == {}


@needs_library
def test_updating_what_is_not_there_is_one_line(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(monkeypatch, capsys, "me/plays", "--update")
    assert line == f"me/plays: is not on {hub.url}, or not for the token in HF_TOKEN; leave out --update"


@needs_library
def test_a_hub_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    line = refused(monkeypatch, capsys, "me/plays")
    assert line == "http://127.0.0.1:1: no answer ([Errno 111] Connection refused)"


@needs_library
def test_without_a_token_nothing_is_asked(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    line = refused(monkeypatch, capsys, "me/plays")
    assert line.startswith("rally upload: no token of the hub; `hf auth login` asks for one")
    assert hub.credentials == []


@needs_library
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["plays"], "plays: is not a repository of the hub; use OWNER/NAME"),
        (["me/../you"], "me/../you: is not a repository of the hub; use OWNER/NAME"),
        (["me/plays", "params.yaml"], "params.yaml: was not written by `rally export`; "),
        (["me/plays", "nowhere"], "nowhere: not found; `rally export "),
    ],
)
def test_what_cannot_be_sent_is_one_line(
    words: list[str], line: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refused(monkeypatch, capsys, *words)
    assert hub.credentials == []


@needs_library
def test_no_token_goes_over_the_network_in_the_clear(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.org")
    line = refused(monkeypatch, capsys, "me/plays")
    assert line == "HF_ENDPOINT: http://hub.example.org would get your token in the clear; use an address with https"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "huggingface_hub" else found(name, *more)
    )
    assert "needs the package huggingface_hub; `pip install -c constraints.txt -e '.[hub]'`" in refused(
        monkeypatch, capsys, "me/plays"
    )
