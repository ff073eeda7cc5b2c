"""Many small runs: each training is kept under its identity, so that a sweep goes on where it was interrupted, and a turned
knob or a changed line of code trains again only what it reaches. Where each takes one thread, as many run at once as there are
cores.

DVC has no part in it: an experiment of its takes seconds to begin and to end, which is longer than such a training.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import RAW, TOKENS, private_folder
from pipeline.artifacts.writing import write_text
from pipeline.identity import read_cached, run_identity, write_cached
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.record import Record
from pipeline.lab.workers import each_done
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.params.names import PIPELINE
from pipeline.params.schema import Params

Place = tuple[int, ...]
Advance = Callable[[], None]

WORTH = 2000  # steps of training for which another process is worth the two seconds in which it imports torch


def run_all(variants: Sequence[Variant], read: tuple[str, ...], advance: Advance) -> dict[Place, Record]:
    """The record of every run, by its place in the grid; `advance` is called after each.

    Args:
        read: the measures for which the network is looked at.
    """
    tokens: dict[str, Path] = {}
    runs = []
    for variant in variants:
        data = str((variant.params.task, variant.params.prepare, variant.params.tokenize))
        if variant.bench is None and data not in tokens:
            tokens[data] = tokens_for(variant.params)
        runs.append((variant, tokens.get(data, TOKENS), read))
    records = {}
    for place, record in _each(runs):
        records[place] = record
        advance()
    return records


Run = tuple[Variant, Path, tuple[str, ...]]


def _each(runs: Sequence[Run]) -> Iterator[tuple[Place, Record]]:
    """Every run as it is done: here one after another, or several at once, each in a process with a thread of its own."""
    todo = list[Run]()
    for run in runs:
        if (kept := kept_of(*run)) and (told := read_cached(kept)) is not None:
            yield run[0].place, Record(**told)
        else:
            todo.append(run)
    if not todo:
        return
    most = todo[0][0].params.runtime.workers or cores()
    together = min(most, len(todo), sum(map(_steps, todo)) // WORTH + 1)
    if together <= 1 or any(run[0].params.runtime.threads != 1 for run in todo):
        for run in todo:
            yield run[0].place, record_of(*run)
        return
    by_name = {name_of(run[0]): run for run in todo}
    for name, record in each_done(record_of, by_name, together):
        yield by_name[name][0].place, record


def name_of(variant: Variant) -> str:
    """A run of a grid for people: its place, counted from 1, and its seed."""
    return f"run {' x '.join(str(at + 1) for at in variant.place)} (seed {variant.params.seed})"


def _steps(run: Run) -> int:
    """How much work it is, about."""
    variant = run[0]
    return variant.params.train.steps if variant.bench is None else WORTH // 8


# ------------------------------------------------------------------------------------------------------------------ data


def tokens_for(params: Params) -> Path:
    """A folder as the stage tokenize leaves it for these knobs; made by the stages themselves where it is not there.

    Raises:
        UserError: a stage could not do it; it has said why.
    """
    own = Path(params.prepare.path).resolve()
    raw = _left_by("prepare", "prepare", RAW, params, {"${prepare.path}": own})
    return _left_by("tokenize", "tokenize", TOKENS, params, {str(RAW): raw})


def _left_by(stage: str, section: str, out: Path, params: Params, inputs: Mapping[str, Path]) -> Path:
    """What a stage leaves, from a private folder in which it runs with these knobs over these inputs."""
    run = run_identity(stage, params.model_dump(include={"task", section}), inputs)
    folder = private_folder("sweeps") / stage / run
    if not (folder / out).exists():  # it appears when it is whole
        knobs = params.model_dump()
        knobs["prepare"]["path"] = str(Path(params.prepare.path).resolve())
        write_text(folder / "params.yaml", yaml.safe_dump(knobs, sort_keys=False, allow_unicode=True))
        for name, source in (("dvc.yaml", Path("dvc.yaml")), ("pipeline", PIPELINE), (str(RAW), inputs.get(str(RAW)))):
            if source is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(source.resolve())
        command = [sys.executable, "-m", f"pipeline.{stage}"]
        done = subprocess.run(command, cwd=folder, env={**os.environ, "DVC_ROOT": str(folder)}, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise UserError(f"{stage}: ended with status {done.returncode}, so there is nothing to train on")
    return folder / out


# ------------------------------------------------------------------------------------------------------------------ runs


def kept_of(variant: Variant, tokens: Path, read: tuple[str, ...]) -> Path | None:
    """Where the record of a training is kept; of what is no training none is."""
    if variant.bench is not None:
        return None
    from pipeline.engine.runtime.runtime import Runtime

    params = variant.params
    described: dict[str, Any] = params.model_dump(include={"seed", "task", "model", "train"})
    described["precision"] = Runtime(params.runtime, params.train.precision).precision
    described["record"] = [sha256_of(PIPELINE / "lab/training"), sha256_of(PIPELINE / "lab/studies/run_variant.py")]
    if read:
        described |= {"read": read, "probe": params.probe.model_dump()}
        described["readers"] = [sha256_of(PIPELINE / "probes"), sha256_of(PIPELINE / "lab/studies/network_metrics.py")]
    if variant.fault:
        described |= {"fault": variant.fault, "faults": sha256_of(PIPELINE / "lab/faults")}
    return private_folder("sweeps") / "runs" / f"{run_identity('train', described, {str(TOKENS): tokens})}.json"


def record_of(variant: Variant, tokens: Path, read: tuple[str, ...]) -> Record:
    """What becomes of a run: as it was kept, or made now."""
    if variant.bench is not None:
        return variant.bench.run(variant.params)
    kept = kept_of(variant, tokens, read)
    assert kept is not None
    if (told := read_cached(kept)) is not None:
        return Record(**told)
    from pipeline.lab.studies.run_variant import run_variant

    record = run_variant(variant, tokens, read)
    write_cached(kept, asdict(record))
    return record
