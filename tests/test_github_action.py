"""The workflow that trains a pull request and its base: its steps, run here, with a small pipeline in the place of Rally's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

TOP = Path(__file__).parents[1]
WORKFLOW = TOP / ".github/workflows/experiment.yml"
PIPELINE = """stages:
  train:
    cmd: python make.py
    deps: [make.py]
    params: [seed]
    outs: [curve.csv]
    metrics: [scores.json: {cache: false}]
plots:
  - loss:
      x: step
      y: {curve.csv: loss}
"""
MAKE = """import json
from pathlib import Path

seed = int(Path("params.yaml").read_text().split()[1])
Path("curve.csv").write_text("step,loss\\n" + "".join(f"{step},{seed / step}\\n" for step in range(1, 9)))
Path("scores.json").write_text(json.dumps({"loss": seed / 8}))
"""
# In the place of the program of GitHub, which knows pull requests: it notes what it was asked for.
GH = """#!/bin/sh
echo "$*" >>"$SAID"
case "$1 $2" in "pr comment") cp "$5" "$SAID.comment" ;; esac
"""


def workflow() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return read


def steps() -> list[dict[str, Any]]:
    (job,) = workflow()["jobs"].values()
    return list(job["steps"])


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def pull_request(tmp_path: Path) -> tuple[Path, str, str]:
    """(a clone of a lab, the commit of its main branch, that of a branch with another seed)."""
    lab, origin = tmp_path / "lab", tmp_path / "origin.git"
    subprocess.run(["git", "init", "-q", "--bare", str(origin)], check=True)
    lab.mkdir()
    for name, text in {
        "dvc.yaml": PIPELINE,
        "make.py": MAKE,
        "params.yaml": "seed: 1\n",
        ".gitignore": "/experiment\n",
    }.items():
        (lab / name).write_text(text)
    (lab / "run").write_text('#!/bin/sh\nexec "$@"\n')
    (lab / "run").chmod(0o755)
    shutil.copytree(TOP / ".github", lab / ".github")
    git(lab, "init", "-q", "-b", "main")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=lab, check=True)
    git(lab, "add", "-A")
    git(lab, "commit", "-qm", "start")
    base = git(lab, "rev-parse", "HEAD")
    (lab / "params.yaml").write_text("seed: 4\n")
    git(lab, "commit", "-qam", "a change")
    git(lab, "remote", "add", "origin", str(origin))
    return lab, base, git(lab, "rev-parse", "HEAD")


def run_step(lab: Path, name: str, values: dict[str, str]) -> None:
    """Run a step of the workflow as GitHub does, with these values in the place of its expressions."""
    (step,) = (one for one in steps() if one.get("name") == name)
    variables = {key: values[expression] for key, expression in step["env"].items()}
    said = lab.parent / "said"
    stand_ins = lab.parent / "bin"
    stand_ins.mkdir(exist_ok=True)
    (stand_ins / "gh").write_text(GH)
    (stand_ins / "gh").chmod(0o755)
    path = f"{stand_ins}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    of_github = {"GITHUB_STEP_SUMMARY": str(lab.parent / "summary.md"), "GITHUB_REPOSITORY": "me/lab", "SAID": str(said)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=lab,
        env={**environment, "PATH": path, **of_github, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_its_steps_train_both_and_post_metrics_and_a_picture(pull_request: tuple[Path, str, str]) -> None:
    lab, base, head = pull_request
    values = {
        "${{ github.event.pull_request.base.sha }}": base,
        "${{ github.event.pull_request.head.sha }}": head,
        "${{ github.event.pull_request.number }}": "7",
        "${{ github.token }}": "secret",
    }
    run_step(lab, "Train both", values)
    comment = (lab / "experiment/comment.md").read_text()
    assert comment.startswith(f"### {head[:7]} beside {base[:7]}\n")
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in comment.splitlines() if line.startswith("|")]
    assert ["params.yaml", "seed", "1", "4"] in [row[:4] for row in rows]
    assert ["scores.json", "loss", "0.125", "0.5", "0.375"] in rows
    assert comment in (lab.parent / "summary.md").read_text()
    picture = (lab / "experiment/loss.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 5_000

    run_step(lab, "Comment", values)
    origin = lab.parent / "origin.git"
    commit = git(origin, "rev-parse", "pictures/pull-7")
    assert git(origin, "rev-list", "--count", commit) == "1"  # no history came along
    assert subprocess.run(["git", "show", f"{commit}:loss.png"], cwd=origin, capture_output=True, check=True).stdout == picture
    posted = (lab.parent / "said.comment").read_text()
    assert posted == f"{comment}\n![loss](https://github.com/me/lab/raw/{commit}/loss.png)\n"
    assert (lab.parent / "said").read_text().splitlines() == [
        "auth setup-git",
        "pr comment 7 --body-file experiment/posted.md",
    ]
    assert "secret" not in posted


def test_actions_of_others_are_pinned_by_their_hash() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    for name in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)
        assert re.search(rf"{re.escape(name)} # v\d+\.\d+\.\d+\n", WORKFLOW.read_text(encoding="utf-8"))


def test_the_token_is_given_to_no_step_that_runs_the_code_of_a_pull_request() -> None:
    text = json.dumps(workflow())
    assert text.count("github.token") == 1 and "secrets." not in text
    (holder,) = (step for step in steps() if "GH_TOKEN" in step.get("env", {}))
    assert "./run" not in holder["run"] and "experiment.sh" not in holder["run"]
    assert workflow()["permissions"] == {}
    assert workflow()[True].keys() == {"pull_request"}  # YAML 1.1 reads the key `on` as true; never pull_request_target
    assert [step["with"]["persist-credentials"] for step in steps() if "uses" in step] == [False]


def test_no_expression_stands_inside_a_script() -> None:
    """A branch's name could be a command there."""
    assert not [step for step in steps() if "${{" in step.get("run", "")]
