"""The model of the last `dvc repro`, opened for use, with a line where it is of another run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline.artifacts.paths import MODEL, SAMPLES
from pipeline.artifacts.reading import read_json
from pipeline.lab.provenance.check import other_run
from pipeline.params.errors import UserError
from pipeline.params.load import load

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel


def check_trained() -> None:
    """Make sure that there is a trained model, as `open_trained` does, but before torch is imported.

    Raises:
        UserError: there is none.
    """
    weights = MODEL.with_suffix(".safetensors")
    if not weights.exists():
        raise UserError(f"{weights}: there is no trained model here; `dvc repro` trains one, `dvc pull` fetches a shared one")


def open_language_model() -> TrainedModel:
    """The trained model, if it writes text; with a line on stderr if it is of another run.

    Raises:
        UserError: there is no model, it is damaged, or it is a classifier.
    """
    check_trained()
    params = load()
    from pipeline.inference.trained import open_trained

    trained = open_trained(params.runtime)
    if line := other_run(params):
        print(line, file=sys.stderr)
    if not trained.is_language_model:
        kind = read_json(MODEL.with_suffix(".json"), "task")["task"]
        raise UserError(
            f"task.kind: a model of kind {kind} is a classifier and writes no text; {SAMPLES} shows its worst mistakes"
        )
    return trained
