"""Time and memory of every stage of a run, of a long text's first two, and of each reading.

    python -m benchmarks.stages [--megabytes 1000] [--lab FOLDER] [-S section.knob=value ...]

The stages of params.yaml, each in a process of its own as DVC runs it; then every reading by itself, over all snapshots.
Memory is the peak of all processes of a stage together, as a monitor of the system shows it; the last column counts what
processes share once. A shorter training (-S train.steps=60) takes as much, with as many snapshots and readings. With
--megabytes, `prepare` and `tokenize` of the training text repeated to that size, too. Everything is kept in FOLDER. On
cores that are shared with other work, compare CPU seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench import Lab, Peak, machine, table, timed
from benchmarks.data.encoding import write_copies
from benchmarks.data.own_data import Cost, watched
from pipeline.artifacts.paths import MODEL, RAW, text_of
from pipeline.lab.dvc.overrides import override_values

STAGES = ("prepare", "tokenize", "train", "evaluate", "probe", "diagnose", "plot")


def importing_torch(lab: Lab) -> Cost:
    """What every stage that trains or runs a network needs before it begins."""
    with Peak() as peak:
        took = timed([sys.executable, "-c", "import torch, time; time.sleep(0.2)"], lab.folder)
    return Cost(took.cpu, took.wall, peak.resident, peak.apart)


def of_a_long_text(lab: Lab, megabytes: int, folder: Path) -> Iterator[tuple[str, Cost]]:
    """The first two stages of so much text: the training text of the run again and again, each time with some new words."""
    folder.mkdir()
    own = folder / "text.txt"
    write_copies(own, text_of(lab.folder / RAW, "train").read_text(encoding="utf-8"), megabytes * 10**6)
    knobs = {"prepare.dataset": "file", "prepare.path": str(own), "runtime.progress": "none"}
    long = Lab(folder / "lab", knobs)
    for stage in STAGES[:2]:
        yield f"{stage}, {megabytes:,} MB of text", watched(long, stage)


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
    parser.add_argument("--megabytes", type=int, default=0)
    parser.add_argument("-S", dest="turned", action="append", default=[], metavar="KNOB")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab((asked.lab or Path(folder, "lab")).resolve(), override_values(asked.turned))
        costs = {"import torch": importing_torch(lab)}
        for stage in STAGES:
            costs[stage] = watched(lab, stage)
            os.environ["RALLY_CACHE"] = str(Path(folder, "cache"))  # without baselines: evaluate measures them
        readings = by_reading(lab)
        if asked.megabytes:
            costs |= dict(of_a_long_text(lab, asked.megabytes, Path(folder, "long")))
    torch = costs["import torch"].resident
    rows: list[tuple[object, ...]] = [
        (name, *(f"{one:.1f}" for one in (took.wall, took.cpu)), *(f"{one:.0f}" for one in _above(took, torch)))
        for name, took in costs.items()
    ]
    header = ("stage", "wall clock, s", "CPU, s", "peak memory, MB", "above torch's import", "each page once, MB")
    print(f"{machine()}\n\n{table(header, rows)}\n")
    print(table(("reading", "CPU, s, all snapshots"), readings))


def _above(took: Cost, torch: float) -> tuple[float, float, float]:
    return took.resident, took.resident - torch, took.apart


if __name__ == "__main__":
    main()
