"""A claim file made of a study that was played, or of experiments of DVC."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import rounded
from pipeline.lab.claim_files import form
from pipeline.lab.claim_files.definition import is_control
from pipeline.lab.claim_files.digests import STUDIES, Digests, torch_version
from pipeline.lab.claim_files.form import ClaimFile
from pipeline.lab.claim_files.judging import claim_of
from pipeline.lab.claim_files.rewriting import ARM, of_experiments, of_study
from pipeline.lab.claim_files.standing import Project
from pipeline.lab.commands import print_notes
from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.dvc.git import git, git_paths, short_hash
from pipeline.lab.experiments.records import Experiment, Group, grouped
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.entries import find_entry, read_entries
from pipeline.lab.studies.grid import Sweep
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.recipes import apply_entry
from pipeline.lab.studies.runs.identity import RESULTS, study_identity
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.yaml12 import NOT_YAML, load_yaml

LONGEST_NAME = 100  # characters
MEASURED = (STUDIES / "measures/record.py", STUDIES / "measures/metrics.py")


def study_of(name: str) -> tuple[Sweep, BaseParams]:
    """A grid of studies/ and the parameters that it starts from.

    Raises:
        UserError: there is no such grid.
    """
    entry = find_entry(name, read_entries())
    if entry.sweep is None:
        raise UserError(f"{name}: is a single DVC experiment; `rally claims add NAME --from {name},… --check …` takes those")
    return entry.sweep, apply_entry(base_params(), entry)


def rows_of(found: Mapping[str, Results]) -> tuple[dict[str, list[list[float]]], dict[str, int]]:
    """(values of every measure by place, how many held-out examples all seeds share) of a grid."""
    rows = {
        name: [[rounded(value) for value in row] for row in whole.values.reshape(-1, whole.seeds).tolist()]
        for name, whole in found.items()
    }
    return rows, {name: whole.held_out for name, whole in found.items() if whole.held_out}


def head() -> str:
    """The first digits of the commit that is checked out; "" where there is none."""
    return short_hash((git("rev-parse", "--verify", "--quiet", "HEAD") or "").strip())


def add_study(name: str) -> ClaimFile:
    """Write the claim file of a study, from the results of its last play.

    Where the code has changed since, its runs are asked for again; those that it did not change are kept ones.

    Raises:
        UserError: it was not played, or its knobs, bounds or seeds are others now.
    """
    sweep, base = study_of(name)
    if not (path := RESULTS / f"{name}.json").is_file():
        raise UserError(f"{path}: is not there; `rally play {name} --fresh` plays the study on seeds that nobody saw")
    played = read_json(path, "seeds", "values", "identity", "made_of")
    sweep = replace(sweep, seeds=tuple(played["seeds"]))
    if played["identity"] != study_identity(name, sweep, base):
        raise UserError(
            f"{path}: is of other knobs or bounds than {name} has now; `rally play {name} --fresh` plays it (what was trained "
            "is kept)"
        )
    project = Project()
    study = project.studies[name]
    paths = [path for some in project.digests.paths(study.runs).values() for path in some]
    shared = sweep.draws == "one" and any(MEASURES[measure].sample for measure in sweep.measures)
    known = played.get("held_out", None if shared else {})  # an earlier version did not write it
    if known is not None and is_same_code(played["made_of"], [*paths, *MEASURED]):
        rows, held_out = _rows_in(played), {measure: count for measure, count in known.items() if count}
    else:
        print_notes([f"{path}: does not say that it is of this code; runs that are not kept are made again"])
        rows, held_out = run(sweep, base)
    old = form.read(name) if name in form.names() else None
    changes = project.changes(name, old, study) if old else []
    rests = project.digests.rests(study, project.base)
    rounds = played.get("rounds", 1 if len(sweep.seeds) <= len(study.runs.seeds) else 2)
    file = of_study(study, rests, rows, held_out, sweep.seeds, old, changes, at=head(), rounds=rounds)
    form.write(name, file)
    return file


def run(sweep: Sweep, base: BaseParams) -> tuple[dict[str, list[list[float]]], dict[str, int]]:
    """The values of a grid by place, and the held-out examples; what is kept of its runs is not made again."""
    from pipeline.lab.studies.report import run_grid

    return rows_of(run_grid(sweep, base).found)


def is_same_code(made_of: Mapping[str, Any], paths: Sequence[Path]) -> bool:
    """Whether these files are those of the code that some results were made of."""
    if not (commit := made_of.get("commit")):
        return False
    if any(Path(changed).is_relative_to(path) for changed in made_of.get("changed", ()) for path in paths):
        return False
    if git("cat-file", "-e", f"{commit}^{{commit}}") is None:
        return False
    words = [str(path) for path in (*paths, Path("dvc.yaml"))]
    return not git_paths("diff", "--name-only", "--relative", "-z", commit, "--", *words) and not git_paths(
        "ls-files", "-oz", "--exclude-standard", "--", *words
    )


def _rows_in(played: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """The values in results/NAME.json by place; there a training that diverged has none."""
    seeds = len(played["seeds"])
    found = {}
    for measure, flat in played["values"].items():
        values = np.array([math.inf if value is None else value for value in flat], dtype=np.float64)
        found[measure] = values.reshape(-1, seeds).tolist()
    return found


# ----------------------------------------------------------------------------------------------------------- experiments


def add_experiments(name: str, arms: Sequence[str], checks: Sequence[str]) -> ClaimFile:
    """Write a claim file on experiments of DVC.

    Args:
        arms: names of experiments, one of each variant; its other seeds come with it.
        checks: each a claim as in a study, such as "exceeds: {measure: loss, more: A, less: B, by: 0.02}".

    Raises:
        UserError: there is no such experiment, one has no scores, or a claim does not fit.
    """
    from pipeline.lab.experiments.read import read_experiments

    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII) or len(name) > LONGEST_NAME:
        raise UserError(f"{name!r}: is not a name of a claim; use letters, digits, - and _, at most {LONGEST_NAME}")
    if name in Project().studies:
        raise UserError(f"{name}: is a study; give the claim on experiments another name")
    if len({*arms}) < 2:
        raise UserError(f"--from {','.join(arms)}: names fewer than two experiments; a claim compares them")
    if not checks:
        raise UserError("--check: is missing; such as --check 'exceeds: {measure: loss, more: A, less: B, by: 0.02}'")
    claims = [read_check(text) for text in checks]
    if all(is_control(check) for check in claims):
        raise UserError("--check: is a control, which must not hold; give a claim with it, which must")
    there = read_experiments()
    if not {*arms} <= {one.name for one in there}:
        there = read_experiments(arms)
    file = claim_on(there, arms, claims, form.read(name) if name in form.names() else None)
    form.write(name, file)
    return file


def claim_on(
    experiments: Sequence[Experiment], arms: Sequence[str], checks: Sequence[dict[str, Any]], old: ClaimFile | None = None
) -> ClaimFile:
    """A claim on the scores of experiments; its only axis has an arm for each of these names, with the seeds that all have.

    Raises:
        UserError: there is no such experiment, one has no scores, or a claim does not fit.
    """
    groups = grouped(experiments)
    chosen: dict[str, Group] = {}
    for arm in arms:
        if not (found := [group for group in groups if any(one.name == arm for one in group.experiments)]):
            raise UserError(f"--from: there is no experiment '{arm}'. {suggest(arm, tuple(one.name for one in experiments))}")
        if twice := next((other for other, group in chosen.items() if group is found[0]), ""):
            raise UserError(f"--from: {twice} and {arm} differ in their seed alone; name one of them")
        chosen[arm] = found[0]
    seeds = sorted(set.intersection(*({one.seed for one in group.experiments} for group in chosen.values())))
    if not seeds:
        raise UserError(f"--from {','.join(arms)}: have no seed in common")
    measures = dict.fromkeys(
        str(arguments[word]) for check in checks for arguments in check.values() for word in ("measure", "predicted")
        if arguments.get(word)
    )  # fmt: skip
    if not measures:
        scores = sorted({score for group in chosen.values() for one in group.experiments for score in one.scores})
        raise UserError(f"--check: names no measure. Known: {', '.join(scores)}")
    rows: dict[str, list[list[float]]] = {measure: [] for measure in measures}
    for group in chosen.values():
        by_seed = {one.seed: one for one in group.experiments}
        for measure in measures:
            rows[measure].append([_score(by_seed[seed], measure) for seed in seeds])
    commits = {arm: [one.commit for one in group.experiments if one.seed in seeds] for arm, group in chosen.items()}
    return of_experiments(commits, rows, seeds, checks, old, Digests().statistics(), torch_version())


def _score(one: Experiment, measure: str) -> float:
    """A score with six digits; inf where the training diverged.

    Raises:
        UserError: it has none.
    """
    if one.diverged:
        return math.inf
    if not one.scores:
        raise UserError(f"{one.name}: {one.missing or 'has no scores before it ends'}")
    if measure not in one.scores:
        raise UserError(f"{one.name}: has no score '{measure}'. {suggest(measure, tuple(one.scores))}")
    return rounded(one.scores[measure])


def read_check(text: str) -> dict[str, dict[str, Any]]:
    """A claim on experiments as it is typed; its arm is the experiment.

    Raises:
        UserError: it is none.
    """
    form_of_it = "such as --check 'exceeds: {measure: loss, more: A, less: B, by: 0.02}'"
    try:
        content = load_yaml(text)
    except NOT_YAML:
        content = None
    if not isinstance(content, dict) or not all(isinstance(arguments, dict) for arguments in content.values()):
        raise UserError(f"--check {text}: is not a claim, {form_of_it}")
    content = json.loads(json.dumps(content))
    for arguments in content.values():
        if {"more", "less", "better", "worse"} & arguments.keys():
            arguments.setdefault("arm", ARM)
    claim_of(content)
    return dict(content)
