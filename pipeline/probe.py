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
    """Run every probe of the table on every snapshot."""
    params = load()

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_snapshots
    from pipeline.probes.summary import as_metrics
    from pipeline.probes.table import readings_of
    from pipeline.progress import follower

    knobs, follow = params.probe, follower(params.runtime.progress)
    subjects = open_snapshots(
        paths.MODEL.parent,
        Runtime(params.runtime),
        sequences=knobs.sequences,
        toy_text=knobs.toy_text,
        sharpness_iterations=knobs.sharpness_iterations,
    )
    sizes = [file.stat().st_size for file in paths.SNAPSHOTS.glob("*.safetensors")]
    with follow("reading snapshots", sum(sizes)) as advance:
        readings = readings_of(subjects, lambda: advance(sum(sizes) // len(sizes)))
    for reading in readings.values():
        save(reading)
    checksums.seal("probe")
    # Under one key, so that tables of experiments can leave them out together.
    writing.write_json(paths.PROBE_METRICS, {"readings": as_metrics(readings)})
    print(f"{paths.READINGS}: {', '.join(readings)}")


if __name__ == "__main__":
    main()
