"""Where a plan stands, by its experiments: the loss of each run, and which checkpoints it missed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pipeline.artifacts.paths import DIAGNOSIS, EVALUATION
from pipeline.lab.betting.experiment_bets import commit_of
from pipeline.lab.dvc.git import git
from pipeline.lab.plan.form import Plan, run_file
from pipeline.lab.plan.steps import Course, Run, course_of
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import load_yaml


def standing(plan: Plan) -> Course:
    """Where a plan stands.

    Raises:
        UserError: an experiment has the name of one of its runs, and other knobs.
    """
    return course_of(plan, loss_of)


def loss_of(run: Run) -> float | None:
    """The loss of a run on the validation split, nats per token; infinite where it diverged, None where it has not ended.

    Raises:
        UserError: the experiment of this name is not this run.
    """
    if not (commit := commit_of(run.name)):
        return None
    if other := _other_knobs(run, commit):
        raise UserError(
            f"{run.name}: is an experiment with other knobs than this run of the plan ({other});"
            f" `dvc exp rename {run.name} NAME` makes room for it"
        )
    loss = _json_of(commit, EVALUATION.as_posix()).get("loss")
    return float(loss) if isinstance(loss, int | float) and math.isfinite(loss) else math.inf


def checkpoints_of(run: Run) -> list[Mapping[str, Any]]:
    """The checkpoints of a run that has ended, as the doctor judged them."""
    commit = commit_of(run.name)
    found = _json_of(commit, DIAGNOSIS.as_posix()).get("checkpoints", []) if commit else []
    return [one for one in found if isinstance(one, dict)]


def _other_knobs(run: Run, commit: str) -> str:
    """The first knob of an experiment that is not as the run sets it; "" where all are."""
    there = load_yaml(git("show", f"{commit}:./params.yaml") or "{}")
    for knob, value in {**run.knobs, "plan.path": run_file(run.plan, run.number).as_posix()}.items():
        section, _, name = knob.rpartition(".")
        found = there.get(section, {}).get(name) if section else there.get(name)
        if found != value:
            return f"{knob} {found}, not {value}"
    return ""


def _json_of(commit: str, path: str) -> dict[str, Any]:
    """A JSON file of a commit; empty where it has none that can be read."""
    try:
        content = json.loads(git("show", f"{commit}:./{path}") or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
