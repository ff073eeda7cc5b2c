"""Checks before DVC runs, queues or saves an experiment, so that none is wrong or loses anything."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.lab.dvc.git import git, listed, paths
from pipeline.lab.experiments.apply_check import check_apply
from pipeline.lab.experiments.queue_check import check_queue, waiting_tasks
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.schema import Params

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
            check_queue()
        case "CmdExperimentsRun":
            _run(asked)
        case "CmdExperimentsSave":
            _save(asked)
        case "CmdExperimentsApply":
            check_apply(asked.experiment)
        case "CmdQueueStart":
            check_queue()
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


def _names(names: Sequence[str], *, replace: bool = False) -> list[str]:
    """A line for each name that an experiment cannot have, or that would cost another one its results."""
    from pipeline.lab.dvc.launch import bad_name, is_good_name

    waiting = {task.name for task in waiting_tasks()}
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
