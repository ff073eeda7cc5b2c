"""The stage probe: the snapshots of a training -> metrics/readings/, metrics/probe.json."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.params import entry_point, load
from pipeline.readings import save


@entry_point
def main() -> None:
    """Put every question of the table to the model as it was along its training."""
    params = load()

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_snapshots
    from pipeline.probes.summary import as_metrics
    from pipeline.probes.table import readings_of
    from pipeline.progress import follower

    knobs, follow = params.probe, follower(params.runtime.progress)
    subjects = open_snapshots(
        artifacts.MODEL.parent,
        Runtime(params.runtime),
        sequences=knobs.sequences,
        toy=knobs.toy_text,
        sharpness_iterations=knobs.sharpness_iterations,
    )
    sizes = [file.stat().st_size for file in artifacts.SNAPSHOTS.glob("*.safetensors")]
    with follow("reading snapshots", sum(sizes)) as advance:
        readings = readings_of(subjects, lambda: advance(sum(sizes) // len(sizes)))
    for reading in readings.values():
        save(reading)
    artifacts.seal("probe")
    # Under one name, so that tables of experiments can leave them out together.
    artifacts.write_json(artifacts.PROBE_METRICS, {"readings": as_metrics(readings)})
    print(f"{artifacts.READINGS}: {', '.join(readings)}")


if __name__ == "__main__":
    main()
