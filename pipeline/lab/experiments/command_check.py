"""Checks before DVC runs, queues, saves or applies an experiment: parameters, names, untracked code and data."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.lab.dvc.git import git, git_paths, join_names
from pipeline.lab.dvc.queue import queued_tasks
from pipeline.lab.experiments.apply_check import check_apply
from pipeline.lab.experiments.queue_check import check_queue
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.schema import Params

CODE = (".py", ".jinja", ".css", ".js")  # what the stages run and read


def check_command(words: Sequence[str]) -> None:
    """Refuse a DVC command that would go wrong or lose something. Commands that do none of this pass.

    Args:
        words: a command (dvc exp run …), or the options of one (-S train.lr=0.01).

    Raises:
        UserError: with one line for each reason.
    """
    if not any(Path(word).name == "dvc" for word in words):
        words = ["dvc", "exp", "run", "--dry", *words]
    options = _parsed(words)
    match getattr(options, "func", type(None)).__name__:
        case "CmdExperimentsRun" if options.run_all:
            check_queue()
        case "CmdExperimentsRun":
            _check_run(options)
        case "CmdExperimentsSave":
            _check_save(options)
        case "CmdExperimentsApply":
            check_apply(options.experiment)
        case "CmdQueueStart":
            check_queue()
        case _:
            load()


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """The words after `dvc` as DVC parses them; empty where it would refuse them, which it says itself."""
    at = next((place for place, word in enumerate(words) if Path(word).name == "dvc"), len(words))
    if "exp" not in words[at:] and "experiments" not in words[at:] and "queue" not in words[at:]:
        return argparse.Namespace()  # DVC's parser is slow to import
    from dvc.cli import DvcParserError
    from dvc.cli.parser import get_main_parser

    ignored = io.StringIO()
    logging.disable()
    try:
        with contextlib.redirect_stdout(ignored), contextlib.redirect_stderr(ignored):
            return get_main_parser().parse_args(list(words[at + 1 :]))
    except (DvcParserError, SystemExit):
        return argparse.Namespace()
    finally:
        logging.disable(logging.NOTSET)


def _check_run(options: argparse.Namespace) -> None:
    from pipeline.lab.dvc.overrides import check_overrides, expand_grid, params_overrides

    grid = expand_grid(params_overrides(options.set_param))
    checked = check_overrides(grid) if options.set_param else [load()]
    if options.dry:
        return
    names = [options.name] if len(grid) == 1 else [f"{options.name}-{place + 1}" for place in range(len(grid))]
    problems = _untracked_code() + (_name_problems(names, replace=options.force) if options.name else [])
    if options.queue or options.tmp_dir:
        problems += _untracked_inputs(checked, options.copy_paths)
    if problems:
        raise UserError(*problems)


def _check_save(options: argparse.Namespace) -> None:
    load()
    names = [options.name] if options.name else []
    problems = _untracked_code(options.include_untracked or ()) + _name_problems(names, replace=options.force)
    if problems:
        raise UserError(*problems)


def _untracked_code(included: Sequence[str] = ()) -> list[str]:
    """A line that names code that git does not track, so that it would be missing from the experiment's commit."""
    there = [path for path in git_paths("ls-files", "-oz", "--", "pipeline") if Path(path).suffix in CODE]
    missing = [path for path in there if not Path(path).name.startswith(".") and path not in included]
    if not missing:
        return []
    ignored = set(missing) - set(git_paths("ls-files", "-oz", "--exclude-standard", "--", "pipeline"))
    return [
        f"{join_names(missing)}: git does not track this code, so the experiment would be kept without it, and could not be "
        f"run or applied elsewhere. Add it: `git add {'-f ' if ignored else ''}{' '.join(missing)}`"
    ]


def _untracked_inputs(checked: Sequence[Params], copied: Sequence[str]) -> list[str]:
    """A line for each file or folder that a knob names and that a copy of the project would lack.

    With --temp or --queue an experiment runs in a copy, which has what git tracks and what DVC keeps.
    """
    named: dict[str, str] = {}
    for params in checked:
        datasets = params.prepare.mixture if params.prepare.dataset == "mixture" else [params.prepare.dataset]
        named |= {params.train.init_from: "train.init_from", params.train.teacher: "train.teacher"}
        named |= {params.plan.path: "plan.path"}
        named |= {params.prepare.path: "prepare.path"} if "file" in datasets else {}
        named |= {params.tokenize.path: "tokenize.path"} if params.tokenize.kind == "file" else {}
    problems = []
    for path, knob in named.items():
        is_here = not Path(path).is_absolute() and Path(path).exists() and Path(path).resolve().is_relative_to(Path.cwd())
        if not is_here or any(Path(path).is_relative_to(copy) for copy in copied) or Path(f"{path}.dvc").exists():
            continue
        if untracked := git_paths("ls-files", "-oz", "--", path):
            # DVC copies no folder over one that is there, so -C helps only where git tracks nothing of it.
            is_whole = not git_paths("ls-files", "-z", "--", path)
            advice = f"Add `-C {path}`, or let DVC keep it: `dvc add {path}`" if is_whole else f"Add them: `git add {path}`"
            problems.append(
                f"{knob}: git does not track {join_names(untracked, 3)}, and --queue and --temp run in a copy of what it tracks"
                f". {advice}"
            )
    return problems


def _name_problems(names: Sequence[str], *, replace: bool = False) -> list[str]:
    """A line for each name that is not valid, or that would cost another experiment its results."""
    from pipeline.lab.dvc.exp_names import is_valid_name, name_problem

    waiting = {task.name for task in queued_tasks()}
    head = (git("rev-parse", "HEAD") or "").strip()
    known = (git("for-each-ref", "--format=%(refname)", f"refs/exps/{head[:2]}/{head[2:]}") or "").splitlines()
    kept = {reference.rpartition("/")[2] for reference in known}
    problems = []
    for name in names:
        if not is_valid_name(name):
            problems.append(f"-n: {name_problem(name)}")
        elif name in waiting:
            problems.append(
                f"-n {name}: an experiment of this name is in the queue, and of two with one name only one would be kept. "
                f"Use another name, or remove it: `dvc queue remove {name}`"
            )
        elif name in kept and not replace:
            problems.append(f"-n {name}: this commit has an experiment of this name. Use another name, or -f to replace it")
    return problems
