"""The stage probe: the snapshots of a training -> metrics/readings/."""

from __future__ import annotations

from collections import defaultdict

from pipeline import artifacts
from pipeline.params import door, load
from pipeline.readings import Reading, over_training, save


@door
def main() -> None:
    """Put every question of the table to the model as it was along its training."""
    params = load()

    from pipeline.engine.runtime import Runtime
    from pipeline.probes.base import open_snapshots
    from pipeline.probes.table import PROBES

    knobs, along = params.probe, defaultdict[str, list[tuple[int, Reading]]](list)
    for subject in open_snapshots(artifacts.MODEL.parent, Runtime(params.runtime), sequences=knobs.sequences, toy=knobs.toy):
        for name, probe in PROBES.items():
            if probe.whole_training:
                along[name].append((subject.step, probe.read(subject)))
    for name, probe in PROBES.items():
        save(over_training(along[name]) if probe.whole_training else probe.read(subject))
    print(f"{artifacts.READINGS}: {', '.join(PROBES)}")


if __name__ == "__main__":
    main()
