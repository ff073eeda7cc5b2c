"""docs/tools.md, sections TransformerLens and lm-evaluation-harness: every block is run, where the two are installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_journey import TOP, clone
from tool_lines import blocks_of

HERE = "tests/test_tools_analysis.py"
SECTIONS = {"TransformerLens": "transformer_lens", "lm-evaluation-harness": "lm_eval"}


@pytest.mark.parametrize("section", SECTIONS)
def test_each_block_is_run_here_or_says_why_not(section: str) -> None:
    for block in blocks_of(section):
        assert block.run_by == HERE or block.reason.startswith("it installs packages"), block.text
        if block.language == "python":
            compile(block.text, section, "exec")


def shell(folder: Path, script: str) -> str:
    """What a script says in a project, with this interpreter's programs first."""
    there = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(["bash", "-ec", script], cwd=folder, env=os.environ | there, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_runs_as_it_stands(section: str, tmp_path: Path) -> None:
    """Both sections begin with the model that the first one trains."""
    if find_spec(SECTIONS[section]) is None:
        pytest.skip(f"{SECTIONS[section]} is not installed; docs/tools.md says how")
    lab = clone(tmp_path / "lab")
    (lab / "params.yaml").write_bytes((TOP / "params.yaml").read_bytes())
    shell(lab, "git commit -qam 'knobs of the page'")
    here = [block for block in blocks_of(section) if block.run_by]
    if section != "TransformerLens":
        here = [block for block in blocks_of("TransformerLens") if block.language == "sh" and block.run_by] + here
    said, session = "", ""
    for block in here:
        if block.language == "sh":
            said += shell(lab, block.text)
        else:  # the blocks of a section are one session
            session += block.text + "\n"
            (lab / "session.py").write_text(session)
            said = shell(lab, "python session.py")
    if section == "TransformerLens":
        losses = re.findall(r"^(?:whole|no \d\.\d) +(\S+) +(\S+)$", said, re.MULTILINE)
        assert len(losses) == 1 + 2 * 4
        assert all(abs(float(theirs) - float(ours)) <= 1e-3 for theirs, ours in losses)
        assert max(float(ours) for _, ours in losses[1:]) > float(losses[0][1]) + 0.05, "some head matters"
        closed = dict(re.findall(r"^(.+): (\d+)% close with \)$", said, re.MULTILINE))
        assert int(closed["not patched"]) > 90 and int(closed["control: as long, at random"]) > 60
        assert int(closed["from ( to ["]) < 30
    else:
        scores = {
            folder.name: {name: one["acc,none"] for name, one in json.loads(file.read_text())["results"].items()}
            for folder in (lab / "shelf/scores").iterdir()
            for file in folder.glob("results_*.json")
        }
        trained, untrained = (
            next(one for name, one in scores.items() if name.endswith(end)) for end in ("brackets", "untrained")
        )
        assert min(trained.values()) > 0.9 and trained.keys() == {"brackets_near", "brackets_far"}
        assert all(0.35 < value < 0.65 for value in untrained.values())
