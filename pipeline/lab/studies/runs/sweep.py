"""The runs of a grid: each training is cached under its identity, so that an interrupted grid resumes.

A changed knob or line of code trains again only the runs that it affects. Where each run uses one thread, as many run at once
as there are cores. DVC is not used: its experiments take seconds to begin and to end, which is longer than such a training.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from pipeline.arrays import memory_mapped
from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import RAW, TOKENS, labels_of, meta_of, private_folder
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_text
from pipeline.identity import read_cached, run_identity, write_cached
from pipeline.lab.fleet.fleet import Fleet
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.measures.record import Record
from pipeline.lab.studies.runs.handover import PROGRAM, precision_of, task_of
from pipeline.lab.workers import run_in_processes
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.params.names import PIPELINE
from pipeline.params.schema import Params

Place = tuple[int, ...]
Advance = Callable[[], None]

STEPS_PER_PROCESS = 2000  # steps of training that make another process worth the two seconds in which it imports torch


def run_all(
    variants: Sequence[Variant], metrics: tuple[str, ...], advance: Advance, fleet: Fleet | None = None
) -> dict[Place, Record]:
    """The record of every run, by its place in the grid.

    Args:
        metrics: of the network, at every snapshot.
        advance: is called after each run.
        fleet: the machines that run what is not kept; None = this one.
    """
    tokens = make_data(variants)
    runs = [(variant, tokens.get(_data_of(variant.params), TOKENS), metrics) for variant in variants]
    samples = {variant.place: _samples(folder, variant.params) for variant, folder, _ in runs if variant.bench is None}
    records = {}
    for place, record in _each(runs, fleet):
        records[place] = replace(record, numbers={**record.numbers, **samples.get(place, {})})
        advance()
    return records


Run = tuple[Variant, Path, tuple[str, ...]]
PlacedRun = tuple[Variant, Path, tuple[str, ...], Path | None]  # with the path of its record


def _each(runs: Sequence[Run], fleet: Fleet | None) -> Iterator[tuple[Place, Record]]:
    """Every run as it is done: one after another in this process, or several at once, each in a process with one thread."""
    todo, checksum = list[PlacedRun](), functools.cache(sha256_of)  # of the code and data as they are now
    for run in runs:
        if (cached := record_path(*run, checksum)) and (content := read_cached(cached)) is not None:
            yield run[0].place, Record(**content)
        else:
            todo.append((*run, cached))
    if not todo:
        return
    by_name = {run_name(run[0]): run for run in todo}
    if fleet is not None:
        yield from _handed_over(by_name, fleet)
        return
    most = todo[0][0].params.runtime.workers or cores()
    processes = min(most, len(todo), sum(_steps(run[0]) for run in todo) // STEPS_PER_PROCESS + 1)
    if processes <= 1 or any(run[0].params.runtime.threads != 1 for run in todo):
        for placed in todo:
            yield placed[0].place, run_or_read(*placed)
        return
    for name, record in run_in_processes(run_or_read, by_name, processes):
        yield by_name[name][0].place, record


def _handed_over(by_name: Mapping[str, PlacedRun], fleet: Fleet) -> Iterator[tuple[Place, Record]]:
    """Every run as it is done on some machine; it is kept here, as if it had run here."""
    for name, answer in fleet.run(PROGRAM, {name: task_of(*run) for name, run in by_name.items()}):
        record, (variant, *_, path) = Record(**answer["record"]), by_name[name]
        if path:
            write_cached(path, asdict(record))
        yield variant.place, record


def run_name(variant: Variant) -> str:
    """A run of a grid in messages: its place, counted from 1, and its seed."""
    return f"run {' x '.join(str(at + 1) for at in variant.place)} (seed {variant.params.seed})"


def _steps(variant: Variant) -> int:
    """About how much work a run is, in steps of training."""
    return variant.params.train.steps if variant.bench is None else STEPS_PER_PROCESS // 8


# ------------------------------------------------------------------------------------------------------------------ data


def _data_of(params: Params) -> str:
    """What determines the data of a run."""
    return str((params.task, params.prepare, params.tokenize))


def make_data(variants: Sequence[Variant]) -> dict[str, Path]:
    """The tokens by what determines them; as many are made at once as there are cores, for each takes two processes of half a
    second.

    Raises:
        UserError: a stage failed; it has printed why.
    """
    needed = {_data_of(variant.params): variant.params for variant in variants if variant.bench is None}
    if not needed:
        return {}
    first = next(iter(needed.values()))
    with ThreadPoolExecutor(min(first.runtime.workers or cores(), len(needed))) as pool:
        return dict(zip(needed, pool.map(tokens_folder, needed.values()), strict=True))


def _samples(tokens: Path, params: Params) -> dict[str, float]:
    """On how many held-out examples a share is measured: those with a class, or questions."""
    from pipeline.lab.studies.measures.network_metrics import EXAMPLES, QUESTIONS

    if params.task.kind == "language":
        return {"questions": float(min(read_json(meta_of(tokens))["documents"]["validation"], QUESTIONS))}
    sizes = {split: len(memory_mapped(labels_of(tokens, split))) for split in ("validation", "test")}
    return {
        "validation_sample": float(min(sizes["validation"], params.train.validation_examples)),
        "test_sample": float(min(sizes["test"], EXAMPLES)),
    }


def tokens_folder(params: Params) -> Path:
    """The tokens that the stages prepare and tokenize make with these parameters; cached.

    Raises:
        UserError: a stage failed; it has printed why.
    """
    path = Path(params.prepare.path).resolve()
    raw = _out_of("prepare", "prepare", RAW, params, {"${prepare.path}": path})
    return _out_of("tokenize", "tokenize", TOKENS, params, {str(RAW): raw, **_tokenizer_of(params)})


def made_tokens(params: Params) -> Path | None:
    """The tokens of these parameters if they are made already; nothing is run."""
    path = Path(params.prepare.path).resolve()
    raw = _folder_of("prepare", "prepare", params, {"${prepare.path}": path}) / RAW
    if not raw.exists():
        return None
    tokens = _folder_of("tokenize", "tokenize", params, {str(RAW): raw, **_tokenizer_of(params)}) / TOKENS
    return tokens if tokens.exists() else None


def _tokenizer_of(params: Params) -> dict[str, Path]:
    """The tokenizer that was learned elsewhere, if one is used."""
    return {"${tokenize.path}": Path(params.tokenize.path).resolve()} if params.tokenize.kind == "file" else {}


def _folder_of(stage: str, section: str, params: Params, inputs: Mapping[str, Path]) -> Path:
    """The private folder of a stage with these parameters and inputs."""
    return private_folder("sweeps") / stage / run_identity(stage, params.model_dump(include={"task", section}), inputs)


def _out_of(stage: str, section: str, out: Path, params: Params, inputs: Mapping[str, Path]) -> Path:
    """An out of a stage, which runs in a private folder with these parameters and inputs."""
    folder = _folder_of(stage, section, params, inputs)
    if not (folder / out).exists():  # an out appears when it is complete
        knobs = params.model_dump()
        for section_of_path, path in (("prepare", params.prepare.path), ("tokenize", params.tokenize.path)):
            knobs[section_of_path]["path"] = str(Path(path).resolve())
        write_text(folder / "params.yaml", yaml.safe_dump(knobs, sort_keys=False, allow_unicode=True))
        for name, source in (("dvc.yaml", Path("dvc.yaml")), ("pipeline", PIPELINE), (str(RAW), inputs.get(str(RAW)))):
            if source is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(source.resolve())
        command = [sys.executable, "-m", f"pipeline.{stage}"]
        done = subprocess.run(command, cwd=folder, env={**os.environ, "DVC_ROOT": str(folder)}, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise UserError(f"{stage}: failed with status {done.returncode} (see above), so there is no data to train on")
    return folder / out


# ------------------------------------------------------------------------------------------------------------------ runs


def record_path(
    variant: Variant, tokens: Path, metrics: tuple[str, ...], checksum: Callable[[Path], str] = sha256_of
) -> Path | None:
    """Where the record of a training is cached; None for a bench, which is not.

    Args:
        checksum: of code and data; a cached one for many runs at once.
    """
    if variant.bench is not None:
        return None
    params = variant.params
    described: dict[str, Any] = params.model_dump(include={"seed", "task", "model", "train"})
    described["precision"] = precision_of(variant)
    described["record"] = [checksum(PIPELINE / "lab/training"), checksum(PIPELINE / "lab/studies/runs/run_variant.py")]
    if metrics:
        described |= {"read": metrics, "probe": params.probe.model_dump()}
        described["readers"] = [checksum(PIPELINE / "probes"), checksum(PIPELINE / "lab/studies/measures/network_metrics.py")]
    if variant.fault:
        described |= {"fault": variant.fault, "faults": checksum(PIPELINE / "lab/faults")}
    identity = run_identity("train", described, {str(TOKENS): tokens}, checksum)
    return private_folder("sweeps") / "runs" / f"{identity}.json"


def run_or_read(variant: Variant, tokens: Path, metrics: tuple[str, ...], cached: Path | None = None) -> Record:
    """The record of a run: a cached one, or from a run now.

    Args:
        cached: its `record_path`, where that is known.
    """
    if variant.bench is not None:
        return variant.bench.run(variant.params)
    cached = cached or record_path(variant, tokens, metrics)
    assert cached is not None
    if (content := read_cached(cached)) is not None:
        return Record(**content)
    from pipeline.lab.studies.runs.run_variant import run_variant

    record = run_variant(variant, tokens, metrics)
    write_cached(cached, asdict(record))
    return record
