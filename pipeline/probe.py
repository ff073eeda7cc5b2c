"""The stage probe: the snapshots of a training -> metrics/readings/, metrics/probe.json."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file (an editor's Run button): start again as dvc.yaml does
    os.chdir(Path(__file__).absolute().parents[1])
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.probe", *sys.argv[1:]])

from pipeline.artifacts import checksums, paths, writing
from pipeline.params.entry_point import entry_point
from pipeline.params.load import load
from pipeline.readings import save


@entry_point
def main() -> None:
    """Run every probe of the table on every snapshot, and check the first steps of its training once more."""
    params = load()

    from pipeline.conformance.checks import CHECKED_STEPS, as_reading
    from pipeline.conformance.trained import TrainedCheck
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_snapshots
    from pipeline.probes.summary import as_metrics
    from pipeline.probes.table import readings_of
    from pipeline.progress import follower

    knobs, follow, runtime = params.probe, follower(params.runtime.progress), Runtime(params.runtime)
    subjects = open_snapshots(
        paths.MODEL.parent,
        runtime,
        sequences=knobs.sequences,
        toy_text=knobs.toy_text,
        sharpness_iterations=knobs.sharpness_iterations,
    )
    sizes = [file.stat().st_size for file in paths.SNAPSHOTS.glob("*.safetensors")]
    check = TrainedCheck(paths.MODEL.parent, paths.TOKENS, runtime)
    with follow("reading snapshots", sum(sizes)) as advance:
        readings = readings_of(check.watched(subjects), lambda: advance(sum(sizes) // len(sizes)))
    numbers, skipped = check.numbers()
    for line in skipped:
        print(f"not checked: {line}")
    if numbers:
        readings[CHECKED_STEPS] = as_reading(numbers)
    for reading in readings.values():
        save(reading)
    checksums.seal("probe")
    # Under one key, so that tables of experiments can leave them out together.
    writing.write_json(paths.PROBE_METRICS, {"readings": as_metrics(readings)})
    print(f"{paths.READINGS}: {', '.join(readings)}")


if __name__ == "__main__":
    main()
