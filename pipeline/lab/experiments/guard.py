"""What is looked at before DVC runs, queues, saves or applies an experiment, so that none is wrong or loses anything.

Each check knows one way in which DVC goes on without a word: knobs of no use, code that git does not know, a name that is
taken, edits that would be overwritten. ./run asks; whoever calls `dvc` by itself does without.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import logging
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.lab.dvc.git import git, listed, paths
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.load import load, read_sections
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import Yaml12Loader, read_yaml

QUEUE = Path(".dvc/tmp/exps/celery")
CONFIG = ".dvc/config"  # the settings of a clone, which ./run keeps when an older experiment brings others
REMADE = "dvc.lock"  # what DVC can make again from the knobs and its cache
CODE = (".py", ".jinja", ".css", ".js")  # what the stages run and read


def before(words: Sequence[str]) -> None:
    """Look at what a command of DVC's is about to do; a command that does nothing of it passes.

    Raises:
        UserError: it would go wrong, or lose something; with one line for each reason.
    """
    if not any(Path(word).name == "dvc" for word in words):
        words = ["dvc", "exp", "run", "--dry", *words]
    asked = _asked(words)
    match getattr(asked, "func", type(None)).__name__:
        case "CmdExperimentsRun" if asked.run_all:
            _queue()
        case "CmdExperimentsRun":
            _run(asked)
        case "CmdExperimentsSave":
            _save(asked)
        case "CmdExperimentsApply":
            _apply(asked.experiment)
        case "CmdQueueStart":
            _queue()
        case _:
            load()


def _asked(words: Sequence[str]) -> argparse.Namespace:
    """The words behind `dvc` as DVC reads them; nothing of note where it would not, for then it says so itself."""
    at = next((place for place, word in enumerate(words) if Path(word).name == "dvc"), len(words))
    if "exp" not in words[at:] and "experiments" not in words[at:] and "queue" not in words[at:]:
        return argparse.Namespace()  # without the wait for DVC's parser
    from dvc.cli import DvcParserError
    from dvc.cli.parser import get_main_parser

    heard = io.StringIO()
    logging.disable()
    try:
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            return get_main_parser().parse_args(list(words[at + 1 :]))
    except (DvcParserError, SystemExit):
        return argparse.Namespace()
    finally:
        logging.disable(logging.NOTSET)


def _run(asked: argparse.Namespace) -> None:
    from pipeline.lab.dvc.overrides import check, expand, for_params

    grid = expand(for_params(asked.set_param))
    checked = check(grid) if asked.set_param else [load()]
    if asked.dry:
        return
    names = [asked.name] if len(grid) == 1 else [f"{asked.name}-{place + 1}" for place in range(len(grid))]
    problems = _unknown_code() + (_names(names, replace=asked.force) if asked.name else [])
    if asked.queue or asked.tmp_dir:
        problems += _folders_left_behind(checked, asked.copy_paths)
    if problems:
        raise UserError(*problems)


def _save(asked: argparse.Namespace) -> None:
    load()
    problems = _unknown_code(asked.include_untracked or ()) + (_names([asked.name], replace=asked.force) if asked.name else [])
    if problems:
        raise UserError(*problems)


# ------------------------------------------------------------------------------------------------------------------ code


def _unknown_code(included: Sequence[str] = ()) -> list[str]:
    """A line that names code which git does not know, so that it would be missing from the experiment's commit."""
    there = [path for path in paths("ls-files", "-oz", "--", "pipeline") if Path(path).suffix in CODE]
    missing = [path for path in there if not Path(path).name.startswith(".") and path not in included]
    if not missing:
        return []
    ignored = set(missing) - set(paths("ls-files", "-oz", "--exclude-standard", "--", "pipeline"))
    return [
        f"{listed(missing)}: git does not know this code, so the experiment would be kept without it, and could not be run "
        f"or applied elsewhere; `git add {'-f ' if ignored else ''}{' '.join(missing)}` takes it in"
    ]


