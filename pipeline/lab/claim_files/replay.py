"""A claim replayed: what is stale is run again, or fresh seeds are, or two places are, as a sample; and the file is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.artifacts.writing import rounded
from pipeline.lab.claim_files import form
from pipeline.lab.claim_files.adding import add_experiments, head, run, study_of
from pipeline.lab.claim_files.definition import Definition, Difference
from pipeline.lab.claim_files.form import ClaimFile
from pipeline.lab.claim_files.rewriting import of_study
from pipeline.lab.claim_files.standing import Project, Standing
from pipeline.lab.studies.grid import Sweep, Variant
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.params.errors import UserError


@dataclass(frozen=True)
class Replayed:
    """What came of a replay.

    Attributes:
        file: as it is now.
        text: what was done, in a sentence.
        is_equal: of a sample: whether all values are those of the file, which then was written.
    """

    file: ClaimFile
    text: str
    is_equal: bool = True


def replay(name: str, *, fresh: bool = False, again: bool = False, sample: int = 0) -> Replayed:
    """Run what is stale of a claim, judge it, and write its file.

    Where only bounds, or the statistics, have changed, the values that are there are judged, and nothing runs.

    Args:
        fresh: as many seeds as the study has, of which no value is known.
        again: ask for all runs, although nothing is stale.
        sample: run only so many, spread over the grid; where all are as in the file, the other values are kept.

    Raises:
        UserError: there is no such claim or study, or it cannot be replayed in this way.
    """
    old = form.read(name)
    if old.rests_on.experiments:
        return _experiments(name, old, plain=not (fresh or again or sample))
    project = Project()
    if name not in project.studies:
        path = form.path_of(name)
        raise UserError(f"{path}: there is no study {name} any more; `git rm {path}` removes the file")
    study, standing = project.studies[name], project.standing(name)
    changes = project.changes(name, old, study)
    if sample:
        return _sample(name, old, study, standing, project, sample)
    seeds = _fresh_seeds(old, study) if fresh else tuple(old.scope.seeds)
    rounds = 1 if fresh else old.scope.rounds
    rests, about = project.digests.rests(study, project.base), "the kept values were judged; nothing ran"
    rows, held_out = old.values, dict(old.held_out)
    if fresh or again or _needs_runs(changes, standing):
        sweep, base = study_of(name)
        rows, held_out = run(replace(sweep, seeds=seeds), base)
        about = f"its runs were made with seeds {', '.join(map(str, seeds))}, or read where they are kept"
    elif standing.today and not standing.reasons and rests == old.rests_on:
        return Replayed(old, "nothing is stale; --again asks for its runs all the same")
    file = of_study(study, rests, rows, held_out, seeds, old, changes, at=head(), rounds=rounds)
    form.write(name, file)
    return Replayed(file, about)


def _needs_runs(changes: Sequence[Difference], standing: Standing) -> bool:
    """Whether the values are of other code, data or knobs; bounds and lists of seeds need no run."""
    if any(reason.kind in ("data", "code", "file") for reason in standing.reasons):
        return True
    base = any("params.yaml" in about for reason in standing.reasons for about in reason.about)
    return base or any(one.part not in ("check", "seeds") for one in changes)


def _fresh_seeds(old: ClaimFile, study: Definition) -> tuple[int, ...]:
    first = max(*study.runs.seeds, *study.runs.seen, *old.scope.seeds, *old.scope.looked_at, 0) + 1
    return tuple(range(first, first + len(study.runs.seeds)))


def _experiments(name: str, old: ClaimFile, *, plain: bool) -> Replayed:
    """A claim on experiments, judged on their scores now."""
    if not plain:
        raise UserError(
            f"{name}: is a claim on experiments of DVC, which `dvc exp run` runs; leave out --fresh, --again, --sample"
        )
    arms = list(old.rests_on.experiments)
    checks = [check.claim for check in (*old.checks, *old.controls)]
    file = add_experiments(name, arms, [json.dumps(check) for check in checks])
    return Replayed(file, "the scores of its experiments were read; where they are of other code, `dvc exp run` makes new ones")


# --------------------------------------------------------------------------------------------------------------- a sample


def _sample(name: str, old: ClaimFile, study: Definition, standing: Standing, project: Project, count: int) -> Replayed:
    """Some of the runs of a claim, made by the code of today: where they are equal, so are the others."""
    if others := [reason.text() for reason in standing.reasons if reason.kind != "code"]:
        raise UserError(f"{name}: {'; '.join(others)}: a sample says nothing of that; leave out --sample")
    sweep, base = study_of(name)
    sweep = replace(sweep, seeds=tuple(old.scope.seeds))
    variants = list(sweep.variants(base.sections))
    spread = np.linspace(0, len(variants) - 1, min(count, len(variants))).round().astype(int)
    chosen = [variants[at] for at in sorted({*spread.tolist()})]
    found = _measured(sweep, chosen)
    ways = sweep.shape[:-1]
    for variant, values in found:
        row, seed = int(np.ravel_multi_index(variant.place[:-1], ways)), variant.place[-1]
        for measure, value in values.items():
            if value != (there := old.values[measure][row][seed]):
                text = (
                    f"{measure} of place {row + 1}, seed {old.scope.seeds[seed]} is {value} now, and was {there}: the numbers "
                    f"changed; `rally claims replay {name}` makes all runs"
                )
                return Replayed(old, text, is_equal=False)
    file = old.model_copy(update={"rests_on": project.digests.rests(study, project.base), "runs": study.runs})
    form.write(name, file)
    return Replayed(file, f"{len(chosen)} of {len(variants)} runs were made and are equal in all digits: the others are kept")


def _measured(sweep: Sweep, chosen: list[Variant]) -> list[tuple[Variant, dict[str, float]]]:
    from pipeline.lab.studies.report import noun, progress_display
    from pipeline.lab.studies.runs.sweep import run_all

    with progress_display(chosen[0].params.runtime.progress, len(chosen), noun(chosen)) as advance:
        records = run_all(chosen, sweep.network_metrics, advance)
    return [
        (variant, {name: rounded(float(MEASURES[name].compute(records[variant.place]))) for name in sweep.measures})
        for variant in chosen
    ]
