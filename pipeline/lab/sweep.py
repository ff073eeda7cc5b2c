"""Many small trainings in one process: each is kept under its identity, so that a sweep goes on where it was interrupted,
and a turned knob or a changed line of code trains again only what it reaches.

DVC has no part in it: an experiment of its takes seconds to begin and to end, which is longer than such a training.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pipeline.artifacts import RAW, TOKENS, identity, meta_of, private, read_json, write_json, write_text
from pipeline.lab.grid import Record
from pipeline.params import ROOMS, Params, Refusal

if TYPE_CHECKING:
    from pipeline.engine.checkpoint import Progress

Place = tuple[int, ...]
Advance = Callable[[], None]


def train_all(variants: Iterable[tuple[Place, Params]], advance: Advance) -> dict[Place, Record]:
    """The record of every training, by its place in the grid; `advance` is called after each."""
    tokens: dict[str, Path] = {}
    records = {}
    for place, params in variants:
        data = str((params.prepare, params.tokenize))
        if data not in tokens:
            tokens[data] = tokens_for(params)
        records[place] = record_of(params, tokens[data])
        advance()
    return records


# ------------------------------------------------------------------------------------------------------------------ data


def tokens_for(params: Params) -> Path:
    """A folder as the stage tokenize leaves it for these knobs; made by the stages themselves where it is not there.

    Raises:
        Refusal: a stage could not do it; it has said why.
    """
    own = Path(params.prepare.path).resolve()
    raw = _left_by("prepare", "prepare", RAW, params, {"${prepare.path}": own})
    return _left_by("tokenize", "tokenize", TOKENS, params, {str(RAW): raw})


def _left_by(stage: str, section: str, out: Path, params: Params, inputs: Mapping[str, Path]) -> Path:
    """What a stage leaves, from a private folder in which it runs with these knobs over these inputs."""
    run = identity(stage, params.model_dump(include={section}), inputs)
    folder = private("sweeps") / stage / run
    if not (folder / out).exists():  # it appears when it is whole
        knobs = params.model_dump()
        knobs["prepare"]["path"] = str(Path(params.prepare.path).resolve())
        write_text(folder / "params.yaml", yaml.safe_dump(knobs, sort_keys=False, allow_unicode=True))
        for name, source in (("dvc.yaml", Path("dvc.yaml")), ("pipeline", ROOMS), (str(RAW), inputs.get(str(RAW)))):
            if source is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(source.resolve())
        command = [sys.executable, "-m", f"pipeline.{stage}"]
        done = subprocess.run(command, cwd=folder, env={**os.environ, "DVC_ROOT": str(folder)}, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise Refusal(f"{stage}: ended with status {done.returncode}, so there is nothing to train on")
    return folder / out


# ------------------------------------------------------------------------------------------------------------- trainings


def record_of(params: Params, tokens: Path) -> Record:
    """What becomes of a training: as it was kept, or trained now."""
    from pipeline.engine.runtime import Runtime

    runtime = Runtime(params.runtime, params.train.precision)
    described = params.model_dump(include={"seed", "model", "train"}) | {"precision": runtime.precision}
    kept = private("sweeps") / "runs" / f"{identity('train', described, {str(TOKENS): tokens})}.json"
    if kept.exists():
        return Record(**read_json(kept))
    from pipeline.engine.loop import fit
    from pipeline.engine.start import begin

    vocabulary = read_json(meta_of(tokens), "vocabulary")["vocabulary"]
    progress, task = begin(params.seed, params.model, params.train, tokens, vocabulary, runtime)
    with runtime.enough_memory():
        fit(progress, task, params.train, params.seed, runtime, Unheard())
    record = Record(progress.curve, progress.validations, progress.diverged)
    write_json(kept, asdict(record))
    return record


class Unheard:
    """Who is told of every step and keeps nothing: a training of seconds begins again after Ctrl-C."""

    def keep(self, progress: Progress) -> None:
        pass

    def interrupted(self) -> bool:
        return False
