"""Time and memory of the readings of a run, compared with its training.

    python -m benchmarks.probing [--lab FOLDER] [-S section.knob=value ...]

The stages of params.yaml up to `probe`, each in a process of its own as DVC runs it; then every reading by itself, over all
snapshots. Everything is kept in FOLDER. On cores that are shared with other work, compare CPU seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bench import Lab, Took, machine, table, timed
from pipeline.artifacts.paths import MODEL
from pipeline.lab.dvc.overrides import override_values

PEAK = """
import resource, runpy, sys
runpy.run_module("pipeline." + sys.argv[1], run_name="__main__")
open("peak", "w").write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)))
"""


def measured(lab: Lab, stage: str) -> tuple[Took, float]:
    """(what a stage took, its peak memory, MB)."""
    took = timed([sys.executable, "-c", PEAK, stage], lab.folder)
    return took, int((lab.folder / "peak").read_text()) / 1e6


def by_reading(lab: Lab) -> list[tuple[object, ...]]:
    """CPU seconds of each reading over all snapshots; what several share has a row of its own."""
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_snapshots
    from pipeline.probes.passes.backward import backward
    from pipeline.probes.passes.forward import forward
    from pipeline.probes.passes.samples import sampled_ids
    from pipeline.probes.table import PROBES

    spent, knobs = Counter[str](), lab.params.probe

    def asked(name: str, work: Callable[[Any], object], subject: Any) -> Any:
        start = time.process_time()
        found = work(subject)
        spent[name] += time.process_time() - start  # type: ignore[assignment]
        return found

    with contextlib.chdir(lab.folder):
        subjects = open_snapshots(MODEL.parent, Runtime(lab.params.runtime), sequences=knobs.sequences, toy_text=knobs.toy_text)
        while subject := asked("opening snapshots", lambda some: next(some, None), subjects):
            for name, work in {"forward pass": forward, "backward pass": backward, "sampling text": sampled_ids}.items():
                asked(name, work, subject)
            for name, probe in PROBES.items():
                asked(name, probe.read, subject)
            subject.cache.clear()
    return [(name, f"{seconds:.2f}") for name, seconds in spent.most_common() if seconds >= 0.005]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", type=Path)
    parser.add_argument("-S", dest="turned", action="append", default=[], metavar="KNOB")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab((asked.lab or Path(folder)).resolve(), override_values(asked.turned))
        for stage in ("prepare", "tokenize"):
            lab.run(stage)
        (train, train_peak), (probe, probe_peak) = measured(lab, "train"), measured(lab, "probe")
        readings = by_reading(lab)
    rows: list[tuple[object, ...]] = [
        ("train", f"{train.wall:.1f}", f"{train.cpu:.1f}", f"{train_peak:.0f}"),
        ("probe", f"{probe.wall:.1f}", f"{probe.cpu:.1f}", f"{probe_peak:.0f}"),
        ("probe / train", *(f"{one:.2f}" for one in (probe.wall / train.wall, probe.cpu / train.cpu, probe_peak / train_peak))),
    ]
    print(f"{machine()}\n\n{table(('stage', 'wall clock, s', 'CPU, s', 'peak memory, MB'), rows)}\n")
    print(table(("reading", "CPU, s, all snapshots"), readings))


if __name__ == "__main__":
    main()
