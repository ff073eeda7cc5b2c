"""VS Code's files: tasks that exist, the knobs' schema where it is, and no settings that DVC or git would trip over."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from page_checks import wrong_commands, wrong_knobs
from pages import TOP, Page

FOLDER = TOP / ".vscode"


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return content


def commands() -> list[str]:
    """The command of each task, with what its inputs begin with."""
    defaults = {f"${{input:{one['id']}}}": one["default"] for one in read("tasks.json")["inputs"]}
    return [re.sub(r"\$\{input:\w+\}", lambda name: defaults[name[0]], one["command"]) for one in read("tasks.json")["tasks"]]


@pytest.mark.parametrize("command", commands())
def test_a_task_is_a_command_of_this_project(command: str) -> None:
    page = Page(f"```sh\n{command}\n```\n")
    assert command.startswith("./run ")
    assert wrong_commands(page) == [] and wrong_knobs(page) == []


def test_there_are_tasks_to_train_to_vary_to_compare_and_to_test() -> None:
    words = [command.split()[1:4] for command in commands()]
    for wanted in (["dvc", "repro"], ["dvc", "exp", "run"], ["rally", "show"], ["dvc", "plots", "diff"], ["pytest"]):
        assert any(one[: len(wanted)] == wanted for one in words), wanted
    kinds = [one["group"]["kind"] for one in read("tasks.json")["tasks"] if one.get("group", {}).get("isDefault")]
    assert kinds == ["build", "test"]


def test_the_knobs_are_checked_by_the_schema_that_is_there() -> None:
    ((schema, checked),) = read("settings.json")["yaml.schemas"].items()
    assert (TOP / schema).is_file() and (TOP / checked).is_file()
    assert f"$schema={Path(schema).name}" in (TOP / checked).read_text(encoding="utf-8").splitlines()[0]


def test_recommended_extensions_are_publishers_with_names() -> None:
    names = read("extensions.json")["recommendations"]
    assert all(re.fullmatch(r"[a-z-]+\.[a-z-]+", name) for name in names)
    assert {"iterative.dvc", "redhat.vscode-yaml"} <= set(names)
