"""The model of the last `dvc repro`, opened for use, and whether it belongs to the knobs, code and data in this folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline.artifacts.paths import MODEL, SAMPLES
from pipeline.artifacts.reading import read_json
from pipeline.lab.provenance.answers import of_trained
from pipeline.params.errors import UserError
from pipeline.params.load import load

if TYPE_CHECKING:
    from pipeline.inference.trained import Subject


def open_trained() -> Subject:
    """The trained model, on the device of params.yaml.

    Raises:
        UserError: there is no model, or it is damaged.
    """
    weights = MODEL.with_suffix(".safetensors")
    if not weights.exists():
        raise UserError(f"{weights}: there is no trained model here; `dvc repro` trains one, `dvc pull` fetches a shared one")
    knobs = load().runtime
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_model

    return open_model(MODEL.parent, Runtime(knobs))


def of_another_run() -> str:
    """A line if the trained model is not of the knobs, code or data in this folder; otherwise ""."""
    origin = of_trained(load())
    return "" if origin else f"{MODEL.parent}: this model is of another run: {origin.says}; `dvc repro` trains one of this run"


def open_language_model() -> Subject:
    """The trained model, if it writes text; with a line on stderr if it is of another run.

    Raises:
        UserError: there is no model, it is damaged, or it is a classifier.
    """
    subject = open_trained()
    if line := of_another_run():
        print(line, file=sys.stderr)
    from pipeline.networks.transformer import GPT

    if not isinstance(subject.model, GPT):
        kind = read_json(MODEL.with_suffix(".json"), "task")["task"]
        raise UserError(
            f"task.kind: a model of kind {kind} is a classifier and writes no text; {SAMPLES} shows its worst mistakes"
        )
    return subject
