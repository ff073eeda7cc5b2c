"""The stage probe: the snapshots of a training -> metrics/readings/, metrics/probe.json."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file (an editor's Run button): start again as dvc.yaml does
    os.chdir(Path(__file__).absolute().parents[1])
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.probe", *sys.argv[1:]])

from typing import TYPE_CHECKING

from pipeline.artifacts import checksums, paths, writing
from pipeline.params.entry_point import entry_point
from pipeline.params.load import load
from pipeline.readings import Reading, save

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel

AT_ONCE = 2**28  # bytes of weights of the snapshots that are read at once; the readings of each take some ten times as much


@entry_point
def main() -> None:
    """Run every probe of the table on every snapshot, and check the first steps of its training once more."""
    params = load()

    from pipeline.conformance.checks import CHECKED_STEPS, as_reading
    from pipeline.conformance.trained import TrainedCheck, largest
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.threads import Workers
    from pipeline.inference.trained import open_snapshots
    from pipeline.probes.summary import as_metrics
    from pipeline.probes.table import over_snapshots, readings_at
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

    def read(snapshot: TrainedModel) -> tuple[dict[str, Reading], dict[str, float]]:
        return readings_at(snapshot), check.recorded(snapshot)

    at_once = AT_ONCE // max(sizes, default=1)
    with follow("reading snapshots", sum(sizes)) as advance, Workers(runtime.device, min(max(at_once, 1), 4)) as workers:
        steps, found = workers.begin(check.steps), []
        for taken in workers.each(read, subjects):
            found.append(taken)
            advance(sum(sizes) // len(sizes))
        numbers, skipped = steps.result()
    readings = over_snapshots(read for read, _ in found)
    numbers |= largest(recorded for _, recorded in found)
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
