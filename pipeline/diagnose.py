"""The stage diagnose: the curves, scores and readings of a run -> metrics/doctor.json."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:  # run as a file (an editor's Run button): start again as dvc.yaml does
    os.chdir(Path(__file__).absolute().parents[1])
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.diagnose", *sys.argv[1:]])

from pipeline.artifacts import checksums, paths, reading, writing
from pipeline.params.entry_point import entry_point
from pipeline.params.load import load
from pipeline.readings import load_all, read_curve


@entry_point
def main() -> None:
    """Diagnose the run: healthy, or its symptoms, their likely causes, and the experiment that would confirm each."""
    params = load()

    from pipeline.doctor.case import Case, confusion, levels, material
    from pipeline.doctor.diagnose import diagnose

    evaluation = reading.read_json(paths.EVALUATION)
    case = Case(
        kind=params.task.kind,
        train=read_curve(paths.TRAIN_CURVE),
        validation=read_curve(paths.VALIDATION_CURVE),
        progress=reading.read_json(paths.TRAIN_METRICS),
        sanity=reading.read_json(paths.SANITY),
        levels=levels(evaluation),
        material=material(evaluation),
        confusion=confusion(evaluation),
        readings={reading.name: reading for reading in load_all()},
        knobs=params.model_dump(include={"prepare", "model", "train", "probe"}),
        plan=_expected(params.plan.path),
    )
    diagnosis = diagnose(case)
    writing.write_json(paths.DIAGNOSIS, diagnosis.as_json())
    checksums.seal("diagnose")
    print(f"{paths.DIAGNOSIS}: {diagnosis.finding}; `rally doctor` says more")


def _expected(path: str) -> dict[str, Any]:
    """What the file of a plan says that this run must be; empty where there is no plan."""
    if Path(path) == paths.NONE:
        return {}
    from pipeline.doctor.plan_file import read_expected

    return read_expected(Path(path))


if __name__ == "__main__":
    main()
