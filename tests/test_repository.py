"""Files at the top of the repository: version and changelog, pre-commit hooks, templates of issues and pull requests."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.params.renamed import RENAMED, RENAMED_VALUES

TOP = Path(__file__).parents[1]
TEMPLATES = sorted(path for path in (TOP / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def text(name: str) -> str:
    return (TOP / name).read_text(encoding="utf-8")


def fields(template: Path) -> dict[str, dict[str, Any]]:
    """The questions of an issue template, by id."""
    body = yaml.safe_load(template.read_text(encoding="utf-8"))["body"]
    return {part["id"]: part["attributes"] for part in body if part["type"] != "markdown"}


def test_the_newest_version_of_the_changelog_is_that_of_the_package() -> None:
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", text("CHANGELOG.md"), flags=re.MULTILINE)
    assert released[0] == version
    assert released == sorted(released, key=lambda name: [*map(int, name.split("."))], reverse=True)


def test_the_changelog_lists_every_renamed_knob_and_value() -> None:
    section = text("CHANGELOG.md").partition("Knobs and values:")[2].partition("Commands:")[0]
    knobs, values = dict[str, str](), dict[str, dict[str, str]]()
    for line in section.splitlines():
        if line.startswith("| `"):
            old, new = (re.findall(r"`([^`]+)`", cell) for cell in line.strip("| ").split(" | "))
            assert len(old) == len(new), line
            names = [[cell.partition(": ")[0] for cell in cells if "." in cell] for cells in (old, new)]
            knobs |= zip(*names, strict=True)
            if ": " in old[0]:
                pairs = zip((cell.rpartition(": ")[2] for cell in old), (cell.rpartition(": ")[2] for cell in new), strict=True)
                values[names[1][0]] = {one: other for one, other in pairs if one != other}
    assert {old: new for old, new in knobs.items() if old != new} == RENAMED
    assert values == RENAMED_VALUES


def test_the_hooks_are_the_lint_and_types_of_the_check() -> None:
    checked = re.findall(r"^step (\./run (?:ruff|mypy).*)$", text(".ci/run"), flags=re.MULTILINE)
    (local,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == checked
    assert {(hook["language"], hook["pass_filenames"]) for hook in local["hooks"]} == {("system", False)}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_is_asked_for_what_a_diagnosis_needs(template: Path) -> None:
    asked = " ".join(attributes.get("description", "") for attributes in fields(template).values())
    for needed in ("./run rally env", "metrics/doctor.json", "./run dvc params diff"):
        assert needed in asked


def test_a_pull_request_is_asked_for_the_same() -> None:
    asked = text(".github/pull_request_template.md")
    for needed in ("./run rally env", "metrics/doctor.json", "./run dvc params diff", ".ci/run"):
        assert needed in asked


def test_every_table_and_class_that_the_guide_names_is_there() -> None:
    named = set(re.findall(r"`([A-Z][A-Za-z_]{2,})`", text("docs/how-to-add.md")))
    code = "\n".join(path.read_text(encoding="utf-8") for room in ("pipeline", "tests") for path in (TOP / room).rglob("*.py"))
    defined = set(re.findall(r"^(?:class )?([A-Z]\w+)(?=[(: ])", code, flags=re.MULTILINE))
    assert {"PROBES", "OPTIMIZERS", "UserError"} <= named
    assert named - defined == set()
