"""Bets on a score of a DVC experiment, by its name."""

from __future__ import annotations

import json

from pipeline.artifacts.paths import EVALUATION
from pipeline.identity import digest
from pipeline.lab.bets.question import Question, Target
from pipeline.lab.dvc.exp_names import is_valid_name
from pipeline.lab.dvc.git import git
from pipeline.lab.dvc.queue import RUNS, is_dvc_running
from pipeline.lab.provenance.check import matches_of_commits
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

MEASURES = ("loss", "bits_per_byte", "accuracy", "margin", "macro_f1", "calibration_error", "above_entropy")  # of EVALUATION


def question_of(name: str, measure: str) -> tuple[Question, Target]:
    """The question about a score of an experiment.

    Raises:
        UserError: the name or the score cannot be used.
    """
    problems = []
    if not is_valid_name(name):
        problems.append(f"{name}: means something else to git or DVC; use letters, digits, . and -, and not only a to f")
    if not measure:
        problems.append(f"--measure: is missing. Known: {', '.join(MEASURES)}")
    elif measure not in MEASURES:
        problems.append(f"--measure: there is no '{measure}'. {suggest(measure, MEASURES)}")
    if problems:
        raise UserError(*problems)
    target = Target(f"exp {name}: {measure}", digest(["exp", name, measure])[:32])
    return Question(f"{measure} of the experiment {name}?", "number"), target


def is_known(name: str) -> bool:
    """Whether an experiment of this name has ended, or runs here."""
    return bool(commit_of(name)) or (is_dvc_running() and name in _begun())


def _begun() -> set[str]:
    """The experiments that DVC noted when they began."""
    names = set()
    for file in RUNS.glob("*/*.run"):
        try:
            names.add(json.loads(file.read_text(encoding="utf-8")).get("name"))
        except (OSError, ValueError, AttributeError):
            continue
    return {str(name) for name in names}


def score_of(target: str) -> tuple[float | None, str]:
    """The score that a bet is on; None and why, where it is not known."""
    name, _, measure = target.removeprefix("exp ").partition(": ")
    if not (commit := commit_of(name)):
        return None, f"has not run; `dvc exp run -n {name}` runs it"
    match = matches_of_commits([commit], [EVALUATION])[commit][EVALUATION]
    if not match:
        return None, f"its scores are of another run: {match.mismatch}"
    try:
        value = json.loads(git("show", f"{commit}:./{EVALUATION.as_posix()}") or "{}").get(measure)
    except ValueError:
        value = None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None, f"{EVALUATION} of this experiment has no {measure}"
    return float(value), ""


def commit_of(name: str) -> str:
    """The commit of an experiment that ended, one of HEAD first; "" where there is none."""
    head = (git("rev-parse", "HEAD") or "").strip()
    lines = (git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or "").splitlines()
    named = [(commit, reference) for commit, _, reference in (line.partition(" ") for line in lines)]
    found = [(commit, reference) for commit, reference in named if reference.split("/")[4:] == [name]]
    found.sort(key=lambda item: item[1].split("/")[3] != head[2:])
    return found[0][0] if found else ""
