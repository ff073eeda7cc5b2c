"""Checks before `dvc exp apply` overwrites files that are kept nowhere else."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.lab.dvc.git import git, listed, paths
from pipeline.lab.experiments.queue_check import waiting_tasks
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import Yaml12Loader, read_yaml

CONFIG = ".dvc/config"  # the settings of a clone, which ./run keeps when an older experiment brings others


REMADE = "dvc.lock"  # what DVC can make again from the knobs and its cache


def check_apply(experiment: str) -> None:
    """Look what of the working directory an experiment would overwrite that is kept nowhere else.

    `dvc exp apply` puts every file of the experiment's commit in place, also those that the experiment did not touch.
    """
    commit = _commit_of(experiment)
    if commit is None:
        return  # DVC says what there is not
    changed = paths("diff", "--name-only", "--relative", "--no-renames", "-z", "HEAD")
    brought = paths("diff", "--name-only", "--relative", "-z", "--no-renames", "--diff-filter=A", "HEAD", commit)
    there = [path for path in dict.fromkeys([*changed, *brought]) if Path(path).is_file() and path not in (CONFIG, REMADE)]
    problems = []
    if lost := _kept_nowhere(there, commit):
        problems.append(
            f"{listed(lost)}: would be overwritten by the experiment's, and stands like this neither in the last commit nor in "
            f"an experiment. Commit it first, or put it aside: `git stash -u`, and later `git stash pop`"
        )
    if lost := _in_other_outs(commit):
        problems.append(
            f"{listed(lost, 3)}: would be deleted, because the folder is an out of a stage of the experiment's. "
            f"Move it elsewhere first, or let DVC keep it: `dvc add`"
        )
    if problems:
        raise UserError(*problems)
    behind = paths(
        "diff",
        "--name-only",
        "--relative",
        "--diff-filter=MDT",
        "-z",
        f"{commit}^",
        "HEAD",
        "--",
        "pipeline",
        "dvc.yaml",
        "studies",
    )
    if behind:
        print(
            f"{experiment}: belongs to another commit, whose code comes with it: {listed(behind)}. "
            f"`git checkout HEAD -- pipeline dvc.yaml studies` brings today's back",
            file=sys.stderr,
        )


def _commit_of(experiment: str) -> str | None:
    """The commit of an experiment by its name, of this commit before others, or by a revision; None where there is none."""
    head = (git("rev-parse", "HEAD") or "").strip()
    references = (git("for-each-ref", "--format=%(refname)", "refs/exps") or "").splitlines()
    named = [name for name in references if name.split("/")[4:] == [experiment]]
    first = f"refs/exps/{head[:2]}/{head[2:]}/{experiment}"
    waiting = [task.revision for task in waiting_tasks() if task.name == experiment]
    for revision in (*([first] if first in named else []), *named, experiment, *waiting):
        if commit := (git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or "").strip():
            return commit
    return None


def _kept_nowhere(there: Sequence[str], target: str) -> list[str]:
    """Of files in the working directory those that the target would overwrite, and whose content is in no experiment.

    What a stage leaves is not among them: with the same knobs, `dvc repro` leaves it again.
    """
    if not there:
        return []
    hashes = (git("hash-object", "--stdin-paths", given="".join(f"{path}\n" for path in there)) or "").split()
    known = [
        line.split() for line in (git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps") or "").splitlines()
    ]
    references = [commit for name, commit in known if re.fullmatch(r"refs/exps/[0-9a-f]{2}/[0-9a-f]+/.+", name)]
    asked = [f"{commit}:./{path}" for commit in (target, "HEAD", *references) for path in there]
    answers = (git("cat-file", "--batch-check=%(objectname)", given="".join(f"{name}\n" for name in asked)) or "").splitlines()
    held = [answers[place : place + len(there)] for place in range(0, len(answers), len(there))]
    left = _left_by_stages(read_yaml(Path("dvc.yaml")))
    lost = []
    for place, (path, now) in enumerate(zip(there, hashes, strict=True)):
        is_brought = not held[0][place].endswith(" missing")
        if is_brought and all(now != row[place] for row in held) and not any(Path(path).is_relative_to(out) for out in left):
            lost.append(path)
    return lost


def _in_other_outs(target: str) -> list[str]:
    """Files that neither git nor DVC knows, in a folder that is an out of a stage of the target, and is none today.

    Such was `models`, before it was `models/trained`.
    """
    text = git("show", f"{target}:./dvc.yaml")
    now = _left_by_stages(read_yaml(Path("dvc.yaml")))
    then = _left_by_stages(yaml.load(text, Loader=Yaml12Loader)) if text else []  # noqa: S506 (a SafeLoader)
    others = [out for out in then if out not in now and Path(out).is_dir()]
    there = [Path(path) for path in (paths("ls-files", "-oz", "--", *others) if others else [])]
    return [
        str(path)
        for path in there
        if not any(str(place) in now or Path(f"{place}.dvc").exists() for place in (path, *path.parents))
    ]


def _left_by_stages(told: Mapping[str, Any]) -> list[str]:
    """The files and folders that stages leave, by dvc.yaml."""
    stages = told.get("stages", {}).values()
    outs = [out for stage in stages for part in ("outs", "metrics", "plots") for out in stage.get(part, [])]
    return [next(iter(out)) if isinstance(out, dict) else str(out) for out in outs]