def _folders_left_behind(checked: Sequence[Params], copied: Sequence[str]) -> list[str]:
    """A line for each file or folder that a knob names and that a copy of the project would lack.

    An experiment of --temp or --queue runs in a copy, made of what git knows and what DVC keeps.
    """
    named: dict[str, str] = {}
    for params in checked:
        datasets = params.prepare.mixture if params.prepare.dataset == "mixture" else [params.prepare.dataset]
        named |= {params.train.init_from: "train.init_from", params.train.teacher: "train.teacher"}
        named |= {params.prepare.path: "prepare.path"} if "file" in datasets else {}
        named |= {params.tokenize.path: "tokenize.path"} if params.tokenize.kind == "file" else {}
    problems = []
    for path, knob in named.items():
        is_here = not Path(path).is_absolute() and Path(path).exists() and Path(path).resolve().is_relative_to(Path.cwd())
        if not is_here or any(Path(path).is_relative_to(copy) for copy in copied) or Path(f"{path}.dvc").exists():
            continue
        if unknown := paths("ls-files", "-oz", "--", path):
            # DVC copies no folder over one that is there, so -C is of use only where git knows nothing of it.
            is_whole = not paths("ls-files", "-z", "--", path)
            way = f"add `-C {path}`, or let DVC keep it: `dvc add {path}`" if is_whole else f"`git add {path}` takes them in"
            problems.append(
                f"{knob}: git does not know {listed(unknown, 3)}, and --queue and --temp run in a copy of what it knows; {way}"
            )
    return problems


# ----------------------------------------------------------------------------------------------------------------- names


def _names(names: Sequence[str], *, replace: bool = False) -> list[str]:
    """A line for each name that an experiment cannot have, or that would cost another one its results."""
    from pipeline.lab.studies.recipes import bad_name, is_good_name

    waiting = {task.name for task in queue()}
    head = (git("rev-parse", "HEAD") or "").strip()
    known = (git("for-each-ref", "--format=%(refname)", f"refs/exps/{head[:2]}/{head[2:]}") or "").splitlines()
    kept = {reference.rpartition("/")[2] for reference in known}
    problems = []
    for name in names:
        if not is_good_name(name):
            problems.append(f"-n: {bad_name(name)}")
        elif name in waiting:
            problems.append(
                f"-n {name}: an experiment of this name is in the queue, and of two with one name only one would be kept; "
                f"take another name, or remove it: `dvc queue remove {name}`"
            )
        elif name in kept and not replace:
            problems.append(f"-n {name}: this commit has an experiment of this name; take another name, or -f to replace it")
    return problems


@dataclass(frozen=True)
class Task:
    """An experiment in DVC's queue that has not ended."""

    name: str
    revision: str  # the commit that holds its files
    baseline: str
    waits: bool


def queue() -> Iterator[Task]:
    """Whatever waits or runs in DVC's queue, as its files say; reading them takes DVC itself a second."""
    done = {path.name.removeprefix("celery-task-meta-") for path in (QUEUE / "result").glob("celery-task-meta-*")}
    for folder in ("in", "processed"):
        for path in sorted((QUEUE / "broker" / folder).glob("*.celery.msg"), key=lambda path: path.name):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # being written, or of another kind
                message = json.loads(path.read_bytes())
                if message["headers"]["id"] in done:
                    continue
                arguments, named, *_ = json.loads(base64.b64decode(message["body"]))
                entry: dict[str, Any] = named.get("entry_dict") or arguments[0]
                yield Task(entry["name"] or "", entry["stash_rev"], entry["baseline_rev"], folder == "in")


def _queue() -> None:
    """Hold what waits in the queue against params.py, and look for two of one name."""
    problems: list[str] = []
    seen: dict[tuple[str, str], str] = {}
    for task in queue():
        key = (task.baseline, task.name)
        if task.name and key in seen:
            problems.append(
                f"{task.name}: is in the queue twice, and only one of the two would be kept; "
                f"`dvc queue remove {task.revision[:7]}` removes the later one, which can be queued again under another name"
            )
        seen[key] = task.revision
        text = git("show", f"{task.revision}:./params.yaml") if task.waits else None
        if text is not None:
            problems += [f"{task.name or task.revision[:7]}: {line}" for line in _wrong_knobs(text)]
    if problems:
        raise UserError(*problems, "`dvc queue remove NAME` takes an experiment out of the queue")


def _wrong_knobs(text: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        (copy := Path(folder) / "params.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            parse(Params, read_sections(copy))
        except ParamsError as error:
            return list(error.problems)
    return []


# -------------------------------------------------------------------------------------------------------------- applying


def _apply(experiment: str) -> None:
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
    waiting = [task.revision for task in queue() if task.name == experiment]
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
