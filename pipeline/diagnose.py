"""The stage diagnose: the curves, scores and readings of a run -> metrics/doctor.json."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.params import entry_point, load
from pipeline.readings import load_all, read_curve


@entry_point
def main() -> None:
    """Say whether the run is healthy, and if not what it has, why that may be, and which experiment would tell."""
    params = load()

    from pipeline.doctor.case import Case, confusion, levels
    from pipeline.doctor.diagnose import diagnose

    evaluation = artifacts.read_json(artifacts.EVALUATION)
    case = Case(
        kind=params.task.kind,
        train=read_curve(artifacts.TRAIN_CURVE),
        validation=read_curve(artifacts.VALIDATION_CURVE),
        progress=artifacts.read_json(artifacts.TRAIN_METRICS),
        sanity=artifacts.read_json(artifacts.SANITY),
        levels=levels(evaluation),
        confusion=confusion(evaluation),
        readings={reading.name: reading for reading in load_all()},
        knobs=params.model_dump(include={"prepare", "model", "train", "probe"}),
    )
    diagnosis = diagnose(case)
    artifacts.write_json(artifacts.DIAGNOSIS, diagnosis.as_json())
    artifacts.seal("diagnose")
    print(f"{artifacts.DIAGNOSIS}: {diagnosis.finding}; `rally doctor` says more")


if __name__ == "__main__":
    main()
