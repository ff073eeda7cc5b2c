"""Checks before `dvc exp apply` overwrites files that are kept nowhere else."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.lab.bets.ledger import LEDGER
from pipeline.lab.dvc.git import git, git_paths, join_names
from pipeline.lab.dvc.queue import queued_tasks
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import load_yaml, read_yaml

CONFIG = ".dvc/config"  # the settings of a clone, which ./run keeps when an older experiment brings others
REMADE = "dvc.lock"  # DVC can make it again from the parameters and its cache


def check_apply(experiment: str) -> None:
    """Refuse an experiment that would overwrite or delete files that are kept nowhere else; name code that it brings back.

    `dvc exp apply` writes every file of the experiment's commit, also those that the experiment did not touch.

    Raises:
        UserError: with one line for each reason.
    """
    commit = _commit_of(experiment)
    if commit is None:
        return  # DVC says that there is none
    changed = git_paths("diff", "--name-only", "--relative", "--no-renames", "-z", "HEAD")
    brought = git_paths("diff", "--name-only", "--relative", "-z", "--no-renames", "--diff-filter=A", "HEAD", commit)
    restored = (CONFIG, REMADE, str(LEDGER))
    there = [path for path in dict.fromkeys([*changed, *brought]) if Path(path).is_file() and path not in restored]
    problems = []
    if lost := _kept_nowhere(there, commit):
        problems.append(
            f"{join_names(lost)}: would be overwritten by the experiment's version, and yours is neither in the last commit "
            f"nor in an experiment. Commit it first, or put it aside: `git stash -u`, and later `git stash pop`"
        )
    if lost := _in_other_outs(commit):
        problems.append(
            f"{join_names(lost, 3)}: would be deleted, because the folder is an out of a stage in the experiment. "
            f"Move it elsewhere first, or let DVC keep it: `dvc add`"
        )
    if problems:
        raise UserError(*problems)
    older = git_paths(
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
    if older:
        print(
            f"{experiment}: belongs to another commit, whose code comes with it: {join_names(older)}. "
            f"`git checkout HEAD -- pipeline dvc.yaml studies` restores the current code",
            file=sys.stderr,
        )


def _commit_of(experiment: str) -> str | None:
    """The commit of an experiment, by its name (those of HEAD first) or a revision; None where there is none."""
    head = (git("rev-parse", "HEAD") or "").strip()
    references = (git("for-each-ref", "--format=%(refname)", "refs/exps") or "").splitlines()
    named = [name for name in references if name.split("/")[4:] == [experiment]]
    first = f"refs/exps/{head[:2]}/{head[2:]}/{experiment}"
    waiting = [task.revision for task in queued_tasks() if task.name == experiment]
    for revision in (*([first] if first in named else []), *named, experiment, *waiting):
        if commit := (git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or "").strip():
            return commit
    return None


def _kept_nowhere(there: Sequence[str], target: str) -> list[str]:
    """The files in the working directory that the target would overwrite and whose content is not in any experiment.

    Outs of stages are not among them: with the same parameters, `dvc repro` makes them again.
    """
    if not there:
        return []
    hashes = (git("hash-object", "--stdin-paths", stdin="".join(f"{path}\n" for path in there)) or "").split()
    known = [
        line.split() for line in (git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps") or "").splitlines()
    ]
    references = [commit for name, commit in known if re.fullmatch(r"refs/exps/[0-9a-f]{2}/[0-9a-f]+/.+", name)]
    objects = [f"{commit}:./{path}" for commit in (target, "HEAD", *references) for path in there]
    answers = (
        git("cat-file", "--batch-check=%(objectname)", stdin="".join(f"{name}\n" for name in objects)) or ""
    ).splitlines()
    held = [answers[place : place + len(there)] for place in range(0, len(answers), len(there))]
    outs = _outs_of_stages(read_yaml(Path("dvc.yaml")))
    lost = []
    for place, (path, now) in enumerate(zip(there, hashes, strict=True)):
        is_brought = not held[0][place].endswith(" missing")
        if is_brought and all(now != row[place] for row in held) and not any(Path(path).is_relative_to(out) for out in outs):
            lost.append(path)
    return lost


def _in_other_outs(target: str) -> list[str]:
    """Files that neither git nor DVC tracks, in a folder that is an out of a stage in the target and not in today's dvc.yaml.

    An example is `models`, which became `models/trained`.
    """
    text = git("show", f"{target}:./dvc.yaml")
    now = _outs_of_stages(read_yaml(Path("dvc.yaml")))
    then = _outs_of_stages(load_yaml(text)) if text else []
    others = [out for out in then if out not in now and Path(out).is_dir()]
    there = [Path(path) for path in (git_paths("ls-files", "-oz", "--", *others) if others else [])]
    return [
        str(path)
        for path in there
        if not any(str(place) in now or Path(f"{place}.dvc").exists() for place in (path, *path.parents))
    ]


def _outs_of_stages(dvc_yaml: Mapping[str, Any]) -> list[str]:
    """The outs of all stages."""
    stages = dvc_yaml.get("stages", {}).values()
    outs = [out for stage in stages for part in ("outs", "metrics", "plots") for out in stage.get(part, [])]
    return [next(iter(out)) if isinstance(out, dict) else str(out) for out in outs]
