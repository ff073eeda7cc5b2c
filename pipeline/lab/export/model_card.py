"""The model card (README.md) of an exported model: usage, scores, training data, knobs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths
from pipeline.artifacts.reading import read_json
from pipeline.lab.export.hub_card import with_head
from pipeline.lab.provenance.origin import Origin
from pipeline.lab.provenance.workspace import LARGE, Workspace


def card(about: str, made_by: Mapping[str, Any], name: str = "model", prompts: Sequence[str] = ()) -> str:
    """The whole card.

    Args:
        about: what kind of model it is for the hub, the heading and the usage.
        made_by: the content of models/trained/model.json.
        prompts: for a reader on the hub to try.
    """
    data, scores = of_the_model(paths.CARD, paths.RAW), of_the_model(paths.EVALUATION, paths.EVALUATION)
    knobs = {section: made_by[section] for section in ("seed", "model", "train") if section in made_by}
    more = {"knobs": made_by.get("train", {}), "values": scores, "prompts": list(prompts)}
    return CARD.format(
        about=with_head(about, name, data, _labels(scores), more).strip(),
        what="images" if made_by.get("image") else "text",
        scores=_scores(scores) or "There were none when this was exported (`dvc repro evaluate` makes them).",
        data=_data(data) or "There was no card of the data when this was exported.",
        step=made_by.get("step", "?"),
        began=_began(made_by.get("train", {})),
        knobs=json.dumps(knobs, indent=1, sort_keys=True),
    )


def is_exported(folder: Path) -> bool:
    """Whether a folder was written by `rally export`."""
    card = folder / "README.md"
    return card.is_file() and "\n- rally\n" in card.read_text(encoding="utf-8", errors="replace")


def of_the_model(path: Path, out: Path) -> dict[str, Any]:
    """The content of a file, if it exists and is not known to be of another run than the model.

    Args:
        out: the file, or the folder that holds it, as dvc.yaml names it.
    """
    origin = Origin(Workspace(small=LARGE), one_run=True)
    is_another = any(not match and match.known for match in map(origin.match, (paths.MODEL.parent, out)))
    return read_json(path) if path.exists() and not is_another else {}


def _labels(scores: Mapping[str, Any]) -> dict[str, str]:
    return OF_CLASSES if "classes" in scores else OF_TEXT


def _scores(scores: Mapping[str, Any]) -> str:
    labels = _labels(scores)
    rows = [f"| {labels[key]} | {scores[key]:.4g} |" for key in labels if isinstance(scores.get(key), int | float)]
    return "\n".join(["| measured | |", "|---|---|", *rows]) if rows else ""


def _began(train: Mapping[str, Any]) -> str:
    """Which other models had a part in it."""
    words = {"init_from": "It began with the weights of `{}`.", "teacher": "It learned from the teacher `{}`."}
    said = [line.format(train[knob]) for knob, line in words.items() if train.get(knob, str(paths.NONE)) != str(paths.NONE)]
    return "".join(f" {line}" for line in said)


def _data(data: Mapping[str, Any]) -> str:
    lines = [f"- {key}: {data[key]}" for key in ("name", "source", "licence", "split") if data.get(key)]
    sums = [f"- sha256 of {file}: `{digest}`" for file, digest in data.get("sha256", {}).items()]
    return "\n".join([*lines, *sums])


OF_TEXT = {
    "test_bits_per_byte": "bits per byte, test",
    "bits_per_byte": "bits per byte, validation",
    "loss": "nats per token, validation",
    "accuracy": "accuracy per token, validation",
    "margin": "bits per byte below the best baseline, test",
}
OF_CLASSES = {
    "test_accuracy": "accuracy, test",
    "accuracy": "accuracy, validation",
    "test_macro_f1": "macro F1, test",
    "test_calibration_error": "calibration error, test",
    "loss": "nats per example, validation",
    "margin": "accuracy above the best baseline, test",
}

CARD = """---
{about}

## Scores

{scores}

## Training data

{data}

The licence is that of the {what}. Before you share the model, check what it means for a model trained on them.

## Training

{step} steps, with the knobs below.{began}

```json
{knobs}
```
"""
