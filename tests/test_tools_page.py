"""docs/tools.md: each of its commands is run, or the page says why it is not."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server import hub_on_loopback
from test_journey import BIN, clone, commit, environment, run
from tool_lines import PAGE, Block, blocks

from pipeline.params.yaml12 import read_yaml

TOP = Path(__file__).parents[1]
TOKEN = "hf_abcdefghij"
ON_THE_PAGE = "/home/me/rally"  # stands for the reader's clone
MINE = [block for block in blocks() if not (block.reason or block.run_by)]


def ident(block: Block) -> str:
    return f"{block.section}: {block.text.splitlines()[0]}"


@pytest.mark.parametrize("block", blocks(), ids=ident)
def test_each_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.text.strip() and block.section
    if block.comment:
        assert sum(map(bool, (block.run_by, block.needs, block.reason))) == 1, f"not understood: {block.comment}"
    assert len(block.reason.split()) > 3 or not block.reason
    if block.run_by:
        code = (TOP / block.run_by).read_text(encoding="utf-8")
        assert ("tool_lines" in code or "tools.md" in code) and block.section in code, (
            f"{block.run_by} does not ask for the blocks of {block.section}"
        )


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("## A\n```sh\nls\n```", [("", "", "")]),
        ("## A\n<!-- not run: it is long -->\n\n```sh\nls\n```\nwords\n```sh\nls\n```", [("it is long", "", "")] * 2),
        ("## A\nwords\n<!-- not run: it is long -->\n```sh\nls\n```\n```sh\nls\n```", [("it is long", "", ""), ("", "", "")]),
        ("## A\nwords\n<!-- not run: it is long -->\nmore words\n```sh\nls\n```", [("", "", "")]),
        (
            "## A\n<!-- run by tests/test_a.py -->\n```python\n1\n```\n## B\n```sh\nls\n```",
            [("", "tests/test_a.py", ""), ("", "", "")],
        ),
        ("## A\nx\n<!-- run where installed: mlflow -->\n```sh\nls\n```", [("", "", "mlflow")]),
        ("## A\n```yaml\na: b\n```", []),
    ],
)
def test_a_comment_is_of_the_block_below_it_or_of_its_section(text: str, seen: list[tuple[str, str, str]]) -> None:
    assert [(block.reason, block.run_by, block.needs) for block in blocks(text)] == seen


def test_what_the_page_lists_is_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert {block.section for block in blocks()} <= {line[3:] for line in text.splitlines() if line.startswith("## ")}
    assert len(MINE) > 4


# ----------------------------------------------------------------------------------------------------- the commands are run


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a finished run of a model that transformers has a place for, committed."""
    folder = clone(tmp_path_factory.mktemp("tools") / "lab")
    text = (folder / "params.yaml").read_text()
    mixer = read_yaml(folder / "params.yaml")["model"]["embedding_mixer"]
    line = f"embedding_mixer: {mixer}\n"
    assert line in text
    (folder / "params.yaml").write_text(text.replace(line, "embedding_mixer: none\n"))
    run(folder, "dvc", "repro", "--quiet")
    commit(folder)
    return folder


def said_by(block: Block, folder: Path, more: dict[str, str]) -> str:
    """What the commands of a block print, typed in this folder."""
    text = block.text.replace(ON_THE_PAGE, str(folder))
    words = ["bash", "-euo", "pipefail", "-c", text] if block.language == "sh" else [sys.executable, "-c", text]
    path = {"PATH": f"{BIN}:{environment()['PATH']}"}
    done = subprocess.run(words, cwd=folder, env={**environment(), **path, **more}, capture_output=True, text=True)
    assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_commands_do_what_the_page_says(lab: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    said = dict[str, str]()
    with hub_on_loopback(TOKEN) as hub:
        more = {"HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url, "NO_PROXY": "127.0.0.1"}
        for block in MINE:
            if not block.needs or importlib.util.find_spec(block.needs):
                said[block.text] = said_by(block, lab, more)
        sent = hub.repositories["me/plays"]
    assert sent == {path.name: path.read_bytes() for path in (lab / "shelf/plays").iterdir()}

    weights = (lab / "models/trained/model.safetensors").read_bytes()
    for name in ("by-version", "in-production"):
        assert (lab / "shelf" / name / "model.safetensors").read_bytes() == weights
    (versions,) = (out for text, out in said.items() if "gto show" in text)
    assert "v1.0.0" in versions and "model" in versions

    (answers,) = (out for text, out in said.items() if "dvc exp show --json" in text)
    decoder = json.JSONDecoder(parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    found, rest = list[Any](), answers
    while rest := rest.lstrip():
        one, end = decoder.raw_decode(rest)
        found.append(one)
        rest = rest[end:]
    table, plots, status = found
    check_table(table)
    check_plots(plots, lab)
    assert status.keys() <= {"committed", "uncommitted", "not_in_cache", "unchanged", "untracked", "git"}


def check_table(table: list[dict[str, Any]]) -> None:
    """What VS Code's extension reads as its table of experiments: knobs and metrics of the run, without errors."""
    assert table[0]["rev"] == "workspace" and len(table) > 1
    for row in table[:2]:
        data = row["data"]
        assert {"rev", "timestamp", "params", "metrics", "deps", "outs", "meta"} <= data.keys()
        assert data["params"]["params.yaml"]["data"]["train"]["lr"] > 0
        assert {"metrics/train.json", "metrics/evaluate.json"} <= data["metrics"].keys()
        assert all("data" in content for content in data["metrics"].values())
        assert all({"hash", "size", "nfiles"} <= dep.keys() for dep in data["deps"].values())


def check_plots(plots: dict[str, Any], lab: Path) -> None:
    """What the extension draws: every plot of dvc.yaml, as a chart whose data stand beside its template, or as a picture."""
    assert plots.keys() == {"data"}, plots.get("errors")
    charts = {name: content for name, content in plots["data"].items() if content[0]["type"] == "vega"}
    pictures = [content for content in plots["data"].values() if content[0]["type"] == "image"]
    named = {next(iter(one)) for one in read_yaml(lab / "dvc.yaml")["plots"] if isinstance(one, dict)}
    assert {name.removeprefix("dvc.yaml::") for name in charts} == named
    for content in charts.values():
        assert {"anchor_definitions", "content", "revisions", "type"} <= content[0].keys()
        rows = content[0]["anchor_definitions"]["<DVC_METRIC_DATA>"]
        assert {row["rev"] for row in rows} == {"HEAD", "workspace"}
    assert len(pictures) > 3
    assert all(Path(one["url"]).is_file() or (lab / one["url"]).is_file() for content in pictures for one in content)
