"""The README.md of an exported model: how to use it, how well it does, what it learned from, how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths
from pipeline.artifacts.reading import read_json
from pipeline.lab.provenance.origin import Origin
from pipeline.lab.provenance.workspace import LARGE, Workspace


def card(about: str, made_by: Mapping[str, Any]) -> str:
    """The whole card.

    Args:
        about: what the model is and how it is used, from the card's heading on.
        made_by: what models/trained/model.json says.
    """
    data, scores = _of_the_model(paths.CARD, paths.RAW), _of_the_model(paths.EVALUATION, paths.EVALUATION)
    knobs = {section: made_by[section] for section in ("seed", "model", "train") if section in made_by}
    return CARD.format(
        about=about.strip(),
        what="images" if made_by.get("image") else "text",
        scores=_scores(scores) or "They were not at hand when this was exported (`dvc repro evaluate` makes them).",
        data=_data(data) or "Its card was not at hand when this was exported.",
        step=made_by.get("step", "?"),
        knobs=json.dumps(knobs, indent=1, sort_keys=True),
    )


def is_ours(folder: Path) -> bool:
    """Whether a folder is one that was exported so."""
    card = folder / "README.md"
    return card.is_file() and "\n- rally\n" in card.read_text(encoding="utf-8", errors="replace")


def _of_the_model(path: Path, out: Path) -> dict[str, Any]:
    """What stands in a file, if it is there and of one run with the model, as far as one can know.

    Args:
        out: the file, or the folder that holds it, as dvc.yaml names it.
    """
    origin = Origin(Workspace(small=LARGE), among_themselves=True)
    is_another = any(not verdict and verdict.known for verdict in map(origin.verdict, (paths.MODEL.parent, out)))
    return read_json(path) if path.exists() and not is_another else {}


def _scores(scores: Mapping[str, Any]) -> str:
    told = OF_CLASSES if "classes" in scores else OF_TEXT
    rows = [f"| {told[key]} | {scores[key]:.4g} |" for key in told if isinstance(scores.get(key), int | float)]
    return "\n".join(["| measured | |", "|---|---|", *rows]) if rows else ""


def _data(data: Mapping[str, Any]) -> str:
    lines = [f"- {key}: {data[key]}" for key in ("name", "source", "licence", "split") if data.get(key)]
    sums = [f"- sha256 of {file}: `{digest}`" for file, digest in data.get("sha256", {}).items()]
    return "\n".join([*lines, *sums])


OF_TEXT = {
    "test_bits_per_byte": "bits a byte, test",
    "bits_per_byte": "bits a byte, validation",
    "loss": "nats a token, validation",
    "accuracy": "share of tokens guessed right, validation",
    "margin": "bits a byte below the best simple baseline, test",
}
OF_CLASSES = {
    "test_accuracy": "share told right, test",
    "accuracy": "share told right, validation",
    "test_macro_f1": "F1, the mean over the classes, test",
    "test_calibration_error": "calibration error, test",
    "loss": "nats an example, validation",
    "margin": "share told right above the best simple baseline, test",
}

CARD = """---
{about}

## How good it is

{scores}

## What it learned from

{data}

The licence is that of the {what}; what it means for a model that learned from it is for whoever shares the model to judge.

## How it was made

{step} steps, with these knobs:

```json
{knobs}
```
"""
